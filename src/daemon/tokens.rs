//! Keeps http-01 tokens on the nodes that answer challenges from a map, for as long as there are any.

use tokio_util::sync::CancellationToken;

use super::Parts;
use super::tasks::Life;
use crate::reconcile::{Keeper, Reconciler};

pub(super) async fn run(mut parts: Parts, life: Life) {
    loop {
        if life.until_stopped(parts.tokens.wait_for(|any| *any)).await.is_none_or(|any| any.is_err()) {
            return;
        }
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
        let over = async {
            tokio::select! {
                _ = parts.tokens.wait_for(|any| !any) => {}
                _ = parts.loaded.changed() => {}
            }
            stop.cancel();
        };
        life.during(keep(&keeper, &stop, over)).await;
    }
}

async fn keep(keeper: &Keeper<'_>, stop: &CancellationToken, over: impl Future<Output = ()>) {
    tokio::pin!(over);
    let kept = keeper.run(stop.clone());
    tokio::pin!(kept);
    tokio::select! {
        () = &mut kept => {}
        () = &mut over => kept.await,
    }
}
