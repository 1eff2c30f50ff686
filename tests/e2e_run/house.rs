//! HAProxy servers, a sidecar's user, and an authority for files.

use std::ffi::OsString;

use crate::support::haproxy::Builder;
use crate::support::{Haproxy, Hotcert, Leaf, Outcome, Pki, Sidecar, sidecar};

/// The servers and the user.
pub(crate) struct House {
    // Before the user's directory: fields are dropped in this order.
    pub(crate) nodes: Vec<Haproxy>,
    pub(crate) hotcert: Hotcert,
    pub(crate) pki: Pki,
}

impl House {
    pub(crate) fn new(nodes: impl IntoIterator<Item = Builder>) -> Self {
        let nodes = nodes.into_iter().map(Builder::start).collect();
        Self { nodes, hotcert: Hotcert::new(), pki: Pki::new() }
    }

    pub(crate) fn haproxy(&mut self) -> &mut Haproxy {
        &mut self.nodes[0]
    }

    /// The flag with a configuration of all nodes.
    pub(crate) fn flags(&self) -> Vec<OsString> {
        self.flags_and("")
    }

    /// The same, with more in the configuration.
    pub(crate) fn flags_and(&self, rest: &str) -> Vec<OsString> {
        sidecar::flags(&self.hotcert, &self.nodes.iter().collect::<Vec<_>>(), rest)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(arguments.iter().map(OsString::from).chain(self.flags()))
    }

    pub(crate) fn sidecar(&self) -> Sidecar {
        Sidecar::start(&self.hotcert, self.flags())
    }

    /// A new leaf for a name, and the file with its chain and key.
    pub(crate) fn leaf(&self, name: &str) -> (Leaf, String) {
        let leaf = self.pki.leaf(name).issue();
        let file = format!("{}.pem", leaf.serial());
        self.hotcert.scratch().write(&file, leaf.fullchain_and_key());
        (leaf, file)
    }

    /// Pushes a new leaf for a name.
    pub(crate) fn push(&self, name: &str) -> Leaf {
        let (leaf, file) = self.leaf(name);
        self.run(&["push", &file]).expect_code(0);
        leaf
    }

    pub(crate) fn expect_no_open_transaction(&self) {
        for node in &self.nodes {
            let listing = node.cli("show ssl cert");
            assert!(!listing.contains("# transaction"), "{listing}");
        }
    }
}
