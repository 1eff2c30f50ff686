//! Tells other programs what happens. A receiver that hangs holds up nobody but itself.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::tasks::Life;
use super::{Parts, Status};
use crate::model::chain;
use crate::observe::events;

/// The shortest time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// The share of the time that looking may take, as its inverse.
const SHARE: u32 = 50;

/// How long what is on its way may take once the daemon is to stop. What is given up then is told again by the next one.
const GRACE: Duration = Duration::from_secs(4);

/// How long until it is looked for what other processes have to tell.
const OTHERS: Duration = Duration::from_mins(1);

/// Looks what there is to tell, and tells it, side by side.
pub(super) async fn run(parts: Parts, status: Status, life: Life) {
    let found = Notify::new();
    let stop = &life.stop;
    let looking = async {
        while !stop.is_cancelled() {
            let began = Instant::now();
            if look(&parts, &status).await {
                found.notify_one();
            }
            let pause = PERIOD.max(began.elapsed() * SHARE);
            let _ = timeout(pause, stop.cancelled()).await;
        }
    };
    let telling = async {
        while !stop.is_cancelled() {
            // Nothing more is begun when it is to stop.
            let receivers = || {
                if stop.is_cancelled() { Vec::new() } else { parts.loaded.borrow().config.receivers.clone() }
            };
            let next = match events::deliver(&parts.store, &receivers, &*parts.clock, &found).await {
                Ok(next) => next.unwrap_or(OTHERS).min(OTHERS),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "what happens cannot be told");
                    OTHERS
                }
            };
            tokio::select! {
                _ = timeout(next, found.notified()) => {}
                () = stop.cancelled() => {}
            }
        }
    };
    // Given up in the middle, a letter is delivered by whoever comes next, once its claim is over.
    let _ = Box::pin(life.until_stopped_for(GRACE, async { tokio::join!(looking, telling) })).await;
}

/// Notes what there is to tell; whether there is anything.
async fn look(parts: &Parts, status: &Status) -> bool {
    let Some(report) = status.report() else { return false };
    let (at_hand, loaded) = (parts.clone(), parts.loaded.borrow().clone());
    // Reads a file or two for each certificate.
    let refreshed = tokio::task::spawn_blocking(move || {
        at_hand.reconciler(&loaded.config, &CancellationToken::new()).refresh(None, &report)
    });
    let Ok(report) = refreshed.await else { return false };
    let loaded = parts.loaded.borrow().clone();
    let told = events::tell(&parts.store, &loaded.config.receivers, &report, true, parts.clock.now()).await;
    told.unwrap_or_else(|error| {
        tracing::warn!(error = %chain(&error), "what happens cannot be noted");
        false
    })
}
