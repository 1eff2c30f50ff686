//! Keeps http-01 tokens on the nodes that answer challenges from a map.

use tokio_util::sync::CancellationToken;

use super::Parts;
use super::tasks::Life;
use crate::reconcile::{Keeper, Reconciler};

pub(super) async fn run(mut parts: Parts, life: Life) {
    while !life.stop.is_cancelled() {
        let loaded = parts.loaded.borrow_and_update().clone();
        let reconciler = Reconciler {
            config: &loaded.config,
            store: &parts.store,
            clock: &*parts.clock,
            connect: &*parts.connect,
            stop: life.stop.clone(),
        };
        let keeper = Keeper { reconciler: &reconciler };
        // A keeper is told to stop, not dropped, so that it takes away what is not wanted any more.
        let stop = life.stop.child_token();
        let changed = async {
            let _ = parts.loaded.changed().await;
            stop.cancel();
        };
        life.during(keep(&keeper, &stop, changed)).await;
    }
}

async fn keep(keeper: &Keeper<'_>, stop: &CancellationToken, changed: impl Future<Output = ()>) {
    tokio::pin!(changed);
    let kept = keeper.run(stop.clone());
    tokio::pin!(kept);
    tokio::select! {
        () = &mut kept => {}
        () = &mut changed => kept.await,
    }
}
