//! Rotates session ticket keys, and brings them to the nodes.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Parts;
use super::node::tell;
use super::tasks::Life;
use crate::reconcile::{Problem, TicketKeeper};

/// How often it is looked. What `HAProxy` loses by a restart it reads from the file, and where it cannot, clients shake hands in
/// full meanwhile.
const PERIOD: Duration = Duration::from_secs(5);

pub(super) async fn run(mut parts: Parts, problems: watch::Sender<Vec<Problem>>, life: Life) {
    loop {
        let loaded = parts.loaded.borrow_and_update().clone();
        let reconciler = parts.reconciler(&loaded.config, &life.stop);
        // May be given up anywhere: the next look goes on from what is there.
        let keeper = TicketKeeper { reconciler: &reconciler };
        let Some(found) = life.until_stopped(keeper.round()).await else { return };
        tell(None, &problems.borrow(), &found);
        let is_news = problems.send_if_modified(|known| {
            let is_news = *known != found;
            *known = found;
            is_news
        });
        if is_news {
            parts.news.send_replace(());
        }
        if life.until_stopped(sleep(PERIOD)).await.is_none() {
            return;
        }
    }
}
