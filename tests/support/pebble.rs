//! A real ACME authority, Pebble, with a DNS server of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client;
use super::dns::Dns;
use super::http::{self, Response};
use super::net::Port;
use super::process::Process;
use super::{Pki, SERVER_DEADLINE, Scratch, server};

/// The Pebble versions that tests run against. Renewal information (RFC 9773) and profiles come with 2.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PebbleVersion {
    V2_4,
    V2_10,
}

impl PebbleVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 2] = [Self::V2_4, Self::V2_10];

    /// The version as Pebble writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2_4 => "2.4",
            Self::V2_10 => "2.10",
        }
    }

    /// One of its programs, `pebble` or `pebble-challtestsrv`.
    pub fn program(self, program: &str) -> PathBuf {
        server("pebble", self.name(), program)
    }
}

/// A name for which it issues nothing, by its policy.
pub const BLOCKED: &str = "blocked.test";

/// A Pebble to be started. It rejects no nonce, re-uses no authorization and does not sleep, unless told to.
#[derive(Debug)]
pub struct Builder {
    version: PebbleVersion,
    http_port: u16,
    tls_port: u16,
    reject_nonces: u8,
    reuse_authz: u8,
    strict: bool,
    sleep: bool,
    chain_length: u8,
    alternate_roots: u8,
    validity: Option<Duration>,
    profiles: Vec<(String, Duration)>,
    eab: Vec<(String, String)>,
    dns: Option<SocketAddr>,
}

impl Builder {
    /// Sets where http-01 challenges are fetched from: [`super::Haproxy::http_addr`].
    pub fn http01(mut self, addr: SocketAddr) -> Self {
        self.http_port = addr.port();
        self
    }

    /// Sets where tls-alpn-01 challenges are fetched from.
    pub fn tls_alpn01(mut self, addr: SocketAddr) -> Self {
        self.tls_port = addr.port();
        self
    }

    /// Asks another DNS server, instead of one of its own.
    pub fn dns(mut self, addr: SocketAddr) -> Self {
        self.dns = Some(addr);
        self
    }

    /// Rejects so many percent of good nonces.
    pub fn reject_nonces(mut self, percent: u8) -> Self {
        self.reject_nonces = percent;
        self
    }

    /// Re-uses a valid authorization of the account for so many percent of new orders' names.
    pub fn reuse_authz(mut self, percent: u8) -> Self {
        self.reuse_authz = percent;
        self
    }

    /// Turns on what Pebble plans to break (`-strict`).
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Sleeps up to 15 seconds before each validation, as Pebble does by default.
    pub fn sleep(mut self) -> Self {
        self.sleep = true;
        self
    }

    /// Sets the number of intermediates between root and leaf; 1 by default, 0 is a chain of the leaf alone.
    pub fn chain_length(mut self, intermediates: u8) -> Self {
        self.chain_length = intermediates;
        self
    }

    /// Offers so many chains to other roots, as `Link: rel="alternate"` (RFC 8555, section 7.4.2).
    pub fn alternate_roots(mut self, roots: u8) -> Self {
        self.alternate_roots = roots;
        self
    }

    /// Sets the validity of certificates without a profile, in whole seconds.
    pub fn validity(mut self, validity: Duration) -> Self {
        self.validity = Some(validity);
        self
    }

    /// Adds a profile with its validity; 2.10 only. `default` is always there.
    pub fn profile(mut self, name: &str, validity: Duration) -> Self {
        assert!(self.version >= PebbleVersion::V2_10, "Pebble {} knows no profiles", self.version.name());
        self.profiles.push((name.to_owned(), validity));
        self
    }

    /// Requires new accounts to be bound to an external account; the key is base64url (RFC 8555, section 7.3.4).
    pub fn eab(mut self, kid: &str, hmac_key: &str) -> Self {
        self.eab.push((kid.to_owned(), hmac_key.to_owned()));
        self
    }

    /// Starts it with its DNS server, and waits until both answer.
    pub fn start(self) -> Pebble {
        let scratch = Scratch::new();
        let (acme, management) = (Port::reserve(), Port::reserve());
        let dns = self.dns.is_none().then(|| Dns::start(self.version));
        let asked = self.dns.or_else(|| dns.as_ref().map(Dns::addr)).expect("there is one of the two");
        // Pebble's own end point has a certificate of an authority that issues nothing else.
        let pki = Pki::new();
        let endpoint = pki.leaf("localhost").names(&["localhost", "127.0.0.1"]).issue();
        let root_ca = scratch.write("root-ca.pem", pki.root_pem());
        let certificate = scratch.write("endpoint.pem", endpoint.fullchain());
        let key = scratch.write("endpoint.key", endpoint.key_pem());
        let mut settings = json!({
            "listenAddress": acme.addr().to_string(),
            "managementListenAddress": management.addr().to_string(),
            "certificate": certificate,
            "privateKey": key,
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "ocspResponderURL": "",
            "domainBlocklist": [BLOCKED],
            "externalAccountBindingRequired": !self.eab.is_empty(),
            "externalAccountMACKeys": self.eab.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        });
        self.set_validity(&mut settings);
        let config = scratch.write("pebble.json", json!({ "pebble": settings }).to_string());

        let mut command = Command::new(self.version.program("pebble"));
        command.arg("-config").arg(config).arg("-dnsserver").arg(asked.to_string());
        if self.strict {
            command.arg("-strict");
        }
        command
            .env("PEBBLE_WFE_NONCEREJECT", self.reject_nonces.to_string())
            .env("PEBBLE_AUTHZREUSE", self.reuse_authz.to_string())
            .env("PEBBLE_CHAIN_LENGTH", self.chain_length.to_string())
            .env("PEBBLE_ALTERNATE_ROOTS", self.alternate_roots.to_string())
            .env("PEBBLE_VA_NOSLEEP", if self.sleep { "0" } else { "1" });
        let mut process = Process::spawn("pebble", &mut command, &scratch.join("pebble.log"));
        process
            .wait_ready(SERVER_DEADLINE, || {
                (http::listens(acme.addr()) && http::listens(management.addr())).then_some(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
        Pebble { process, version: self.version, acme, management, dns, root_ca, scratch }
    }

    fn set_validity(&self, settings: &mut Value) {
        if self.version == PebbleVersion::V2_4 {
            if let Some(validity) = self.validity {
                settings["certificateValidityPeriod"] = json!(validity.as_secs());
            }
            return;
        }
        let default = self.validity.map(|validity| ("default".to_owned(), validity));
        let profiles: serde_json::Map<_, _> = default
            .into_iter()
            .chain(self.profiles.iter().cloned())
            .map(|(name, validity)| {
                let profile =
                    json!({ "description": format!("The {name} profile"), "validityPeriod": validity.as_secs() });
                (name, profile)
            })
            .collect();
        if !profiles.is_empty() {
            settings["profiles"] = Value::Object(profiles);
        }
    }
}

/// A running Pebble; killed on drop, with its DNS server.
///
/// Pebble keeps everything in memory: what one start knows, the next does not.
#[derive(Debug)]
pub struct Pebble {
    process: Process,
    version: PebbleVersion,
    acme: Port,
    management: Port,
    dns: Option<Dns>,
    root_ca: PathBuf,
    scratch: Scratch,
}

impl Pebble {
    /// Begins the description of a Pebble.
    #[expect(clippy::new_ret_no_self, reason = "a server is described, then started")]
    pub fn new(version: PebbleVersion) -> Builder {
        Builder {
            version,
            // Pebble's own defaults, on which nothing listens.
            http_port: 5002,
            tls_port: 5001,
            reject_nonces: 0,
            reuse_authz: 0,
            strict: false,
            sleep: false,
            chain_length: 1,
            alternate_roots: 0,
            validity: None,
            profiles: Vec::new(),
            eab: Vec::new(),
            dns: None,
        }
    }

    /// Its version.
    pub fn version(&self) -> PebbleVersion {
        self.version
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://{}/dir", self.acme.addr())
    }

    /// The file with the root of its own HTTPS end point: what `--root-ca` takes. It signs no issued certificate.
    pub fn root_ca(&self) -> PathBuf {
        self.root_ca.clone()
    }

    /// The root that signs what it issues.
    pub fn issuance_root_pem(&self) -> String {
        self.alternate_root_pem(0)
    }

    /// The root of a chain: 0 is the default one, the others are the alternates.
    pub fn alternate_root_pem(&self, index: usize) -> String {
        self.management(&format!("/roots/{index}")).text()
    }

    /// What the management API answers, such as `/cert-status-by-serial/SERIAL`.
    pub fn management(&self, path: &str) -> Response {
        let (_, response) = client::https_get(self.management.addr(), "localhost", path)
            .unwrap_or_else(|error| panic!("{path}: {error}\n{}", self.log()));
        response
    }

    /// Makes it suggest to renew a certificate in this window; 2.10 only.
    pub fn set_renewal_window(&self, certificate: &str, start: Timestamp, end: Timestamp) {
        let window = json!({ "suggestedWindow": { "start": start, "end": end } });
        let body = json!({ "certificate": certificate, "ariResponse": window.to_string() }).to_string();
        let answer = client::https_post(self.management.addr(), "localhost", "/set-renewal-info/", &body)
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// How many orders named what they replace (RFC 9773).
    pub fn replacements(&self) -> usize {
        self.log().matches(" is a replacement of ").count()
    }

    /// Its DNS server.
    pub fn dns(&self) -> &Dns {
        self.dns.as_ref().expect("it has a DNS server of its own")
    }

    /// How many orders were created. A request that Pebble refused created none.
    pub fn orders(&self) -> usize {
        self.log().matches("Added order \"").count()
    }

    /// How many certificates were issued.
    pub fn certificates(&self) -> usize {
        self.log().matches("Issued certificate serial ").count()
    }

    /// How many accounts there are.
    pub fn accounts(&self) -> usize {
        let count = |line: &str| line.split_once("There are now ")?.1.strip_suffix(" accounts in memory")?.parse().ok();
        self.log().lines().rev().find_map(count).unwrap_or(0)
    }

    /// How many requests came to a path, such as `/order-plz`, `/sign-me-up` or `/finalize-order/`.
    pub fn requests(&self, path: &str) -> usize {
        let (get, post, head) = (format!(" GET {path}"), format!(" POST {path}"), format!(" HEAD {path}"));
        let log = self.log();
        log.lines().filter(|line| [&get, &post, &head].iter().any(|request| line.contains(*request))).count()
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("pebble.log")).expect("the log is there from the start")
    }

    /// Ends it: the authority is down from now on. Its log stays readable.
    pub fn stop(&mut self) {
        self.process.kill();
    }
}
