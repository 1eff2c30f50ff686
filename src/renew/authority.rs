//! How we stand with an authority: what time it says it is, whether it can be asked, and how much.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::order::connect;
use super::{Error, Renewer};
use crate::acme::{Directory, Http};
use crate::config::Issuer;
use crate::model::{CertName, DirectoryUrl, Identifier, chain};
use crate::schedule::{Again, CLOCK_TOLERANCE, Event, Kind, LONGEST_PAUSE, Purpose, Retry, Spent};
use crate::store::{Standing, Trouble};

/// Failures that lie further back than this are another story: longer than any pause between two attempts.
pub(super) const SAME_OUTAGE: SignedDuration = SignedDuration::from_hours(2 * LONGEST_PAUSE.as_hours());

impl Renewer<'_> {
    /// Looks at the clock, and how we stand with an authority.
    pub(super) fn look(&self, directory: &DirectoryUrl) -> Result<Standing, Error> {
        let wall = self.clock.now();
        let standing = self.store.standing(directory.as_str())?;
        if standing.offset.looked(wall) == standing.offset {
            return Ok(standing);
        }
        Ok(self.store.change_standing(directory.as_str(), |standing| {
            standing.offset = standing.offset.looked(wall);
            standing.clone()
        })?)
    }

    /// What time it is for this authority, after it has said so with its last answer.
    pub(super) fn listen(&self, directory: &DirectoryUrl, http: &Http) -> Result<Timestamp, Error> {
        let (wall, date) = (self.clock.now(), http.authority_time());
        let (before, after) = self.store.change_standing(directory.as_str(), |standing| {
            let before = standing.offset;
            standing.offset = before.told(wall, date);
            (before, standing.offset)
        })?;
        let moved = after.now(wall).duration_since(before.now(wall)).abs() > CLOCK_TOLERANCE;
        if let Some(date) = date.filter(|_| after.is_wrong() && moved) {
            tracing::warn!(
                clock = %wall, authority = %date,
                "the clock of this machine is far from the authority's time, which is used instead"
            );
        }
        Ok(after.now(wall))
    }

    /// Asks an authority what it offers, and what time it is. That it cannot be asked is noted.
    pub(super) async fn contact(
        &self,
        issuer: &Issuer,
        directory: &DirectoryUrl,
        standing: &Standing,
    ) -> Result<(Http, Directory), Error> {
        let failed = |source| Error::acme(issuer, source);
        let http = connect(issuer)?;
        let asked = Directory::fetch(&http, directory).await.map_err(failed);
        // It may have told the time even so.
        self.listen(directory, &http)?;
        match asked {
            Ok(found) => {
                let is_over = |trouble: &Trouble| self.clock.now().duration_since(trouble.at) > SAME_OUTAGE;
                if standing.trouble.as_ref().is_some_and(is_over) {
                    self.praise(directory)?;
                }
                Ok((http, found))
            }
            Err(error) => {
                self.blame(directory, &error, standing)?;
                Err(error)
            }
        }
    }

    /// Notes a failure of the authority as a whole, in an attempt that began with this standing.
    pub(super) fn blame(&self, directory: &DirectoryUrl, error: &Error, begun: &Standing) -> Result<(), Error> {
        let wall = self.clock.now();
        self.store.change_standing(directory.as_str(), |standing| {
            let now = standing.offset.now(wall);
            // What several attempts meet at the same time is one failure.
            let is_new = standing.trouble == begun.trouble;
            let before = standing.trouble.take().filter(|trouble| now.duration_since(trouble.at) < SAME_OUTAGE);
            let failures = before.map_or(1, |trouble| trouble.failures.saturating_add(u32::from(is_new)));
            standing.trouble = Some(trouble(error, failures, now));
        })?;
        Ok(())
    }

    /// Notes that the authority works.
    pub(super) fn praise(&self, directory: &DirectoryUrl) -> Result<(), Error> {
        Ok(self.store.change_standing(directory.as_str(), |standing| standing.trouble = None)?)
    }

    /// Counts an order, if there is room for it, before it is made; `None` where nobody counts.
    pub(super) fn spend(&self, order: &Spending<'_>) -> Result<Option<Event>, Error> {
        let Spending { issuer, directory, names, purpose, name } = *order;
        if !issuer.is_limited() {
            return Ok(None);
        }
        let wall = self.clock.now();
        let outcome = self.store.change_standing(directory.as_str(), |standing| {
            let now = standing.offset.now(wall);
            standing.events.check(names, purpose, now)?;
            let event = Event { at: now, kind: Kind::Order { names: names.clone(), failed: false } };
            standing.events.add(event.clone());
            Ok(event)
        })?;
        outcome.map(Some).map_err(|spent: Spent| Error::Spent {
            name: name.clone(),
            issuer: issuer.name.clone(),
            limit: spent.limit.to_string(),
            until: spent.until,
        })
    }
}

/// An order that is to be counted.
#[derive(Clone, Copy)]
pub(super) struct Spending<'a> {
    pub(super) name: &'a CertName,
    pub(super) issuer: &'a Issuer,
    pub(super) directory: &'a DirectoryUrl,
    pub(super) names: &'a BTreeSet<Identifier>,
    pub(super) purpose: Purpose,
}

/// A failure as it is noted, the so-many-th in a row.
pub(super) fn trouble(error: &Error, failures: u32, now: Timestamp) -> Trouble {
    let after_pause = Again::after(failures, now, rand::random());
    let (again, demanded) = match error.retry() {
        // Nobody is asked in a busy loop, whatever is said.
        Retry::NotBefore(instant) if instant > now => (Some(Again::at(instant)), true),
        _ if error.is_paused() => (None, false),
        _ => (Some(after_pause), false),
    };
    Trouble::new(failures, &chain(error), now, again, demanded)
}
