//! Brings what other programs write into the store, as soon as they have written it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::shown::Shown;
use super::tasks::Life;
use super::{Loaded, Parts};
use crate::clock::Clock;
use crate::config::Certificate;
use crate::haproxy::Connect;
use crate::store::Store;
use crate::watch::{self as files, Answer, Problem, Served, Watcher};

/// Batches of certificates that may wait to be noticed: the supervisor is woken by the first, and looks at all.
const WAITING: usize = 16;

/// The last problems with watched files, for whoever asks.
pub(super) type Problems = watch::Receiver<Arc<[Problem]>>;

/// Watches the directories of this configuration; the receiver tells what is wrong with files in them.
pub(super) fn watcher(parts: &Parts, loaded: &Loaded) -> (Watcher, Problems) {
    let watcher = Watcher::new(watched(parts, loaded));
    let problems = watcher.problems();
    (watcher, problems)
}

/// Looks at the watched directories once, for commands that run without a daemon.
pub async fn look_once(
    store: &Store,
    clock: Arc<dyn Clock>,
    connect: Arc<dyn Connect>,
    loaded: Loaded,
) -> files::Outcome {
    let (_, receiver) = watch::channel(Arc::new(loaded.clone()));
    let shown = Shown::new(clock.now());
    let parts = Parts::new(store.clone(), clock, connect, receiver, watch::channel(false).1, shown);
    files::scan_once(watched(&parts, &loaded)).await
}

/// The parts that a watcher works with.
fn watched(parts: &Parts, loaded: &Loaded) -> files::Parts {
    files::Parts {
        config: Arc::clone(&loaded.config),
        store: parts.store.clone(),
        clock: Arc::clone(&parts.clock),
        trust: Arc::clone(&loaded.trust),
        served: Arc::new(Nodes(parts.clone())),
    }
}

pub(super) async fn run(watcher: Watcher, parts: Parts, life: Life) {
    let (sender, mut receiver) = mpsc::channel::<BTreeSet<_>>(WAITING);
    let notice = async {
        while receiver.recv().await.is_some() {
            parts.stored.notify_one();
        }
    };
    let watch = watcher.run(life.stop.clone(), sender);
    life.during(async { tokio::join!(watch, notice) }).await;
}

/// Asks the nodes what they serve.
struct Nodes(Parts);

impl Served for Nodes {
    fn rivals<'a>(&'a self, certificates: &'a [Certificate]) -> Answer<'a> {
        Box::pin(async move {
            let loaded = self.0.loaded.borrow().clone();
            self.0.reconciler(&loaded.config, &CancellationToken::new()).rivals_of(certificates).await
        })
    }
}
