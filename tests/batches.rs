//! Many certificates at once: what happens to one of them happens to none of the others.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use hotcert::bundle::Bundle;
use hotcert::clock::SystemClock;
use hotcert::config::{Certificate, Config, Flags};
use hotcert::haproxy::{Connect, Connecting, Stream};
use hotcert::model::{Address, CertName};
use hotcert::reconcile::{Pushes, Reconciler};
use hotcert::store::{Meta, Source, Store};
use rustix::process::Signal;
use support::model::{Bench, Subject};
use support::sidecar::{self, DEADLINE, quoted};
use support::{Haproxy, HaproxyVersion, Hotcert, House, Leaf, Pki, Point, Stepping, Steps, poll, steps};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

/// More than what is pushed without any rest.
const MANY: usize = 20;
/// A PEM that fits a buffer of 32 kB, and not one of 16 kB.
const TOO_LARGE: usize = 20_000;
/// Both ways to push: pipelined, and one command after the other.
const VERSIONS: [HaproxyVersion; 2] = [HaproxyVersion::V2_6, HaproxyVersion::V3_2];

/// Not a test: what is stopped and killed.
#[test]
fn as_hotcert() -> ExitCode {
    steps::play()
}

/// Nodes that serve what is in a watched directory.
struct Many {
    house: House,
    directory: PathBuf,
    names: Vec<String>,
}

impl Many {
    /// Nodes that hold so many certificates, and a directory in which there are new ones.
    fn new(nodes: impl IntoIterator<Item = support::haproxy::Builder>, count: usize) -> Self {
        let pki = Pki::new();
        let names: Vec<String> = (0..count).map(|number| format!("n{number:02}.test")).collect();
        let old: Vec<(String, String)> =
            names.iter().map(|name| (format!("{name}.pem"), pki.leaf(name).issue().fullchain_and_key())).collect();
        let nodes = nodes
            .into_iter()
            .map(|node| old.iter().fold(node, |node, (file, pem)| node.certificate(file, pem)))
            .collect::<Vec<_>>();
        let house = House::new(nodes);
        let directory = house.hotcert.scratch().dir("watched");
        Self { house, directory, names }
    }

    fn command(&self, pace: &str) -> Vec<OsString> {
        let mut text = format!("version = 1\nstate_dir = {}\n", quoted(self.house.hotcert.state_dir()));
        for (at, node) in self.house.nodes.iter().enumerate() {
            let (socket, directory) = (quoted(node.socket()), quoted(node.crt_dir()));
            text.push_str(&format!(
                "[haproxy.node{at}]\nsocket = {socket}\ncrt_dir = {directory}\npush_pace = {pace:?}\n"
            ));
        }
        text.push_str(&format!("[[watch]]\ndir = {}\n", quoted(&self.directory)));
        let path = self.house.hotcert.scratch().write("hotcert.toml", text);
        vec!["sync".into(), "--config".into(), path.into()]
    }

    /// Writes a new leaf for each name.
    fn renew(&self) -> BTreeMap<String, Leaf> {
        let leaf = |name: &String| (name.clone(), self.house.pki.leaf(name).issue());
        let leaves: BTreeMap<String, Leaf> = self.names.iter().map(leaf).collect();
        for leaf in leaves.values() {
            self.write(leaf);
        }
        leaves
    }

    fn write(&self, leaf: &Leaf) {
        fs::write(self.directory.join(format!("{}.pem", leaf.names()[0])), leaf.fullchain_and_key()).unwrap();
    }

    fn shows(&self, node: usize, name: &str) -> Option<String> {
        sidecar::serial(&self.house.nodes[node], name)
    }

    /// Checks that every node serves these, and would after its next start.
    fn expect_served<'l>(&self, leaves: impl IntoIterator<Item = &'l Leaf>) {
        for leaf in leaves {
            for (at, node) in self.house.nodes.iter().enumerate() {
                let name = &leaf.names()[0];
                assert_eq!(self.shows(at, name).as_deref(), Some(leaf.serial()), "{name} on node {at}");
                let file = fs::read_to_string(node.crt_dir().join(format!("{name}.pem"))).unwrap();
                assert_eq!(file, leaf.fullchain_and_key(), "{name} on node {at}");
            }
        }
        self.house.expect_no_open_transaction();
        self.house.expect_no_leftovers();
    }
}

#[test]
fn the_third_of_twenty_that_one_of_two_nodes_cannot_take_holds_up_no_other_and_reaches_no_node() {
    let large = Haproxy::new(HaproxyVersion::V3_2).global("tune.bufsize 32768");
    let many = Many::new([large, Haproxy::new(HaproxyVersion::V2_6)], MANY);
    let third = many.names[2].clone();
    let before = many.shows(0, &third);
    let mut leaves = many.renew();
    let refused = leaves.remove(&third).unwrap();
    many.write(&many.house.pki.leaf(&third).pem_size(TOO_LARGE).issue());
    for pace in ["full", "adaptive"] {
        let outcome = many.house.hotcert.run(many.command(pace)).expect_code(1);
        assert!(outcome.stderr.contains("too large") || outcome.stderr.contains("tune.bufsize"), "{outcome:?}");
        many.expect_served(leaves.values());
        assert_eq!([many.shows(0, &third), many.shows(1, &third)], [before.clone(), before.clone()]);
    }
    many.write(&refused);
    many.house.hotcert.run(many.command("full")).expect_code(0);
    many.expect_served(leaves.values().chain([&refused]));
}

#[test]
fn a_foreign_transaction_in_the_middle_is_waited_for_and_neither_committed_nor_lost() {
    let many = Many::new([Haproxy::new(HaproxyVersion::V3_2)], MANY);
    let leaves = many.renew();
    let point = Point { step: "haproxy: certificate committed".to_owned(), occurrence: 5 };
    // At the default pace nothing is open between two certificates.
    let mut running = Stepping::start(&many.command("adaptive"), Some((&point, Signal::STOP)));
    assert!(poll(DEADLINE, || running.was_struck().then_some(())).is_some());
    let node = &many.house.nodes[0];
    let slot = node.crt_dir().join(format!("{}.pem", many.names[MANY - 1]));
    let foreign = many.house.pki.leaf(&many.names[MANY - 1]).issue();
    let set = node.cli_payload(&format!("set ssl cert {}", slot.display()), &foreign.fullchain_and_key());
    assert!(set.contains("Transaction created"), "{set}");
    running.signal(Signal::CONT);
    let still_open = || node.cli("show ssl cert").contains("# transaction");
    assert!(poll(Duration::from_millis(300), || (!still_open()).then_some(())).is_none(), "it was ended");
    assert!(!running.has_ended());
    let commit = node.cli(&format!("commit ssl cert {}", slot.display()));
    assert!(commit.contains("Success!"), "{commit}");
    let steps = running.wait();
    assert!(steps.succeeded, "{steps:?}");
    many.expect_served(leaves.values());
}

#[test]
fn killed_anywhere_in_a_batch_the_next_round_finishes_it() {
    for version in VERSIONS {
        let many = Many::new([Haproxy::new(version)], 3);
        many.renew();
        let clean = Steps::run(&many.command("full"), None);
        assert!(clean.succeeded, "{clean:?}");
        // What comes before is about files that are watched.
        let begin = clean.taken.iter().position(|step| step == "store: staging noted").unwrap();
        let before = Steps { taken: clean.taken[..begin].to_vec(), ..clean.clone() }.points();
        let points: Vec<Point> = clean.points().into_iter().filter(|point| !before.contains(point)).collect();
        assert!(points.len() >= 3 * 3 + 3, "{points:?}");
        let pid = many.house.nodes[0].pid();
        for point in points {
            let leaves = many.renew();
            let killed = Steps::run(&many.command("full"), Some(&point));
            assert!(killed.killed, "{point}\n{killed:?}");
            many.house.nodes[0].check().unwrap();
            let again = Steps::run(&many.command("full"), None);
            assert!(again.succeeded, "{point}\n{again:?}");
            many.expect_served(leaves.values());
        }
        assert_eq!(many.house.nodes[0].pid(), pid);
    }
}

/// A way to a node on which each answer takes its time.
#[derive(Clone)]
struct Slow(support::model::Fake, Duration);

impl Connect for Slow {
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let stream = self.0.connect(address).await?;
            let (mut from_peer, mut to_peer) = tokio::io::split(stream);
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            let (mut from_us, mut to_us) = tokio::io::split(theirs);
            let takes = self.1;
            tokio::spawn(async move { tokio::io::copy(&mut from_us, &mut to_peer).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length @ 1..) = from_peer.read(&mut buffer).await {
                    tokio::time::sleep(takes).await;
                    if to_us.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// How long a round takes that pushes so many certificates at a pace, when each answer takes ten milliseconds.
fn round(count: usize, pace: &str) -> Duration {
    const ANSWER: Duration = Duration::from_millis(10);
    let pki = Pki::new();
    let names: Vec<String> = (0..count).map(|number| format!("n{number:02}.test")).collect();
    let pem = |name: &String| pki.leaf(name).issue().fullchain_and_key();
    let description = names.iter().fold(Subject::Fake(HaproxyVersion::V3_2).haproxy(), |description, name| {
        description.certificate(&format!("{name}.pem"), &pem(name))
    });
    let Bench::Fake { fake, scratch } = description.start() else { unreachable!("a fake was asked for") };
    let hotcert = Hotcert::new();
    let store = Store::open(&hotcert.state_dir()).unwrap();
    let text = format!(
        "version = 1\nstate_dir = {}\n[haproxy.edge]\nsocket = {}\ncrt_dir = {}\npush_pace = {pace:?}\n",
        quoted(hotcert.state_dir()),
        quoted(scratch.join("stats.sock")),
        quoted(scratch.join("certs"))
    );
    let path = hotcert.scratch().write("hotcert.toml", text);
    let mut config = Config::load(Some(&path), &Flags::default()).unwrap();
    for name in &names {
        let name: CertName = name.parse().unwrap();
        let lock = store.try_lock_certificate(&name).unwrap().unwrap();
        let bundle = Bundle::reopen(&name, &[pem(&name.to_string()).as_bytes()]).unwrap();
        let meta = Meta { source: Source::Push, issuer: None, created: jiff::Timestamp::now() };
        store.add(&lock, &bundle, &meta).unwrap();
        config.certificates.insert(name.clone(), Certificate::new(name));
    }
    let connect = Slow(fake, ANSWER);
    let reconciler = Reconciler {
        config: &config,
        store: &store,
        clock: &SystemClock,
        connect: &connect,
        stop: CancellationToken::new(),
        away: BTreeSet::new(),
        pushes: Pushes::default(),
        few: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let began = tokio::time::Instant::now();
        let report = reconciler.round(None).await.unwrap();
        assert!(report.failures.is_empty(), "{:?}", report.problems);
        began.elapsed()
    })
}

#[test]
fn at_the_default_pace_many_certificates_leave_as_much_time_as_they_take_and_a_few_do_not() {
    let [few, handful, many] = [8, 16, MANY].map(|count| round(count, "adaptive"));
    let at_once = round(MANY, "full");
    // An answer takes ten milliseconds. A certificate is three exchanges, and a rest as long as these where there are many; at full pace
    // several share one exchange.
    let (exchanges, count) = (Duration::from_millis(30), u32::try_from(MANY).unwrap());
    assert!(handful < few + exchanges * 8 * 3 / 2, "{handful:?} and {few:?}");
    assert!(many > few + exchanges * (count - 8) + exchanges * count * 3 / 4, "{many:?} and {few:?}");
    assert!(at_once + exchanges * count * 7 / 4 < many, "{at_once:?} and {many:?}");
}

#[test]
fn a_pace_that_is_unknown_is_told() {
    let hotcert = Hotcert::new();
    let config = format!(
        "version = 1\nstate_dir = {}\n[haproxy.edge]\nsocket = \"/run/none.sock\"\npush_pace = \"slow\"\n",
        quoted(hotcert.state_dir())
    );
    let path = hotcert.scratch().write("wrong.toml", config);
    let outcome = hotcert.run(["config", "check", "--config", path.to_str().unwrap()]).expect_code(78);
    assert!(outcome.stderr.contains("haproxy.edge.push_pace") && outcome.stderr.contains("adaptive"), "{outcome:?}");
}
