//! How everything stands, for people and for programs.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::Failure;
use crate::model::{CertName, Identifier, NodeName, Serial, Sha256};
use crate::store::Source;

/// What is stored, what each node serves, and what is wrong.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The certificates, by name.
    pub certificates: Vec<CertificateReport>,
    /// The nodes, by name.
    pub nodes: Vec<NodeReport>,
    /// What failed on the way.
    #[serde(skip)]
    pub failures: Vec<Failure>,
}

/// One certificate.
#[derive(Debug, Serialize)]
pub struct CertificateReport {
    /// Its name.
    pub name: CertName,
    /// What it covers, as A-labels.
    pub domains: Vec<Identifier>,
    /// Where its current generation came from; what it is configured to be when there is none.
    pub source: Source,
    /// The issuer in the configuration.
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
    /// Number of the current generation.
    pub generation: Option<u64>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertState {
    /// There is no generation.
    Missing,
    /// There is none, and an order is in progress.
    Issuing,
    /// There is one, and not every node serves it.
    Stored,
    /// Every node serves it.
    Serving,
    /// It has expired, or clients are shown something else than what was loaded.
    Failed,
}

/// A certificate on a node.
#[derive(Debug, Serialize)]
pub struct ServedBy {
    /// The node.
    pub name: NodeName,
    /// The slot.
    pub slot: Option<String>,
    /// How it stands.
    pub state: NodeState,
    /// The serial number in memory.
    pub serial: Option<Serial>,
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
#[derive(Debug, Serialize)]
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
    /// Old workers that still serve. They are seen through a master socket, which this version does not use.
    pub old_workers: Vec<u32>,
    /// What is wrong, in words.
    pub detail: Option<String>,
}

impl Report {
    /// Whether anything needs a look.
    #[must_use]
    pub fn needs_a_look(&self) -> bool {
        !self.failures.is_empty()
            || self.nodes.iter().any(|node| node.detail.is_some())
            || self.certificates.iter().any(|certificate| {
                certificate.state != CertState::Serving || certificate.nodes.iter().any(|node| node.detail.is_some())
            })
    }
}
