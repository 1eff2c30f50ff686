//! Brings new generations to certificates that several nodes serve: on all of them it is staged before any serves it.
//!
//! The loops of the nodes bring back what was accepted by all, each for itself. So whatever one node refuses, none serves, and a
//! node that cannot be reached holds up the others only where it must be there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::few::few;
use super::node::{Look, pause, tell, warn};
use super::tasks::Life;
use super::{Loaded, Parts};
use crate::model::{CertName, NodeName};
use crate::reconcile::{Error, Problem, Reconciler, Report};

/// How often it is looked, while something waits, whether a node has come back or gone away.
const PERIOD: Duration = Duration::from_millis(250);

/// What the loop of each node has seen last.
type Looks = BTreeMap<NodeName, watch::Receiver<Option<Look>>>;

pub(super) async fn run(mut parts: Parts, looks: Looks, problems: watch::Sender<Vec<Problem>>, life: Life) {
    let mut failures = 0;
    loop {
        let away = away(&looks);
        // Not given up in the middle: it ends between two certificates by itself.
        let waits = Box::pin(life.during(round(&mut parts, &looks, away.clone(), &problems, &life))).await;
        failures = if waits { failures + 1 } else { 0 };
        let due = Instant::now() + pause(failures);
        let woken = async {
            tokio::select! {
                _ = parts.loaded.changed() => {}
                () = comes_due(&looks, &away, due), if waits => {}
            }
        };
        if life.until_stopped(woken).await.is_none() {
            return;
        }
    }
}

/// Brings what waits; returns whether something still does.
async fn round(
    parts: &mut Parts,
    looks: &Looks,
    away: BTreeSet<NodeName>,
    problems: &watch::Sender<Vec<Problem>>,
    life: &Life,
) -> bool {
    let loaded = parts.loaded.borrow_and_update().clone();
    let mut reconciler = parts.reconciler(&loaded.config, &life.stop);
    reconciler.away = away;
    let waiting: BTreeSet<CertName> = reconciler.waiting().into_iter().collect();
    let mut found = Vec::new();
    if !waiting.is_empty() {
        match bring(&reconciler, &waiting, &loaded, looks, parts).await {
            // What is wrong with a node, its own loop tells.
            Ok(report) => {
                warn(&report.warnings);
                found.extend(report.problems.into_iter().filter(|problem| problem.certificate.is_some()));
            }
            Err(error) => found.push(Problem::of(None, None, &error)),
        }
    }
    let still: BTreeSet<CertName> = reconciler.waiting().into_iter().collect();
    found.retain(|problem| problem.certificate.as_ref().is_none_or(|name| still.contains(name)));
    tell(None, &problems.borrow(), &found);
    problems.send_if_modified(|known| {
        let is_news = *known != found;
        *known = found;
        is_news
    });
    if still != waiting {
        parts.news.send_replace(());
        parts.stored.notify_one();
    }
    !still.is_empty()
}

/// Brings these to their nodes: in a round about them alone, where that is enough.
async fn bring(
    reconciler: &Reconciler<'_>,
    waiting: &BTreeSet<CertName>,
    loaded: &Loaded,
    looks: &Looks,
    parts: &Parts,
) -> Result<Report, Error> {
    let next = || something_waits(parts.loaded.clone(), parts);
    let seen: BTreeMap<_, _> = looks.iter().filter_map(|(name, look)| Some((name, look.borrow().clone()?))).collect();
    if seen.len() == looks.len()
        && let Some(few) = few(&loaded.config, waiting, seen.iter().map(|(name, look)| (*name, look)))
    {
        let config = loaded.config.with_only(&few.names());
        let away = reconciler.away.clone();
        let about_few = Reconciler { few: Some(&few), away, ..parts.reconciler(&config, &reconciler.stop) };
        if let Some(report) = about_few.round_about_few(next()).await? {
            tracing::debug!(certificates = few.names().len(), "brought to their nodes by themselves");
            return Ok(report);
        }
    }
    reconciler.round_until(Some(waiting), next()).await
}

/// Waits until something that was stored since has to be brought to the nodes.
async fn something_waits(mut loaded: watch::Receiver<Arc<Loaded>>, parts: &Parts) {
    while loaded.changed().await.is_ok() {
        let now = loaded.borrow_and_update().clone();
        if !parts.reconciler(&now.config, &CancellationToken::new()).waiting().is_empty() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// Waits until then, or until other nodes can be reached than before.
async fn comes_due(looks: &Looks, before: &BTreeSet<NodeName>, due: Instant) {
    while Instant::now() < due && away(looks) == *before {
        sleep(PERIOD).await;
    }
}

/// The nodes that did not answer when they were looked at last.
fn away(looks: &Looks) -> BTreeSet<NodeName> {
    let is_away = |look: &watch::Receiver<Option<Look>>| {
        look.borrow().as_ref().is_some_and(|look| look.report.nodes.iter().any(|node| !node.reachable))
    };
    looks.iter().filter(|(_, look)| is_away(look)).map(|(name, _)| name.clone()).collect()
}
