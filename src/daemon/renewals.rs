//! Orders certificates in time.
//!
//! Which certificate is due when is the renewer's business, which looks at everything afresh in each round. Here it is decided when a
//! round is worth its while: when the instant has come that the last one named, and when something was stored or configured.
//! The wall clock is looked at often: machines sleep, and clocks are set.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::tasks::Life;
use super::{Parts, Status};
use crate::reconcile::Problem;
use crate::renew::{GRACE, Renewer};

/// The longest sleep between two looks at the wall clock.
const CLOCK_PERIOD: Duration = Duration::from_secs(30);

/// How long the first round waits for a node: most challenges come by way of `HAProxy`, and one that is started together with hotcert is
/// soon there.
const NODE_AWAITED: Duration = Duration::from_secs(30);

pub(super) async fn run(mut parts: Parts, status: Status, drain: CancellationToken, life: Life) {
    let reached = async {
        tokio::select! {
            () = drain.cancelled() => {}
            _ = timeout(NODE_AWAITED, status.one_is_reached()) => {}
        }
    };
    if life.until_stopped(reached).await.is_none() {
        return;
    }
    let mut due: Option<Timestamp> = None;
    loop {
        let loaded = parts.loaded.borrow_and_update().clone();
        if due.is_none_or(|due| due <= parts.clock.now()) {
            let renewer = Renewer::new(&parts.store, &*parts.clock, &loaded.trust)
                .asking(&loaded.config.resolver)
                .stopped_by(life.stop.clone());
            let certificates: Vec<_> = loaded.config.certificates.values().collect();
            let Some(round) = life.until_stopped_for(GRACE, renewer.round(certificates, false)).await else {
                renewer.tidy().await;
                return;
            };
            due = Some(round.wake_at);
            for (name, error) in &round.failures {
                parts.shown.renewal_failed(error.kind());
                let problem = Problem::of(Some(name), None, error).message;
                tracing::warn!(certificate = %name, hint = error.hint(), "the certificate could not be ordered: {problem}");
            }
            parts.news.send_replace(());
            if !round.ordered.is_empty() {
                parts.stored.notify_one();
            }
        }
        if drain.is_cancelled() {
            return;
        }
        let woken = async {
            tokio::select! {
                () = drain.cancelled() => false,
                changed = parts.loaded.changed() => changed.is_ok(),
                () = tokio::time::sleep(CLOCK_PERIOD) => false,
            }
        };
        let Some(changed) = life.until_stopped(woken).await else { return };
        if drain.is_cancelled() {
            return;
        }
        if changed {
            due = None;
        }
    }
}
