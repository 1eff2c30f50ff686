//! Certificates that other programs write, brought into the store.
//!
//! Owns the look at the watched directories: which certificates lie there (`layout`), whether their files have changed
//! (`listing`, `scan`), whether what changed may be taken (`intake`), and what is wrong with the rest ([`Problem`]).
//! The same rule as in the rest of the house: events only wake the loop (`events`), and each look starts from what the
//! directories hold now, so a lost event delays, and never misleads.
//!
//! # Invariants
//!
//! - What is stored passed the gate, so a broken or half-written file never displaces a good generation.
//! - A file is a wish only when its contents differ from what was last taken ([`crate::store::Taken`]), so that a rollback lasts.
//! - A file that goes away, or a directory that cannot be read, changes nothing that is served.
//!
//! # Concurrency
//!
//! One task ([`Watcher::run`]) owns everything. Looks and writes block, so they run on threads made for that; events arrive on
//! the thread of `notify` and leave no more than a note of bounded size.

mod content;
mod error;
mod events;
mod intake;
mod layout;
mod listing;
mod problems;
mod scan;
#[cfg(test)]
mod tests;
mod units;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub use problems::Problem;

use crate::bundle::{Rival, Trust};
use crate::clock::Clock;
use crate::config::{Certificate, Config};
use crate::model::CertName;
use crate::store::{Store, in_parallel};
use events::{Events, Inbox};
use intake::Wish;
use problems::Problems;
use scan::{Look, Scan};

/// How often roots are looked at, and directories that give no events. A watched directory that is made after hotcert was started
/// is noticed by this.
const POLL: Duration = Duration::from_secs(1);
/// How often everything is looked at although no event came: what events do not tell (a link far away that was changed, a mount)
/// is noticed by this.
const RESYNC: Duration = Duration::from_mins(1);
/// A look at many directories is followed by a rest of this many times its length, so that watching never takes more than one
/// part in a thousand of a core, however many there are.
const REST: u32 = 1000;
/// The same after events were lost, where the next look is urgent.
const SHORT_REST: u32 = 10;

/// Certificates that are taken before the next are begun: enough to keep the disk busy, few enough to stop soon and to be loaded
/// while the rest is still being stored.
const AT_ONCE: usize = 256;

/// What nodes serve now, for a certificate that is not in the store yet. Asked by [`Watcher`], answered by whoever may talk to
/// `HAProxy`.
pub trait Served: Send + Sync {
    /// What each of the certificates would replace; nothing for one about which no node can be asked.
    fn rivals<'a>(&'a self, certificates: &'a [Certificate]) -> Answer<'a>;
}

/// What [`Served::rivals`] will say.
pub type Answer<'a> = Pin<Box<dyn Future<Output = BTreeMap<CertName, Vec<Rival>>> + Send + 'a>>;

/// Nobody can be asked.
impl Served for () {
    fn rivals<'a>(&'a self, _: &'a [Certificate]) -> Answer<'a> {
        Box::pin(std::future::ready(BTreeMap::new()))
    }
}

/// What a watcher works with.
#[derive(Clone)]
pub struct Parts {
    /// What is configured: the directories, the nodes, and the certificates that are ordered.
    pub config: Arc<Config>,
    /// Where certificates are stored.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Roots that may end a chain.
    pub trust: Arc<Trust>,
    /// What nodes serve.
    pub served: Arc<dyn Served>,
}

/// Brings what other programs write into the store, until it is stopped.
pub struct Watcher {
    parts: Parts,
    problems: Problems,
    use_events: bool,
}

/// What one look at everything did ([`scan_once`]).
#[derive(Debug, Default)]
pub struct Outcome {
    /// The certificates that got another generation.
    pub stored: BTreeSet<CertName>,
    /// What could not be taken.
    pub problems: Vec<Problem>,
}

impl Watcher {
    /// Prepares to watch the configured directories.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, problems: Problems::default(), use_events: true }
    }

    /// Never asks the file system for events, as if it had none.
    #[must_use]
    pub fn without_events(self) -> Self {
        Self { use_events: false, ..self }
    }

    /// What could not be taken, as it changes; ordered by file.
    #[must_use]
    pub fn problems(&self) -> watch::Receiver<Arc<[Problem]>> {
        self.problems.subscribe()
    }

    /// Watches. Names of certificates that got another generation are sent to `stored`, in bulk while many files change.
    ///
    /// Once stopped, it returns after the writes that have begun, which takes less than a second.
    pub async fn run(self, stop: CancellationToken, stored: mpsc::Sender<BTreeSet<CertName>>) {
        let Self { parts, problems, use_events } = self;
        let inbox: Arc<Inbox> = Arc::default();
        let events = if use_events { Events::new(&inbox) } else { Events::none(&inbox) };
        let mut task = Task { scan: Scan::new(&parts.config, events), parts, problems, stop: stop.clone() };
        let mut look = Look::Everything;
        // What is to be taken; what was found last comes first, so that a single change does not wait behind thousands.
        let mut wishes: VecDeque<Wish> = VecDeque::new();
        let [mut poll_at, mut afresh_at, mut resync_at] = [Instant::now(); 3];
        loop {
            let began = Instant::now();
            let is_whole = matches!(look, Look::Everything | Look::Afresh);
            if is_whole || look == Look::Poll {
                poll_at = began + POLL;
            }
            let found;
            (task, found) = task.look(look).await;
            if is_whole {
                let took = began.elapsed();
                afresh_at = began + took * SHORT_REST;
                resync_at = began + RESYNC.max(took * REST);
            }
            if !found.is_empty() {
                let names: BTreeSet<CertName> = found.iter().map(|wish| wish.name.clone()).collect();
                wishes.retain(|wish| !names.contains(&wish.name));
                for wish in found.into_iter().rev() {
                    wishes.push_front(wish);
                }
            }
            if !wishes.is_empty() {
                let some = wishes.drain(..wishes.len().min(AT_ONCE)).collect();
                let taken;
                (task, taken) = task.take(some).await;
                if !taken.is_empty() {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        // When nobody listens any more, the daemon is about to stop.
                        _ = stored.send(taken) => {}
                    }
                }
            }
            task.problems.publish();

            let due = task.scan.next_due().map_or(resync_at, Instant::from_std);
            look = tokio::select! {
                // First what comes seldom, so that a stream of events cannot put it off.
                biased;
                () = stop.cancelled() => return,
                () = sleep_until(resync_at) => Look::Everything,
                () = sleep_until(poll_at) => Look::Poll,
                places = inbox.next() => places.into(),
                () = std::future::ready(()), if !wishes.is_empty() => Look::Due,
                () = sleep_until(due) => Look::Due,
            };
            if look == Look::Afresh && wishes.is_empty() {
                tracing::debug!("events were lost; all watched directories are looked at");
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep_until(afresh_at) => {}
                }
            }
        }
    }
}

/// Looks at the watched directories once, and takes what has changed: for commands that run without a daemon. What may be half
/// written is a problem at once.
pub async fn scan_once(parts: Parts) -> Outcome {
    let scan = Scan::new(&parts.config, Events::none(&Arc::default())).impatient();
    let mut task = Task { scan, parts, problems: Problems::default(), stop: CancellationToken::new() };
    let mut stored = BTreeSet::new();
    let wishes;
    (task, wishes) = task.look(Look::Everything).await;
    for some in wishes.chunks(AT_ONCE) {
        let taken;
        (task, taken) = task.take(some.to_vec()).await;
        stored.extend(taken);
    }
    Outcome { stored, problems: task.problems.into_present() }
}

/// What travels between the task and the threads on which it blocks.
struct Task {
    parts: Parts,
    scan: Scan,
    problems: Problems,
    stop: CancellationToken,
}

impl Task {
    async fn look(self, look: Look) -> (Self, Vec<Wish>) {
        self.blocking(move |task| task.scan.look(&look, &task.parts, &mut task.problems)).await
    }

    /// Takes certificates; returns those that have another generation now.
    async fn take(self, wishes: Vec<Wish>) -> (Self, BTreeSet<CertName>) {
        let (task, (wishes, strangers)) = self
            .blocking(move |task| {
                let strangers = intake::strangers(&task.parts, &wishes);
                (wishes, strangers)
            })
            .await;
        let served = if strangers.is_empty() {
            BTreeMap::new()
        } else {
            tokio::select! {
                () = task.stop.cancelled() => return (task, BTreeSet::new()),
                served = task.parts.served.rivals(&strangers) => served,
            }
        };
        task.blocking(move |task| {
            let outcomes = in_parallel(&wishes, |wish| intake::take(&task.parts, wish, &served));
            let mut stored = BTreeSet::new();
            for (wish, outcome) in wishes.iter().zip(outcomes) {
                if matches!(outcome, Ok(true)) {
                    stored.insert(wish.name.clone());
                }
                task.scan.settle(wish, outcome.map(|_| ()), &task.parts, &mut task.problems);
            }
            stored
        })
        .await
    }

    async fn blocking<T: Send + 'static>(mut self, work: impl FnOnce(&mut Self) -> T + Send + 'static) -> (Self, T) {
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&mut self);
            (self, result)
        });
        match done.await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is going down, and this task with it.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
