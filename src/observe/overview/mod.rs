//! How everything stands, prepared for people: judged, worst first, and what is wrong in groups.
//!
//! The status page and `hotcert top` show this, so that they judge alike. It is plain text and instants, without a secret, and can be
//! sent from a daemon to the program.

mod judge;
mod problems;
mod scale;
mod when;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use judge::Tone;
pub use problems::Trouble;
pub use scale::{Scale, Span, Tick};
pub use when::{iso, lasting, relative};

use super::snapshot::{Event, EventKind};
use crate::reconcile::{NodeReport, OldWorker, Report};

/// How everything stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// What needs a look, worst first; the same trouble of many certificates is one entry.
    pub troubles: Vec<Trouble>,
    /// The certificates: worst first, then by name.
    pub certificates: Vec<Certificate>,
    /// The nodes, by name.
    pub nodes: Vec<Node>,
    /// What happened of late, the latest first; `None` where nobody remembers it.
    pub events: Option<Vec<Happening>>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The name by which people know it.
    pub name: String,
    /// Its key, as in `ecdsa-p256`; two certificates of one name differ in it.
    pub key: Option<String>,
    /// What it covers.
    pub domains: Vec<String>,
    /// Where it came from.
    pub source: String,
    /// Its issuer by its name in the configuration.
    pub issuer: Option<String>,
    /// Its state, in the words of `status`.
    pub state: String,
    /// How that is judged.
    pub tone: Tone,
    /// Serial number.
    pub serial: Option<String>,
    /// SHA-256 fingerprint.
    pub sha256: Option<String>,
    /// From when until when it is valid.
    pub life: Option<(Timestamp, Timestamp)>,
    /// When it is due.
    pub renew_at: Option<Timestamp>,
    /// From when until when its authority suggests to renew it, where that is known.
    pub window: Option<(Timestamp, Timestamp)>,
    /// From when on little of its life is left; for one that hotcert orders.
    pub emergency_at: Option<Timestamp>,
    /// Number of the current generation.
    pub generation: Option<u64>,
    /// What each node serves.
    pub served: Vec<Served>,
}

/// A certificate on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// The node.
    pub node: String,
    /// The slot.
    pub slot: Option<String>,
    /// Its state there, in the words of `status`.
    pub state: String,
    /// How that is judged.
    pub tone: Tone,
    /// The serial number in memory.
    pub serial: Option<String>,
    /// How that is known, in the words of `status`.
    pub verified: String,
    /// What is wrong, in words.
    pub detail: Option<String>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its socket.
    pub address: String,
    /// Whether it can be asked.
    pub reachable: bool,
    /// How that is judged.
    pub tone: Tone,
    /// Its version.
    pub version: Option<String>,
    /// The process that answers.
    pub pid: Option<u32>,
    /// When that started.
    pub started_at: Option<Timestamp>,
    /// Workers that finish their connections.
    pub old_workers: Vec<Worker>,
    /// Files by which it judges clients, with their kinds and states.
    pub files: Vec<(String, String, String)>,
    /// How many slots it has loaded that hotcert does not manage.
    pub foreign: usize,
}

/// A worker that finishes its connections after a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// Connections of clients.
    pub connections: u32,
    /// Of which certificates it holds another version.
    pub outdated: Vec<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When.
    pub at: Timestamp,
    /// What sort of event, as in `renewed`.
    pub kind: String,
    /// How that is judged.
    pub tone: Tone,
    /// What it is about and what happened, in words.
    pub text: String,
}

/// How many certificates and nodes there are of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Certificates that are where they should be.
    pub good: usize,
    /// Certificates that need a look.
    pub look: usize,
    /// Certificates that are broken.
    pub broken: usize,
    /// Nodes that can be asked.
    pub reachable: usize,
}

impl Overview {
    /// Prepares a report; `events` come with the latest first, and are `None` where nobody remembers them.
    #[must_use]
    pub fn of(report: &Report, events: Option<Vec<Happening>>) -> Self {
        let mut certificates: Vec<_> = report.certificates.iter().map(judge::certificate).collect();
        certificates.sort_by(|a, b| b.tone.cmp(&a.tone).then_with(|| (&a.name, &a.key).cmp(&(&b.name, &b.key))));
        Self {
            troubles: problems::of(report),
            certificates,
            nodes: report.nodes.iter().map(Node::of).collect(),
            events,
        }
    }

    /// Counts what there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts =
            Counts { reachable: self.nodes.iter().filter(|node| node.reachable).count(), ..Counts::default() };
        for certificate in &self.certificates {
            match certificate.tone {
                Tone::Good => counts.good += 1,
                Tone::Look => counts.look += 1,
                Tone::Broken => counts.broken += 1,
            }
        }
        counts
    }

    /// The worst that is shown.
    #[must_use]
    pub fn tone(&self) -> Tone {
        let certificates = self.certificates.iter().map(|certificate| certificate.tone);
        let nodes = self.nodes.iter().map(|node| node.tone);
        certificates.chain(nodes).chain(self.troubles.iter().map(|trouble| trouble.tone)).max().unwrap_or(Tone::Good)
    }

    /// How it goes, in one sentence.
    #[must_use]
    pub fn headline(&self) -> String {
        let Counts { good, look, broken, reachable } = self.counts();
        let total = self.certificates.len();
        let away = self.nodes.len() - reachable;
        let mut parts = Vec::new();
        if away > 0 {
            parts.push(format!("{} cannot be reached", count(away, "node")));
        }
        if broken > 0 {
            parts.push(format!("{} not served as {} should be", verbal(broken, "certificate"), pronoun(broken)));
        }
        if look > 0 {
            let need = if look == 1 { "needs" } else { "need" };
            parts.push(format!("{} {need} a look", count(look, "certificate")));
        }
        if parts.is_empty() && self.tone() != Tone::Good {
            parts.push(format!(
                "{} a look",
                if self.troubles.len() == 1 { "1 thing needs" } else { "some things need" }
            ));
        }
        match (parts.is_empty(), total) {
            (false, _) => parts.join(", "),
            (true, 0) => "No certificate is managed yet".to_owned(),
            (true, 1) => "The certificate is served as it should be".to_owned(),
            (true, _) => format!("All {good} certificates are served as they should be"),
        }
    }

    /// The next renewal.
    #[must_use]
    pub fn next_renewal(&self) -> Option<(Timestamp, &str)> {
        self.certificates.iter().filter_map(|certificate| Some((certificate.renew_at?, &*certificate.name))).min()
    }

    /// The certificate that ends first.
    #[must_use]
    pub fn next_end(&self) -> Option<(Timestamp, &str)> {
        self.certificates.iter().filter_map(|certificate| Some((certificate.life?.1, &*certificate.name))).min()
    }
}

impl Node {
    fn of(report: &NodeReport) -> Self {
        Self {
            name: report.name.to_string(),
            address: report.address.clone(),
            reachable: report.reachable,
            tone: judge::node(report),
            version: report.version.clone(),
            pid: report.pid,
            started_at: report.started_at,
            old_workers: report.old_workers.iter().map(Worker::of).collect(),
            files: report
                .files
                .iter()
                .map(|file| (file.kind.to_string(), file.file.display().to_string(), judge::word(&file.state)))
                .collect(),
            foreign: report.foreign.len(),
        }
    }
}

impl Worker {
    fn of(worker: &OldWorker) -> Self {
        Self {
            pid: worker.pid,
            started_at: worker.started_at,
            connections: worker.connections,
            outdated: worker.outdated.iter().map(|held| held.certificate.to_string()).collect(),
        }
    }
}

impl Happening {
    /// Prepares an event.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let tone = match event.kind {
            EventKind::Failed => Tone::Look,
            EventKind::NodeDown => Tone::Broken,
            _ => Tone::Good,
        };
        let subject = match (&event.certificate, &event.node) {
            (Some(certificate), Some(node)) => format!("{certificate} on {node}: "),
            (Some(certificate), None) => format!("{certificate}: "),
            (None, Some(node)) => format!("{node}: "),
            (None, None) => String::new(),
        };
        // A text that names its subject need not be told it twice.
        let subject = if event.message.starts_with(subject.trim_end_matches(": ")) { "" } else { &subject };
        Self { at: event.at, kind: judge::word(&event.kind), tone, text: format!("{subject}{}", event.message) }
    }
}

/// A number of things.
#[must_use]
pub fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn verbal(number: usize, thing: &str) -> String {
    format!("{} {}", count(number, thing), if number == 1 { "is" } else { "are" })
}

fn pronoun(number: usize) -> &'static str {
    if number == 1 { "it" } else { "they" }
}
