//! Making what nodes serve equal to what is stored: observe, plan, apply, verify.
//!
//! Owns the loop, and is the sole writer to `HAProxy` and to published files. Whatever happened before, a round looks afresh,
//! lets [`plan`](crate::plan) say what to do, does it, and looks again on new connections; it is done when there is nothing
//! left to do. So a crash of hotcert or a restart of `HAProxy` needs no code of its own, and a second round changes nothing. Where
//! few of many certificates have changed, it is about those alone (`few`).
//!
//! A round holds the lock of every node that it may change, so that rounds of several processes do not meet in `HAProxy`'s
//! one transaction.

mod apply;
mod attach;
mod client_files;
mod companions;
mod compare;
mod desire;
mod dump;
mod entries;
mod error;
mod few;
mod fleet;
mod inventory;
mod kinds;
mod load;
mod observe;
mod ordering;
mod pushes;
mod remove;
mod report;
mod rivals;
mod staples;
mod stored;
mod tell;
mod tickets;
mod tokens;
mod twins;
mod verify;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub use client_files::{ClientFiles, FileReport, FileStamp, FileState};
pub(crate) use companions::list as companions_in;
pub use compare::{Noticed, Warning};
pub use dump::{DumpOptions, DumpOutcome, Dumped};
pub use error::{Error, Failure};
pub use few::{Few, FewOn, Known, are_few};
pub use observe::View;
pub use pushes::{Pushes, Tally};
pub use remove::Removal;
pub use report::{
    CertState, CertificateReport, Foreign, NodeReport, NodeState, Problem, Report, ServedBy, Transaction, Verified,
};
pub use tickets::{TicketError, TicketKeeper};
pub use tokens::{Keeper, TokenError};
pub use twins::{Twins, strangers};
pub use workers::{OldWorker, Outdated, Workers};

use compare::Before;
pub(crate) use stored::Stored;

use tokio_util::sync::CancellationToken;

use crate::bundle::Bundle;
use crate::clock::Clock;
use crate::config::{Config, Node};
use crate::haproxy::{self, Connect, Session};
use crate::model::{CertName, NodeName, chain};
use crate::schedule::Retry;
use crate::store::{self, Generation, Meta, Source, Store};

/// How long a round waits for another process of ours to finish with a node. A round takes seconds at most.
const LOCK_DEADLINE: Duration = Duration::from_secs(30);
/// How long a round waits for another program to end its transaction. Between its `set` and `commit` lie milliseconds; one
/// that is open for longer was forgotten, and only its owner can tell what it was for.
const FOREIGN_DEADLINE: Duration = Duration::from_secs(10);
/// How often it looks whether it may go on.
const POLL: Duration = Duration::from_millis(100);
/// How often a round starts again because a node was restarted in its middle, or because something else changed it.
const ATTEMPTS: usize = 3;

/// Makes nodes serve what is stored.
pub struct Reconciler<'a> {
    /// What is configured.
    pub config: &'a Config,
    /// What is stored.
    pub store: &'a Store,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// How nodes are reached.
    pub connect: &'a dyn Connect,
    /// Ends a round between two certificates.
    pub stop: CancellationToken,
    /// Nodes that did not answer a moment ago: they are not asked again, so that one that hangs delays no other.
    pub away: BTreeSet<NodeName>,
    /// Where it is counted what was loaded.
    pub pushes: Pushes,
    /// What is known of the others, where only few of the certificates are configured here ([`Self::round_about_few`]).
    pub few: Option<&'a Few>,
}

/// The certificates that somebody wants to hear of. A round is about the others, too, for they may compete for names.
pub type Scope<'a> = Option<&'a BTreeSet<CertName>>;

/// Everything that was seen of the nodes.
#[derive(Default)]
pub(crate) struct Seen {
    views: BTreeMap<NodeName, View>,
    unreachable: BTreeMap<NodeName, haproxy::Error>,
}

impl Seen {
    fn hanging(&self) -> impl Iterator<Item = NodeName> {
        hanging(&self.unreachable)
    }
}

/// The nodes among these that let us wait.
fn hanging(unreachable: &BTreeMap<NodeName, haproxy::Error>) -> impl Iterator<Item = NodeName> {
    unreachable.iter().filter(|(_, error)| error.let_us_wait()).map(|(name, _)| name.clone())
}

impl Reconciler<'_> {
    /// Looks at every node and plans for it; changes nothing.
    pub async fn views(&self) -> (BTreeMap<NodeName, View>, BTreeMap<NodeName, haproxy::Error>) {
        let stored = self.read_store();
        let (seen, _) = self.look(&stored, &self.away).await;
        (seen.views, seen.unreachable)
    }

    /// Looks at every node and plans for it as if a certificate had this bundle as its current generation; changes nothing. That it
    /// has a place, and a directory to be published in, was seen by [`rivals`](Self::rivals).
    pub async fn preview(&self, name: &CertName, bundle: &Bundle) -> Result<BTreeMap<NodeName, View>, Error> {
        let meta = Meta { source: Source::Push, issuer: None, created: self.clock.now() };
        let generation = Generation::of(0, meta, bundle);
        let mut stored = self.read_store();
        stored.generations.insert(name.clone(), generation);
        let (seen, _) = self.look(&stored, &self.away).await;
        for view in seen.views.values() {
            let Some(want) = view.desired.certificates.get(name) else { continue };
            if let Err(limit) = view.info.fits(&want.slot, bundle) {
                return Err(Error::TooLarge { certificate: name.clone(), node: view.node.name.clone(), limit });
            }
        }
        one_is_reachable(seen.views, seen.unreachable)
    }

    /// Looks at everything and says how it stands; changes nothing.
    pub async fn report(&self, scope: Scope<'_>) -> Report {
        let stored = self.read_store();
        let (seen, _) = self.look(&stored, &self.away).await;
        let handshakes = self.handshakes(scope, &stored, &seen).await;
        self.tell(scope, stored, seen, handshakes)
    }

    /// The same, with what was seen of each node.
    pub async fn examine(&self, scope: Scope<'_>) -> (Report, BTreeMap<NodeName, View>) {
        let stored = self.read_store();
        let (seen, _) = self.look(&stored, &self.away).await;
        let handshakes = self.handshakes(scope, &stored, &seen).await;
        let views = seen.views.clone();
        (self.tell(scope, stored, seen, handshakes), views)
    }

    /// One round: makes the nodes serve what is stored, and proves it.
    pub async fn round(&self, scope: Scope<'_>) -> Result<Report, Error> {
        self.round_until(scope, std::future::pending()).await
    }

    /// The same, but it gives up proving once `hurry` is over: handshakes with what hangs take long, and something else waits.
    pub async fn round_until(&self, scope: Scope<'_>, hurry: impl Future<Output = ()>) -> Result<Report, Error> {
        let done = self.run(scope, scope, hurry, |_| ()).await?;
        Ok(done.expect("only a round about few is given up").0)
    }

    /// A round about everything that proves by handshakes only what it changes and what is in `proof`: with thousands of certificates
    /// a daemon cannot ask for all of them each time. It leaves behind what rounds about few have to know of each node, where all is
    /// as it should be in the end.
    pub async fn round_about_all(
        &self,
        proof: &BTreeSet<CertName>,
    ) -> Result<(Report, BTreeMap<NodeName, Known>), Error> {
        let known = |seen: &Seen| {
            let settled = seen.views.iter().filter(|(_, view)| view.plan.steps.is_empty());
            settled.map(|(name, view)| (name.clone(), Known::of(view))).collect()
        };
        let done = self.run(None, Some(proof), std::future::pending(), known).await?;
        let (report, known) = done.expect("only a round about few is given up");
        Ok((report, known.unwrap_or_default()))
    }

    /// A round about [`few`](Self::few) certificates, all of which it proves unless it is to `hurry`; `None`, and nothing was changed,
    /// where it takes a round about everything to tell what is to be done.
    pub async fn round_about_few(&self, hurry: impl Future<Output = ()>) -> Result<Option<Report>, Error> {
        let done = self.run(None, None, hurry, |_| ()).await?;
        Ok(done.map(|(report, _)| report))
    }

    /// One round, and what `learn` makes of what was seen last, where nothing failed. `None` where [`few`](Self::few) do not suffice.
    async fn run<K>(
        &self,
        scope: Scope<'_>,
        proof: Scope<'_>,
        hurry: impl Future<Output = ()>,
        learn: impl FnOnce(&Seen) -> K,
    ) -> Result<Option<(Report, Option<K>)>, Error> {
        let locks = self.lock_nodes().await?;
        // What hangs once costs its deadline once.
        let mut away = self.away.clone();
        let mut failures = Vec::new();
        let mut settled = None;
        let mut changed = BTreeSet::new();
        let mut before = None;
        let mut read = None;
        for attempt in 1..=ATTEMPTS {
            let stored = self.read_store_again(read.take());
            let (seen, sessions) = match self.few.filter(|_| attempt == 1) {
                None => self.look_without_foreign_transactions(&stored, &away).await?,
                Some(few) => {
                    let (seen, sessions) = self.look(&stored, &away).await;
                    if !few.suffices(&seen) {
                        return Ok(None);
                    }
                    (seen, sessions)
                }
            };
            away.extend(seen.hanging());
            let idle = seen.views.values().all(|view| view.plan.steps.is_empty());
            if before.is_none() {
                before = Some(Before::look(&seen).await);
            }
            if !idle || attempt == 1 {
                changed.extend(apply::sequence(&seen.views));
                failures = self.apply(&stored, &seen, sessions, &locks).await;
            }
            if idle {
                settled = Some((stored, seen));
                break;
            }
            // Locked by a commit that is going on: that passes at once.
            let passes = failures.iter().all(|failure| failure.error.retry() == Retry::Now);
            if !passes || self.stop.is_cancelled() {
                break;
            }
            tracing::debug!(attempt, "round applied");
            if !failures.is_empty() {
                tokio::time::sleep(POLL).await;
            } else if self.few.is_none()
                && let Some(few) = Few::changed_by(&seen, self.config)
                && let Some(seen) = self.look_again(&few, &stored, seen, &away).await
            {
                settled = Some((stored, seen));
                break;
            }
            read = Some(stored);
        }

        let (stored, mut seen) = if let Some(settled) = settled {
            settled
        } else {
            let stored = self.read_store_again(read);
            let (seen, _) = self.look(&stored, &away).await;
            (stored, seen)
        };
        failures.extend(self.accept_what_is_held(&stored, &seen));
        Box::pin(self.update_old_workers(&stored, &mut seen, &locks)).await;
        drop(locks);
        let proof = proof.map(|proof| proof.union(&changed).cloned().collect());
        let proved = async {
            let handshakes = self.prove(proof.as_ref(), &stored, &seen).await;
            let warnings = before.unwrap_or_default().compare(&stored, &seen, &handshakes).await;
            (handshakes, warnings)
        };
        let (handshakes, warnings) = tokio::select! {
            biased;
            proved = proved => proved,
            () = hurry => Default::default(),
        };
        let learnt = (failures.is_empty() && stored.failures.is_empty()).then(|| learn(&seen));
        let waiting: BTreeSet<_> = stored.waiting.keys().chain(stored.withdrawn.keys()).cloned().collect();
        let mut report = self.tell(scope, stored, seen, handshakes);
        report.warnings = warnings;
        let (concerned, others): (Vec<_>, Vec<_>) =
            failures.into_iter().partition(|failure| failure.concerns(scope, self.config));
        for failure in others {
            let certificate = failure.certificate.as_ref().map(tracing::field::display);
            tracing::warn!(certificate, error = %chain(&failure.error), "another certificate needs a look");
        }
        report.failures.splice(0..0, concerned);
        let unserved = unserved(&report, &waiting);
        report.failures.extend(unserved);
        let failed: Vec<_> = report.failures.iter().map(Problem::from).collect();
        report.problems.retain(|problem| problem.file.is_some());
        report.problems.splice(0..0, failed);
        Ok(Some((report, learnt)))
    }

    /// Connects to a node.
    async fn open(&self, node: &Node, away: &BTreeSet<NodeName>) -> Result<Session, haproxy::Error> {
        if away.contains(&node.name) {
            return Err(haproxy::Error::Away { address: node.socket.clone() });
        }
        Session::open(self.connect, node.endpoint()).await
    }

    /// Looks at every node, on a fresh connection to each.
    async fn look(&self, stored: &Stored, away: &BTreeSet<NodeName>) -> (Seen, BTreeMap<NodeName, Session>) {
        let mut seen = Seen::default();
        let mut sessions = BTreeMap::new();
        let looks = self.config.nodes.values().map(|node| async move {
            let look = async {
                let mut session = self.open(node, away).await?;
                let view = self.observe(&mut session, node, stored).await?;
                Ok::<_, haproxy::Error>((view, session))
            };
            (node, look.await)
        });
        for (node, look) in futures_util::future::join_all(looks).await {
            match look {
                Ok((view, session)) => {
                    seen.views.insert(node.name.clone(), view);
                    sessions.insert(node.name.clone(), session);
                }
                Err(error) => {
                    tracing::debug!(node = %node.name, %error, "node cannot be looked at");
                    seen.unreachable.insert(node.name.clone(), error);
                }
            }
        }
        (seen, sessions)
    }

    /// The same, after waiting until no other program has a transaction open on a node that has to be changed.
    async fn look_without_foreign_transactions(
        &self,
        stored: &Stored,
        away: &BTreeSet<NodeName>,
    ) -> Result<(Seen, BTreeMap<NodeName, Session>), Error> {
        let deadline = tokio::time::Instant::now() + FOREIGN_DEADLINE;
        let mut told = false;
        loop {
            let (seen, sessions) = self.look(stored, away).await;
            let in_the_way = seen.views.values().find_map(|view| {
                let slot = view.foreign_transaction.clone().filter(|_| !view.plan.steps.is_empty())?;
                Some((view.node.name.clone(), slot))
            });
            let Some((node, slot)) = in_the_way else { return Ok((seen, sessions)) };
            drop(sessions);
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::ForeignTransaction { node, slot, waited: FOREIGN_DEADLINE });
            }
            if !told {
                tracing::warn!(%node, %slot, seconds = FOREIGN_DEADLINE.as_secs(),
                    "another program has a certificate transaction open; waiting for it to end");
                told = true;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Locks every node, in one order, so that two processes cannot block each other.
    async fn lock_nodes(&self) -> Result<load::Locks, Error> {
        let mut nodes: Vec<_> = self.config.nodes.values().filter(|node| !self.away.contains(&node.name)).collect();
        nodes.sort_by(|a, b| a.socket.cmp(&b.socket));
        let end = tokio::time::Instant::now() + LOCK_DEADLINE;
        let mut locks = BTreeMap::new();
        for node in nodes {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let lock = store::until(left, || self.store.try_lock_node(&node.socket.to_string())).await?;
            let busy = || Error::Busy { node: node.name.clone(), waited: LOCK_DEADLINE };
            locks.insert(node.name.clone(), Arc::new(lock.ok_or_else(busy)?));
        }
        Ok(locks)
    }
}

/// Certificates that a node does not serve after a round, with no failure that says so yet: `HAProxy` was restarted meanwhile,
/// something else changed it, or it took what it does not use.
fn unserved(report: &Report, waiting: &BTreeSet<CertName>) -> Vec<Failure> {
    let mut unserved = Vec::new();
    // Many may have failed alike, and many may not be served.
    let (of_all, of_one): (Vec<_>, Vec<_>) = report.failures.iter().partition(|failure| failure.certificate.is_none());
    let mut by_certificate: BTreeMap<_, Vec<&Failure>> = BTreeMap::new();
    for failure in of_one {
        by_certificate.entry(failure.certificate.as_ref()).or_default().push(failure);
    }
    let is_stored = |certificate: &&CertificateReport| certificate.generation.is_some();
    let loaded = |certificate: &&CertificateReport| !waiting.contains(&certificate.name);
    for certificate in report.certificates.iter().filter(is_stored).filter(loaded) {
        for node in &certificate.nodes {
            let own = by_certificate.get(&Some(&certificate.name)).into_iter().flatten();
            let is_known = || own.chain(&of_all).any(|failure| failure.tells_of(&certificate.name, &node.name));
            if matches!(node.state, NodeState::Stale | NodeState::Absent | NodeState::Detached) && !is_known() {
                let (certificate, node, state) = (certificate.name.clone(), node.name.clone(), node.state);
                let error = Error::Unserved { certificate: certificate.clone(), node: node.clone(), state };
                unserved.push(Failure::of(&certificate, Some(&node), error));
            }
        }
    }
    unserved
}

/// With some nodes out of reach the others are served; without any there is nothing to measure against.
fn one_is_reachable<T>(
    reached: BTreeMap<NodeName, T>,
    unreachable: BTreeMap<NodeName, haproxy::Error>,
) -> Result<BTreeMap<NodeName, T>, Error> {
    match unreachable.into_iter().next() {
        Some((node, source)) if reached.is_empty() => Err(Error::Node { node, source }),
        Some((node, error)) => {
            tracing::warn!(%node, error = %chain(&error), "the node cannot be reached; the others go on");
            Ok(reached)
        }
        None => Ok(reached),
    }
}
