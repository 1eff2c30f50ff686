//! How everything stands, for people and for programs.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::{ClientFiles, Failure, FileReport, FileState, OldWorker, Warning};
use crate::model::{CertName, Identifier, KeyType, NodeName, Serial, Sha256, chain};
use crate::schedule::Window;
use crate::store::{Revocation, Source};

/// What is stored, what each node serves, and what is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The certificates, by name.
    pub certificates: Vec<CertificateReport>,
    /// The nodes, by name.
    pub nodes: Vec<NodeReport>,
    /// What is wrong, in words.
    pub problems: Vec<Problem>,
    /// What clients notice of the changes of this round beside what was meant.
    pub warnings: Vec<Warning>,
    /// What failed on the way; a report that comes from another process has none.
    #[serde(skip)]
    pub failures: Vec<Failure>,
}

/// Something that needs a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The certificate that it is about.
    pub certificate: Option<CertName>,
    /// The node on which it is so.
    pub node: Option<NodeName>,
    /// The file, or the directory, that is wrong.
    pub file: Option<PathBuf>,
    /// What is wrong, and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateReport {
    /// Its name, which no other has.
    #[serde(skip)]
    pub name: CertName,
    /// The name by which people know it: of one of two kinds that of both.
    #[serde(rename = "name")]
    pub configured_name: CertName,
    /// Its key: that of the current generation, or else the one that is configured; `None` when that is not known.
    pub key: Option<KeyType>,
    /// What it covers, as A-labels.
    pub domains: Vec<Identifier>,
    /// Where its current generation came from; what it is configured to be when there is none.
    pub source: Source,
    /// The issuer of the current generation by its name in the configuration; the first one where there is none.
    pub issuer: Option<String>,
    /// How far it has come.
    pub state: CertState,
    /// Serial number of the current generation.
    pub serial: Option<Serial>,
    /// SHA-256 fingerprint of its leaf.
    pub sha256: Option<Sha256>,
    /// Start of its validity.
    pub not_before: Option<Timestamp>,
    /// End of its validity.
    pub not_after: Option<Timestamp>,
    /// When it is due; `None` when hotcert does not order it.
    pub renew_at: Option<Timestamp>,
    /// The time in which its authority suggests to renew it (RFC 9773); `None` when that is not known.
    pub renewal_window: Option<Window>,
    /// The issuer that would be asked now; `None` while all are held, or when hotcert does not order it.
    pub next_issuer: Option<String>,
    /// When an order that failed, or that a limit keeps back, is tried next; `None` when there is none, or only a person can help.
    pub next_try: Option<Timestamp>,
    /// Why the last order failed, or is kept back; or that the current generation is revoked.
    pub problem: Option<String>,
    /// Number of the current generation.
    pub generation: Option<u64>,
    /// That it was revoked.
    pub revoked: Option<Revocation>,
    /// What each node serves.
    pub nodes: Vec<ServedBy>,
}

/// How far a certificate has come.
///
/// ```text
///            order begins          generation stored         served by every node
///  missing ---------------> issuing ---------------> stored ---------------> serving
///     ^                        |                        ^                       |
///     +--- order given up -----+                        +---- drift, restart ---+
///
///  failed: stored, and cannot be served: it has expired, or clients are shown something else
/// ```
/// In the order of how much they need a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertState {
    /// Every node serves it.
    Serving,
    /// There is one, and not every node serves it.
    Stored,
    /// There is none, and an order is in progress.
    Issuing,
    /// There is no generation.
    Missing,
    /// It has expired, or clients are shown something else than what was loaded.
    Failed,
}

/// A certificate on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServedBy {
    /// The node.
    pub name: NodeName,
    /// The slot.
    pub slot: Option<String>,
    /// How it stands.
    pub state: NodeState,
    /// The serial number in memory.
    pub serial: Option<Serial>,
    /// End of validity of what is in memory.
    pub not_after: Option<Timestamp>,
    /// End of validity of what clients were shown, where that was looked at.
    pub shown_not_after: Option<Timestamp>,
    /// How that is known.
    pub verified: Verified,
    /// What is wrong, in words.
    pub detail: Option<String>,
}

/// How a certificate stands on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// The slot holds the current generation, and serves.
    InSync,
    /// The slot holds another certificate.
    Stale,
    /// There is no slot, or an empty one.
    Absent,
    /// The slot holds the current generation, and nothing makes it serve.
    Detached,
    /// The node cannot be asked.
    Unreachable,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// How it is known what a node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verified {
    /// It is not.
    None,
    /// `HAProxy` said so.
    Memory,
    /// A client was shown it.
    Handshake,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// Its name.
    pub name: NodeName,
    /// Its socket.
    pub address: String,
    /// Whether it can be asked.
    pub reachable: bool,
    /// Its version.
    pub version: Option<String>,
    /// The process that answers.
    pub pid: Option<u32>,
    /// When that started.
    pub started_at: Option<Timestamp>,
    /// Workers that finish their connections, after a reload. They are seen through a master socket only.
    pub old_workers: Vec<OldWorker>,
    /// The files by which it judges the certificates of clients.
    pub files: Vec<FileReport>,
    /// What it has loaded that hotcert does not manage.
    pub foreign: Vec<Foreign>,
    /// The certificate transaction that is open in it, if there is one.
    pub transaction: Option<Transaction>,
    /// What is wrong, in words.
    pub detail: Option<String>,
}

/// A certificate transaction (`HAProxy` management guide, section 9.3, `set ssl cert`) that was begun and not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transaction {
    /// What is to be changed.
    pub slot: String,
    /// Whether we began it, and died.
    pub ours: bool,
    /// When it was first seen.
    pub since: Timestamp,
}

/// A slot that hotcert does not manage, and leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// Its name.
    pub slot: String,
    /// The lists that have an entry of it.
    pub lists: Vec<String>,
    /// The serial number of its certificate; `None` when it is empty, or cannot be asked about.
    pub serial: Option<Serial>,
    /// The end of its certificate's validity.
    pub not_after: Option<Timestamp>,
}

impl Problem {
    /// Puts an error and its causes into words.
    #[must_use]
    pub fn of(certificate: Option<&CertName>, node: Option<&NodeName>, error: &dyn std::error::Error) -> Self {
        let message = chain(error);
        Self { certificate: certificate.cloned(), node: node.cloned(), file: None, message, hint: None }
    }
}

impl From<&Failure> for Problem {
    fn from(failure: &Failure) -> Self {
        let problem = Self::of(failure.certificate.as_ref(), failure.node.as_ref(), &failure.error);
        Self { hint: failure.error.hint(), ..problem }
    }
}

impl Report {
    /// Puts the reports of several nodes together. A certificate is as good as on the node where it stands worst.
    #[must_use]
    pub fn merged<'a>(reports: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut merged = Self {
            certificates: Vec::new(),
            nodes: Vec::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
        };
        let mut certificates: BTreeMap<&CertName, CertificateReport> = BTreeMap::new();
        for report in reports {
            for certificate in &report.certificates {
                match certificates.entry(&certificate.name) {
                    Entry::Vacant(entry) => _ = entry.insert(certificate.clone()),
                    Entry::Occupied(mut entry) => {
                        let known = entry.get_mut();
                        let nodes = [known.nodes.as_slice(), &certificate.nodes].concat();
                        let state = known.state.max(certificate.state);
                        if certificate.generation > known.generation {
                            *known = certificate.clone();
                        }
                        (known.nodes, known.state) = (nodes, state);
                    }
                }
            }
            merged.nodes.extend(report.nodes.iter().cloned());
            merged.problems.extend(report.problems.iter().cloned());
            merged.warnings.extend(report.warnings.iter().cloned());
        }
        merged.certificates = certificates.into_values().collect();
        merged
    }

    /// Adds how the files stand by which the nodes judge clients.
    pub fn add_client_files(&mut self, found: &ClientFiles) {
        for node in &mut self.nodes {
            if let Some(files) = found.nodes.get(&node.name) {
                node.files.clone_from(files);
            }
        }
        self.problems.extend(found.all_problems());
        self.failures.extend(found.failures.iter().cloned());
    }

    /// The same with what was found in a round about few of the certificates.
    #[must_use]
    pub fn amended_by(&self, found: Self) -> Self {
        let Self { certificates, nodes, problems, warnings, failures } = found;
        let names: BTreeSet<CertName> = certificates.iter().map(|found| found.name.clone()).collect();
        let mut certificates = certificates.into_iter().peekable();
        let with = |known: &CertificateReport| {
            certificates.next_if(|found| found.name == known.name).unwrap_or_else(|| known.clone())
        };
        let certificates = self.certificates.iter().map(with).collect();
        // Whose the other slots are, it does not see.
        let with_foreign = |found: NodeReport| {
            let known = self.nodes.iter().find(|known| known.name == found.name);
            NodeReport { foreign: known.map(|known| known.foreign.clone()).unwrap_or_default(), ..found }
        };
        let nodes = nodes.into_iter().map(with_foreign).collect();
        let is_about_others =
            |problem: &&Problem| problem.certificate.as_ref().is_none_or(|name| !names.contains(name));
        let others = self.problems.iter().filter(is_about_others).cloned();
        let problems = others.chain(problems).collect();
        Self { certificates, nodes, problems, warnings, failures }
    }

    /// Takes over what was known of the same process before: what was proved by a handshake, where it still holds the same
    /// certificate, and since when a transaction is open.
    pub fn carry_over(&mut self, before: &Self) {
        let same_process: BTreeSet<NodeName> = self
            .nodes
            .iter()
            .filter(|node| before.nodes.iter().any(|old| (&old.name, old.pid) == (&node.name, node.pid)))
            .map(|node| node.name.clone())
            .collect();
        let proved: BTreeMap<_, _> = before
            .certificates
            .iter()
            .flat_map(|certificate| certificate.nodes.iter().map(move |node| (&certificate.name, node)))
            .filter(|(_, node)| node.verified == Verified::Handshake && same_process.contains(&node.name))
            .map(|(name, node)| ((name, &node.name, node.serial.as_ref()), node.shown_not_after))
            .collect();
        for certificate in &mut self.certificates {
            for node in
                certificate.nodes.iter_mut().filter(|node| node.verified == Verified::Memory && node.detail.is_none())
            {
                if let Some(shown) = proved.get(&(&certificate.name, &node.name, node.serial.as_ref())) {
                    node.verified = Verified::Handshake;
                    node.shown_not_after = *shown;
                }
            }
        }
        for node in &mut self.nodes {
            let known = before.nodes.iter().find(|old| (&old.name, old.pid) == (&node.name, node.pid));
            let known = known.and_then(|known| known.transaction.as_ref());
            if let (Some(now), Some(known)) = (&mut node.transaction, known)
                && (&now.slot, now.ours) == (&known.slot, known.ours)
            {
                now.since = known.since;
            }
        }
    }

    /// Whether at least one node serves what the round was to bring of a certificate, or nothing went wrong.
    #[must_use]
    pub fn has_taken(&self, name: &CertName) -> bool {
        let of_it = self.certificates.iter().filter(|certificate| certificate.name == *name);
        let mut nodes = of_it.flat_map(|certificate| &certificate.nodes);
        self.failures.is_empty() || nodes.any(|node| node.state == NodeState::InSync)
    }

    /// Whether it says the same as another one.
    #[must_use]
    pub fn repeats(&self, other: &Self) -> bool {
        (&self.certificates, &self.nodes, &self.problems) == (&other.certificates, &other.nodes, &other.problems)
    }

    /// Whether anything needs a look.
    #[must_use]
    pub fn needs_a_look(&self) -> bool {
        !self.problems.is_empty()
            || self.nodes.iter().any(|node| node.detail.is_some())
            || self.nodes.iter().flat_map(|node| &node.files).any(|file| file.state != FileState::InSync)
            || self.certificates.iter().any(|certificate| {
                // What is not meant for any node is as good as it can be once it is stored.
                let is_where_it_should = match certificate.state {
                    CertState::Serving => true,
                    CertState::Stored => certificate.nodes.is_empty(),
                    _ => false,
                };
                !is_where_it_should
                    || certificate.problem.is_some()
                    || certificate.nodes.iter().any(|node| node.detail.is_some())
            })
    }
}
