//! A watched directory, a store, and a watcher between them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hotcert::bundle::{Rival, Trust};
use hotcert::clock::SystemClock;
use hotcert::config::{Certificate, Config, Flags};
use hotcert::model::CertName;
use hotcert::store::Store;
use hotcert::watch::{Answer, Outcome, Parts, Problem, Served, Watcher, scan_once};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{Leaf, Pki, Scratch, poll};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What nodes are said to serve.
#[derive(Default, Clone)]
pub(crate) struct Nodes(pub(crate) BTreeMap<CertName, Vec<Rival>>);

impl Served for Nodes {
    fn rivals<'a>(&'a self, certificates: &'a [Certificate]) -> Answer<'a> {
        let of = |certificate: &Certificate| Some((certificate.name.clone(), self.0.get(&certificate.name)?.clone()));
        Box::pin(std::future::ready(certificates.iter().filter_map(of).collect()))
    }
}

/// A running watcher; stopped on drop.
struct Running {
    runtime: Runtime,
    stop: CancellationToken,
    done: tokio::task::JoinHandle<()>,
    problems: watch::Receiver<Arc<[Problem]>>,
    stored: mpsc::Receiver<BTreeSet<CertName>>,
}

/// The surroundings of one test. `in` is the watched directory.
pub(crate) struct Place {
    pub(crate) pki: Pki,
    pub(crate) scratch: Scratch,
    pub(crate) store: Store,
    pub(crate) nodes: Nodes,
    more: String,
    events: bool,
    running: Option<Running>,
}

impl Place {
    /// A watched directory that is empty, and nothing that runs yet.
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        scratch.dir("in");
        let store = Store::open(&scratch.join("state")).unwrap();
        let (nodes, more) = Default::default();
        Self { pki: Pki::new(), scratch, store, nodes, more, events: true, running: None }
    }

    /// A place with a watcher that runs.
    pub(crate) fn watched() -> Self {
        let mut place = Self::new();
        place.start();
        place
    }

    /// Adds to the configuration.
    pub(crate) fn with(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self
    }

    /// As if the file system had no events.
    pub(crate) fn without_events(mut self) -> Self {
        self.events = false;
        self
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.scratch.join("in")
    }

    pub(crate) fn parts(&self) -> Parts {
        let watch = format!("[[watch]]\ndir = {:?}\n", self.dir());
        let file = self.scratch.write("hotcert.toml", format!("version = 1\n{watch}{}", self.more));
        let config = Config::load(Some(&file), &Flags::default()).unwrap();
        Parts {
            config: Arc::new(config),
            store: self.store.clone(),
            clock: Arc::new(SystemClock),
            trust: Arc::new(Trust::default()),
            served: Arc::new(self.nodes.clone()),
        }
    }

    pub(crate) fn start(&mut self) {
        self.stop();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let watcher = Watcher::new(self.parts());
        let watcher = if self.events { watcher } else { watcher.without_events() };
        let problems = watcher.problems();
        let stop = CancellationToken::new();
        let (sender, stored) = mpsc::channel(1024);
        let done = runtime.spawn(watcher.run(stop.clone(), sender));
        self.running = Some(Running { runtime, stop, done, problems, stored });
    }

    pub(crate) fn stop(&mut self) {
        if let Some(Running { runtime, stop, done, .. }) = self.running.take() {
            stop.cancel();
            let stopped = runtime.block_on(async { tokio::time::timeout(DEADLINE, done).await });
            if !std::thread::panicking() {
                stopped.expect("the watcher stops").expect("the watcher does not panic");
            }
        }
    }

    pub(crate) fn once(&self) -> Outcome {
        Runtime::new().unwrap().block_on(scan_once(self.parts()))
    }

    /// A leaf that began so many hours ago.
    pub(crate) fn leaf(&self, name: &str, hours: i64) -> Leaf {
        let start = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
        self.pki.leaf(name).not_before(start).issue()
    }

    /// Writes below the watched directory.
    pub(crate) fn write(&self, file: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.scratch.write(Path::new("in").join(file), content)
    }

    pub(crate) fn stored(&self, name: &str) -> Option<String> {
        self.store.current(&name.parse().unwrap()).ok().flatten().map(|generation| generation.facts.sha256.to_string())
    }

    /// Waits until this is what should be served.
    pub(crate) fn expect(&self, name: &str, leaf: &Leaf) {
        let found = poll(DEADLINE, || (self.stored(name).as_deref() == Some(leaf.sha256())).then_some(()));
        assert!(found.is_some(), "{name} is {:?}, not {}; {:?}", self.stored(name), leaf.sha256(), self.problems());
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.running.as_ref().map(|running| running.problems.borrow().to_vec()).unwrap_or_default()
    }

    /// Waits for a problem with a file, of which the text is a part.
    pub(crate) fn expect_problem(&self, file: &str, text: &str) -> Problem {
        let path = self.dir().join(file);
        let is_it = |problem: &Problem| problem.file == path && problem.reason.contains(text);
        let found = poll(DEADLINE, || self.problems().into_iter().find(is_it));
        found.unwrap_or_else(|| panic!("{file}: no {text:?} in {:?}", self.problems()))
    }

    /// Waits until nothing is wrong.
    pub(crate) fn expect_no_problem(&self) {
        let none = poll(DEADLINE, || self.problems().is_empty().then_some(()));
        assert!(none.is_some(), "{:?}", self.problems());
    }

    /// Returns when everything that was written before has been looked at: a file that was written later has been taken.
    pub(crate) fn settle(&self) {
        let name = format!("settled-{}", jiff::Timestamp::now().as_nanosecond());
        let leaf = self.leaf("settled.test", 1);
        self.write(&format!("{name}.pem"), leaf.fullchain_and_key());
        self.expect(&name, &leaf);
    }

    /// Waits until a name is announced.
    pub(crate) fn expect_announced(&mut self, name: &str) {
        let name = name.parse().unwrap();
        let stored = &mut self.running.as_mut().unwrap().stored;
        let found = poll(DEADLINE, || stored.try_recv().ok().filter(|names| names.contains(&name)));
        assert!(found.is_some(), "{name} is not announced");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.stop();
    }
}
