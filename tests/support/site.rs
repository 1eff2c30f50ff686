//! A whole site: HAProxy, an authority that validates through it, and a user of hotcert.

use std::ffi::OsString;
use std::path::Path;

use super::client::{self, Options, Served};
use super::sidecar::quoted;
use super::{Haproxy, HaproxyVersion, Hotcert, Http01, Outcome, Pebble, PebbleVersion, haproxy, pebble};

/// The servers of a site, and its user.
#[derive(Debug)]
pub struct Site {
    pub haproxy: Haproxy,
    pub pebble: Pebble,
    pub hotcert: Hotcert,
    via: Http01,
}

impl Site {
    /// A site whose HAProxy routes challenges to hotcert's listener.
    pub fn new(haproxy: HaproxyVersion, pebble: PebbleVersion) -> Self {
        Self::with(Haproxy::new(haproxy), Pebble::new(pebble))
    }

    /// A site of these servers; the authority validates at the HAProxy's plain HTTP port.
    pub fn with(haproxy: haproxy::Builder, pebble: pebble::Builder) -> Self {
        Self::answering(Http01::Listener, haproxy, pebble)
    }

    /// The same with another way to answer challenges.
    pub fn answering(via: Http01, haproxy: haproxy::Builder, pebble: pebble::Builder) -> Self {
        let haproxy = haproxy.http01(via.clone()).start();
        let pebble = pebble.http01(haproxy.http_addr()).start();
        Self { haproxy, pebble, hotcert: Hotcert::new(), via }
    }

    /// The flags that stand for the node and the store.
    pub fn node_flags(&self) -> Vec<OsString> {
        flags([
            ("--socket", self.haproxy.socket().as_os_str().to_owned()),
            ("--crt-dir", self.haproxy.crt_dir().into()),
            ("--verify", self.haproxy.https_addr().to_string().into()),
            ("--state-dir", self.hotcert.state_dir().into()),
        ])
    }

    /// The flags for the authority.
    pub fn authority_flags(&self) -> Vec<OsString> {
        let mut all = flags([
            ("--directory", self.pebble.directory().into()),
            ("--root-ca", self.pebble.root_ca().as_os_str().to_owned()),
            ("--contact", "admin@example.org".into()),
            ("--http-01-probe", self.haproxy.http_addr().to_string().into()),
        ]);
        all.push("--agree-terms".into());
        all.extend(match &self.via {
            Http01::Listener => flags([("--http-01-listen", self.haproxy.acme_addr().to_string().into())]),
            Http01::Map => flags([("--http-01-map", self.haproxy.map().as_os_str().to_owned())]),
            Http01::VirtualMap => flags([("--http-01-map", "virt@acme".into())]),
            Http01::Stateless(_) => vec!["--http-01-stateless".into()],
        });
        all
    }

    /// The lines of a configuration for the authority and its challenges.
    pub fn authority_config(&self) -> String {
        let via = match &self.via {
            Http01::Listener => format!("via = \"listener\"\nlisten = \"{}\"", self.haproxy.acme_addr()),
            Http01::Map => format!("via = \"haproxy-map\"\nmap = {}", quoted(self.haproxy.map())),
            Http01::VirtualMap => "via = \"haproxy-map\"\nmap = \"virt@acme\"".to_owned(),
            Http01::Stateless(_) => "via = \"stateless\"".to_owned(),
        };
        format!(
            "[issuer.pebble]\ndirectory = \"{}\"\nroot_ca = {}\ncontact = [\"admin@example.org\"]\nterms_agreed = true\n\
             [solver.http]\ntype = \"http-01\"\nprobe = \"{}\"\n{via}\n",
            self.pebble.directory(),
            quoted(self.pebble.root_ca()),
            self.haproxy.http_addr(),
        )
    }

    /// Runs a command on the node.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(arguments.iter().map(OsString::from).chain(self.node_flags()))
    }

    /// Runs `issue` with all flags, and with these.
    pub fn issue(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(self.issue_arguments(arguments))
    }

    /// The arguments of [`Site::issue`].
    pub fn issue_arguments(&self, arguments: &[&str]) -> Vec<OsString> {
        let command = ["issue", "-v"].iter().chain(arguments).map(OsString::from);
        command.chain(self.node_flags()).chain(self.authority_flags()).collect()
    }

    /// What a client is shown.
    pub fn served(&self, name: &str) -> Served {
        client::handshake(self.haproxy.https_addr(), name, Options::default()).unwrap()
    }

    /// The serial number that a client is shown, or the error that it gets.
    pub fn serial(&self, name: &str) -> Result<String, String> {
        client::handshake(self.haproxy.https_addr(), name, Options::default())
            .map(|served| served.serial)
            .map_err(|error| error.to_string())
    }

    /// Checks that hotcert has left nothing half done, in HAProxy or on disk.
    pub fn expect_nothing_half_done(&self) {
        let listing = self.haproxy.cli("show ssl cert");
        assert!(!listing.contains("# transaction"), "a transaction is open:\n{listing}");
        for directory in [self.haproxy.crt_dir(), self.hotcert.state_dir()] {
            let left: Vec<_> = leftovers(&directory);
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

/// Files and directories that stand for something unfinished.
pub fn leftovers(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let parent = directory.file_name().unwrap_or_default();
        let is_leftover =
            name.starts_with('.') || ["journal", "tokens", "nodes"].iter().any(|unfinished| parent == *unfinished);
        if is_leftover {
            found.push(entry.path().display().to_string());
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_leftover {
            found.extend(leftovers(&entry.path()));
        }
    }
    found
}

fn flags<const N: usize>(pairs: [(&str, OsString); N]) -> Vec<OsString> {
    pairs.into_iter().flat_map(|(flag, value)| [OsString::from(flag), value]).collect()
}
