//! The DNS server that Pebble asks while it validates: `pebble-challtestsrv`.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};

use super::http::{self, http_post};
use super::net::Port;
use super::process::Process;
use super::{PebbleVersion, SERVER_DEADLINE, Scratch};

/// How often to pick other ports when one was taken between being picked and being bound; only UDP ports can be.
const STARTS: usize = 5;

/// A DNS server that answers every A question with 127.0.0.1, and every AAAA question with nothing, until told otherwise.
#[derive(Debug)]
pub struct Dns {
    _process: Process,
    questions: Port,
    management: Port,
    _scratch: Scratch,
}

impl Dns {
    /// Starts the one that belongs to a version of Pebble.
    pub fn start(version: PebbleVersion) -> Self {
        let mut last = String::new();
        for _ in 0..STARTS {
            match Self::try_start(version) {
                Ok(dns) => return dns,
                Err(error) => last = error,
            }
        }
        panic!("{last}");
    }

    /// Where it answers DNS questions, by UDP and TCP.
    pub fn addr(&self) -> SocketAddr {
        self.questions.addr()
    }

    /// Where it takes HTTP requests that change its records.
    pub fn management_addr(&self) -> SocketAddr {
        self.management.addr()
    }

    /// Adds a TXT record; `host` ends in a dot.
    pub fn set_txt(&self, host: &str, value: &str) {
        self.post("/set-txt", &json!({ "host": host, "value": value }));
    }

    /// Removes the TXT records of a host.
    pub fn clear_txt(&self, host: &str) {
        self.post("/clear-txt", &json!({ "host": host }));
    }

    /// Sets the A records of a host.
    pub fn add_a(&self, host: &str, addresses: &[&str]) {
        self.post("/add-a", &json!({ "host": host, "addresses": addresses }));
    }

    /// Sets the address of hosts that have none of their own; empty for none.
    pub fn set_default_ipv4(&self, address: &str) {
        self.post("/set-default-ipv4", &json!({ "ip": address }));
    }

    /// Sets the CAA records of a host, each a tag with a value.
    pub fn add_caa(&self, host: &str, records: &[(&str, &str)]) {
        let policies: Vec<_> = records.iter().map(|(tag, value)| json!({ "tag": tag, "value": value })).collect();
        self.post("/add-caa", &json!({ "host": host, "policies": policies }));
    }

    /// Makes one host an alias of another.
    pub fn set_cname(&self, host: &str, target: &str) {
        self.post("/set-cname", &json!({ "host": host, "target": target }));
    }

    /// Answers `SERVFAIL` to every question about a host.
    pub fn set_servfail(&self, host: &str) {
        self.post("/set-servfail", &json!({ "host": host }));
    }

    /// Ends what [`Dns::set_servfail`] began.
    pub fn clear_servfail(&self, host: &str) {
        self.post("/clear-servfail", &json!({ "host": host }));
    }

    /// The questions asked about a host, as `pebble-challtestsrv` records them.
    pub fn history(&self, host: &str) -> Value {
        // It is the one request that wants the name without the last dot.
        let body = self.post("/dns-request-history", &json!({ "host": host.trim_end_matches('.') }));
        serde_json::from_slice(&body).expect("the history is JSON")
    }

    fn try_start(version: PebbleVersion) -> Result<Self, String> {
        let scratch = Scratch::new();
        let (questions, management) = (Port::reserve_with_udp(), Port::reserve());
        let mut command = Command::new(version.program("pebble-challtestsrv"));
        match version {
            PebbleVersion::V2_4 => command.arg("-dns01").arg(questions.addr().to_string()),
            PebbleVersion::V2_10 => command.arg("-dnsserver").arg(questions.addr().to_string()).args(["-doh", ""]),
        };
        command.arg("-management").arg(management.addr().to_string());
        command.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let mut process = Process::spawn("pebble-challtestsrv", &mut command, &scratch.join("dns.log"));
        process.wait_ready(SERVER_DEADLINE, || http::listens(management.addr()).then_some(()))?;
        process.wait_ready(SERVER_DEADLINE, || http::listens(questions.addr()).then_some(()))?;
        Ok(Self { _process: process, questions, management, _scratch: scratch })
    }

    fn post(&self, path: &str, body: &Value) -> Vec<u8> {
        let response = http_post(self.management.addr(), path, &body.to_string()).expect("the DNS server is asked");
        assert_eq!(response.status, 200, "{path} {body}: {}", response.text());
        response.body
    }
}
