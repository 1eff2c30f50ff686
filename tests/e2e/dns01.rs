//! dns-01 against a real BIND: wildcards, delegation, other records, slow servers, programs; and nothing is left behind.

mod crash;
mod hosted;
mod programs;
mod refused;

use std::ffi::OsString;
use std::net::SocketAddr;

use crate::support::bind::OTHER;
use crate::support::sidecar::quoted;
use crate::support::{Bind, Haproxy, HaproxyVersion, Hotcert, Outcome, Pebble, PebbleVersion, Sidecar, poll, sidecar};
use rustix::process::Signal;

/// An authority that asks a BIND, and a user whose configuration names certificates.
struct County {
    bind: Bind,
    pebble: Pebble,
    hotcert: Hotcert,
}

impl County {
    fn new() -> Self {
        let bind = Bind::start();
        let pebble = Pebble::new(PebbleVersion::V2_10).dns(bind.addr()).start();
        Self { bind, pebble, hotcert: Hotcert::new() }
    }

    /// The usual solver.
    fn rfc2136(&self) -> String {
        format!(
            "provider = \"rfc2136\"\nserver = \"{}\"\ntsig = {{ key_file = {} }}",
            self.bind.addr(),
            quoted(self.bind.key_file())
        )
    }

    /// The configuration with a solver and a certificate, as flags.
    fn flags(&self, solver: &str, name: &str, domains: &[&str]) -> Vec<OsString> {
        self.flags_of(&self.hotcert, solver, name, domains)
    }

    fn flags_of(&self, hotcert: &Hotcert, solver: &str, name: &str, domains: &[&str]) -> Vec<OsString> {
        let text = self.head(hotcert) + &self.rest(solver, name, domains);
        let file = hotcert.scratch().write(format!("{name}.toml"), text);
        vec!["--config".into(), file.into()]
    }

    fn head(&self, hotcert: &Hotcert) -> String {
        head(hotcert, self.bind.addr())
    }

    fn rest(&self, solver: &str, name: &str, domains: &[&str]) -> String {
        rest(&self.pebble, &format!("[solver.dns]\ntype = \"dns-01\"\n{solver}\n"), name, domains)
    }

    /// Orders what is due.
    fn renew(&self, solver: &str, name: &str, domains: &[&str]) -> Outcome {
        self.run(&["renew", "-v", "--json"], solver, name, domains)
    }

    fn run(&self, command: &[&str], solver: &str, name: &str, domains: &[&str]) -> Outcome {
        let command = command.iter().map(OsString::from).chain(self.flags(solver, name, domains));
        self.hotcert.run(command.collect::<Vec<_>>())
    }

    /// The names of the stored certificate.
    fn stored(&self, name: &str) -> Vec<String> {
        let place = self.hotcert.state_dir().join("certs").join(name).join("current/meta.json");
        let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(place).unwrap()).unwrap();
        serde_json::from_value(meta["facts"]["names"].clone()).unwrap_or_else(|_| panic!("{meta}"))
    }

    /// Checks that no record and no note of one is left.
    #[track_caller]
    fn expect_tidy(&self, records: &[&str]) {
        for record in records {
            assert_eq!(self.bind.txt(record), [] as [String; 0], "{record}\n{}", self.bind.log());
        }
        expect_no_notes(&self.hotcert);
    }
}

fn head(hotcert: &Hotcert, resolver: SocketAddr) -> String {
    format!("version = 1\nstate_dir = {}\nresolver = \"{resolver}\"\n", quoted(hotcert.state_dir()))
}

/// The authority, the solvers and a certificate.
fn rest(pebble: &Pebble, solvers: &str, name: &str, domains: &[&str]) -> String {
    format!(
        "[issuer.pebble]\ndirectory = {:?}\nroot_ca = {}\ncontact = [\"admin@example.org\"]\nterms_agreed = true\n\
         {solvers}[[certificate]]\nname = {name:?}\ndomains = {domains:?}\n",
        pebble.directory(),
        quoted(pebble.root_ca()),
    )
}

#[track_caller]
fn expect_no_notes(hotcert: &Hotcert) {
    for directory in ["tokens", "scratch"] {
        let entries = std::fs::read_dir(hotcert.state_dir().join(directory)).into_iter().flatten();
        let left: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_wildcard_and_its_base_are_proved_by_two_values_at_one_name() {
    let county = County::new();
    county.renew(&county.rfc2136(), "a", &["*.a.test", "a.test"]).expect_code(0);
    assert_eq!(county.stored("a"), ["*.a.test", "a.test"]);
    assert_eq!(county.bind.log().matches("adding an RR at '_acme-challenge.a.test' TXT").count(), 2);
    assert_eq!(county.bind.log().matches("deleting an RR at _acme-challenge.a.test TXT").count(), 2);
    county.expect_tidy(&["_acme-challenge.a.test"]);
}

#[test]
fn what_else_stands_at_the_name_stays() {
    let county = County::new();
    county.renew(&county.rfc2136(), "shared", &["shared.test", "*.shared.test"]).expect_code(0);
    assert_eq!(county.bind.txt("_acme-challenge.shared.test"), [OTHER]);
    county.expect_tidy(&[]);
}

#[test]
fn a_delegated_challenge_is_answered_where_the_alias_leads() {
    let county = County::new();
    county.renew(&county.rfc2136(), "delegated", &["delegated.test", "*.delegated.test", "b.test"]).expect_code(0);
    assert_eq!(county.bind.log().matches("adding an RR at 'delegated.acme.example' TXT").count(), 2);
    county.expect_tidy(&["delegated.acme.example", "_acme-challenge.b.test"]);
}

/// The authority asks the slower server alone: if it were told before that one has the record, it would fail.
#[test]
fn every_server_has_the_record_before_the_authority_is_told() {
    let (bind, secondary) = Bind::pair(true);
    let pebble = Pebble::new(PebbleVersion::V2_10).dns(secondary.addr()).start();
    let county = County { bind, pebble, hotcert: Hotcert::new() };
    let outcome = county.renew(&county.rfc2136(), "slow", &["slow.test"]).expect_code(0);
    assert!(outcome.stderr.contains("servers=2"), "{outcome:?}");
    county.expect_tidy(&["_acme-challenge.slow.test"]);
}

#[test]
fn a_server_that_never_has_the_record_is_named_and_the_authority_is_not_told() {
    let (bind, secondary) = Bind::pair(false);
    let pebble = Pebble::new(PebbleVersion::V2_10).dns(bind.addr()).start();
    let county = County { bind, pebble, hotcert: Hotcert::new() };
    let solver = format!("{}\npropagation = \"1s\"", county.rfc2136());
    let outcome = county.renew(&solver, "late", &["late.test"]).expect_code(75);
    let told = format!("ns1.test ({}): answers without it", secondary.named_addr());
    assert!(outcome.stderr.contains(&told), "{outcome:?}");
    assert_eq!(county.pebble.requests("/chalZ/"), 0, "{}", county.pebble.log());
    county.expect_tidy(&["_acme-challenge.late.test"]);
}

#[test]
fn an_interrupted_command_leaves_no_record() {
    let (bind, secondary) = Bind::pair(false);
    let pebble = Pebble::new(PebbleVersion::V2_10).dns(secondary.addr()).start();
    let county = County { bind, pebble, hotcert: Hotcert::new() };
    let command = ["renew", "-v"].iter().map(OsString::from);
    let command = command.chain(county.flags(&county.rfc2136(), "stopped", &["stopped.test", "*.stopped.test"]));
    let mut running = county.hotcert.spawn(command.collect::<Vec<_>>());
    running.wait_for("looking for the record");
    assert_eq!(county.bind.txt("_acme-challenge.stopped.test").len(), 2);
    running.signal(Signal::TERM);
    let ended = running.wait(sidecar::DEADLINE);
    assert_ne!(ended.code, Some(0), "{ended:?}");
    county.expect_tidy(&["_acme-challenge.stopped.test"]);
}

#[test]
fn a_sidecar_orders_a_wildcard_and_loads_it() {
    let county = County::new();
    let haproxy = Haproxy::new(HaproxyVersion::V3_2).start();
    let rest = format!(
        "{}[haproxy.edge]\nsocket = {}\ncrt_dir = {}\n",
        county.rest(&county.rfc2136(), "w", &["*.w.test"]),
        quoted(haproxy.socket()),
        quoted(haproxy.crt_dir())
    );
    let config = county.hotcert.scratch().write("run.toml", county.head(&county.hotcert) + &rest);
    let sidecar = Sidecar::start_unready(&county.hotcert, [OsString::from("--config"), config.into()]);
    let served = poll(sidecar::DEADLINE, || sidecar::serial(&haproxy, "any.w.test"));
    assert!(served.is_some(), "{}", sidecar.log());
    sidecar.stop();
    county.expect_tidy(&["_acme-challenge.w.test"]);
}
