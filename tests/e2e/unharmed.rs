//! What every test of bad input asks: a clear error, and nothing changed.

#![allow(unreachable_pub, reason = "it is shared by several files")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::client::{Options, handshake};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Leaf, Outcome, Pki, haproxy};

/// The name that everything is about, and the certificate that is served from the start.
pub const NAME: &str = "shop.test";

/// Everything that a refused input must leave as it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot {
    pid: u32,
    listing: String,
    slots: Vec<String>,
    served: Result<String, String>,
    files: BTreeMap<PathBuf, (u32, Vec<u8>)>,
}

impl Snapshot {
    /// Looks at HAProxy's memory, at what a client is shown, and at every file below these directories.
    pub fn of(haproxy: &Haproxy, directories: &[&Path]) -> Self {
        let listing = haproxy.cli("show ssl cert");
        let slots = listing.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut files = BTreeMap::new();
        for directory in directories {
            collect(directory, &mut files);
        }
        Self {
            pid: haproxy.pid(),
            slots: slots.map(|slot| haproxy.cli(&format!("show ssl cert {slot}"))).collect(),
            listing,
            served: handshake(haproxy.https_addr(), NAME, Options::default())
                .map(|served| served.sha256)
                .map_err(|error| error.to_string()),
            files,
        }
    }
}

/// Mode and content of each file, and the target of each link. A directory without files is nothing.
fn collect(path: &Path, files: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
    let Ok(found) = fs::symlink_metadata(path) else { return };
    let content = if found.is_symlink() {
        fs::read_link(path).unwrap().into_os_string().into_encoded_bytes()
    } else if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
        return;
    } else {
        fs::read(path).unwrap()
    };
    files.insert(path.to_owned(), (found.permissions().mode(), content));
}

/// The error that a user is to see. The words are looked for in the message with its causes, and in the hint.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    pub code: i32,
    pub kind: &'a str,
    pub says: &'a [&'a str],
    pub hint: &'a str,
}

impl Expected<'_> {
    /// Checks an outcome with `--json`: one document, which says what standard error says.
    pub fn check(&self, outcome: &Outcome) {
        assert_eq!(outcome.code, Some(self.code), "{outcome:?}");
        let json = outcome.json();
        let error = &json["error"];
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let causes: Vec<String> = error["causes"].as_array().expect("causes is a list").iter().map(text).collect();
        let message = text(&error["message"]);
        let told = std::iter::once(message.clone()).chain(causes).collect::<Vec<_>>().join("\n");
        for word in self.says {
            assert!(told.contains(word), "{word:?} is not said\n{outcome:?}");
        }
        let hint = text(&error["hint"]);
        assert!(hint.contains(self.hint) && !hint.is_empty(), "the hint lacks {:?}\n{outcome:?}", self.hint);
        assert_eq!(error["kind"], self.kind, "{outcome:?}");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{outcome:?}");
        assert!(outcome.stderr.contains(&format!("error: {message}")), "{outcome:?}");
        assert!(outcome.stderr.contains(&format!("hint: {hint}")), "{outcome:?}");
        for secret in ["PRIVATE KEY-----", "panicked", "RUST_BACKTRACE"] {
            assert!(!outcome.stderr.contains(secret) && !outcome.stdout.contains(secret), "{outcome:?}");
        }
    }
}

/// A refusal by the gate.
pub const fn refused<'a>(says: &'a [&'a str], hint: &'a str) -> Expected<'a> {
    Expected { code: 1, kind: "refused", says, hint }
}

/// Wrong words on the command line.
pub const fn usage<'a>(says: &'a [&'a str], hint: &'a str) -> Expected<'a> {
    Expected { code: 64, kind: "usage", says, hint }
}

/// A HAProxy that serves a certificate which hotcert has stored and published.
#[derive(Debug)]
pub struct Bench {
    pub haproxy: Haproxy,
    pub hotcert: Hotcert,
    pub pki: Pki,
    pub leaf: Leaf,
}

impl Bench {
    pub fn new(version: HaproxyVersion) -> Self {
        Self::with(Haproxy::new(version), Hotcert::new())
    }

    pub fn with(haproxy: haproxy::Builder, hotcert: Hotcert) -> Self {
        let pki = Pki::new();
        let leaf = pki.leaf(NAME).issue();
        let haproxy = haproxy.certificate(&format!("{NAME}.pem"), &leaf.fullchain_and_key()).start();
        let bench = Self { haproxy, hotcert, pki, leaf };
        bench.push(&bench.leaf.fullchain_and_key(), &[]).expect_code(0);
        bench
    }

    /// Writes a file for a command, readable by every user.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> OsString {
        let path = self.hotcert.scratch().write(name, content);
        self.hotcert.scratch().chmod(name, 0o644);
        path.into()
    }

    /// The flags for the node and the store.
    pub fn node_flags(&self) -> Vec<OsString> {
        let mut flags = vec!["--socket".into(), self.haproxy.socket().into_os_string()];
        flags.extend(["--crt-dir".into(), self.haproxy.crt_dir().into_os_string()]);
        flags.extend(["--verify".into(), self.haproxy.https_addr().to_string().into()]);
        flags.extend(self.state_flags());
        flags
    }

    /// The flag for the store.
    pub fn state_flags(&self) -> [OsString; 2] {
        ["--state-dir".into(), self.hotcert.state_dir().into_os_string()]
    }

    /// Pushes a text as one PEM file.
    pub fn push(&self, pem: &str, more: &[&str]) -> Outcome {
        let file = self.file("pushed.pem", pem);
        self.run(["push".into(), file].into_iter().chain(more.iter().map(OsString::from)))
    }

    /// Runs a command with the flags for the node, and `--json`.
    pub fn run(&self, arguments: impl IntoIterator<Item = OsString>) -> Outcome {
        self.run_bare(arguments.into_iter().chain(self.node_flags()))
    }

    /// Runs a command with `--json` alone.
    pub fn run_bare(&self, arguments: impl IntoIterator<Item = OsString>) -> Outcome {
        self.hotcert.run(arguments.into_iter().chain(["--json".into()]))
    }

    /// A configuration with the node and the store; further tables may follow.
    pub fn config(&self, tables: &str) -> String {
        format!(
            "version = 1\nstate_dir = '{}'\n[haproxy.edge]\nsocket = '{}'\ncrt_dir = '{}'\n{tables}",
            self.hotcert.state_dir().display(),
            self.haproxy.socket().display(),
            self.haproxy.crt_dir().display()
        )
    }

    /// What a refused input must leave as it was.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.haproxy, &[&self.haproxy.crt_dir(), &self.hotcert.state_dir().join("certs")])
    }

    /// Checks that what `act` does is refused as expected, and changes nothing.
    pub fn refuses(&self, expected: Expected<'_>, act: impl FnOnce() -> Outcome) {
        let before = self.snapshot();
        expected.check(&act());
        assert_eq!(self.snapshot(), before);
    }

    /// Checks that a pushed PEM text is refused, and changes nothing.
    pub fn refuses_pem(&self, pem: &str, expected: Expected<'_>) {
        self.refuses(expected, || self.push(pem, &["--name", NAME]));
    }
}
