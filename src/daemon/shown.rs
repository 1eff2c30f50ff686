//! What is shown over HTTP: a task that puts together how everything stands, and one that serves it.
//!
//! Both run only where an address is configured, for a report of ten thousand certificates takes room. What they have shown outlives
//! a new configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::node::pause;
use super::tasks::Life;
use super::{Parts, Status};
use crate::config::{Config, Issuer, Observe};
use crate::model::chain;
use crate::observe::{Counters, Feed, IssuerState, Pulse, Server, Snapshot};
use crate::reconcile::Pushes;
use crate::store::Store;

/// The shortest time between two looks.
const PERIOD: Duration = Duration::from_millis(250);
/// The share of the time that looking may take, as its inverse: while thousands of certificates are stored, there is always news.
const SHARE: u32 = 50;

/// Where what is shown is put; clones share it.
#[derive(Clone)]
pub(super) struct Shown {
    snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) pulse: watch::Sender<Pulse>,
    pub(super) pushes: Pushes,
    /// How many orders failed when they were due, by kind of failure.
    renewal_failures: watch::Sender<BTreeMap<&'static str, u64>>,
}

impl Shown {
    pub(super) fn new(now: Timestamp) -> Self {
        let snapshots = watch::Sender::new(Arc::new(Snapshot::empty(now)));
        let pulse = watch::Sender::new(Pulse::now(None));
        Self { snapshots, pulse, pushes: Pushes::default(), renewal_failures: watch::Sender::default() }
    }

    /// Counts an order that failed.
    pub(super) fn renewal_failed(&self, kind: &'static str) {
        self.renewal_failures.send_modify(|failures| *failures.entry(kind).or_default() += 1);
    }

    pub(super) fn feed(&self) -> Feed {
        Feed { snapshots: self.snapshots.subscribe(), pulse: self.pulse.subscribe() }
    }
}

/// Looks at everything when there is news.
pub(super) async fn look(mut parts: Parts, mut status: Status, life: Life) {
    let mut news = parts.news.subscribe();
    loop {
        let began = Instant::now();
        parts.loaded.mark_unchanged();
        news.mark_unchanged();
        let (at_hand, looked_at) = (parts.clone(), status.clone());
        // Reads a file or two for each certificate.
        let found = tokio::task::spawn_blocking(move || snapshot(&at_hand, &looked_at));
        match life.until_stopped(found).await {
            None => return,
            Some(Ok(found)) => {
                let sender = &parts.shown.snapshots;
                let next = found.after(&sender.borrow());
                sender.send_replace(Arc::new(next));
            }
            Some(Err(error)) => {
                tracing::error!(error = %chain(&error), "how everything stands could not be put together");
            }
        }
        let woken = async {
            sleep(PERIOD.max(began.elapsed() * SHARE)).await;
            tokio::select! {
                _ = news.changed() => {}
                _ = parts.loaded.changed() => {}
                () = status.changed() => {}
            }
        };
        if life.until_stopped(woken).await.is_none() {
            return;
        }
    }
}

/// How everything stands now.
fn snapshot(parts: &Parts, status: &Status) -> Snapshot {
    let now = parts.clock.now();
    let loaded = parts.loaded.borrow().clone();
    let reconciler = parts.reconciler(&loaded.config, &CancellationToken::new());
    let report = status.report().map(|report| Arc::new(reconciler.refresh(None, &report)));
    let counters = Counters {
        pushes: parts.shown.pushes.until_now(),
        renewal_failures: parts.shown.renewal_failures.borrow().clone(),
        ..Counters::default()
    };
    let issuers = issuers(&loaded.config, &parts.store, now);
    Snapshot { report, rounds: status.rounds(), issuers, counters, ..Snapshot::empty(now) }
}

/// How we stand with those that are configured, and those that are remembered with what they have issued.
fn issuers(config: &Config, store: &Store, now: Timestamp) -> Vec<IssuerState> {
    let orders = config.certificates.values().filter_map(|certificate| certificate.order.as_ref());
    let known = config.issuers.values().chain(orders.flat_map(|order| &order.issuers));
    let known: BTreeMap<&str, &Issuer> = known.map(|issuer| (issuer.name.as_str(), issuer)).collect();
    let state = |issuer: &Issuer| {
        let directory = issuer.directory.as_ref()?;
        let standing = store.standing(directory.as_str()).ok()?;
        let now = standing.offset.now(now);
        let held = standing.trouble.filter(|trouble| trouble.until(false) > now);
        let held = held.map(|trouble| (trouble.problem.clone(), trouble.until(false)));
        let left = issuer.is_limited().then(|| standing.events.left(now));
        Some(IssuerState { name: issuer.name.clone(), left, held })
    };
    known.into_values().filter_map(state).collect()
}

/// Serves it. That the address is in use keeps nobody from their work: it is tried again.
pub(super) async fn serve(observe: Observe, feed: Feed, life: Life) {
    let mut failures = 0;
    loop {
        match Server::bind(observe, feed.clone(), life.stop.clone()).await {
            Ok(server) => {
                let address = server.local_addr().unwrap_or(observe.listen);
                tracing::info!(%address, "serving metrics and health");
                return life.during(server.run()).await;
            }
            Err(error) => {
                if failures == 0 {
                    let why = std::error::Error::source(&error).map(tracing::field::display);
                    tracing::error!(why, hint = error.hint(), "{error}; it is tried again, and all else goes on");
                }
                failures += 1;
            }
        }
        if life.until_stopped(sleep(pause(failures))).await.is_none() {
            return;
        }
    }
}
