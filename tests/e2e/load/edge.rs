//! One HAProxy, and a user who loads certificates of a private authority into it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use crate::support::client::{self, Options};
use crate::support::haproxy::Builder;
use crate::support::hotcert::Running;
use crate::support::{Haproxy, Hotcert, Leaf, Outcome, Pki};

/// The servers and the user.
pub(crate) struct Edge {
    pub(crate) haproxy: Haproxy,
    pub(crate) hotcert: Hotcert,
    pub(crate) pki: Pki,
    /// Whether hotcert is told where clients come in.
    pub(crate) verify: bool,
    /// Whether hotcert is told where HAProxy's certificates are.
    pub(crate) crt_dir: bool,
}

impl Edge {
    pub(crate) fn new(haproxy: Builder) -> Self {
        Self::with(Pki::new(), haproxy)
    }

    pub(crate) fn with(pki: Pki, haproxy: Builder) -> Self {
        Self { haproxy: haproxy.start(), hotcert: Hotcert::new(), pki, verify: true, crt_dir: true }
    }

    /// Tells hotcert where clients come in, or not.
    pub(crate) fn verify(mut self, verify: bool) -> Self {
        self.verify = verify;
        self
    }

    /// Does not tell hotcert where HAProxy's certificates are.
    pub(crate) fn without_crt_dir(mut self) -> Self {
        self.crt_dir = false;
        self
    }

    fn arguments(&self, arguments: &[&str]) -> Vec<OsString> {
        let mut all: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        all.extend(["--socket".into(), self.haproxy.socket().into()]);
        all.extend(["--state-dir".into(), self.hotcert.state_dir().into()]);
        if self.crt_dir {
            all.extend(["--crt-dir".into(), self.haproxy.crt_dir().into()]);
        }
        if self.verify {
            all.extend(["--verify".into(), self.haproxy.https_addr().to_string().into()]);
        }
        all
    }

    /// Runs a command on the node.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(self.arguments(arguments))
    }

    /// Starts a command on the node.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        self.hotcert.spawn(self.arguments(arguments))
    }

    /// Writes a leaf with its chain and key to a file in the user's directory, and names it.
    pub(crate) fn file(&self, leaf: &Leaf) -> String {
        let name = format!("{}.pem", leaf.serial());
        self.hotcert.scratch().write(&name, leaf.fullchain_and_key());
        name
    }

    /// Pushes a leaf with its chain and key.
    pub(crate) fn push(&self, leaf: &Leaf, arguments: &[&str]) -> Outcome {
        let file = self.file(leaf);
        self.run(&[&["push", &file], arguments].concat())
    }

    /// The serial number that a client is shown, or nothing.
    pub(crate) fn serial(&self, name: &str) -> Option<String> {
        client::handshake(self.haproxy.https_addr(), name, Options::default()).ok().map(|served| served.serial)
    }

    /// Checks that hotcert finds nothing to do, and does nothing.
    pub(crate) fn expect_settled(&self) {
        let plan = self.run(&["plan"]).expect_code(0);
        assert_eq!(plan.stdout, "nothing to do\n");
        let before = self.memory();
        let sync = self.run(&["sync", "-vvv"]).expect_code(0);
        assert!(!sync.stderr.contains("commit ssl cert"), "{sync:?}");
        assert_eq!(self.memory(), before);
    }

    /// The drift that `plan` finds, in words.
    pub(crate) fn drift(&self) -> String {
        self.run(&["plan"]).expect_code(2).stdout
    }

    /// The answer to `status --json`, which exits with this code.
    pub(crate) fn status(&self, code: i32) -> serde_json::Value {
        self.run(&["status", "--json"]).expect_code(code).json()
    }

    /// What HAProxy has loaded, in its own words.
    pub(crate) fn memory(&self) -> String {
        let names = self.haproxy.cli("show ssl cert");
        let loaded = names.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let details: String = loaded.map(|name| self.haproxy.cli(&format!("show ssl cert {name}"))).collect();
        let lists = self.haproxy.cli("show ssl crt-list");
        let lists: String = lists
            .lines()
            .filter(|list| !list.is_empty())
            .map(|list| self.haproxy.cli(&format!("show ssl crt-list {list}")))
            .collect();
        names.clone() + &details + &lists
    }

    /// The name of a file in the certificate directory, as HAProxy has it.
    pub(crate) fn slot(&self, name: &str) -> String {
        self.haproxy.crt_dir().join(name).display().to_string()
    }
}

/// Every file below a directory, with its contents.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.insert(path.display().to_string(), Vec::new());
            found.extend(snapshot(&path));
        } else if kind.is_symlink() {
            found.insert(
                path.display().to_string(),
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
            );
        } else if kind.is_file() {
            found.insert(path.display().to_string(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A configuration file of nodes and certificates, run without any flag but `--config`.
pub(crate) fn configured(hotcert: &Hotcert, config: &str, arguments: &[&str]) -> Outcome {
    let state_dir = hotcert.state_dir();
    let file = hotcert.scratch().write("hotcert.toml", format!("version = 1\nstate_dir = {state_dir:?}\n{config}"));
    hotcert.run(arguments.iter().map(OsString::from).chain(["--config".into(), file.into()]))
}
