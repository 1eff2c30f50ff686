//! Asking for metrics, and reading them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;

use crate::support::http::{Response, connect, http_get, read_response};
use crate::support::net::Port;
use crate::support::sidecar::DEADLINE;
use crate::support::{Outcome, Sidecar, Town, poll, sidecar};

/// A town whose sidecar shows how everything stands.
pub struct Tower {
    pub town: Town,
    pub port: Port,
}

/// The samples of one scrape: name with labels as they are written, and value.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub text: String,
    samples: BTreeMap<String, f64>,
}

impl Tower {
    pub fn new(town: Town) -> Self {
        Self { town, port: Port::reserve() }
    }

    pub fn flags(&self) -> Vec<OsString> {
        let master = sidecar::quoted(self.town.house.nodes[0].master_socket());
        // Its orders are counted as those at Let's Encrypt are.
        let limited = "terms_agreed = true\nlimits = \"letsencrypt\"\n";
        let town = self.town.rest().replace("terms_agreed = true\n", limited);
        let rest = format!("master = {master}\n{town}{}", observe(&self.port));
        self.town.house.flags_and(&rest)
    }

    pub fn sidecar(&self) -> Sidecar {
        Sidecar::start(&self.town.house.hotcert, self.flags())
    }

    pub fn arguments(&self, arguments: &[&str]) -> Vec<OsString> {
        arguments.iter().map(OsString::from).chain(self.flags()).collect()
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.town.house.hotcert.run(self.arguments(arguments))
    }

    /// Waits until a scrape is as it should be.
    pub fn wait_for(&self, sidecar: &Sidecar, what: &str, is_right: impl Fn(&Scrape) -> bool) -> Scrape {
        let mut last = None;
        let found = poll(DEADLINE, || {
            // In the moment of a reload nobody answers.
            let scrape = Scrape::parse(get(&self.port, "/metrics")?.text());
            last = Some(scrape.clone());
            is_right(&scrape).then_some(scrape)
        });
        found.unwrap_or_else(|| {
            let last = last.map(|scrape| scrape.text).unwrap_or_default();
            panic!("not seen: {what}\n{last}\n{}", sidecar.log())
        })
    }
}

/// The lines of a configuration.
pub fn observe(port: &Port) -> String {
    format!("[observe]\nlisten = \"{}\"\n", port.addr())
}

/// One request; `None` while nobody answers.
pub fn get(port: &Port, path: &str) -> Option<Response> {
    http_get(port.addr(), &port.addr().to_string(), path).ok()
}

/// One request of somebody who wants a certain kind of answer.
pub fn get_as(port: &Port, path: &str, accept: &str) -> Response {
    let mut stream = connect(port.addr()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    read_response(&mut stream).unwrap()
}

impl Scrape {
    pub fn parse(text: String) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        let samples: BTreeMap<String, f64> = lines.clone().map(sample).collect();
        assert_eq!(samples.len(), lines.count(), "a series is there twice:\n{text}");
        Self { text, samples }
    }

    /// A value, by its name with all labels.
    pub fn get(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    pub fn is(&self, series: &str, value: u32) -> bool {
        self.get(series) == Some(f64::from(value))
    }

    /// The names of all metrics, without labels.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.samples.keys().filter_map(|series| series.split('{').next())
    }

    /// The end of validity of a certificate.
    pub fn not_after(&self, certificate: &str, node: &str, place: &str) -> Option<f64> {
        let labels = format!("certificate=\"{certificate}\",node=\"{node}\",where=\"{place}\"");
        self.get(&format!("hotcert_certificate_not_after_timestamp_seconds{{{labels}}}"))
    }

    /// How many certificates of a node are in a state.
    pub fn in_state(&self, state: &str) -> Option<f64> {
        self.get(&format!("hotcert_node_certificates{{node=\"node0\",state=\"{state}\"}}"))
    }

    /// How many were loaded.
    pub fn loaded(&self) -> f64 {
        self.get("hotcert_pushes_total{node=\"node0\",outcome=\"loaded\"}").unwrap_or(0.0)
    }
}
