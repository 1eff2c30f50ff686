//! One managed certificate, as it is configured: what it covers, where it is served, and how it is ordered.

use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Issuer, Node, Solver};
use crate::model::{CertName, Identifier, KeyKind, KeyType, NodeName, Slot};

/// One managed certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its name.
    pub name: CertName,
    /// Which of the two it is, where one name stands for a certificate of each kind: `example.org` for `example.org.ecdsa` and
    /// `example.org.rsa`. Otherwise `None`, whatever its key is.
    #[serde(default)]
    pub kind: Option<KeyKind>,
    /// What it must cover, in the order given.
    pub domains: Vec<Identifier>,
    /// How it is ordered; `None` when it is only pushed.
    pub order: Option<Order>,
    /// The nodes that serve it; empty for all.
    pub nodes: Vec<NodeName>,
    /// The crt-list to which it is attached, instead of the node's.
    pub crt_list: Option<String>,
    /// Options of its crt-list entry, such as `[alpn h2]`.
    pub options: Option<String>,
    /// SNI filters of its crt-list entry.
    pub filters: Vec<String>,
    /// The name by which `HAProxy` knows it, instead of a file in a node's directory.
    #[serde(default)]
    pub slot: Option<Slot>,
    /// The file that `HAProxy` reads at its next start, where the slot does not tell.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Whether the file for `HAProxy`'s next start is written.
    pub publish: bool,
    /// Which of its nodes must be there when a new one is loaded; `None` for what holds for all.
    #[serde(default)]
    pub require: Option<Require>,
}

/// Which nodes of a certificate must be there when a new generation of it is loaded. Whichever it is, one node that is there
/// and refuses keeps it from all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Those that can be reached; the others get it when they come back.
    #[default]
    Reachable,
    /// All of them; until then none gets it.
    All,
}

impl FromStr for Require {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reachable" => Ok(Self::Reachable),
            "all" => Ok(Self::All),
            _ => Err("must be reachable or all"),
        }
    }
}

/// How a certificate is ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The authorities, in order of preference.
    pub issuers: Vec<Issuer>,
    /// What answers the challenges, in order of preference: for each name the first that fits.
    pub solvers: Vec<Solver>,
    /// Its key type. Two, one of each kind, only until it is [taken apart](Certificate::members).
    pub keys: Vec<KeyType>,
}

impl Order {
    /// Whether no authority has to be shown that the names are ours, because all issuers are our own.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.issuers.iter().all(|issuer| issuer.directory.is_none())
    }

    /// The authorities in the order in which they are asked, one of which may come before all others.
    pub fn issuers_after(&self, is_first: impl Fn(&Issuer) -> bool) -> impl Iterator<Item = &Issuer> {
        let first = self.issuers.iter().position(is_first);
        let others = self.issuers.iter().enumerate().filter(move |(index, _)| Some(*index) != first);
        first.map(|index| &self.issuers[index]).into_iter().chain(others.map(|(_, issuer)| issuer))
    }
}

impl Certificate {
    /// One of which only the name is known: not ordered, on all nodes, published.
    #[must_use]
    pub fn new(name: CertName) -> Self {
        Self {
            name,
            kind: None,
            domains: Vec::new(),
            order: None,
            nodes: Vec::new(),
            crt_list: None,
            options: None,
            filters: Vec::new(),
            slot: None,
            file: None,
            publish: true,
            require: None,
        }
    }

    /// The file that `HAProxy` reads at its next start, as far as the configuration tells.
    #[must_use]
    pub fn file_on(&self, node: &Node) -> Option<PathBuf> {
        let of_slot = |slot: &Slot| Some(PathBuf::from(slot.as_str())).filter(|path| path.is_absolute());
        match (&self.file, &self.slot) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(slot)) => of_slot(slot),
            (None, None) => node.crt_dir.as_ref().map(|directory| directory.join(self.file_name())),
        }
    }
}
