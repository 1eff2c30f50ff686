//! HAProxy servers, a sidecar's user, and an authority for files.

use std::ffi::OsString;
use std::path::Path;

use super::haproxy::Builder;
use super::site::leftovers;
use super::{Haproxy, Hotcert, Leaf, Outcome, Pki, Sidecar, sidecar};

/// The servers and the user.
#[derive(Debug)]
pub struct House {
    // Before the user's directory: fields are dropped in this order.
    pub nodes: Vec<Haproxy>,
    pub hotcert: Hotcert,
    pub pki: Pki,
}

impl House {
    pub fn new(nodes: impl IntoIterator<Item = Builder>) -> Self {
        let nodes = nodes.into_iter().map(Builder::start).collect();
        Self { nodes, hotcert: Hotcert::new(), pki: Pki::new() }
    }

    pub fn haproxy(&mut self) -> &mut Haproxy {
        &mut self.nodes[0]
    }

    /// The flag with a configuration of all nodes.
    pub fn flags(&self) -> Vec<OsString> {
        self.flags_and("")
    }

    /// The same, with more in the configuration.
    pub fn flags_and(&self, rest: &str) -> Vec<OsString> {
        sidecar::flags(&self.hotcert, &self.nodes.iter().collect::<Vec<_>>(), rest)
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(arguments.iter().map(OsString::from).chain(self.flags()))
    }

    pub fn sidecar(&self) -> Sidecar {
        Sidecar::start(&self.hotcert, self.flags())
    }

    /// A new leaf for a name, and the file with its chain and key.
    pub fn leaf(&self, name: &str) -> (Leaf, String) {
        let leaf = self.pki.leaf(name).issue();
        let file = format!("{}.pem", leaf.serial());
        self.hotcert.scratch().write(&file, leaf.fullchain_and_key());
        (leaf, file)
    }

    /// Pushes a new leaf for a name.
    pub fn push(&self, name: &str) -> Leaf {
        let (leaf, file) = self.leaf(name);
        self.run(&["push", &file]).expect_code(0);
        leaf
    }

    pub fn expect_no_open_transaction(&self) {
        for node in &self.nodes {
            let listing = node.cli("show ssl cert");
            assert!(!listing.contains("# transaction"), "{listing}");
        }
    }

    /// Checks that nothing unfinished lies about.
    pub fn expect_no_leftovers(&self) {
        let left = self.leftovers();
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// What is unfinished: in the state directory, and where HAProxy looks at its next start. A file that was being written in the state
    /// directory when its writer died is swept by the next one that writes there.
    pub fn leftovers(&self) -> Vec<String> {
        let directories = self.nodes.iter().map(Haproxy::crt_dir).chain([self.hotcert.state_dir()]);
        let is_swept =
            |path: &String| Path::new(path).starts_with(self.hotcert.state_dir()) && path.contains(".hotcert-");
        directories.flat_map(|directory| leftovers(&directory)).filter(|path| !is_swept(path)).collect()
    }
}
