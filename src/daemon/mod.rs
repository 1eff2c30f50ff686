//! The sidecar: builds, supervises and stops the tasks that keep every certificate fresh and served.
//!
//! The tasks meet only in the [`store`](crate::store). Whoever stores something, in this process or another, changes its
//! [stamp](crate::store::Stamp); then the configuration is put together anew with what is remembered, and everybody who listens
//! to it ([`Loaded`]) looks again. Nothing else is passed between them, so whatever is missed is found by the next look.
//!
//! ```text
//!   renewals    watch    control    other processes
//!       |         |         |              |
//!       +---------+----+----+--------------+            SIGHUP
//!                      v store                             |
//!          supervisor: stamp --> configuration <-----------+
//!                      |              |            |
//!                 node loop      node loop      tokens
//! ```
//!
//! Each node has a loop of its own, so that one that hangs delays no other. The unexpected end of a task stops all of them, and the
//! service manager's watchdog is fed only while every task makes progress. A second signal to stop forces it: a transaction that
//! is open then is noted on disk, and is ended by whoever comes next.

mod files;
mod loaded;
mod node;
mod renewals;
mod signals;
mod status;
mod tasks;
mod tokens;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

pub use files::look_once;
pub use loaded::Loaded;
use signals::{Signal, Signals};
pub use status::{Status, problem_with_file};
use tasks::{Life, Tasks};

use crate::clock::Clock;
use crate::control::Server;
use crate::haproxy::Connect;
use crate::model::Invalid;
use crate::observe::Notifier;
use crate::reconcile::Reconciler;
use crate::store::Store;

/// How often the supervisor looks whether another process has stored something, and whether all tasks are alive.
const SUPERVISION_PERIOD: Duration = Duration::from_millis(250);
/// How long a reload of the configuration waits for orders that are under way: as long as an order is given for its validation.
const DRAIN_DEADLINE: Duration = Duration::from_mins(2);
/// The task that places orders; it ends when it is drained.
const RENEWALS: &str = "renewals";

/// What this process does of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    All,
    /// Orders certificates, and never talks to `HAProxy`: it needs the network, and no socket.
    Agent,
    /// Brings to `HAProxy` what is stored: it needs the socket, and no network.
    Loader,
}

impl Role {
    fn orders(self) -> bool {
        self != Self::Loader
    }

    fn loads(self) -> bool {
        self != Self::Agent
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "all" => Ok(Self::All),
            "agent" => Ok(Self::Agent),
            "loader" => Ok(Self::Loader),
            _ => Err(Invalid::new("role", text, "it is neither all, agent nor loader")),
        }
    }
}

/// The sidecar, and what it works with.
pub struct Daemon {
    /// What it does.
    pub role: Role,
    /// Where everything is stored.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How nodes are reached.
    pub connect: Arc<dyn Connect>,
    /// Whoever knows the configuration.
    pub shell: Arc<dyn Shell>,
}

/// What the daemon needs from the layer above it.
pub trait Shell: Send + Sync {
    /// Reads the configuration anew, without what is remembered. `None` when it is wrong, and that was said.
    fn load(&self) -> Option<Loaded>;

    /// Does what clients of the control socket ask for, until `stop` is cancelled.
    fn serve(&self, server: Server, context: Context, stop: CancellationToken) -> Serving;
}

/// What [`Shell::serve`] returns.
pub type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is at hand to serve clients.
#[derive(Clone)]
pub struct Context {
    /// What is configured, without what is remembered.
    pub base: Loaded,
    /// How everything stood a moment ago.
    pub status: Status,
    stored: Arc<Notify>,
}

impl Context {
    /// Says that something was stored, so that it is looked at now.
    pub fn stored(&self) {
        self.stored.notify_one();
    }

    /// Waits until what was stored just now is loaded, but not for long.
    pub async fn settle(&self, store: &Store) {
        self.stored();
        self.status.settled(store.stamp()).await;
    }
}

/// Why the daemon could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    /// A task ended that should go on for ever.
    #[error("the task {task} ended unexpectedly")]
    TaskEnded {
        /// Which.
        task: String,
    },
}

/// What every task works with; clones share everything.
#[derive(Clone)]
struct Parts {
    store: Store,
    clock: Arc<dyn Clock>,
    connect: Arc<dyn Connect>,
    loaded: watch::Receiver<Arc<Loaded>>,
    /// Whether there may be http-01 tokens in the store.
    tokens: watch::Receiver<bool>,
    /// Wakes the supervisor at once, instead of at its next look.
    stored: Arc<Notify>,
    /// Whether there may be something else to tell of how it goes.
    news: Arc<AtomicBool>,
}

impl Parts {
    fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        connect: Arc<dyn Connect>,
        loaded: watch::Receiver<Arc<Loaded>>,
        tokens: watch::Receiver<bool>,
    ) -> Self {
        Self { store, clock, connect, loaded, tokens, stored: Arc::default(), news: Arc::default() }
    }
}

/// Why the tasks are stopped.
enum End {
    Stop,
    Reload(Box<Loaded>),
}

impl Daemon {
    /// Runs with this configuration until a signal says to stop.
    pub async fn run(self, mut base: Loaded) -> Result<(), Error> {
        let notifier = Notifier::from_env();
        let mut signals = Signals::new().map_err(Error::Signals)?;
        loop {
            match self.run_with(base, &mut signals, notifier).await? {
                End::Stop => return Ok(()),
                End::Reload(new) => base = *new,
            }
        }
    }

    /// Runs all tasks with one configuration, and stops them in the end.
    async fn run_with(&self, base: Loaded, signals: &mut Signals, notifier: Notifier) -> Result<End, Error> {
        let seen = self.store.stamp();
        let first = Arc::new(base.recalling(&self.store));
        let (sender, loaded) = watch::channel(Arc::clone(&first));
        let (tokens_sender, tokens) = watch::channel(false);
        let parts = Parts::new(self.store.clone(), Arc::clone(&self.clock), Arc::clone(&self.connect), loaded, tokens);
        let mut tasks = Tasks::default();
        let drain = CancellationToken::new();
        let status = self.start(&mut tasks, &parts, &first, &drain);
        let context = Context { base: base.clone(), status: status.clone(), stored: Arc::clone(&parts.stored) };
        if self.role.loads() {
            let (store, shell) = (self.store.clone(), Arc::clone(&self.shell));
            tasks.spawn("control", |life| control(store, shell, context, life));
        }
        tracing::info!(
            role = ?self.role, nodes = first.config.nodes.len(), certificates = first.config.certificates.len(), "running"
        );
        let mut supervisor = Supervisor {
            daemon: self,
            base,
            seen,
            sender,
            tokens: tokens_sender,
            status,
            notifier,
            is_ready: false,
            told: String::new(),
        };
        let end = supervisor.watch_over(&mut tasks, &parts, signals, &drain).await;
        if let Ok(End::Reload(_)) = &end {
            tracing::info!("starting again with the new configuration");
            // The first signal is not a second one: it says that there is nothing to start again.
            return if tasks.stop(signals, 2).await > 0 { Ok(End::Stop) } else { end };
        }
        notifier.stopping();
        if let Err(error) = &end {
            tracing::error!(%error, "stopping");
        } else {
            tracing::info!("stopping");
        }
        tasks.stop(signals, 1).await;
        end
    }

    fn start(&self, tasks: &mut Tasks, parts: &Parts, loaded: &Loaded, drain: &CancellationToken) -> Status {
        let mut reports = BTreeMap::new();
        let mut problems = None;
        if self.role.loads() {
            for name in loaded.config.nodes.keys() {
                let (sender, receiver) = watch::channel(None);
                reports.insert(name.clone(), receiver);
                tasks.spawn(&format!("node {name}"), |life| node::run(parts.clone(), name.clone(), sender, life));
            }
            // Orders that are given up leave it tokens to take away.
            tasks.spawn_cleaner("tokens", |life| tokens::run(parts.clone(), life));
            if !loaded.config.watches.is_empty() {
                let (watcher, receiver) = files::watcher(parts, loaded);
                problems = Some(receiver);
                tasks.spawn("watch", |life| files::run(watcher, parts.clone(), life));
            }
        }
        if self.role.orders() {
            tasks.spawn(RENEWALS, |life| renewals::run(parts.clone(), drain.clone(), life));
        }
        Status::new(reports, problems)
    }
}

/// Serves the control socket, once no other process does.
async fn control(store: Store, shell: Arc<dyn Shell>, context: Context, life: Life) {
    match life.during(Server::bind(&store, &life.stop)).await {
        Ok(Some(server)) => life.during(shell.serve(server, context, life.stop.clone())).await,
        Ok(None) => {}
        // Certificates are what matters; the socket is a convenience.
        Err(error) => {
            tracing::error!(%error, "the control socket cannot be served");
            life.during(life.stop.cancelled()).await;
        }
    }
}

/// Watches over the tasks of one configuration.
struct Supervisor<'a> {
    daemon: &'a Daemon,
    /// The configuration without what is remembered.
    base: Loaded,
    seen: crate::store::Stamp,
    sender: watch::Sender<Arc<Loaded>>,
    tokens: watch::Sender<bool>,
    status: Status,
    notifier: Notifier,
    is_ready: bool,
    /// The line about the state that the service manager has.
    told: String,
}

impl Supervisor<'_> {
    async fn watch_over(
        &mut self,
        tasks: &mut Tasks,
        parts: &Parts,
        signals: &mut Signals,
        drain: &CancellationToken,
    ) -> Result<End, Error> {
        let mut period = interval(SUPERVISION_PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending: Option<(Loaded, Instant)> = None;
        let mut fed = Instant::now();
        loop {
            let deadline = pending.as_ref().map(|(_, deadline)| *deadline);
            tokio::select! {
                signal = signals.next() => match (signal, self.daemon.role.orders()) {
                    (Signal::Stop, _) => return Ok(End::Stop),
                    (Signal::Reload, orders) => {
                        if let Some(new) = self.reload() {
                            if !orders {
                                return Ok(End::Reload(Box::new(new)));
                            }
                            // An order that is under way is finished first.
                            drain.cancel();
                            pending = Some((new, Instant::now() + DRAIN_DEADLINE));
                        }
                    }
                },
                task = tasks.ended() => {
                    return match pending.take() {
                        Some((new, _)) if task == RENEWALS => Ok(End::Reload(Box::new(new))),
                        _ => Err(Error::TaskEnded { task }),
                    };
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let (new, _) = pending.take().expect("its deadline has come");
                    return Ok(End::Reload(Box::new(new)));
                }
                () = parts.stored.notified() => {}
                _ = period.tick() => {}
            }
            if let Some(end) = self.recall(parts) {
                return Ok(pending.take().map_or(end, |(new, _)| End::Reload(Box::new(new))));
            }
            self.tell_service_manager(tasks, &mut fed);
            self.tell_state(parts);
        }
    }

    /// Reads the configuration again; a wrong one is refused, and the old one stays in use.
    fn reload(&self) -> Option<Loaded> {
        tracing::info!("reading the configuration again");
        self.notifier.reloading();
        let new = self.daemon.shell.load();
        if new.is_none() {
            tracing::error!("the new configuration is refused; the old one stays in use");
            self.notifier.ready();
        }
        new
    }

    /// Takes notice of what was stored. A node that nobody has named before needs a loop of its own.
    fn recall(&mut self, parts: &Parts) -> Option<End> {
        let has_tokens = parts.store.has_tokens();
        self.tokens.send_if_modified(|known| std::mem::replace(known, has_tokens) != has_tokens);
        let stamp = parts.store.stamp();
        if stamp == self.seen {
            return None;
        }
        self.seen = stamp;
        let new = self.base.recalling(&parts.store);
        if new.config.nodes != self.sender.borrow().config.nodes {
            return Some(End::Reload(Box::new(self.base.clone())));
        }
        tracing::debug!("something was stored");
        parts.news.store(true, Ordering::Relaxed);
        self.sender.send_replace(Arc::new(new));
        None
    }

    /// Tells in one line how it goes, when that has changed.
    fn tell_state(&mut self, parts: &Parts) {
        if !self.notifier.is_heard() || !self.is_ready {
            return;
        }
        let news = parts.news.swap(false, Ordering::Relaxed);
        if !(self.status.has_news() || news) {
            return;
        }
        let Some(report) = self.status.report() else { return };
        let loaded = self.sender.borrow().clone();
        let reconciler = Reconciler {
            config: &loaded.config,
            store: &parts.store,
            clock: &*parts.clock,
            connect: &*parts.connect,
            stop: CancellationToken::new(),
        };
        let line = status::line(&reconciler.refresh(None, &report), self.daemon.role);
        if line != self.told {
            self.notifier.status(&line);
            self.told = line;
        }
    }

    fn tell_service_manager(&mut self, tasks: &Tasks, fed: &mut Instant) {
        if !self.is_ready && self.status.every_node_was_tried() {
            self.is_ready = true;
            tracing::info!("ready");
            self.notifier.ready();
        }
        if let Some(period) = self.notifier.watchdog()
            && fed.elapsed() >= period
        {
            match tasks.stuck() {
                None => self.notifier.alive(),
                Some(task) => tracing::error!(task, "a task makes no progress"),
            }
            *fed = Instant::now();
        }
    }
}
