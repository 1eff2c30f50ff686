//! The sidecar: builds, supervises and stops the tasks that keep every certificate fresh and served.
//!
//! The tasks meet only in the [`store`](crate::store). Whoever stores something, in this process or another, changes its
//! [stamp](crate::store::Stamp); then what is remembered is put into the configuration, where it has changed, and everybody who
//! listens to it ([`Loaded`]) looks again. Nothing else is passed between them, so whatever is missed is found by the next look.
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

mod beside;
mod client_files;
mod few;
mod files;
mod fleet;
mod loaded;
mod messages;
mod node;
mod renewals;
mod shown;
mod signals;
mod status;
mod supervisor;
mod tasks;
mod teller;
mod tickets;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use files::look_once;
pub use loaded::Loaded;
use shown::Shown;
use signals::Signals;
pub use status::{Status, problem_with_file};
use supervisor::Supervisor;
use tasks::{Life, Tasks};
use teller::Teller;

use crate::clock::Clock;
use crate::config::Config;
use crate::control::Server;
use crate::haproxy::Connect;
use crate::model::{Invalid, chain};
use crate::observe::overview::Overview;
use crate::observe::{Feed, Notifier};
use crate::reconcile::{Pushes, Reconciler};
use crate::store::Store;

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

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::Agent => "agent",
            Self::Loader => "loader",
        })
    }
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
    /// What is shown over HTTP, where it is.
    feed: Option<Feed>,
    /// Where it is counted what was loaded.
    pub pushes: Pushes,
    stored: Arc<Notify>,
}

impl Context {
    /// How everything stood a moment ago, for people; what happened is known only where it is shown over HTTP, too. `None` until
    /// every node was tried.
    #[must_use]
    pub fn overview(&self) -> Option<Overview> {
        match &self.feed {
            Some(feed) => feed.latest().overview(),
            None => self.status.report().map(|report| Overview::of(&report, None)),
        }
    }

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
    news: watch::Sender<()>,
    /// Where it is put how everything stands.
    shown: Shown,
}

impl Parts {
    fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        connect: Arc<dyn Connect>,
        loaded: watch::Receiver<Arc<Loaded>>,
        tokens: watch::Receiver<bool>,
        shown: Shown,
    ) -> Self {
        let (stored, news) = (Arc::default(), watch::Sender::default());
        Self { store, clock, connect, loaded, tokens, stored, news, shown }
    }

    /// What makes nodes serve what is stored, by a configuration, until `stop` is cancelled.
    fn reconciler<'a>(&'a self, config: &'a Config, stop: &CancellationToken) -> Reconciler<'a> {
        Reconciler {
            config,
            store: &self.store,
            clock: &*self.clock,
            connect: &*self.connect,
            stop: stop.clone(),
            away: BTreeSet::new(),
            pushes: self.shown.pushes.clone(),
            few: None,
        }
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
        let shown = Shown::new(self.clock.now());
        loop {
            match self.run_with(base, &mut signals, notifier, &shown).await? {
                End::Stop => return Ok(()),
                End::Reload(new) => base = *new,
            }
        }
    }

    /// Runs all tasks with one configuration, and stops them in the end.
    async fn run_with(
        &self,
        base: Loaded,
        signals: &mut Signals,
        notifier: Notifier,
        shown: &Shown,
    ) -> Result<End, Error> {
        let seen = self.store.stamp();
        let first = Arc::new(base.recalling(&self.store));
        let (sender, loaded) = watch::channel(Arc::clone(&first));
        let (tokens_sender, tokens) = watch::channel(false);
        let (clock, connect) = (Arc::clone(&self.clock), Arc::clone(&self.connect));
        let parts = Parts::new(self.store.clone(), clock, connect, loaded, tokens, shown.clone());
        let mut tasks = Tasks::default();
        let drain = CancellationToken::new();
        let status = self.start(&mut tasks, &parts, &first, &drain);
        let feed = base.config.observe.map(|_| shown.feed());
        let (stored, pushes) = (Arc::clone(&parts.stored), shown.pushes.clone());
        let context = Context { base: base.clone(), status: status.clone(), feed, pushes, stored };
        if self.role.loads() {
            let (store, shell) = (self.store.clone(), Arc::clone(&self.shell));
            tasks.spawn("control", |life| control(store, shell, context, life));
        }
        // One process tells; it sees what is served, and what the other one has noted.
        if self.role.loads() && !base.config.receivers.is_empty() {
            tasks.spawn("messages", |life| messages::run(parts.clone(), status.clone(), life));
        }
        if let Some(observe) = base.config.observe {
            tasks.spawn("snapshots", |life| shown::look(parts.clone(), status.clone(), life));
            tasks.spawn("observe", |life| shown::serve(observe, shown.feed(), life));
        }
        tracing::info!(
            role = %self.role, nodes = first.config.nodes.len(), certificates = first.config.certificates.len(), "running"
        );
        let teller = Teller::new(notifier, self.role, status, &parts);
        let (tokens, pulse) = (tokens_sender, shown.pulse.clone());
        let mut supervisor = Supervisor { daemon: self, base, seen, sender, tokens, notifier, teller, pulse };
        let end = supervisor.watch_over(&mut tasks, &parts, signals, &drain).await;
        if let Ok(End::Reload(_)) = &end {
            tracing::info!("starting again with the new configuration");
            // The first signal is not a second one: it says that there is nothing to start again.
            return if tasks.stop(signals, 2).await > 0 { Ok(End::Stop) } else { end };
        }
        notifier.stopping();
        if let Err(error) = &end {
            tracing::error!(error = %chain(&error), "stopping");
        } else {
            tracing::info!("stopping");
        }
        tasks.stop(signals, 1).await;
        end
    }

    fn start(&self, tasks: &mut Tasks, parts: &Parts, loaded: &Loaded, drain: &CancellationToken) -> Status {
        let mut reports = BTreeMap::new();
        let (mut problems, mut client_files) = (None, Vec::new());
        let (fleet_sender, fleet) = watch::channel(Vec::new());
        let (tickets_sender, tickets) = watch::channel(Vec::new());
        if self.role.loads() {
            for (name, node) in &loaded.config.nodes {
                let (sender, receiver) = watch::channel(None);
                if node.client_files().next().is_some() {
                    let (found, receiver, node) = (watch::Sender::default(), receiver.clone(), node.clone());
                    client_files.push(found.subscribe());
                    let parts = parts.clone();
                    let run = |life| client_files::run(parts, node, receiver, found, life);
                    tasks.spawn(&format!("client files of {name}"), run);
                }
                reports.insert(name.clone(), receiver);
                tasks.spawn(&format!("node {name}"), |life| node::run(parts.clone(), name.clone(), sender, life));
            }
            if reports.len() > 1 {
                let looks = reports.clone();
                tasks.spawn("fleet", |life| fleet::run(parts.clone(), looks, fleet_sender, life));
            }
            if loaded.config.ticket_keys.is_some() {
                tasks.spawn("ticket keys", |life| tickets::run(parts.clone(), tickets_sender, life));
            }
            // Orders that are given up leave it tokens to take away.
            tasks.spawn_cleaner("tokens", |life| tokens::run(parts.clone(), life));
            if !loaded.config.watches.is_empty() {
                let (watcher, receiver) = files::watcher(parts, loaded);
                problems = Some(receiver);
                tasks.spawn("watch", |life| files::run(watcher, parts.clone(), life));
            }
        }
        let status = Status::new(reports, problems, [fleet, tickets], client_files);
        if self.role.orders() {
            tasks.spawn(RENEWALS, |life| renewals::run(parts.clone(), status.clone(), drain.clone(), life));
        }
        status
    }
}

/// Serves the control socket, once no other process does.
async fn control(store: Store, shell: Arc<dyn Shell>, context: Context, life: Life) {
    match life.during(Server::bind(&store, &life.stop)).await {
        Ok(Some(server)) => life.during(shell.serve(server, context, life.stop.clone())).await,
        Ok(None) => {}
        // Certificates are what matters; the socket is a convenience.
        Err(error) => {
            tracing::error!(error = %chain(&error), "the control socket cannot be served");
            life.during(life.stop.cancelled()).await;
        }
    }
}
