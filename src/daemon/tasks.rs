//! The tasks of the daemon: named, watched, and stopped together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::signals::{Signal, Signals};
use crate::model::chain;

/// How long tasks may take to stop. A service manager's patience is longer; the step that is under way, the transaction of one
/// certificate, takes milliseconds unless `HAProxy` hangs; an order is given up after [`GRACE`](crate::renew::GRACE), and then its records
/// are taken out of the DNS.
const STOP_DEADLINE: Duration = Duration::from_secs(6);
/// How often a task that waits for something long says that it is alive. An idle sidecar should seldom wake.
const PULSE: Duration = Duration::from_secs(10);
/// How long a task may give no sign of life: far longer than any call that blocks, such as syncing a slow disk.
const STUCK_AFTER: Duration = Duration::from_mins(1);

/// Tasks that run until they are stopped.
#[derive(Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    names: BTreeMap<Id, (String, Life)>,
    stop: CancellationToken,
    /// Those that clean up after the others.
    cleaners: usize,
    /// Cancelled when only they are left.
    stop_cleaners: CancellationToken,
}

/// What a task lives by: it is told to stop, and says that it is alive.
#[derive(Clone)]
pub(super) struct Life {
    /// Cancelled when the task is to stop.
    pub(super) stop: CancellationToken,
    started: Instant,
    /// Milliseconds from the start to the last sign of life.
    beat: Arc<AtomicU64>,
}

impl Life {
    /// Runs something that may take long, giving signs of life for as long as it is being worked at.
    pub(super) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut pulse = interval(PULSE);
        tokio::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome,
                _ = pulse.tick() => {
                    let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                    self.beat.store(now, Ordering::Relaxed);
                }
            }
        }
    }

    /// The same; `None` once the task is to stop.
    pub(super) async fn until_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.until_stopped_for(Duration::ZERO, work).await
    }

    /// The same; `None` once the task is to stop, and so much time has passed.
    pub(super) async fn until_stopped_for<T>(&self, grace: Duration, work: impl Future<Output = T>) -> Option<T> {
        let stopped = async {
            self.stop.cancelled().await;
            if !grace.is_zero() {
                sleep(grace).await;
            }
        };
        tokio::select! {
            biased;
            () = stopped => None,
            outcome = self.during(work) => Some(outcome),
        }
    }

    fn silent_for(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.beat.load(Ordering::Relaxed)))
    }
}

impl Tasks {
    /// Starts a task.
    pub(super) fn spawn<F>(&mut self, name: &str, task: impl FnOnce(Life) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn_until(self.stop.clone(), name, task);
    }

    /// Starts a task that cleans up after the others: it is told to stop when they have ended.
    pub(super) fn spawn_cleaner<F>(&mut self, name: &str, task: impl FnOnce(Life) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.cleaners += 1;
        self.spawn_until(self.stop_cleaners.clone(), name, task);
    }

    fn spawn_until<F>(&mut self, stop: CancellationToken, name: &str, task: impl FnOnce(Life) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let life = Life { stop, started: Instant::now(), beat: Arc::default() };
        let handle = self.running.spawn(task(life.clone()));
        self.names.insert(handle.id(), (name.to_owned(), life));
    }

    /// Waits until a task has ended, and tells which. Safe to give up.
    pub(super) async fn ended(&mut self) -> String {
        let Some(outcome) = self.running.join_next_with_id().await else { return std::future::pending().await };
        let id = match outcome {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(error = %chain(&error), "a task has failed");
                error.id()
            }
        };
        self.names.remove(&id).map_or_else(|| "unknown".to_owned(), |(name, _)| name)
    }

    /// A task that has given no sign of life for long.
    pub(super) fn stuck(&self) -> Option<&str> {
        self.names.values().find(|(_, life)| life.silent_for() > STUCK_AFTER).map(|(name, _)| name.as_str())
    }

    /// Stops all tasks. Those that do not stop in time are abandoned where they are, as all are when the `patience`-th signal to stop
    /// comes. Returns how many came.
    pub(super) async fn stop(mut self, signals: &mut Signals, patience: u32) -> u32 {
        self.stop.cancel();
        let deadline = Instant::now() + STOP_DEADLINE;
        let mut asked = 0;
        while !self.running.is_empty() {
            if self.running.len() <= self.cleaners {
                self.stop_cleaners.cancel();
            }
            tokio::select! {
                _ = self.ended() => {}
                () = sleep_until(deadline) => {
                    let names: Vec<_> = self.names.values().map(|(name, _)| name.as_str()).collect();
                    tracing::warn!(tasks = names.join(", "), "tasks did not stop in time, and are abandoned");
                    break;
                }
                signal = signals.next() => if signal == Signal::Stop {
                    asked += 1;
                    if asked == patience {
                        tracing::warn!("stopping at once, as was asked for");
                        break;
                    }
                }
            }
        }
        asked
    }
}
