//! How the renewal of a certificate stands, as far as is noted on disk. It follows the rules of `renew` (`turn.rs`), which lies in a
//! layer with this one.

use jiff::Timestamp;

use super::Reconciler;
use crate::config::{Certificate, Issuer, Order};
use crate::model::Facts;
use crate::schedule::{Life, Window};
use crate::store::{Generation, Hold, Standing, Trouble};

/// When a certificate is ordered, from whom, and why it is not.
#[derive(Default)]
pub(super) struct Ordering {
    pub(super) renew_at: Option<Timestamp>,
    /// What the authority suggests.
    pub(super) window: Option<Window>,
    /// The issuer that would be asked now.
    pub(super) next_issuer: Option<String>,
    pub(super) next_try: Option<Timestamp>,
    pub(super) problem: Option<String>,
}

impl Reconciler<'_> {
    /// How ordering a certificate stands. What is noted about that can be done without.
    pub(super) fn ordering(
        &self,
        certificate: &Certificate,
        order: &Order,
        generation: Option<&Generation>,
    ) -> Ordering {
        let number = generation.map(|generation| generation.number);
        let renewal = self.store.renewal(&certificate.name, number).unwrap_or_default();
        let life = generation.map(|generation| {
            let Facts { not_before, not_after, .. } = generation.facts;
            Life { not_before, not_after }
        });
        let renew_at = life.map(|life| life.due(renewal.ari.as_ref()));
        let window = renewal.ari.as_ref().map(|ari| ari.window);
        let at = |standing: &Standing| {
            let now = standing.offset.now(self.clock.now());
            (now, renew_at.is_none_or(|at| at <= now), life.is_some_and(|life| life.emergency() <= now))
        };
        let begun = self.store.journal_entry(&certificate.name).unwrap_or_default();
        let is_begun = |issuer: &Issuer| {
            let directory = issuer.directory.as_ref();
            directory.is_some_and(|url| begun.as_ref().is_some_and(|entry| entry.is_with(&issuer.name, url.as_str())))
        };

        let (mut holds, mut own, mut first) = (Vec::new(), Vec::new(), None);
        for issuer in order.issuers_after(is_begun) {
            let directory = issuer.directory.as_ref();
            let standing = directory.and_then(|directory| self.store.standing(directory.as_str()).ok());
            let standing = standing.unwrap_or_default();
            let (now, is_due, in_emergency) = at(&standing);
            let Some(hold) = renewal.hold(&issuer.name, &standing, now, in_emergency) else {
                // A certificate that needs nothing has no trouble, but for what waits for a person.
                let waits = own.into_iter().flatten().filter(|hold: &Hold| hold.until.is_none());
                let past = renewal.own(&issuer.name).chain(&standing.trouble).next().map(over);
                let told = if is_due { holds.into_iter().chain(past).collect() } else { waits.collect() };
                let problem = Hold::of_all(told).map(|hold| hold.problem);
                return Ordering { renew_at, window, next_issuer: Some(issuer.name.clone()), next_try: None, problem };
            };
            holds.push(hold);
            own.push(renewal.own_hold(&issuer.name, now, in_emergency));
            first.get_or_insert(is_due);
        }
        // The trouble of an authority as a whole is nothing to a certificate that is not due.
        let told = if first == Some(true) { Some(holds) } else { own.into_iter().collect() };
        let hold = told.and_then(Hold::of_all);
        let next_try = hold.as_ref().and_then(|hold| hold.until);
        Ordering { renew_at, window, next_issuer: None, next_try, problem: hold.map(|hold| hold.problem) }
    }
}

/// A failure that holds up nothing any more.
fn over(trouble: &Trouble) -> Hold {
    Hold { until: None, problem: trouble.problem.clone(), demanded: false }
}
