//! A store, some nodes, and everything that may legitimately be in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hotcert::bundle::{Gate, Trust};
use hotcert::clock::SystemClock;
use hotcert::config::{Certificate, Config, Flags};
use hotcert::haproxy::Connect;
use hotcert::model::{CertName, NodeName};
use hotcert::reconcile::{NodeState, Pushes, Reconciler, Report};
use hotcert::store::{CertLock, Meta, Source, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::pool::{Item, Kind, Pool};
use super::server::{FOREIGN, Server};
use super::steps::{self, Died};
use super::wire::{Fault, Wires};
use crate::support::HaproxyVersion;

/// One node and what may be in it.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub server: Arc<Server>,
    /// For each of our certificates, the serial numbers that its slot may hold: the old one, and those that came since.
    pub allowed: BTreeMap<CertName, BTreeSet<String>>,
    /// The same of the slot that is not ours.
    pub foreign: BTreeSet<String>,
}

/// What a sequence plays in.
pub struct World {
    pub store: Store,
    pub config: Config,
    pub nodes: Vec<Node>,
    pub wires: Wires,
    /// Those that are played with.
    pub kinds: Vec<&'static Kind>,
    /// What the slot that is not ours may be given.
    pub foreign: &'static [Item],
    /// The serial numbers of everything that was ever stored of a certificate, or put into its slot.
    pub known: BTreeMap<CertName, BTreeSet<String>>,
    runtime: Runtime,
    scratch: TempDir,
    real: bool,
}

/// How a world begins.
#[derive(Debug, Clone)]
pub struct Start {
    pub real: bool,
    pub certificates: usize,
    /// Whether others serve a name that ours have too.
    pub shares: bool,
    pub nodes: Vec<StartNode>,
}

/// How a node begins.
#[derive(Debug, Clone)]
pub struct StartNode {
    pub version: HaproxyVersion,
    pub by_list: bool,
    /// Which of our certificates, by number, it serves already.
    pub serves: Vec<usize>,
}

/// How a command of hotcert ended.
#[derive(Debug)]
pub enum End<T> {
    Done(T),
    /// It was killed.
    Died,
}

impl<T> End<T> {
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(outcome) => Some(outcome),
            Self::Died => None,
        }
    }
}

impl World {
    pub fn new(start: &Start) -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let scratch = tempfile::Builder::new().prefix("hotcert-").tempdir_in(place).unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let pool = Pool::get();
        let state = scratch.path().join("state");
        let mut world = Self {
            store: Store::open(&state).unwrap(),
            config: Config::load(Some(&configured(scratch.path(), &[])), &Flags::default()).unwrap(),
            nodes: Vec::new(),
            wires: Wires::default(),
            kinds: pool.ours.iter().take(start.certificates).collect(),
            foreign: if start.shares { &pool.foreign_shared } else { &pool.foreign },
            known: BTreeMap::new(),
            // What is real takes real time.
            runtime: runtime.enable_all().start_paused(!start.real).build().unwrap(),
            scratch,
            real: start.real,
        };
        start.nodes.iter().for_each(|node| world.add_node(node));
        world
    }

    /// Adds a node, and tells hotcert.
    pub fn add_node(&mut self, start: &StartNode) {
        let number = self.nodes.len() + 1;
        let foreign = &self.foreign[0];
        let present: Vec<&Kind> = start.serves.iter().filter_map(|at| self.kinds.get(*at).copied()).collect();
        let mut certificates: Vec<(String, &Item)> = vec![(FOREIGN.to_owned(), foreign)];
        certificates.extend(present.iter().map(|kind| (format!("{}.pem", kind.name), &kind.items[0])));
        let scratch = self.scratch.path().join(format!("n{number}"));
        let pid = 100_000 * u32::try_from(number).unwrap();
        let server = Server::start(start.version, self.real, start.by_list, &certificates, &scratch, pid);
        let server = Arc::new(server);
        self.wires.add(&server);
        let mut allowed: BTreeMap<CertName, BTreeSet<String>> = BTreeMap::new();
        for kind in &self.kinds {
            allowed.entry(kind.name.clone()).or_default().extend(self.current(&kind.name));
        }
        for kind in &present {
            allowed.entry(kind.name.clone()).or_default().insert(kind.items[0].serial.clone());
            self.known.entry(kind.name.clone()).or_default().insert(kind.items[0].serial.clone());
        }
        self.nodes.push(Node {
            name: format!("n{number}"),
            server,
            allowed,
            foreign: BTreeSet::from([foreign.serial.clone()]),
        });
        let certificates = std::mem::take(&mut self.config.certificates);
        let path = configured(self.scratch.path(), &self.nodes);
        self.config = Config::load(Some(&path), &Flags::default()).unwrap();
        self.config.certificates = certificates;
    }

    fn reconciler(&self) -> Reconciler<'_> {
        Reconciler {
            config: &self.config,
            store: &self.store,
            clock: &SystemClock,
            connect: &self.wires as &dyn Connect,
            stop: CancellationToken::new(),
            away: BTreeSet::new(),
            pushes: Pushes::default(),
            few: None,
        }
    }

    /// Lets hotcert do something, until it is killed after so many steps.
    fn run<T>(&self, dies_after: Option<usize>, what: impl Future<Output = T>) -> End<T> {
        steps::die_after(dies_after);
        let end = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(what)));
        steps::die_after(None);
        match end {
            Ok(outcome) => End::Done(outcome),
            Err(payload) if payload.is::<Died>() => End::Died,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// One round; `None` when it could not be made.
    pub fn round(&self, dies_after: Option<usize>) -> End<Option<Report>> {
        self.run(dies_after, async { self.reconciler().round(None).await.ok() })
    }

    /// What `hotcert push` does: through the gate, into the store, a round, and back if no node took it. The error says why it was
    /// refused.
    pub fn push(
        &mut self,
        kind: &Kind,
        item: &Item,
        force: bool,
        dies_after: Option<usize>,
    ) -> End<Result<Report, String>> {
        let name = &kind.name;
        let mut certificate = Certificate::new(name.clone());
        certificate.domains = item.bundle.names();
        self.config.certificates.entry(name.clone()).or_insert(certificate);
        self.allow(name, &item.serial);
        let push = async {
            let key = item.bundle.facts().kind();
            let (rivals, _) = self.reconciler().rivals(name, key).await.map_err(|error| error.to_string())?;
            let trust = Trust::default();
            let required = item.bundle.facts().names.clone();
            let now = jiff::Timestamp::now();
            let gate = Gate { name, kind: None, now, trust: &trust, required: &required, rivals: &rivals, force };
            let admitted = gate.admit(&[item.pem.as_bytes()]).map_err(|refusal| refusal.to_string())?;
            let before = self.store.mark(name).map_err(|error| error.to_string())?;
            let meta = Meta { source: Source::Push, issuer: None, created: now };
            self.store.add(&self.lock(name), &admitted.bundle, &meta).unwrap();
            let outcome = self.reconciler().round(Some(&BTreeSet::from([name.clone()]))).await;
            if !outcome.as_ref().is_ok_and(was_taken) {
                self.store.go_back(&self.lock(name), &before).unwrap();
            }
            outcome.map_err(|error| error.to_string())
        };
        self.run(dies_after, push)
    }

    /// Pushes a leaf of the first certificate, with nothing going wrong: every node serves it then.
    pub fn push_clean(&mut self, leaf: usize) {
        let kind = self.kinds[0];
        let (before, item) = (self.shown(), &kind.items[leaf]);
        let report = self.push(kind, item, true, None).done().expect("nobody was killed").expect("it is pushed");
        assert!(report.failures.is_empty(), "{:?}", report.problems);
        self.judge(&before, &[], Some(&report));
        for node in &self.nodes {
            assert_eq!(node.server.shown(kind.names[0]).as_ref(), Some(&item.serial), "on {}", node.name);
            assert_eq!(node.server.open(), None, "on {}", node.name);
        }
        assert!(self.steps_left().values().all(Vec::is_empty));
    }

    /// The same with something going wrong: every node serves the old or the new one then. Whether it came to its end.
    pub fn push_disturbed(&mut self, leaf: usize, dies_after: Option<usize>, faults: &[(usize, Fault)]) -> bool {
        let kind = self.kinds[0];
        let before = self.shown();
        for (at, fault) in faults {
            self.plan(*at, fault.clone());
        }
        let end = self.push(kind, &kind.items[leaf], true, dies_after).done();
        let happened = self.wires.mend();
        self.judge(&before, &happened, None);
        end.is_some_and(|end| end.is_ok())
    }

    /// What `hotcert rollback` does. Without an earlier generation there is nothing to do.
    pub fn roll_back(&mut self, kind: &Kind, dies_after: Option<usize>) -> End<Option<Report>> {
        let name = &kind.name;
        let Ok(Some(previous)) = self.store.previous(name) else { return End::Done(None) };
        let serial = self.store.generation(name, previous).unwrap().facts.serial.to_string();
        self.allow(name, &serial);
        let back = async {
            self.store.select(&self.lock(name), previous).unwrap();
            self.reconciler().round(Some(&BTreeSet::from([name.clone()]))).await.ok()
        };
        self.run(dies_after, back)
    }

    fn lock(&self, name: &CertName) -> CertLock {
        self.store.try_lock_certificate(name).unwrap().expect("nobody else is at work")
    }

    /// Lets a serial number be in the slot of a certificate, everywhere.
    pub fn allow(&mut self, name: &CertName, serial: &str) {
        self.known.entry(name.clone()).or_default().insert(serial.to_owned());
        for node in &mut self.nodes {
            node.allowed.entry(name.clone()).or_default().insert(serial.to_owned());
        }
    }

    /// The steps that are left on each node.
    pub fn steps_left(&self) -> BTreeMap<NodeName, Vec<String>> {
        let (views, unreachable) = self.run(None, self.reconciler().views()).done().expect("nobody was killed");
        assert!(unreachable.is_empty(), "{unreachable:?}");
        let steps = |view: &hotcert::reconcile::View| view.plan.steps.iter().map(ToString::to_string).collect();
        views.iter().map(|(name, view)| (name.clone(), steps(view))).collect()
    }

    /// The serial number of the current generation.
    pub fn current(&self, name: &CertName) -> Option<String> {
        self.store.current(name).unwrap().map(|generation| generation.facts.serial.to_string())
    }

    /// Plans a fault at the so-many-th command from now on.
    pub fn plan(&self, at: usize, fault: Fault) {
        self.wires.plan(at, fault);
    }
}

/// Whether at least one node serves what was pushed, or nothing went wrong.
fn was_taken(report: &Report) -> bool {
    let mut nodes = report.certificates.iter().flat_map(|certificate| &certificate.nodes);
    report.failures.is_empty() || nodes.any(|node| node.state == NodeState::InSync)
}

/// Writes the configuration.
fn configured(scratch: &Path, nodes: &[Node]) -> PathBuf {
    let mut text = format!("version = 1\nstate_dir = {:?}\n", scratch.join("state"));
    for Node { name, server, .. } in nodes {
        text += &format!("[haproxy.{name}]\nsocket = {:?}\ncrt_dir = {:?}\n", server.socket(), server.directory);
        if server.list != server.directory {
            text += &format!("crt_list = {:?}\n", server.list);
        }
        if let Some(https) = server.https() {
            text += &format!("verify = [{https:?}]\n");
        }
    }
    let path = scratch.join("hotcert.toml");
    fs::write(&path, text).unwrap();
    path
}
