//! Several nodes: a new certificate is accepted by all before any serves it, and one that is away gets it later.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::process::signal_process;
use crate::support::sidecar::{self, DEADLINE, quoted};
use crate::support::{Haproxy, HaproxyVersion, House, Leaf, Sidecar, poll};
use rustix::process::Signal;
use serde_json::Value;

/// How soon a node that has come back has to be right.
const PROMPT: Duration = Duration::from_secs(2);
/// How long hotcert waits for a node that hangs.
const SILENCE: Duration = Duration::from_secs(5);
/// A PEM that fits a buffer of 32 kB, and not one of 16 kB.
const TOO_LARGE: usize = 20_000;
const NAME: &str = "shop.test";

/// The versions of five nodes.
const MIXED: [HaproxyVersion; 5] =
    [HaproxyVersion::V2_6, HaproxyVersion::V2_8, HaproxyVersion::V3_0, HaproxyVersion::V3_2, HaproxyVersion::V2_6];

/// Nodes that serve what is in a watched directory.
struct Fleet {
    house: House,
    directory: PathBuf,
    rest: String,
}

impl Fleet {
    fn new(nodes: impl IntoIterator<Item = crate::support::haproxy::Builder>, rest: &str) -> Self {
        let house = House::new(nodes);
        let directory = house.hotcert.scratch().dir("watched");
        let rest = format!("{rest}[[watch]]\ndir = {}\n", quoted(&directory));
        Self { house, directory, rest }
    }

    fn flags(&self) -> Vec<OsString> {
        self.house.flags_and(&self.rest)
    }

    fn sidecar(&self) -> Sidecar {
        Sidecar::start(&self.house.hotcert, self.flags())
    }

    fn status(&self) -> Value {
        let arguments = ["status", "--json"].iter().map(OsString::from).chain(self.flags());
        self.house.hotcert.run(arguments).json()
    }

    /// Writes a file as another program does.
    fn write(&self, leaf: &Leaf) {
        fs::write(self.directory.join(".new"), leaf.fullchain_and_key()).unwrap();
        fs::rename(self.directory.join(".new"), self.directory.join(format!("{NAME}.pem"))).unwrap();
    }

    fn new_leaf(&self) -> Leaf {
        let leaf = self.house.pki.leaf(NAME).issue();
        self.write(&leaf);
        leaf
    }

    fn published(&self, node: usize) -> PathBuf {
        self.house.nodes[node].crt_dir().join(format!("{NAME}.pem"))
    }

    /// Waits until these nodes show a leaf to clients.
    fn expect_served(&self, leaf: &Leaf, nodes: &[usize], within: Duration, sidecar: &Sidecar) {
        let is_served = |node: &usize| self.shows(*node, leaf);
        let served = poll(within, || nodes.iter().all(is_served).then_some(()));
        assert!(served.is_some(), "not served within {within:?}\n{}", sidecar.log());
    }

    fn shows(&self, node: usize, leaf: &Leaf) -> bool {
        sidecar::serial(&self.house.nodes[node], NAME).as_deref() == Some(leaf.serial())
    }

    /// Waits until a problem is told that says all this.
    fn expect_problem(&self, says: &[&str], sidecar: &Sidecar) {
        let is_told = || {
            let problems = self.status()["problems"].to_string();
            says.iter().all(|text| problems.contains(text)).then_some(())
        };
        assert!(poll(DEADLINE, is_told).is_some(), "{}\n{}", self.status()["problems"], sidecar.log());
    }
}

#[test]
fn five_nodes_of_mixed_versions_get_what_is_new_and_one_that_was_down_follows() {
    let mut fleet = Fleet::new(MIXED.map(Haproxy::new), "");
    let old = fleet.new_leaf();
    let sidecar = fleet.sidecar();
    fleet.expect_served(&old, &[0, 1, 2, 3, 4], DEADLINE, &sidecar);

    fleet.house.nodes[4].kill();
    let new = fleet.new_leaf();
    fleet.expect_served(&new, &[0, 1, 2, 3], DEADLINE, &sidecar);
    // It comes back with what it had, as a machine of its own would.
    fs::write(fleet.published(4), old.fullchain_and_key()).unwrap();
    fleet.house.nodes[4].restart();
    fleet.expect_served(&new, &[0, 1, 2, 3, 4], PROMPT, &sidecar);
    fleet.house.expect_no_open_transaction();
    sidecar.stop().0.expect_code(0);
    assert_eq!(fleet.house.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
}

#[test]
fn what_one_node_refuses_no_node_serves_even_after_a_restart() {
    let nodes = MIXED.map(|version| (version, Haproxy::new(version)));
    // The last one has a smaller buffer than the others.
    let nodes = nodes.into_iter().enumerate().map(|(at, (_, node))| match at {
        4 => node,
        _ => node.global("tune.bufsize 32768"),
    });
    let mut fleet = Fleet::new(nodes, "");
    let old = fleet.new_leaf();
    let sidecar = fleet.sidecar();
    let all = [0, 1, 2, 3, 4];
    fleet.expect_served(&old, &all, DEADLINE, &sidecar);

    fleet.write(&fleet.house.pki.leaf(NAME).pem_size(TOO_LARGE).issue());
    fleet.expect_problem(&["too large for node node4", "tune.bufsize 32768", NAME], &sidecar);
    let status = fleet.status();
    assert_eq!(status["certificates"][0]["state"], "stored", "{status}");
    for node in status["certificates"][0]["nodes"].as_array().unwrap() {
        assert_eq!(node["state"], "stale", "{status}");
    }
    // Each is brought back to what all have accepted.
    fs::remove_file(fleet.published(1)).unwrap();
    fleet.house.nodes[1].restart();
    fleet.expect_served(&old, &all, PROMPT, &sidecar);
    for node in all {
        let back = poll(DEADLINE, || {
            (fs::read_to_string(fleet.published(node)).ok()? == old.fullchain_and_key()).then_some(())
        });
        assert!(back.is_some(), "node {node}");
    }
    fleet.house.expect_no_open_transaction();

    let new = fleet.new_leaf();
    fleet.expect_served(&new, &all, DEADLINE, &sidecar);
    let mended = poll(DEADLINE, || (fleet.status()["problems"] == serde_json::json!([])).then_some(()));
    assert!(mended.is_some(), "{}", fleet.status());
    sidecar.stop().0.expect_code(0);
}

#[test]
fn a_certificate_that_requires_all_nodes_waits_for_the_one_that_is_down() {
    let mut fleet = Fleet::new([HaproxyVersion::V2_6, HaproxyVersion::V3_2].map(Haproxy::new), "");
    let [_, config]: [OsString; 2] = fleet.flags().try_into().unwrap();
    // A key of the top level stands before every table.
    let text = format!("require = \"all\"\n{}", fs::read_to_string(&config).unwrap());
    let config = fleet.house.hotcert.scratch().write("all.toml", text);
    let flags: [OsString; 2] = ["--config".into(), config.into()];
    let old = fleet.new_leaf();
    let sidecar = Sidecar::start(&fleet.house.hotcert, &flags);
    fleet.expect_served(&old, &[0, 1], DEADLINE, &sidecar);
    sidecar.stop().0.expect_code(0);

    fleet.house.nodes[1].kill();
    let (refused, file) = fleet.house.leaf(NAME);
    let push = ["push", &file, "--name", NAME, "--json"].map(OsString::from).into_iter().chain(flags.clone());
    let push = fleet.house.hotcert.run(push).expect_code(75);
    assert_eq!(push.json()["error"]["kind"], "node", "{push:?}");
    assert!(push.json()["error"].to_string().contains("node1"), "{push:?}");
    assert!(fleet.shows(0, &old) && !fleet.shows(0, &refused));

    let sidecar = Sidecar::start(&fleet.house.hotcert, &flags);
    let new = fleet.new_leaf();
    let told =
        poll(DEADLINE, || sidecar.log().contains("is loaded only when all its nodes can be reached").then_some(()));
    assert!(told.is_some(), "{}", sidecar.log());
    assert!(fleet.shows(0, &old));
    fleet.house.nodes[1].restart();
    fleet.expect_served(&new, &[0, 1], PROMPT, &sidecar);
    sidecar.stop().0.expect_code(0);
}

#[test]
fn a_node_that_hangs_delays_no_other() {
    let fleet = Fleet::new([HaproxyVersion::V2_6, HaproxyVersion::V2_8, HaproxyVersion::V3_2].map(Haproxy::new), "");
    let old = fleet.new_leaf();
    let sidecar = fleet.sidecar();
    fleet.expect_served(&old, &[0, 1, 2], DEADLINE, &sidecar);

    signal_process(fleet.house.nodes[1].main_pid(), Signal::STOP);
    let noticed = poll(DEADLINE, || (fleet.status()["nodes"][1]["reachable"] == false).then_some(()));
    let new = fleet.new_leaf();
    let began = Instant::now();
    let is_served = || (fleet.shows(0, &new) && fleet.shows(2, &new)).then_some(began.elapsed());
    let served = poll(DEADLINE, is_served);
    signal_process(fleet.house.nodes[1].main_pid(), Signal::CONT);
    assert!(noticed.is_some(), "{}", sidecar.log());
    assert!(served.is_some_and(|took| took < SILENCE), "{served:?}\n{}", sidecar.log());
    fleet.expect_served(&new, &[0, 1, 2], DEADLINE, &sidecar);
    sidecar.stop().0.expect_code(0);
}

#[test]
fn a_command_waits_only_once_for_a_node_that_hangs() {
    /// The deadline of a command, with time to spare on a busy machine, and less than twice as long.
    const ONCE: Duration = Duration::from_secs(9);
    let house = House::new([HaproxyVersion::V2_6, HaproxyVersion::V3_2].map(Haproxy::new));
    let (leaf, file) = house.leaf(NAME);
    signal_process(house.nodes[1].main_pid(), Signal::STOP);
    let began = Instant::now();
    let push = house.run(&["push", &file, "--json"]);
    let took = began.elapsed();
    signal_process(house.nodes[1].main_pid(), Signal::CONT);
    assert_eq!(push.expect_code(75).json()["error"]["kind"], "node");
    assert!(took < ONCE, "{took:?}");
    let shown = [0, 1].map(|node| sidecar::serial(&house.nodes[node], NAME));
    assert_eq!(shown, [Some(leaf.serial().to_owned()), None]);
    house.run(&["sync"]).expect_code(0);
    assert_eq!(sidecar::serial(&house.nodes[1], NAME).as_deref(), Some(leaf.serial()));
}

#[test]
fn to_go_back_to_what_one_node_refuses_changes_nothing() {
    let large = Haproxy::new(HaproxyVersion::V3_0).global("tune.bufsize 32768");
    let house = House::new([large, Haproxy::new(HaproxyVersion::V2_8)]);
    let first = house.pki.leaf(NAME).pem_size(TOO_LARGE).issue();
    house.hotcert.scratch().write("first.pem", first.fullchain_and_key());
    let run = |arguments: &[&str], nodes: &str| {
        let rest = format!(
            "[issuer.nobody]\ndirectory = \"https://127.0.0.1:1/dir\"\n\
             [[certificate]]\ndomains = [\"{NAME}\"]\nnodes = {nodes}\n"
        );
        house.hotcert.run(arguments.iter().map(OsString::from).chain(house.flags_and(&rest)))
    };
    let both = "[\"node0\", \"node1\"]";
    run(&["push", "first.pem"], "[\"node0\"]").expect_code(0);
    let (second, file) = house.leaf(NAME);
    run(&["push", &file], both).expect_code(0);

    let back = run(&["rollback", NAME, "--json"], both).expect_code(1);
    assert_eq!(back.json()["error"]["kind"], "too-large", "{back:?}");
    assert!(house.nodes.iter().all(|node| sidecar::serial(node, NAME).as_deref() == Some(second.serial())));
    assert_eq!(run(&["plan"], both).expect_code(0).stdout, "nothing to do\n");
    house.expect_no_open_transaction();
}

#[test]
fn a_certificate_for_a_group_reaches_its_nodes_alone() {
    let house = House::new([HaproxyVersion::V2_6, HaproxyVersion::V3_0, HaproxyVersion::V3_2].map(Haproxy::new));
    let rest = format!(
        "[group.west]\nnodes = [\"node0\", \"node2\"]\n[issuer.nobody]\ndirectory = \"https://127.0.0.1:1/dir\"\n\
         [[certificate]]\nname = \"{NAME}\"\ndomains = [\"{NAME}\"]\nnodes = [\"west\"]\nrequire = \"all\"\n"
    );
    let (leaf, file) = house.leaf(NAME);
    let push = ["push", &file].map(OsString::from).into_iter().chain(house.flags_and(&rest));
    house.hotcert.run(push).expect_code(0);
    let shown = [0, 1, 2].map(|node| sidecar::serial(&house.nodes[node], NAME));
    assert_eq!(shown, [Some(leaf.serial().to_owned()), None, Some(leaf.serial().to_owned())]);
    assert!(!Path::new(&house.nodes[1].crt_dir()).join(format!("{NAME}.pem")).exists());
}
