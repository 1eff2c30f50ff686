//! Workers behind a master: old ones that finish their connections after a reload, and nodes of which only the master's socket is
//! known.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use hotcert::model::{Sha1, Slot};
use hotcert::store::{Staging, Store};
use jiff::Timestamp;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::{Connection, Options};
use crate::support::fake::FakeSocket;
use crate::support::haproxy::Builder;
use crate::support::sidecar::{self, DEADLINE, quoted};
use crate::support::steps::Stepping;
use crate::support::{
    Hammer, Haproxy, HaproxyVersion, House, Leaf, Outcome, Point, Sidecar, Steps, each_haproxy, poll,
};

const NAME: &str = "shop.test";
/// How soon everything has to be right after HAProxy is back.
const PROMPT: Duration = Duration::from_secs(2);

/// Connections stay open for as long as a test needs them.
const CONFIG: &str = "\
global
    maxconn 1000
    stats socket {socket} mode 600 level admin expose-fd listeners
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend https
    bind 127.0.0.1:{https} ssl crt {dir}/certs/ strict-sni
    http-request return status 200 content-type text/plain string hi
";

each_haproxy! {
    an_old_worker_is_shown_and_gets_what_is_pushed,
    what_is_not_ours_in_an_old_worker_is_left_alone,
    an_old_worker_may_end_in_the_middle_and_so_may_hotcert,
    a_node_may_have_nothing_but_a_master_socket,
    a_reload_that_fails_makes_no_old_worker,
}

/// What a test says of its node beside, or instead of, its stats socket.
#[derive(Clone, Copy)]
enum Known {
    Both,
    MasterAlone,
}

/// One HAProxy with a master, and a user who knows the master's socket.
struct Yard {
    house: House,
    known: Known,
}

impl Yard {
    fn new(version: HaproxyVersion, known: Known) -> Self {
        Self { house: House::new([builder(version)]), known }
    }

    fn flags(&self) -> Vec<OsString> {
        let haproxy = self.haproxy();
        let master = quoted(haproxy.master_socket());
        match self.known {
            // It continues the table of the node.
            Known::Both => self.house.flags_and(&format!("master = {master}\n")),
            Known::MasterAlone => sidecar::flags(
                &self.house.hotcert,
                &[],
                &format!(
                    "[haproxy.node0]\nmaster = {master}\ncrt_dir = {}\nverify = [\"{}\"]\n",
                    quoted(haproxy.crt_dir()),
                    haproxy.https_addr()
                ),
            ),
        }
    }

    fn haproxy(&self) -> &Haproxy {
        &self.house.nodes[0]
    }

    fn arguments(&self, arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(OsString::from).chain(self.flags()).collect()
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.house.hotcert.run(self.arguments(arguments))
    }

    fn push(&self) -> Leaf {
        let (leaf, file) = self.house.leaf(NAME);
        let outcome = self.run(&["push", &file]).expect_code(0);
        assert!(!outcome.stderr.contains("old worker"), "{outcome:?}");
        leaf
    }

    /// A new leaf, and the path of its file.
    fn leaf(&self) -> (Leaf, String) {
        let (leaf, file) = self.house.leaf(NAME);
        (leaf, self.house.hotcert.scratch().join(file).display().to_string())
    }

    /// What `status` says of the node.
    fn node(&self, code: i32) -> Value {
        self.run(&["status", "--json"]).expect_code(code).json()["nodes"][0].take()
    }

    /// The old workers that a sidecar has seen in its last round, which may be over only in a moment.
    fn seen_old_workers(&self) -> Vec<u64> {
        let status = self.run(&["status", "--json"]).json();
        let found = status["nodes"][0]["old_workers"].as_array().unwrap();
        found.iter().map(|worker| worker["pid"].as_u64().unwrap()).collect()
    }

    fn expect_nothing_to_do(&self) {
        assert_eq!(self.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    }

    fn slot(&self) -> String {
        self.haproxy().crt_dir().join(format!("{NAME}.pem")).display().to_string()
    }

    /// A connection that is in use, so that a reload leaves its worker behind.
    fn connect(&self) -> Connection {
        let mut connection = Connection::open(self.haproxy().https_addr(), NAME, Options::default()).unwrap();
        connection.begin("/").unwrap();
        poll(DEADLINE, || self.haproxy().cli("show info").contains("CurrConns: 1\n").then_some(())).unwrap();
        connection
    }

    /// Reloads while a client is connected; returns its connection and the old worker.
    fn leave_behind(&mut self) -> (Connection, u32) {
        let connection = self.connect();
        let before = self.haproxy().pid();
        self.house.haproxy().reload();
        (connection, before)
    }

    /// The answer of one worker.
    fn ask(&self, pid: u32, command: &str) -> String {
        self.haproxy().master_cli(&format!("@!{pid} {command}"))
    }

    /// The serial number that a worker has in memory, however it is asked for.
    fn held(&self, pid: u32) -> String {
        let mut reply = String::new();
        let serial = poll(DEADLINE, || {
            // While the sidecar commits, nobody is answered.
            reply = self.ask(pid, &format!("show ssl cert {}", self.slot()));
            reply.lines().find_map(|line| line.strip_prefix("Serial: ")).map(str::to_lowercase)
        });
        serial.unwrap_or_else(|| panic!("{reply}"))
    }

    /// Begins to replace the certificate in a worker, as another program does.
    fn set(&self, pid: u32, leaf: &Leaf) {
        let pem = leaf.fullchain_and_key();
        let reply = self.ask(pid, &format!("set ssl cert {} <<\n{}\n", self.slot(), pem.trim_end()));
        assert!(reply.starts_with("Transaction created"), "{reply}");
    }

    fn commit(&self, pid: u32) {
        let reply = self.ask(pid, &format!("commit ssl cert {}", self.slot()));
        assert!(reply.contains("Success!"), "{reply}");
    }

    fn has_transaction(&self, pid: u32) -> bool {
        self.ask(pid, "show ssl cert").contains("# transaction")
    }
}

fn builder(version: HaproxyVersion) -> Builder {
    Haproxy::new(version).config(CONFIG).master()
}

fn an_old_worker_is_shown_and_gets_what_is_pushed(version: HaproxyVersion) {
    let mut yard = Yard::new(version, Known::Both);
    let old = yard.push();
    assert_eq!(yard.node(0)["old_workers"], serde_json::json!([]));
    let hammer = Hammer::start(yard.haproxy().https_addr(), NAME, Duration::from_millis(3), 2);
    poll(DEADLINE, || (sidecar::serial(yard.haproxy(), NAME)? == old.serial()).then_some(())).unwrap();
    // Clients that come and go are counted as well.
    let mut connection = Connection::open(yard.haproxy().https_addr(), NAME, Options::default()).unwrap();
    connection.begin("/").unwrap();
    let before = yard.haproxy().pid();
    yard.house.haproxy().reload();

    let only_one = |worker: &Value| worker["connections"] == 1;
    let node = poll(DEADLINE, || Some(yard.node(0)).filter(|node| only_one(&node["old_workers"][0]))).unwrap();
    let worker = &node["old_workers"][0];
    assert_eq!((&worker["pid"], &worker["tls_connections"]), (&before.into(), &1.into()), "{node:#}");
    assert_eq!((&node["pid"], &worker["outdated"]), (&yard.haproxy().pid().into(), &serde_json::json!([])));
    let started: Timestamp = worker["started_at"].as_str().unwrap().parse().unwrap();
    assert!(Timestamp::now().duration_since(started).as_secs() < 60, "{node:#}");
    let status = yard.run(&["status"]).expect_code(0);
    let line = status.stdout.lines().find(|line| line.contains(&format!("old worker {before}, "))).unwrap();
    assert!(line.ends_with(" s old, 1 connection, up to date"), "{line}");

    let new = yard.push();
    assert_eq!(yard.held(before), new.serial());
    let after_push = Hammer::start(yard.haproxy().https_addr(), NAME, Duration::from_millis(3), 2);
    yard.expect_nothing_to_do();
    assert_eq!(yard.node(0)["old_workers"][0]["outdated"], serde_json::json!([]));
    assert!(!yard.has_transaction(before));
    let report = after_push.stop();
    assert_eq!(report.expect_no_errors().serials, [new.serial()]);
    let report = hammer.stop();
    assert_eq!(report.expect_no_errors().serials, [old.serial(), new.serial()]);

    // The old connection is served to its end.
    assert_eq!(connection.finish().unwrap().status, 200);
    drop(connection);
    yard.haproxy().wait_old_workers_gone();
    assert_eq!(yard.node(0)["old_workers"], serde_json::json!([]));
}

fn what_is_not_ours_in_an_old_worker_is_left_alone(version: HaproxyVersion) {
    let mut yard = Yard::new(version, Known::Both);
    let ours = yard.push();
    let (connection, old) = yard.leave_behind();

    // Another program changes the old worker alone.
    let other = yard.house.pki.leaf(NAME).issue();
    yard.set(old, &other);
    yard.commit(old);
    let node = yard.node(2);
    let told = format!("old worker {old} still serves serial {} of certificate {NAME}", other.serial());
    assert_eq!(node["detail"], told.as_str(), "{node:#}");
    assert_eq!(node["old_workers"][0]["outdated"][0]["certificate"], NAME);
    let plan = yard.run(&["plan"]).expect_code(2);
    assert!(plan.stdout.contains(&format!("replace the certificate in {} in old worker {old}", yard.slot())));

    // And is in the middle of doing it again.
    yard.set(old, &other);
    let sync = yard.run(&["sync"]).expect_code(0);
    assert!(sync.stderr.contains("a certificate transaction that is not ours is open there"), "{sync:?}");
    assert!(yard.has_transaction(old));
    assert_eq!(yard.held(old), other.serial());
    // That is no reason not to load into the current one.
    let (leaf, file) = yard.house.leaf(NAME);
    let push = yard.run(&["push", &file]).expect_code(0);
    assert!(push.stderr.contains("not ours is open there"), "{push:?}");
    assert_eq!(yard.held(yard.haproxy().pid()), leaf.serial());
    assert!(yard.has_transaction(old));
    yard.commit(old);
    assert_ne!(yard.held(old), ours.serial());

    yard.run(&["sync"]).expect_code(0);
    assert_eq!(yard.held(old), leaf.serial());
    assert_eq!(yard.node(0)["detail"], Value::Null);
    yard.expect_nothing_to_do();
    drop(connection);
}

fn an_old_worker_may_end_in_the_middle_and_so_may_hotcert(version: HaproxyVersion) {
    let mut yard = Yard::new(version, Known::Both);
    yard.push();
    let (connection, old) = yard.leave_behind();
    // The first is the current worker's.
    let point = Point { step: "haproxy: certificate set".to_owned(), occurrence: 2 };

    let (leaf, file) = yard.leaf();
    let killed = Steps::run(&yard.arguments(&["push", &file]), Some(&point));
    assert!(killed.killed, "{killed:?}");
    assert!(yard.has_transaction(old));
    assert_ne!(yard.held(old), leaf.serial());
    yard.run(&["sync"]).expect_code(0);
    assert!(!yard.has_transaction(old));
    assert_eq!(yard.held(old), leaf.serial());
    yard.expect_nothing_to_do();

    let (leaf, file) = yard.leaf();
    let mut push = Stepping::start(&yard.arguments(&["push", &file]), Some((&point, Signal::STOP)));
    poll(DEADLINE, || (push.was_struck() || push.has_ended()).then_some(())).unwrap();
    drop(connection);
    yard.haproxy().wait_old_workers_gone();
    push.signal(Signal::CONT);
    let push = push.wait();
    assert!(push.succeeded, "{push:?}");
    assert!(!push.stderr.contains(&format!("old worker {old}")), "{push:?}");
    assert_eq!(sidecar::serial(yard.haproxy(), NAME).as_deref(), Some(leaf.serial()));
    assert_eq!(yard.node(0)["old_workers"], serde_json::json!([]));
    assert_eq!(yard.node(0)["detail"], Value::Null);
}

fn a_node_may_have_nothing_but_a_master_socket(version: HaproxyVersion) {
    let mut yard = Yard::new(version, Known::MasterAlone);
    let first = yard.push();
    assert_eq!(sidecar::serial(yard.haproxy(), NAME).as_deref(), Some(first.serial()));
    yard.expect_nothing_to_do();
    let node = yard.node(0);
    let address = format!("master@{}", yard.haproxy().master_socket().display());
    assert_eq!((&node["address"], &node["pid"]), (&address.as_str().into(), &yard.haproxy().pid().into()));

    // The same without a configuration.
    let mut push: Vec<OsString> = ["push", "--force", &yard.house.leaf("other.test").1].map(OsString::from).into();
    push.extend(["--socket".into(), address.clone().into(), "--crt-dir".into(), yard.haproxy().crt_dir().into()]);
    push.extend(["--state-dir".into(), yard.house.hotcert.state_dir().into()]);
    yard.house.hotcert.run(push).expect_code(0);
    assert!(sidecar::serial(yard.haproxy(), "other.test").is_some());

    let sidecar = Sidecar::start(&yard.house.hotcert, yard.flags());
    let (connection, old) = yard.leave_behind();
    let is_seen = |yard: &Yard| yard.seen_old_workers() == [u64::from(old)];
    assert!(poll(DEADLINE, || is_seen(&yard).then_some(())).is_some(), "{}", sidecar.log());
    let second = yard.push();
    assert_eq!((yard.held(old).as_str(), yard.held(yard.haproxy().pid()).as_str()), (second.serial(), second.serial()));
    drop(connection);
    yard.haproxy().wait_old_workers_gone();
    assert!(poll(DEADLINE, || yard.seen_old_workers().is_empty().then_some(())).is_some(), "{}", sidecar.log());

    yard.house.haproxy().kill();
    fs::write(yard.slot(), first.fullchain_and_key()).unwrap();
    yard.house.haproxy().restart();
    let right = sidecar::served_within(yard.haproxy(), NAME, second.serial(), PROMPT);
    assert!(right.is_some(), "not right within {PROMPT:?}\n{}", sidecar.log());
    sidecar.stop().0.expect_code(0);
}

fn a_reload_that_fails_makes_no_old_worker(version: HaproxyVersion) {
    let mut yard = Yard::new(version, Known::MasterAlone);
    yard.push();
    let pid = yard.haproxy().pid();
    let broken = yard.haproxy().scratch().write("certs/broken.pem", "no certificate");
    yard.house.haproxy().try_reload().unwrap_err();
    for known in [Known::MasterAlone, Known::Both] {
        yard.known = known;
        let node = yard.node(0);
        assert_eq!((&node["pid"], &node["old_workers"]), (&pid.into(), &serde_json::json!([])), "{node:#}");
    }
    yard.known = Known::MasterAlone;
    let leaf = yard.push();
    assert_eq!(sidecar::serial(yard.haproxy(), NAME).as_deref(), Some(leaf.serial()));
    yard.expect_nothing_to_do();

    // The next reload makes it an old worker in truth.
    fs::remove_file(broken).unwrap();
    let (_connection, old) = yard.leave_behind();
    assert_eq!(old, pid);
    let node = yard.node(0);
    assert_eq!((&node["pid"], &node["old_workers"][0]["pid"]), (&yard.haproxy().pid().into(), &pid.into()), "{node:#}");
}

/// What a hotcert leaves behind that was killed when the worker was the current one.
#[test]
fn our_own_stale_transaction_is_ended_though_its_worker_has_become_an_old_one() {
    let mut yard = Yard::new(HaproxyVersion::V3_2, Known::Both);
    yard.push();
    let (leaf, file) = yard.house.leaf(NAME);
    let slot: Slot = yard.slot().parse().unwrap();
    yard.set(yard.haproxy().pid(), &leaf);
    let store = Store::open(&yard.house.hotcert.state_dir()).unwrap();
    let slots = BTreeMap::from([(slot, Sha1::of(leaf.der()))]);
    let staging = Staging { haproxy_pid: yard.haproxy().pid(), since: Timestamp::now(), slots };
    let lock = store.try_lock_node(yard.haproxy().socket().to_str().unwrap()).unwrap().unwrap();
    store.note_staging(&lock, &staging).unwrap();
    drop(lock);
    let (_connection, old) = yard.leave_behind();
    assert!(yard.has_transaction(old));

    yard.run(&["push", &file]).expect_code(0);
    assert!(!yard.has_transaction(old));
    assert_eq!(yard.held(old), leaf.serial());
    yard.expect_nothing_to_do();
}

#[test]
fn a_master_that_cannot_be_asked_is_told_and_fails_no_push() {
    let yard = Yard::new(HaproxyVersion::V2_8, Known::Both);
    let ours = |master: &std::path::Path| yard.house.flags_and(&format!("master = {}\n", quoted(master)));
    let run = |master: &std::path::Path, arguments: &[&str]| {
        yard.house.hotcert.run(arguments.iter().map(OsString::from).chain(ours(master)))
    };
    for (master, expected) in [
        (yard.house.hotcert.scratch().join("missing.sock"), "there is no socket master@"),
        (yard.haproxy().socket(), "is not HAProxy's runtime API"),
    ] {
        let (leaf, file) = yard.house.leaf(NAME);
        let push = run(&master, &["push", &file]).expect_code(0);
        assert!(push.stderr.contains("old workers cannot be seen: ") && push.stderr.contains(expected), "{push:?}");
        assert_eq!(sidecar::serial(yard.haproxy(), NAME).as_deref(), Some(leaf.serial()));
    }
    let silent = FakeSocket::silent(yard.house.hotcert.scratch().join("silent.sock"));
    let status = run(silent.path(), &["status"]).expect_code(2);
    assert!(status.stdout.contains("old workers cannot be seen: no answer to `show proc` within 5 s"), "{status:?}");
    // The other way round.
    let mut plan: Vec<OsString> = ["plan", "--socket"].map(OsString::from).into();
    plan.extend([yard.haproxy().master_socket().into(), "--state-dir".into(), yard.house.hotcert.state_dir().into()]);
    let plan = yard.house.hotcert.run(plan).expect_code(1);
    assert!(plan.stderr.contains("is a master socket"), "{plan:?}");
    assert!(plan.stderr.contains("hint: write `master = \""), "{plan:?}");
}
