//! Another process of the tests: a server, a daemon, or a client of the control socket.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use hotcert::cli::{About, Clerk, Request};
use hotcert::clock::SystemClock;
use hotcert::config::{Config, Flags};
use hotcert::control::{Client, Error, Server};
use hotcert::daemon::Role;
use hotcert::haproxy::SystemConnect;
use hotcert::observe::{self, Logs};
use hotcert::reconcile::{Pushes, Reconciler, Report};
use hotcert::store::Store;
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

use crate::support::process::Process;
use crate::support::{SERVER_DEADLINE, Scratch, poll};

const PART: &str = "TEST_CONTROL_PART";
const STATE: &str = "TEST_CONTROL_STATE";
const SOCKET: &str = "TEST_CONTROL_SOCKET";
const CRT_DIR: &str = "TEST_CONTROL_CRT_DIR";

/// Runs as the unprivileged user `nobody`; the program has to lie where nobody may look.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// A process that plays a part, until dropped.
pub(crate) struct Player {
    pub(crate) process: Process,
    state: PathBuf,
    _scratch: Scratch,
}

/// How to start one.
pub(crate) struct Part {
    name: &'static str,
    state: PathBuf,
    as_nobody: bool,
    env: Vec<(&'static str, OsString)>,
}

impl Part {
    /// A part in this state directory: `echo`, `daemon`, `watchful`, `agent`, `loader`, `dying`, `stopping` or `client`.
    pub(crate) fn new(name: &'static str, state: &Path) -> Self {
        Self { name, state: state.to_owned(), as_nobody: false, env: Vec::new() }
    }

    /// Played by the user `nobody`.
    pub(crate) fn by_nobody(mut self) -> Self {
        self.as_nobody = true;
        self
    }

    /// On this node.
    pub(crate) fn node(mut self, socket: &Path, crt_dir: &Path) -> Self {
        self.env = vec![(SOCKET, socket.into()), (CRT_DIR, crt_dir.into())];
        self
    }

    /// Starts it, and does not wait for anything.
    pub(crate) fn start(self) -> Player {
        let scratch = Scratch::new();
        let mut program = std::env::current_exe().unwrap();
        if self.as_nobody {
            scratch.chmod("", 0o755);
            let copy = scratch.join("program");
            fs::copy(&program, &copy).unwrap();
            program = copy;
        }
        let wrapper: &[&str] = if self.as_nobody { &NOBODY } else { &[] };
        let words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]).collect::<Vec<_>>();
        let mut command = Command::new(words.first().unwrap());
        command
            .args(words.get(1..).unwrap())
            .args(["control::as_another", "--exact", "--nocapture"])
            .env(PART, self.name)
            .env(STATE, &self.state)
            .envs(self.env)
            .current_dir(scratch.path());
        let process = Process::spawn(self.name, &mut command, &scratch.join("log"));
        Player { process, state: self.state, _scratch: scratch }
    }

    /// Starts a server, and waits until it serves.
    pub(crate) fn serve(self) -> Player {
        let player = self.start();
        player.wait_until_it_serves();
        player
    }
}

impl Player {
    /// Waits until it is this one who serves.
    pub(crate) fn wait_until_it_serves(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serves = || {
            let client = runtime.block_on(Client::connect(&self.state)).ok()??;
            (client.pid() == self.process.id()).then_some(())
        };
        assert!(poll(SERVER_DEADLINE, serves).is_some(), "it does not serve:\n{}", self.process.log());
    }

    /// Waits for its end, and tells what it printed.
    pub(crate) fn end(mut self) -> String {
        let ended = poll(SERVER_DEADLINE, || self.process.ended());
        assert!(ended.is_some(), "it does not end");
        self.process.log()
    }
}

/// Plays the part that the environment names; nothing in the test's own process.
pub(crate) fn play() {
    let Ok(part) = std::env::var(PART) else { return };
    observe::init(Logs { level: LevelFilter::TRACE, color: false, terminal: false });
    let state = PathBuf::from(std::env::var_os(STATE).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if part == "client" {
            let outcome = Client::connect(&state).await;
            let told = outcome.map_or_else(|error| error.to_string(), |_| "came in".to_owned());
            return tracing::info!(target: "hotcert", "{told}");
        }
        let store = Store::open(&state).unwrap();
        let stop = CancellationToken::new();
        let server = Server::bind(&store, &stop).await.unwrap().unwrap();
        match part.as_str() {
            "echo" => server.run(|| json!("echo"), |request: Value| async { request }, stop).await,
            "dying" => server.run(about(Role::All), |_: Request| async { die() }, stop).await,
            "agent" => server.run(about(Role::Agent), |_: Request| async { die() }, stop).await,
            "loader" => server.run(about(Role::Loader), |_: Request| async { die() }, stop).await,
            "daemon" | "stopping" => {
                let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
                let stopped = CancellationToken::new();
                if part == "stopping" {
                    stopped.cancel();
                }
                let clerk = Arc::new(Clerk::new(store, stopped));
                let handle = move |request| {
                    let clerk = Arc::clone(&clerk);
                    async move { clerk.answer(request, &config(), None).await }
                };
                server.run(about(Role::All), handle, stop).await;
            }
            "watchful" => {
                let report = Arc::new(look(&store).await);
                let clerk = Arc::new(Clerk::new(store, stop.clone()));
                let handle = move |request| {
                    let (clerk, report) = (Arc::clone(&clerk), Arc::clone(&report));
                    async move { clerk.answer(request, &config(), Some(&report)).await }
                };
                server.run(about(Role::All), handle, stop).await;
            }
            other => panic!("there is no part {other}"),
        }
    });
}

fn config() -> Config {
    let socket = std::env::var(SOCKET).unwrap().parse().unwrap();
    let crt_dir = std::env::var_os(CRT_DIR).map(PathBuf::from);
    let state_dir = std::env::var_os(STATE).map(PathBuf::from);
    Config::load(None, &Flags { sockets: vec![socket], crt_dir, state_dir, ..Flags::default() }).unwrap()
}

/// How things stand.
async fn look(store: &Store) -> Report {
    let mut config = config();
    let remembered = store.names().unwrap().into_iter().filter_map(|name| store.remembered(&name).unwrap());
    config.recall(remembered.collect::<Vec<_>>());
    let stop = CancellationToken::new();
    let (away, pushes) = (BTreeSet::new(), Pushes::default());
    Reconciler { config: &config, store, clock: &SystemClock, connect: &SystemConnect, stop, away, pushes, few: None }
        .report(None)
        .await
}

fn about(role: Role) -> impl Fn() -> About + Send + Sync + 'static {
    move || About::of(&config(), role)
}

fn die() -> Value {
    kill_process(getpid(), Signal::KILL).unwrap();
    unreachable!("a process that killed itself")
}

/// A server in the test's own process.
pub(crate) struct InProcess {
    pub(crate) stop: CancellationToken,
    pub(crate) task: tokio::task::JoinHandle<()>,
}

impl InProcess {
    /// Serves by a handler.
    pub(crate) async fn serve<F>(state: &Path, handler: impl Fn(Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Value> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let server = Server::bind(&Store::open(state).unwrap(), &stop).await.unwrap().unwrap();
        let task = tokio::spawn(server.run(|| json!({"name": "test"}), handler, stop.clone()));
        Self { stop, task }
    }

    /// Stops, and waits for the end.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.unwrap().unwrap();
    }
}

/// A state directory.
pub(crate) fn state() -> Scratch {
    let scratch = Scratch::new();
    scratch.dir("state");
    scratch.chmod("state", 0o700);
    scratch
}

/// Asks whoever serves.
pub(crate) async fn ask(state: &Path, request: &Value) -> Result<Value, Error> {
    Client::connect(state).await?.unwrap().ask(request).await
}
