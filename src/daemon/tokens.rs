//! Keeps http-01 tokens on the nodes that answer challenges from a map, for as long as there are any.

use tokio_util::sync::CancellationToken;

use super::Parts;
use super::tasks::Life;
use crate::reconcile::Keeper;

pub(super) async fn run(mut parts: Parts, life: Life) {
    loop {
        // Before the look: one that was under way at the stop may have missed what was retired last.
        let last = life.stop.is_cancelled();
        let some = async { parts.tokens.wait_for(|any| *any).await.is_ok() };
        // An order that is given up at the end leaves some that nobody may have noticed yet.
        if life.until_stopped(some).await.is_none() && !parts.store.has_tokens() {
            return;
        }
        let loaded = parts.loaded.borrow_and_update().clone();
        let nodes = parts.clone();
        let reconciler = nodes.reconciler(&loaded.config, &life.stop);
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
        if last {
            return;
        }
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
