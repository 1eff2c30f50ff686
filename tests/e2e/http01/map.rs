//! Tokens in the maps of two HAProxy servers, while the authority is held at a gate.

use std::ffi::OsString;

use hotcert::solver::{Via, haproxy_lines};
use rustix::process::Signal;

use super::gate::Gate;
use super::{NEW, OLD};
use crate::support::client::{self, Options};
use crate::support::hotcert::Running;
use crate::support::{
    Haproxy, HaproxyVersion, Hotcert, Http01, Pebble, PebbleVersion, SERVER_DEADLINE, Scratch, Site, poll, process,
};

/// Two HAProxy servers with one name for their map, and an authority that comes through a gate.
struct Two {
    // Before their directory: fields are dropped in this order.
    nodes: [Haproxy; 2],
    pebble: Pebble,
    gate: Gate,
    hotcert: Hotcert,
    shared: Scratch,
}

impl Two {
    fn new((haproxy, pebble): (HaproxyVersion, PebbleVersion)) -> Self {
        let shared = Scratch::new();
        shared.dir("certs");
        let map = shared.write("acme.map", "");
        let (major, minor) = haproxy.name().split_once('.').unwrap();
        // The lines that we print are the lines that are used.
        let lines =
            haproxy_lines(Via::Map(map.to_str().unwrap()), Some((major.parse().unwrap(), minor.parse().unwrap())));
        let config = format!(
            "global\n    maxconn 1000\n    stats socket {{socket}} mode 600 level admin expose-fd listeners\n\
             defaults\n    mode http\n    timeout client 10s\n    timeout server 10s\n    timeout connect 5s\n\
             frontend http\n    bind 127.0.0.1:{{http}}\n{lines}\n\
             frontend https\n    bind 127.0.0.1:{{https}} ssl crt {}/ strict-sni\n    http-request return status 200\n",
            shared.join("certs").display()
        );
        let nodes = [0, 1].map(|_| Haproxy::new(haproxy).config(&config).start());
        let gate = Gate::new();
        let pebble = Pebble::new(pebble).http01(gate.addr()).start();
        Self { nodes, pebble, gate, hotcert: Hotcert::new(), shared }
    }

    fn issue(&self, name: &str) -> Running {
        self.issue_by("acme.map", name)
    }

    fn issue_by(&self, map: &str, name: &str) -> Running {
        let mut arguments: Vec<OsString> = ["issue", "--json", "--agree-terms", name].map(OsString::from).into();
        let mut flag = |flag: &str, value: OsString| arguments.extend([flag.into(), value]);
        for node in &self.nodes {
            flag("--socket", node.socket().into());
        }
        flag("--state-dir", self.hotcert.state_dir().into());
        flag("--crt-dir", self.shared.join("certs").into());
        flag("--directory", self.pebble.directory().into());
        flag("--root-ca", self.pebble.root_ca().into());
        flag("--contact", "admin@example.org".into());
        flag("--http-01-map", self.shared.join(map).into());
        flag("--http-01-probe", self.nodes[0].http_addr().to_string().into());
        self.hotcert.spawn(arguments)
    }

    /// The tokens that a node would answer.
    fn tokens(&self, at: usize) -> Vec<String> {
        let map = self.nodes[at].cli(&format!("show map {}", self.shared.join("acme.map").display()));
        map.lines().filter_map(|line| Some(line.split(' ').nth(1)?.to_owned())).collect()
    }

    fn expect_no_tokens(&self) {
        assert_eq!([self.tokens(0), self.tokens(1)], [const { Vec::<String>::new() }; 2]);
        let left = std::fs::read_dir(self.hotcert.state_dir().join("tokens")).into_iter().flatten().count();
        assert_eq!(left, 0, "tokens are left in the store");
    }

    fn serials(&self, name: &str) -> [Option<String>; 2] {
        let serial = |node: &Haproxy| client::handshake(node.https_addr(), name, Options::default()).ok();
        [0, 1].map(|at| serial(&self.nodes[at]).map(|served| served.serial))
    }
}

fn tokens_are_on_every_node_and_come_back_after_a_reload(servers: (HaproxyVersion, PebbleVersion)) {
    let mut two = Two::new(servers);

    // Whatever the authority is answered, nothing is left behind.
    let issue = two.issue("shop.test");
    two.gate.wait_asked();
    let tokens = [two.tokens(0), two.tokens(1)];
    assert_eq!((tokens[0].len(), &tokens[0]), (1, &tokens[1]));
    two.gate.refuse();
    let failed = issue.wait(SERVER_DEADLINE).expect_code(1);
    assert_eq!(failed.json()["error"]["kind"], "authority", "{failed:?}");
    two.expect_no_tokens();
    assert_eq!(two.serials("shop.test"), [None, None]);

    // A reload empties the map while the authority is on its way.
    two.gate.hold();
    let issue = two.issue("shop.test");
    two.gate.wait_asked();
    let tokens = two.tokens(0);
    two.nodes[1].reload();
    let back = poll(SERVER_DEADLINE, || Some(two.tokens(1)).filter(|found| !found.is_empty()));
    assert_eq!(back, Some(tokens));
    two.gate.pass(two.nodes[1].http_addr());
    let issued = issue.wait(SERVER_DEADLINE).expect_code(0).json();
    let serial = issued["certificates"][0]["serial"].as_str().map(str::to_owned);
    assert_eq!(two.serials("shop.test"), [serial.clone(), serial.clone()]);
    two.expect_no_tokens();

    // Both nodes and the map are remembered.
    let state_dir = two.hotcert.state_dir();
    let renewed = two.hotcert.run(["renew", "--force", "--json", "--state-dir", state_dir.to_str().unwrap()]);
    let renewed = renewed.expect_code(0).json();
    let next = renewed["certificates"][0]["serial"].as_str().map(str::to_owned);
    assert_eq!(two.serials("shop.test"), [next.clone(), next.clone()]);
    assert_ne!(next, serial);
    two.expect_no_tokens();
}

#[test]
fn tokens_are_on_every_node_and_come_back_after_a_reload_of_old_servers() {
    tokens_are_on_every_node_and_come_back_after_a_reload(OLD);
}

#[test]
fn tokens_are_on_every_node_and_come_back_after_a_reload_of_new_servers() {
    tokens_are_on_every_node_and_come_back_after_a_reload(NEW);
}

#[test]
fn an_order_that_is_interrupted_leaves_no_token_and_is_followed_up() {
    let two = Two::new(NEW);
    let issue = two.issue("shop.test");
    two.gate.wait_asked();
    assert_eq!(two.tokens(1).len(), 1);
    let stopped = issue.stop().expect_code(75);
    assert_eq!(stopped.json()["error"]["kind"], "interrupted", "{stopped:?}");
    two.expect_no_tokens();

    two.gate.pass(two.nodes[1].http_addr());
    two.issue("shop.test").wait(SERVER_DEADLINE).expect_code(0);
    assert_eq!(two.pebble.certificates(), 1);
    two.expect_no_tokens();
}

/// A token on some nodes only would fail the order whenever the authority meets another, which a node that hangs still lets it.
#[test]
fn no_order_is_spent_while_a_node_cannot_be_given_tokens() {
    let two = Two::new(OLD);
    let hanging = two.nodes[1].pid();
    process::signal_process(hanging, Signal::STOP);
    let issue = two.issue("shop.test").wait(SERVER_DEADLINE).expect_code(75);
    assert_eq!(issue.json()["error"]["kind"], "node", "{issue:?}");
    assert_eq!(two.pebble.orders(), 0);
    process::signal_process(hanging, Signal::CONT);

    two.gate.pass(two.nodes[1].http_addr());
    two.issue("shop.test").wait(SERVER_DEADLINE).expect_code(0);
    two.expect_no_tokens();
}

#[test]
fn a_map_that_haproxy_does_not_have_is_named_at_once_and_holds_up_no_other_order() {
    let mut two = Two::new(NEW);
    let good = two.issue("shop.test");
    two.gate.wait_asked();

    let failed = two.issue_by("other.map", "lost.test").wait(SERVER_DEADLINE).expect_code(1);
    let error = &failed.json()["error"];
    assert_eq!(error["kind"], "node", "{failed:?}");
    assert!(error["causes"][0].as_str().is_some_and(|text| text.ends_with("HAProxy has no such map")), "{error}");
    assert!(error["hint"].as_str().is_some_and(|text| text.contains("name the map")), "{error}");
    assert_eq!(two.pebble.orders(), 1);

    two.nodes[1].reload();
    assert!(poll(SERVER_DEADLINE, || Some(two.tokens(1)).filter(|found| found.len() == 1)).is_some());
    two.gate.pass(two.nodes[1].http_addr());
    good.wait(SERVER_DEADLINE).expect_code(0);
    two.expect_no_tokens();
}

/// The authority cannot meet a node that is down, and the others have to go on for as long as that takes.
#[test]
fn a_node_that_is_down_holds_up_no_order() {
    let mut two = Two::new(OLD);
    two.nodes[1].kill();
    two.gate.pass(two.nodes[0].http_addr());
    let issue = two.issue("shop.test").wait(SERVER_DEADLINE).expect_code(75);
    assert_eq!(issue.json()["error"]["kind"], "node", "{issue:?}");
    assert_eq!(two.pebble.orders(), 1);
    two.nodes[1].restart();
    two.issue("shop.test").wait(SERVER_DEADLINE).expect_code(0);
    assert_eq!(two.pebble.orders(), 1);
    two.expect_no_tokens();
}

#[test]
fn a_map_may_be_virtual() {
    let (haproxy, pebble) = NEW;
    let site = Site::answering(Http01::VirtualMap, Haproxy::new(haproxy), Pebble::new(pebble));
    let names = ["shop.test", "www.shop.test", "mail.shop.test"];
    site.issue(&names).expect_code(0);
    assert!(site.serial("mail.shop.test").is_ok());
    let map = site.haproxy.cli("show map virt@acme");
    assert!(map.trim().is_empty(), "{map}");
    site.expect_nothing_half_done();
}
