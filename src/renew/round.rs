//! One look at many certificates: what is due is ordered, what failed is put off, and it is said when to look again.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use jiff::{SignedDuration, Timestamp};

use super::ari::LOOKUPS;
use super::outlook::{Outlook, authority_of};
use super::{Due, Error, Manner, Obtained, Renewer, Why};
use crate::config::{Certificate, Issuer, Order};
use crate::model::{CertName, DirectoryUrl};
use crate::store::Standing;

/// Orders of one authority that are in progress at the same time. Most of an order is waiting for the authority to validate, and
/// four keep that busy; more would stand in each other's way on a small machine.
const ORDERS_AT_ONCE: usize = 4;
/// The shortest time to the next round, where what failed could not be noted, or another process is at work.
const SOON: SignedDuration = SignedDuration::from_mins(1);
/// The longest time to the next round.
const LATEST: SignedDuration = SignedDuration::from_hours(6);

/// What a round did.
#[derive(Debug)]
pub struct Round {
    /// The certificates that were ordered.
    pub ordered: Vec<CertName>,
    /// Those whose order failed.
    pub failures: Vec<(CertName, Error)>,
    /// Those that are due, and are not tried yet because something failed before ([`Error::Held`]).
    pub held: Vec<(CertName, Error)>,
    /// When there is something to do again, by the machine's clock.
    pub wake_at: Timestamp,
}

/// The certificates of one authority.
struct Group<'c> {
    issuer: &'c Issuer,
    directory: &'c DirectoryUrl,
    members: Vec<(&'c Certificate, &'c Order)>,
}

/// A certificate that was looked at.
pub(super) struct Looked<'c> {
    pub(super) certificate: &'c Certificate,
    pub(super) outlook: Outlook,
}

/// What was seen of a group.
struct Seen<'c> {
    standing: Standing,
    all: Vec<Looked<'c>>,
    /// The authority's time.
    now: Timestamp,
}

impl Renewer<'_> {
    /// Looks at certificates, and orders those that are due. One that fails holds up no other; what failed is not tried again
    /// before its time, and neither is an authority that is down. With `force` all are ordered, whatever failed before.
    pub async fn round(&self, certificates: impl IntoIterator<Item = &Certificate>, force: bool) -> Round {
        let manner = if force { Manner::Forced } else { Manner::Scheduled };
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "answers to challenges may have been left behind");
        }
        let mut round = self.empty_round();
        let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
        for certificate in certificates {
            let Some(order) = &certificate.order else { continue };
            match authority_of(order) {
                Some((issuer, directory)) => groups
                    .entry(directory.as_str())
                    .or_insert_with(|| Group { issuer, directory, members: Vec::new() })
                    .members
                    .push((certificate, order)),
                // There is nobody to ask.
                None => {
                    round.add(&certificate.name, self.order_if_due(certificate, manner, None).await);
                    let soon = self.clock.now() + SOON;
                    let next = self.internally_due(certificate, order).unwrap_or(soon);
                    round.wake_at = round.wake_at.min(next.max(soon));
                }
            }
        }
        for part in join_all(groups.values().map(|group| self.round_of(group, manner))).await {
            round.ordered.extend(part.ordered);
            round.failures.extend(part.failures);
            round.held.extend(part.held);
            round.wake_at = round.wake_at.min(part.wake_at);
        }
        round
    }

    /// A round of one authority.
    async fn round_of(&self, group: &Group<'_>, manner: Manner) -> Round {
        let mut round = self.empty_round();
        let soon = self.clock.now() + SOON;
        let next = match self.try_round(group, manner, &mut round).await {
            Ok(Some(seen)) => Ok(next(group, &seen)),
            Ok(None) => self.see(group, &mut round).map(|seen| next(group, &seen)),
            Err(error) => Err(error),
        };
        match next {
            Ok(next) => round.wake_at = round.wake_at.min(next.max(soon)),
            Err(error) => {
                // Something on disk, which concerns no certificate in particular.
                let first = group.members.first().map(|(certificate, _)| certificate.name.clone());
                round.failures.extend(first.map(|name| (name, error)));
                round.wake_at = soon;
            }
        }
        round
    }

    /// Does what there is to do; returns what was seen when that was nothing.
    async fn try_round<'c>(
        &self,
        group: &Group<'c>,
        manner: Manner,
        round: &mut Round,
    ) -> Result<Option<Seen<'c>>, Error> {
        let Group { issuer, directory, .. } = group;
        let seen = self.see(group, round)?;
        let Seen { standing, all, now } = &seen;
        let due = due(all, manner);
        let questions = questions(all, issuer);
        let is_free = |looked: &&Looked<'_>| manner == Manner::Forced || looked.outlook.hold(standing).is_none();
        let in_emergency = all.iter().any(|looked| looked.outlook.is_emergency());
        let is_left_alone = standing.trouble.as_ref().is_some_and(|trouble| trouble.until(in_emergency) > *now);
        let is_wanted = due.iter().any(is_free) || !questions.is_empty() || standing.offset.is_doubtful();
        if !is_wanted || (is_left_alone && manner != Manner::Forced) {
            round.hold(&due, standing);
            return Ok(Some(seen));
        }

        let asked = async {
            let (http, offers) = self.contact(issuer, directory, standing).await?;
            self.ask_about(&questions, issuer, directory, (&http, &offers), standing).await?;
            Ok(http)
        };
        let http = match asked.await {
            Ok(http) => http,
            Err(error) => {
                let standing = self.look(directory)?;
                // It meets all of them, and is told once.
                if let Some((first, rest)) = due.split_first() {
                    round.hold(rest, &standing);
                    round.failures.push((first.certificate.name.clone(), error));
                } else {
                    tracing::warn!(%error, "an authority could not be asked when to renew");
                }
                return Ok(None);
            }
        };

        // The authority may have changed what time it is, and what is due.
        let Seen { standing, all, .. } = self.see(group, round)?;
        let is_free = |looked: &&Looked<'_>| manner == Manner::Forced || looked.outlook.hold(&standing).is_none();
        let (mut free, held): (Vec<_>, Vec<_>) = self::due(&all, manner).into_iter().partition(is_free);
        round.hold(&held, &standing);
        // What never failed goes first, lest one that always does keep an authority from all others; then what is under way, and
        // what expires first.
        free.sort_by_key(|Looked { outlook, .. }| {
            (outlook.renewal.trouble.is_some(), outlook.due != Due::Now(Why::Unfinished), outlook.emergency())
        });
        let order = |looked: &&Looked<'c>| {
            let (certificate, http, standing) = (looked.certificate, &http, &standing);
            async move {
                let outcome = match self.met_since(directory, &certificate.name, standing) {
                    Ok(()) if self.stop.is_cancelled() => Ok(Obtained::Kept(0)),
                    Ok(()) => self.order_if_due(certificate, manner, Some(http)).await,
                    held => held.map(|()| Obtained::Kept(0)),
                };
                (certificate, outcome)
            }
        };
        // One order finds out whether the authority works.
        let (first, rest) = free.split_at(free.len().min(1));
        for at_once in [first, rest] {
            let orders: Vec<_> = at_once.iter().map(order).collect();
            let mut orders = stream::iter(orders).buffer_unordered(ORDERS_AT_ONCE);
            while let Some((certificate, outcome)) = orders.next().await {
                round.add(&certificate.name, outcome);
            }
        }
        Ok(None)
    }

    /// Whether the authority as a whole has failed since the round began: then nothing more is asked of it, forced or not.
    fn met_since(&self, directory: &DirectoryUrl, name: &CertName, begun: &Standing) -> Result<(), Error> {
        match self.store.standing(directory.as_str())?.trouble {
            Some(trouble) if Some(&trouble) != begun.trouble.as_ref() => {
                let until = trouble.again.map(|again| again.instant(false));
                Err(Error::Held { name: name.clone(), until, problem: trouble.problem })
            }
            _ => Ok(()),
        }
    }

    /// How the members of a group stand. What cannot be read is a failure of its own.
    fn see<'c>(&self, group: &Group<'c>, round: &mut Round) -> Result<Seen<'c>, Error> {
        let standing = self.look(group.directory)?;
        let now = standing.offset.now(self.clock.now());
        let mut all = Vec::new();
        for (certificate, order) in &group.members {
            match self.outlook(certificate, order, now) {
                Ok(outlook) => all.push(Looked { certificate, outlook }),
                Err(error) => round.fail(&certificate.name, error),
            }
        }
        Ok(Seen { standing, all, now })
    }

    fn empty_round(&self) -> Round {
        Round { ordered: Vec::new(), failures: Vec::new(), held: Vec::new(), wake_at: self.clock.now() + LATEST }
    }
}

impl Round {
    fn add(&mut self, name: &CertName, outcome: Result<Obtained, Error>) {
        match outcome {
            Ok(Obtained::Ordered(_)) => self.ordered.push(name.clone()),
            Ok(Obtained::Kept(_)) => {}
            // Another one met it a moment ago.
            Err(error @ Error::Held { .. }) => self.held.push((name.clone(), error)),
            Err(error) => self.fail(name, error),
        }
    }

    fn fail(&mut self, name: &CertName, error: Error) {
        if !self.failures.iter().any(|(failed, _)| failed == name) {
            self.failures.push((name.clone(), error));
        }
    }

    fn hold(&mut self, due: &[&Looked<'_>], standing: &Standing) {
        for Looked { certificate, outlook } in due {
            if let Some(hold) = outlook.hold(standing) {
                self.held.push((certificate.name.clone(), Error::held(&certificate.name, hold)));
            }
        }
    }
}

/// When there is something to do again, by the machine's clock.
fn next(group: &Group<'_>, seen: &Seen<'_>) -> Timestamp {
    let Seen { standing, all, .. } = seen;
    let mut next = Timestamp::MAX;
    for Looked { outlook, .. } in all {
        let ordered_at = match outlook.due {
            Due::NotBefore(at) => Some(at),
            Due::Now(_) => outlook.free_at(standing),
        };
        let left_alone = standing.trouble.as_ref().map_or(Timestamp::MIN, |trouble| trouble.until(false));
        let asked_at = outlook.ask_at(group.issuer).map(|at| at.max(left_alone));
        next = [ordered_at, asked_at].into_iter().flatten().fold(next, Timestamp::min);
    }
    standing.offset.wall(next)
}

/// Those that have to be ordered.
fn due<'a, 'c>(all: &'a [Looked<'c>], manner: Manner) -> Vec<&'a Looked<'c>> {
    let is_due = |looked: &&Looked<'_>| manner == Manner::Forced || matches!(looked.outlook.due, Due::Now(_));
    all.iter().filter(is_due).collect()
}

/// Those about which the authority is to be asked, the longest waiting first.
fn questions<'a, 'c>(all: &'a [Looked<'c>], issuer: &Issuer) -> Vec<&'a Looked<'c>> {
    let asked_at = |looked: &&Looked<'_>| looked.outlook.ask_at(issuer).filter(|at| *at <= looked.outlook.now);
    let mut questions: Vec<_> = all.iter().filter(|looked| asked_at(looked).is_some()).collect();
    questions.sort_by_key(asked_at);
    questions.truncate(LOOKUPS);
    questions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Trust;
    use crate::clock::{Clock, SystemClock};
    use crate::store::Store;

    fn is_send<T: Send>(future: T) -> T {
        future
    }

    #[tokio::test]
    async fn a_round_can_be_a_task_and_has_nothing_to_do_without_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state")).unwrap();
        let trust = Trust::default();
        let renewer = Renewer::new(&store, &SystemClock, &trust);
        let round = is_send(renewer.round(&[], false)).await;
        assert!(round.ordered.is_empty() && round.failures.is_empty() && round.wake_at > SystemClock.now());
    }
}
