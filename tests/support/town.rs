//! A house with an authority: `hotcert run` orders what it loads.

use std::ffi::OsString;

use super::haproxy::Builder;
use super::sidecar::quoted;
use super::{House, Http01, Outcome, Pebble, PebbleVersion, Sidecar, Webroot, pebble, poll, sidecar};

/// How challenges are answered without a process of hotcert, so that one that is killed fails no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// By HAProxy, from a map.
    Map,
    /// By a web server of its own.
    Webroot,
}

/// HAProxy, Pebble, and a user whose configuration names certificates to be ordered.
#[derive(Debug)]
pub struct Town {
    pub house: House,
    pub pebble: Pebble,
    pub webroot: Option<Webroot>,
    pub names: Vec<String>,
}

impl Town {
    /// A town in which these certificates are configured, and none exists.
    pub fn new(answering: Answering, haproxy: Builder, pebble: PebbleVersion, names: &[&str]) -> Self {
        let http01 = if answering == Answering::Map { Http01::Map } else { Http01::Listener };
        let house = House::new([haproxy.http01(http01)]);
        let haproxy = &house.nodes[0];
        let webroot = (answering == Answering::Webroot).then(|| Webroot::serve(haproxy.acme_addr()));
        let pebble = Pebble::new(pebble).http01(haproxy.http_addr()).start();
        Self { house, pebble, webroot, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// What the configuration says beside the nodes.
    pub fn rest(&self) -> String {
        let haproxy = &self.house.nodes[0];
        let answer = match &self.webroot {
            Some(webroot) => format!("via = \"webroot\"\npath = {}", quoted(webroot.path())),
            None => format!("via = \"haproxy-map\"\nmap = {}", quoted(haproxy.map())),
        };
        let (directory, root_ca, probe) = (self.pebble.directory(), quoted(self.pebble.root_ca()), haproxy.http_addr());
        let mut text = format!(
            "[issuer.pebble]\ndirectory = \"{directory}\"\nroot_ca = {root_ca}\ncontact = [\"admin@example.org\"]\n\
             terms_agreed = true\n[solver.http]\ntype = \"http-01\"\n{answer}\nprobe = \"{probe}\"\n"
        );
        for name in &self.names {
            text.push_str(&format!("[[certificate]]\nname = \"{name}\"\ndomains = [\"{name}\"]\n"));
        }
        text
    }

    /// The flag with the configuration of all.
    pub fn flags(&self) -> Vec<OsString> {
        self.house.flags_and(&self.rest())
    }

    /// Starts the sidecar, and waits for nothing.
    pub fn sidecar(&self) -> Sidecar {
        Sidecar::start_unready(&self.house.hotcert, self.flags())
    }

    /// Runs a command with the configuration of all.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let arguments = arguments.iter().map(OsString::from).chain(self.flags());
        self.house.hotcert.run(arguments)
    }

    /// The serial number of the current generation.
    pub fn stored(&self, name: &str) -> Option<String> {
        let place = self.house.hotcert.state_dir().join("certs").join(name).join("current/meta.json");
        let meta: serde_json::Value = serde_json::from_slice(&std::fs::read(place).ok()?).ok()?;
        Some(meta["facts"]["serial"].as_str()?.to_owned())
    }

    /// The number of the current generation, 0 where there is none.
    pub fn generation(&self, name: &str) -> usize {
        let link = self.house.hotcert.state_dir().join("certs").join(name).join("current");
        let target = std::fs::read_link(link).unwrap_or_default();
        target.file_name().and_then(|number| number.to_str()?.parse().ok()).unwrap_or(0)
    }

    /// How many generations were stored, of all certificates.
    pub fn generations(&self) -> usize {
        self.names.iter().map(|name| self.generation(name)).sum()
    }

    /// Whether clients get the current generation of each certificate.
    pub fn is_served(&self) -> bool {
        let is_right = |name: &String| {
            let stored = self.stored(name);
            stored.is_some() && stored == sidecar::serial(&self.house.nodes[0], name)
        };
        self.names.iter().all(is_right)
    }

    /// Waits until it is so, or fails the test with what the sidecar says.
    pub fn expect_served(&self, sidecar: &Sidecar) {
        let served = poll(sidecar::DEADLINE, || self.is_served().then_some(()));
        assert!(served.is_some(), "not served\n{}", sidecar.log());
    }

    /// The answers to challenges that are still given.
    pub fn answers(&self) -> Vec<String> {
        if let Some(webroot) = &self.webroot {
            return webroot.challenges().iter().map(|path| path.display().to_string()).collect();
        }
        let haproxy = &self.house.nodes[0];
        let map = haproxy.cli(&format!("show map {}", haproxy.map().display()));
        map.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    }

    /// Checks that nothing is half done: in HAProxy, in its directory, in the store.
    pub fn expect_nothing_half_done(&self) {
        self.house.expect_no_open_transaction();
        assert_eq!(self.answers(), Vec::<String>::new(), "answers to challenges are left");
        self.house.expect_no_leftovers();
    }
}
