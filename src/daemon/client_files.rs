//! Keeps the files by which a node judges clients in its memory as they are on disk.
//!
//! A task of its own for each node, so that a revocation does not wait for thousands of certificates that are being loaded. Whether
//! the files have changed is looked at several times a second: that finds every way to replace one, through symbolic links and on
//! any file system, and costs some hundredths of a per cent of a core.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::Parts;
use super::node::Look;
use super::tasks::Life;
use crate::config::Node;
use crate::model::NodeName;
use crate::reconcile::{ClientFiles, FileStamp, Problem};
use crate::schedule::Retry;

/// How often the files are looked at: a revocation has to count within a second.
const PERIOD: Duration = Duration::from_millis(200);
/// How soon what failed is tried again, and how seldom in the end.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_mins(1);

/// How the files of a node stand.
pub(super) type Found = watch::Receiver<Arc<ClientFiles>>;

pub(super) async fn run(
    parts: Parts,
    node: Node,
    mut look: watch::Receiver<Option<Look>>,
    found: watch::Sender<Arc<ClientFiles>>,
    life: Life,
) {
    let mut failures = 0;
    loop {
        let seen = FileStamp::of_all(&node);
        look.borrow_and_update();
        let now = {
            let loaded = parts.loaded.borrow().clone();
            let reconciler = parts.reconciler(&loaded.config, &life.stop);
            // Not given up in the middle: a transaction would stay open.
            life.during(reconciler.load_client_files_of(&node)).await
        };
        tell(&node.name, &found.borrow(), &now);
        failures =
            if now.failures.iter().all(|failure| failure.error.retry() == Retry::Never) { 0 } else { failures + 1 };
        parts.news.send_replace(());
        found.send_replace(Arc::new(now));

        let retry = match failures {
            0 => None,
            failures => Some(Instant::now() + LAST_RETRY.min(FIRST_RETRY * 2_u32.saturating_pow(failures - 1))),
        };
        let woken = async {
            loop {
                tokio::select! {
                    // The node was looked at, because of another process or because it was time.
                    Ok(()) = look.changed() => return,
                    () = sleep(PERIOD) => {}
                }
                if FileStamp::of_all(&node) != seen || retry.is_some_and(|at| at <= Instant::now()) {
                    return;
                }
            }
        };
        if life.until_stopped(woken).await.is_none() {
            return;
        }
    }
}

/// Says what went wrong when it begins, and when it is over.
fn tell(node: &NodeName, before: &ClientFiles, now: &ClientFiles) {
    let (known, now) = (before.all_problems(), now.all_problems());
    let file = |problem: &Problem| problem.file.as_ref().map(|file| file.display().to_string());
    for problem in now.iter().filter(|problem| !known.contains(problem)) {
        tracing::warn!(%node, file = file(problem), "{}", problem.message);
    }
    for problem in known.iter().filter(|problem| !now.contains(problem)) {
        tracing::info!(%node, file = file(problem), "no longer: {}", problem.message);
    }
}
