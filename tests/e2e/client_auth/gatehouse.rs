//! A HAProxy that asks clients for certificates, and a sidecar's user beside it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::haproxy::Builder;
use crate::support::{Club, Haproxy, HaproxyVersion, House, Outcome, Visitor};

pub(crate) const SITE: &str = "shop.test";

/// The TLS line of a gatehouse.
const TLS: &str = "ssl crt {dir}/certs/ strict-sni ca-file {dir}/ca.pem crl-file {dir}/crl.pem verify required";

pub(crate) struct Gatehouse {
    pub(crate) house: House,
    pub(crate) club: Club,
    pub(crate) alice: Visitor,
    pub(crate) bob: Visitor,
}

impl Gatehouse {
    /// One that lets in alice and bob, and serves a certificate.
    pub(crate) fn new(version: HaproxyVersion) -> Self {
        Self::with(Haproxy::new(version), "")
    }

    /// The same with more in its files at the start.
    pub(crate) fn with(haproxy: Builder, more_authorities: &str) -> Self {
        let club = Club::new("Test Club");
        let (alice, bob) = (club.admit("alice"), club.admit("bob"));
        let haproxy = haproxy
            .tls(TLS)
            .file("ca.pem", &(club.pem().to_owned() + more_authorities))
            .file("crl.pem", &club.crl_from(-2 * 3600, 24 * 3600, &[]));
        let gatehouse = Self { house: House::new([haproxy]), club, alice, bob };
        let (_, file) = gatehouse.house.leaf(SITE);
        gatehouse.run(&["push", &file]).expect_code(0);
        gatehouse
    }

    pub(crate) fn haproxy(&self) -> &Haproxy {
        &self.house.nodes[0]
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.haproxy().dir().join("ca.pem")
    }

    pub(crate) fn crl_file(&self) -> PathBuf {
        self.haproxy().dir().join("crl.pem")
    }

    /// The keys for the table of the node.
    pub(crate) fn config(&self) -> String {
        format!(
            "ca_file = {:?}\ncrl_file = [{:?}]\n",
            self.ca_file().display().to_string(),
            self.crl_file().display().to_string()
        )
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let arguments = arguments.iter().map(std::ffi::OsString::from);
        self.house.hotcert.run(arguments.chain(self.house.flags_and(&self.config())))
    }

    pub(crate) fn lets_in(&self, visitor: &Visitor) -> bool {
        visitor.is_let_in(self.haproxy().https_addr(), SITE)
    }

    /// What is wrong with a file, as `status` tells it.
    pub(crate) fn problem(&self) -> Option<serde_json::Value> {
        self.run(&["status", "--json"]).json()["problems"].as_array().unwrap().first().cloned()
    }

    pub(crate) fn states(&self) -> Vec<String> {
        let status = self.run(&["status", "--json"]).json();
        let files = status["nodes"][0]["files"].as_array().unwrap();
        files.iter().map(|file| file["state"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn expect_no_open_transaction(&self) {
        for kind in ["cert", "ca-file", "crl-file"] {
            let listing = self.haproxy().cli(&format!("show ssl {kind}"));
            assert!(!listing.contains("# transaction"), "{listing}");
        }
    }

    /// Pushes a new certificate, which is proved by a handshake.
    pub(crate) fn push(&self) {
        let (leaf, file) = self.house.leaf(SITE);
        self.run(&["push", &file]).expect_code(0);
        assert_eq!(crate::support::sidecar::serial(self.haproxy(), SITE).as_deref(), Some(leaf.serial()));
    }
}

/// Replaces a file as careful programs do.
pub(crate) fn replace(file: &Path, content: &str) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(&new, file).unwrap();
}
