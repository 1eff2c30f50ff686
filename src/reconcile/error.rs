//! What can go wrong in a round.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::companions::TIMESTAMPS_HINT;
use super::desire::Unplaced;
use super::twins::Twins;
use super::{NodeState, Scope};
use crate::config::{Config, Node};
use crate::haproxy::{self, TooLarge};
use crate::model::{CertName, ClientFile, Invalid, NodeName, Slot};
use crate::probe::Offer;
use crate::schedule::Retry;
use crate::store;

/// A round, or a part of it, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node does not answer, or refuses.
    #[error("node {node}: {}", about(.source))]
    Node {
        /// Which node.
        node: NodeName,
        /// Why.
        #[source]
        source: haproxy::Error,
    },
    /// Another process of ours is at work.
    #[error("node {node}: another hotcert has been changing it for {} s", .waited.as_secs())]
    Busy {
        /// Which node.
        node: NodeName,
        /// How long was waited.
        waited: Duration,
    },
    /// Another program has a transaction open.
    #[error("node {node}: another program has a certificate transaction open on {slot}, for more than {} s", .waited.as_secs())]
    ForeignTransaction {
        /// Which node.
        node: NodeName,
        /// The slot that it is about.
        slot: String,
        /// How long was waited.
        waited: Duration,
    },
    /// Another program has a transaction open on a file by which clients are judged.
    #[error("node {node}: another program has a {kind} transaction open on {file}, for more than {} s", .waited.as_secs())]
    ForeignClientFile {
        /// Which node.
        node: NodeName,
        /// The kind of file.
        kind: ClientFile,
        /// The file that it is about.
        file: String,
        /// How long was waited.
        waited: Duration,
    },
    /// A certificate has no place on a node.
    #[error("certificate {certificate} has no place on node {node}: {why}")]
    Unplaced {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
        /// Why not.
        why: Unplaced,
    },
    /// A list, an option or a filter cannot be written in a command.
    #[error("node {node}: the certificate cannot be attached")]
    Unattachable {
        /// Which node.
        node: NodeName,
        /// Which word, and why.
        #[source]
        source: Invalid,
    },
    /// An entry stays, for it is the default of a bind.
    #[error(
        "certificate {certificate} is the default of a bind of node {node}, so its entry in {list} stays as it is until HAProxy is reloaded"
    )]
    DefaultEntry {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
        /// Its list.
        list: String,
    },
    /// A certificate cannot be taken out, for a bind would be left without a default.
    #[error("certificate {certificate} cannot be taken out of node {node}: it is the default of {place}")]
    DefaultCertificate {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
        /// The bind.
        place: String,
    },
    /// A certificate cannot be taken out, for somebody else has put it there too.
    #[error("certificate {certificate} cannot be taken out of node {node}: its slot is used by {by}")]
    Held {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
        /// What uses it.
        by: String,
    },
    /// A node gives no private key away.
    #[error(
        "node {node}: HAProxy {version} has no way to read a certificate with its key; `dump ssl cert` came with 3.1"
    )]
    CannotDump {
        /// Which node.
        node: NodeName,
        /// Its version.
        version: String,
    },
    /// What a node gave for a slot is not what it says it holds.
    #[error("node {node}: what HAProxy gives for {slot} is not what it says it holds")]
    StrangeDump {
        /// Which node.
        node: NodeName,
        /// Which slot.
        slot: Slot,
    },
    /// A certificate is larger than a node can take.
    #[error("certificate {certificate} is too large for node {node}: {limit}")]
    TooLarge {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
        /// Its size, the limit and the setting.
        limit: TooLarge,
    },
    /// A node that must be there is not.
    #[error("certificate {certificate} is loaded only when all its nodes can be reached, and node {node} cannot")]
    NodeRequired {
        /// Which certificate.
        certificate: CertName,
        /// The node that is missing.
        node: NodeName,
    },
    /// The node was restarted or reloaded meanwhile, so what was loaded may be lost.
    #[error("node {node} was restarted while it was being changed")]
    Restarted {
        /// Which node.
        node: NodeName,
    },
    /// A round has ended, and the certificate is not served.
    #[error("certificate {certificate} is not served by node {node} after all that was done: it is {state}")]
    Unserved {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
        /// How it stands there.
        state: NodeState,
    },
    /// Clients are shown something else than what was loaded.
    #[error("node {node}: a client that asks {address} for {name}{offer} is shown {found}")]
    NotServed {
        /// Which node.
        node: NodeName,
        /// Where was asked.
        address: String,
        /// For which name.
        name: String,
        /// What the client offered, where others are shown something else.
        offer: Offer,
        /// What came, and what should have come.
        found: String,
    },
    /// Handshakes disagree.
    #[error("node {node}: {twins}")]
    Twins {
        /// Which node.
        node: NodeName,
        /// What they showed, and who accepts connections there.
        twins: Box<Twins>,
    },
    /// `HAProxy` would die of replacing or deleting a certificate.
    #[error("certificate {certificate} stays as it is on node {node}: HAProxy may have loaded it with {}, and would crash", .file.display())]
    Timestamps {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
        /// The file of signed certificate timestamps.
        file: PathBuf,
    },
    /// `HAProxy` has dropped an OCSP response.
    #[error("node {node}: HAProxy did not take the OCSP response of certificate {certificate}")]
    NotStapled {
        /// Which certificate.
        certificate: CertName,
        /// Which node.
        node: NodeName,
    },
    /// Something on disk.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A round went on after something failed for one certificate or one node.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The certificate that it is about.
    pub certificate: Option<CertName>,
    /// The node on which it happened.
    pub node: Option<NodeName>,
    /// What happened.
    pub error: Arc<Error>,
}

impl Failure {
    /// Whether it says why a node does not serve a certificate.
    pub(super) fn tells_of(&self, certificate: &CertName, node: &NodeName) -> bool {
        self.certificate.as_ref().is_none_or(|name| name == certificate)
            && self.node.as_ref().is_none_or(|name| name == node)
    }

    /// Whether somebody who asked for these certificates wants to hear of it.
    pub(super) fn concerns(&self, scope: Scope<'_>, config: &Config) -> bool {
        let Some(scope) = scope else { return true };
        let serves = |node: &NodeName| {
            let certificates = scope.iter().filter_map(|name| config.certificates.get(name));
            certificates.into_iter().any(|certificate| config.nodes_of(certificate).any(|of| of.name == *node))
        };
        match (&self.certificate, &self.node) {
            (Some(certificate), _) => scope.contains(certificate),
            (None, Some(node)) => serves(node),
            (None, None) => true,
        }
    }

    pub(super) fn of(certificate: &CertName, node: Option<&NodeName>, error: Error) -> Self {
        Self { certificate: Some(certificate.clone()), node: node.cloned(), error: Arc::new(error) }
    }
}

impl Error {
    pub(super) fn node(node: &Node, source: haproxy::Error) -> Self {
        Self::Node { node: node.name.clone(), source }
    }

    /// Whether another program has a transaction open, of which it is known how long that commonly lasts.
    pub(super) fn meets_another(&self) -> bool {
        matches!(self, Self::Node { source, .. } if matches!(source, haproxy::Error::ForeignTransaction { .. })
            || matches!(source.rejection(), Some(haproxy::Rejection::OtherTransaction { .. })))
    }

    /// When it is worth trying again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Node { source, .. } => source.retry(),
            Self::Busy { .. }
            | Self::ForeignTransaction { .. }
            | Self::ForeignClientFile { .. }
            | Self::NodeRequired { .. }
            | Self::Restarted { .. }
            | Self::Unserved { .. } => Retry::Backoff,
            Self::Store(source) => source.retry(),
            Self::Unplaced { .. }
            | Self::Unattachable { .. }
            | Self::DefaultEntry { .. }
            | Self::DefaultCertificate { .. }
            | Self::Held { .. }
            | Self::CannotDump { .. }
            | Self::StrangeDump { .. }
            | Self::TooLarge { .. }
            | Self::NotServed { .. }
            | Self::Twins { .. }
            | Self::Timestamps { .. }
            | Self::NotStapled { .. } => Retry::Never,
        }
    }

    /// What kind of failure it is, in a word that stays the same.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Node { .. } | Self::NodeRequired { .. } | Self::Restarted { .. } => "node",
            Self::Busy { .. } => "busy",
            Self::ForeignTransaction { .. } | Self::ForeignClientFile { .. } => "foreign-transaction",
            Self::Unplaced { .. } | Self::Unattachable { .. } | Self::DefaultEntry { .. } => "unplaced",
            Self::DefaultCertificate { .. } | Self::Held { .. } => "in-use",
            Self::CannotDump { .. } | Self::StrangeDump { .. } => "dump",
            Self::TooLarge { .. } => "too-large",
            Self::NotServed { .. } | Self::Twins { .. } | Self::Unserved { .. } | Self::NotStapled { .. } => {
                "not-served"
            }
            Self::Timestamps { .. } => "timestamps",
            Self::Store(_) => "store",
        }
    }

    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Node { source, .. } => source.hint(),
            Self::Busy { .. } => Some("see what it is waiting for by `hotcert status`".to_owned()),
            Self::ForeignTransaction { slot, .. } => Some(format!(
                "find the program that opened it; if it is gone, end it by `abort ssl cert {slot}` on HAProxy's socket"
            )),
            Self::NodeRequired { node, .. } => Some(format!(
                "bring node {node} back, or set `require = \"reachable\"`, with which it gets the certificate when it is back"
            )),
            Self::ForeignClientFile { kind, file, .. } => Some(format!(
                "find the program that opened it; if it is gone, end it by `abort ssl {kind} {file}` on HAProxy's socket"
            )),
            Self::Unplaced { why, .. } => Some(why.hint()),
            Self::TooLarge { limit, .. } => Some(limit.hint()),
            Self::Unattachable { .. } => Some("correct crt_list, options or filters".to_owned()),
            Self::CannotDump { .. } => {
                Some("nothing can be saved from this version: issue or push the certificate, or put its file in place".to_owned())
            }
            Self::StrangeDump { slot, .. } => {
                Some(format!("look at it by `show ssl cert {slot}` on HAProxy's socket: its key may be missing or another one"))
            }
            Self::DefaultCertificate { .. } => Some(
                "let another certificate stand first on the bind line or in its crt-list, or set strict-sni there, and reload HAProxy once; nothing was changed"
                    .to_owned(),
            ),
            Self::Held { .. } => {
                Some("take it out there by hand and reload HAProxy once, then run the command again; nothing was changed".to_owned())
            }
            Self::DefaultEntry { list, .. } => {
                Some(format!("{list} has the new entry already: reload HAProxy once, and it is in force"))
            }
            Self::Unserved { .. } => Some(
                "look whether HAProxy was restarted, or another program changes its certificates, and run `hotcert sync`"
                    .to_owned(),
            ),
            Self::Restarted { .. } => Some("run `hotcert sync` once it is up".to_owned()),
            Self::NotServed { name, .. } if name.parse::<std::net::IpAddr>().is_ok() => Some(
                "a client that connects to an address names none, so HAProxy shows it the first certificate of the bind line, and with strict-sni none: name this one there first"
                    .to_owned(),
            ),
            Self::NotServed { .. } => Some(
                "look for another bind line or another HAProxy on that address, for a filter of the crt-list entry, for ciphers that leave its kind of key no client, or for another certificate with that name"
                    .to_owned(),
            ),
            Self::Twins { twins, .. } => Some(twins.hint()),
            Self::Timestamps { .. } => Some(TIMESTAMPS_HINT.to_owned()),
            Self::NotStapled { .. } => Some("HAProxy's log says why".to_owned()),
            Self::Store(source) => source.hint(),
        }
    }
}

/// The source is printed as the cause; here only its kind is named, so that one line tells enough.
fn about(source: &haproxy::Error) -> &'static str {
    match source.retry() {
        Retry::Never => "HAProxy cannot be used",
        _ => "HAProxy cannot be reached or used now",
    }
}
