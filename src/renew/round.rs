//! One look at many certificates: what is due is ordered, what failed is put off, and it is said when to look again.
//!
//! Certificates gather at the authority where there is something to do about each, and authorities work side by side. What could
//! not be had at one goes on to the next; where that is at work already, it waits until it is through, so that the limits of an
//! authority hold however many come from others.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use jiff::{SignedDuration, Timestamp};

use super::ari::{Asked, LOOKUPS};
use super::turn::{Key, Look, Standings, Turn, key};
use super::{Due, Error, Manner, Obtained, Renewer, Why};
use crate::acme::Http;
use crate::config::{Certificate, Issuer};
use crate::model::{CertName, DirectoryUrl, chain};
use crate::schedule::Retry;
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

/// A certificate with how it stands.
type Member<'c> = (Turn<'c>, Look<'c>);

/// What there is to do at one authority.
struct Group<'c> {
    issuer: &'c Issuer,
    members: Vec<Member<'c>>,
}

/// What became of it: the certificates, and the names of those that were ordered.
#[derive(Default)]
struct Done<'c> {
    turns: Vec<Turn<'c>>,
    ordered: Vec<CertName>,
}

impl Renewer<'_> {
    /// Looks at certificates, and orders those that are due. One that fails holds up no other; what failed is not tried again
    /// before its time, and neither is an authority that is down. With `force` all are ordered, whatever failed before.
    pub async fn round(&self, certificates: impl IntoIterator<Item = &Certificate>, force: bool) -> Round {
        let manner = if force { Manner::Forced } else { Manner::Scheduled };
        if let Err(error) = self.sweep().await {
            tracing::warn!(error = %chain(&error), "answers to challenges may have been left behind");
        }
        let begun = self.clock.now();
        let mut round = Round { ordered: Vec::new(), failures: Vec::new(), held: Vec::new(), wake_at: begun + LATEST };
        let mut waiting: Vec<Turn<'_>> = certificates.into_iter().filter_map(Turn::of).collect();
        let (mut settled, mut busy) = (Vec::new(), BTreeSet::new());
        let mut running = FuturesUnordered::new();
        loop {
            let mut groups: BTreeMap<Key<'_>, Group<'_>> = BTreeMap::new();
            let mut standings = Standings::new(self);
            for turn in std::mem::take(&mut waiting) {
                match self.look_at(&turn, manner, &mut standings) {
                    Err(error) => round.cannot_see(&turn.certificate.name, error, begun),
                    Ok(look) => match look.wanted(&turn, manner).filter(|_| !self.stop.is_cancelled()) {
                        None => settled.push(turn),
                        Some(issuer) if busy.contains(&key(issuer)) => waiting.push(turn),
                        Some(issuer) => {
                            let group = groups.entry(key(issuer));
                            group.or_insert_with(|| Group { issuer, members: Vec::new() }).members.push((turn, look));
                        }
                    },
                }
            }
            for (key, group) in groups {
                busy.insert(key);
                running.push(async move { (key, self.round_of(group, manner).await) });
            }
            let Some((key, done)) = running.next().await else { break };
            busy.remove(&key);
            waiting.extend(done.turns);
            round.ordered.extend(done.ordered);
        }
        self.conclude(settled, manner, begun, &mut round);
        round
    }

    /// Says what failed, what is held, and when there is something to do again.
    fn conclude(&self, settled: Vec<Turn<'_>>, manner: Manner, begun: Timestamp, round: &mut Round) {
        let mut standings = Standings::new(self);
        for mut turn in settled {
            let name = &turn.certificate.name;
            let fresh = Turn::of(turn.certificate).expect("it has a turn");
            let look = match self.look_at(&fresh, Manner::Scheduled, &mut standings) {
                Ok(look) => look,
                Err(error) => {
                    round.cannot_see(name, error, begun);
                    continue;
                }
            };
            if let Some(at) = look.wakes_at() {
                round.wake_at = round.wake_at.min(at.max(begun + SOON));
            }
            let is_due = look.is_due(Manner::Scheduled);
            let held = look.hold.filter(|_| is_due).map(|hold| Error::held(name, hold));
            // By the time of an authority that answered it may not have been due at all.
            let counts = turn.is_over || is_due || manner == Manner::Forced;
            match turn.failure().filter(|_| counts).or(held) {
                Some(error @ Error::Held { .. }) => round.held.push((name.clone(), error)),
                Some(error) => round.failures.push((name.clone(), error)),
                None => {}
            }
        }
    }

    /// Does what there is to do at one authority.
    async fn round_of<'c>(&self, group: Group<'c>, manner: Manner) -> Done<'c> {
        let Group { issuer, mut members } = group;
        let is_here = |look: &Look<'_>| look.is_due(manner) && look.next.is_some_and(|next| key(next) == key(issuer));
        let asked = match &issuer.directory {
            None => Ok(None),
            Some(directory) => self.ask(issuer, directory, &members).await.map(Some),
        };
        for (turn, _) in &mut members {
            turn.is_asked = true;
        }
        let (begun, http) = match asked {
            Ok(asked) => asked.unzip(),
            Err(error) => {
                // It meets all of them, and is told once.
                let mut error = Some(error);
                for (turn, look) in members.iter_mut().filter(|(_, look)| is_here(look)) {
                    if let Some(next) = look.next {
                        turn.give_up(next, error.take());
                    }
                }
                if let Some(error) = error {
                    tracing::warn!(error = chain(&error), "an authority could not be asked when to renew");
                }
                return Done { turns: members.into_iter().map(|(turn, _)| turn).collect(), ..Done::default() };
            }
        };

        // The authority may have changed what time it is, and what is due.
        let mut standings = Standings::new(self);
        let (mut done, mut due) = (Done::default(), Vec::new());
        for (turn, _) in members {
            match self.look_at(&turn, manner, &mut standings) {
                Ok(look) if !turn.is_over && is_here(&look) => due.push((turn, look)),
                // Whoever looks next meets the error again.
                _ => done.turns.push(turn),
            }
        }
        // What never failed goes first, lest one that always does keep an authority from all others; then what is under way, and
        // what expires first.
        due.sort_by_key(|(_, Look { outlook, .. })| {
            let has_failed = outlook.renewal.failures(&issuer.name) > 0;
            (has_failed, outlook.due != Due::Now(Why::Unfinished), outlook.emergency())
        });
        // One order finds out whether the authority works.
        let rest = due.split_off(due.len().min(1));
        for at_once in [due, rest] {
            let orders =
                at_once.into_iter().map(|member| self.order_here(member, manner, begun.as_ref(), http.as_ref()));
            let mut orders = stream::iter(orders.collect::<Vec<_>>()).buffer_unordered(ORDERS_AT_ONCE);
            while let Some((turn, is_ordered)) = orders.next().await {
                done.ordered.extend(is_ordered.then(|| turn.certificate.name.clone()));
                done.turns.push(turn);
            }
        }
        done
    }

    /// Asks an authority what time it is, and about the certificates that it issued.
    async fn ask(
        &self,
        issuer: &Issuer,
        directory: &DirectoryUrl,
        members: &[Member<'_>],
    ) -> Result<(Standing, Http), Error> {
        let standing = self.look(directory)?;
        let (http, offers) = self.contact(issuer, directory, &standing).await?;
        let mut questions: Vec<_> = members
            .iter()
            .filter(|(turn, _)| !turn.is_asked)
            .filter_map(|(turn, look)| Some((turn, look, look.question.as_ref()?)))
            .filter(|(.., question)| question.at <= question.now && key(question.issuer) == key(issuer))
            .collect();
        // The longest waiting first.
        questions.sort_by_key(|(.., question)| question.at);
        questions.truncate(LOOKUPS);
        let asked: Vec<_> = questions
            .into_iter()
            .map(|(turn, look, question)| Asked {
                name: &turn.certificate.name,
                outlook: &look.outlook,
                author: question.issuer,
            })
            .collect();
        self.ask_about(&asked, issuer, directory, (&http, &offers), &standing).await?;
        Ok((self.look(directory)?, http))
    }

    /// Orders a certificate from the issuer that it wants; whether it was ordered.
    async fn order_here<'c>(
        &self,
        (mut turn, look): Member<'c>,
        manner: Manner,
        begun: Option<&Standing>,
        http: Option<&Http>,
    ) -> (Turn<'c>, bool) {
        let Some(issuer) = look.next.filter(|_| !self.stop.is_cancelled()) else {
            turn.is_over = true;
            return (turn, false);
        };
        let outcome = match self.has_failed_since(issuer, begun) {
            Ok(true) => {
                // Another one met it a moment ago.
                turn.give_up(issuer, None);
                return (turn, false);
            }
            Ok(false) => self.order_if_due(&mut turn, manner, Some((issuer, http))).await,
            Err(error) => Err(error),
        };
        let is_ordered = matches!(outcome, Ok(Some(Obtained::Ordered(_))));
        // What others said before counts only until it is over.
        match outcome {
            Ok(None) => {}
            Ok(Some(_)) => turn.end(None),
            Err(error) => turn.end(Some(error)),
        }
        (turn, is_ordered)
    }

    /// Whether an authority as a whole has failed since the round began: then nothing more is asked of it, forced or not.
    fn has_failed_since(&self, issuer: &Issuer, begun: Option<&Standing>) -> Result<bool, Error> {
        let (Some(directory), Some(begun)) = (&issuer.directory, begun) else { return Ok(false) };
        let trouble = self.store.standing(directory.as_str())?.trouble;
        Ok(trouble.is_some() && trouble != begun.trouble)
    }
}

impl Round {
    /// Something on disk cannot be read.
    fn cannot_see(&mut self, name: &CertName, error: Error, begun: Timestamp) {
        if error.retry() != Retry::Never {
            self.wake_at = begun + SOON;
        }
        if !self.failures.iter().any(|(failed, _)| failed == name) {
            self.failures.push((name.clone(), error));
        }
    }
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
