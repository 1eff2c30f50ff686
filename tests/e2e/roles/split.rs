//! `--role agent` and `--role loader`: two processes that share the store and nothing else.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use super::manager::Manager;
use crate::support::fake::FakeSocket;
use crate::support::sidecar::{self, DEADLINE, quoted};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Http01, Outcome, Pebble, PebbleVersion, Sidecar, Site, poll};

/// How long an order may take on a loaded machine.
const ORDERED: Duration = Duration::from_secs(40);

/// A site with a sidecar in two halves.
struct Split {
    site: Site,
    /// The agent's home. Its configuration leads to a socket that is not HAProxy's, and to a directory that is not there.
    agent: Hotcert,
    trap: FakeSocket,
    /// The loader's home. It has no network, not even a loopback.
    loader: Hotcert,
    manager: Manager,
}

impl Split {
    fn new(via: Http01, haproxy: HaproxyVersion, pebble: PebbleVersion) -> Self {
        let site = Site::answering(via, Haproxy::new(haproxy), Pebble::new(pebble));
        let manager = Manager::new();
        let agent = Hotcert::new().env("NOTIFY_SOCKET", manager.address());
        let trap = FakeSocket::silent(agent.scratch().join("admin.sock"));
        Self { site, agent, trap, loader: Hotcert::new().without_network(), manager }
    }

    /// Writes a configuration into somebody's home; returns the flag for it.
    fn config(&self, home: &Hotcert, socket: &Path, crt_dir: &Path, domains: &str) -> Vec<OsString> {
        let text = format!(
            "version = 1\nstate_dir = {}\nresolver = \"{}\"\n{}\
             [haproxy.edge]\nsocket = {}\ncrt_dir = {}\nverify = [\"{}\"]\n\
             [[certificate]]\nname = \"shop.test\"\ndomains = [{domains}]\n",
            quoted(self.site.hotcert.state_dir()),
            self.site.pebble.dns().addr(),
            self.site.authority_config(),
            quoted(socket),
            quoted(crt_dir),
            self.site.haproxy.https_addr(),
        );
        vec!["--config".into(), home.scratch().write("hotcert.toml", text).into()]
    }

    fn agent_flags(&self, domains: &str) -> Vec<OsString> {
        let nowhere = self.agent.scratch().join("nowhere");
        let flags = self.config(&self.agent, self.trap.path(), &nowhere, domains);
        [["--role".into(), "agent".into()].to_vec(), flags].concat()
    }

    fn loader_flags(&self, domains: &str) -> Vec<OsString> {
        self.config(&self.loader, &self.site.haproxy.socket(), &self.site.haproxy.crt_dir(), domains)
    }

    fn start_loader(&self) -> Sidecar {
        let role = ["--role", "loader", "-v"].map(OsString::from).to_vec();
        Sidecar::start(&self.loader, [role, self.loader_flags("\"shop.test\"")].concat())
    }

    /// A command of somebody who may do everything.
    fn run(&self, command: &[&str]) -> Outcome {
        let command = command.iter().map(OsString::from).collect();
        self.site.hotcert.run([command, self.loader_flags("\"shop.test\"")].concat())
    }

    /// The serial number that clients are shown, once it is another one.
    fn served_after(&self, before: Option<&str>, name: &str) -> Option<String> {
        poll(ORDERED, || sidecar::serial(&self.site.haproxy, name).filter(|serial| Some(serial.as_str()) != before))
    }
}

#[test]
fn two_halves_order_and_load_by_the_store_alone() {
    let kinds = [
        (Http01::Listener, HaproxyVersion::V3_2, PebbleVersion::V2_10),
        (Http01::Map, HaproxyVersion::V2_6, PebbleVersion::V2_4),
    ];
    for (via, haproxy, pebble) in kinds {
        let split = Split::new(via, haproxy, pebble);
        let loader = split.start_loader();
        let agent = Sidecar::start(&split.agent, split.agent_flags("\"shop.test\""));
        let logs = || format!("agent:\n{}\nloader:\n{}", agent.log(), loader.log());
        let first = split.served_after(None, "shop.test").unwrap_or_else(|| panic!("{}", logs()));
        let line = split.manager.hear_that(|message| message.contains("next renewal"));
        assert!(line.starts_with("STATUS=1 of 1 certificates stored; next renewal "), "{line}");

        // Without a network it is HAProxy's word that counts, and that is no failure.
        let is_served = |split: &Split| {
            let json = split.run(&["status", "--json"]).json();
            let certificate = &json["certificates"][0];
            (certificate["state"] == "serving" && certificate["nodes"][0]["verified"] == "memory").then_some(json)
        };
        let status = poll(DEADLINE, || is_served(&split));
        assert!(status.is_some(), "{}\n{}", split.run(&["status"]).stdout, logs());
        let outcome = split.run(&["status", "-vv"]).expect_code(0);
        assert!(outcome.stderr.contains("the daemon does it"), "{outcome:?}");
        assert_eq!(loader.log().matches("there is no network to shake hands").count(), 1, "{}", logs());

        // One name more makes it due: the whole way again, by both halves.
        let domains = "\"shop.test\", \"www.shop.test\"";
        split.agent_flags(domains);
        split.loader_flags(domains);
        for half in [&loader, &agent] {
            half.signal(Signal::HUP);
        }
        let second = split.served_after(Some(&first), "www.shop.test").unwrap_or_else(|| panic!("{}", logs()));
        assert_eq!(split.site.serial("shop.test"), Ok(second));
        assert_eq!(split.site.pebble.orders(), 2);

        let (agents, loaders) = (agent.stop().0.expect_code(0), loader.stop().0.expect_code(0));
        assert!(split.trap.received().is_empty(), "the agent has talked to a node\n{agents:?}");
        assert!(!agents.stderr.contains("WARN") && !loaders.stderr.contains("WARN"), "{agents:?}\n{loaders:?}");
        split.site.expect_nothing_half_done();
        let published = fs::read_to_string(split.site.haproxy.crt_dir().join("shop.test.pem")).unwrap();
        assert!(published.contains("PRIVATE KEY"));
        split.site.haproxy.check().unwrap();
    }
}

#[test]
fn beside_a_loader_orders_are_placed_by_whoever_asks_for_them_and_the_rest_is_its_part() {
    let split = Split::new(Http01::Map, HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let loader = split.start_loader();
    // Nobody orders yet.
    split.run(&["status"]).expect_code(2);
    let renewed = split.run(&["renew", "-vv", "--json"]).expect_code(0);
    assert_eq!(renewed.json()["ordered"][0], "shop.test");
    assert!(renewed.stderr.contains("this is not the daemon's part"), "{renewed:?}");
    let first = split.site.serial("shop.test").unwrap();
    let forced = split.run(&["renew", "--force", "--json"]).expect_code(0);
    assert_eq!(forced.json()["certificates"][0]["nodes"][0]["verified"], "handshake");
    let second = split.site.serial("shop.test").unwrap();
    assert_ne!(first, second);
    let issued = split.site.issue(&["other.test", "--json"]).expect_code(0);
    assert_eq!(issued.json()["ordered"][0], "other.test");

    for command in [&["plan"][..], &["sync"], &["list"], &["rollback", "shop.test"]] {
        let outcome = split.run(&[command, &["-vv"]].concat()).expect_code(0);
        assert!(outcome.stderr.contains("the daemon does it"), "{outcome:?}");
    }
    assert_eq!(split.site.serial("shop.test"), Ok(first));
    loader.stop().0.expect_code(0);
    split.site.expect_nothing_half_done();
}
