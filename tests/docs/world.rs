//! The internet as far as a page needs it: a DNS server that knows every name, and Let's Encrypt.
//!
//! The machine has the address 192.0.2.10, and every name leads to it but those of the authority, at 203.0.113.80. That is a
//! Pebble, behind a HAProxy that has a certificate for the authority's name and calls its directory as the real one does.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::support::http;
use super::support::process::Process;
use super::support::{HaproxyVersion, Pebble, PebbleVersion, Pki, Scratch};

/// Where every name leads to.
const MACHINE: &str = "192.0.2.10";

/// The DNS server.
const DNS: &str = "203.0.113.53";

/// The authority.
const AUTHORITY: &str = "203.0.113.80";

/// The names of the authority.
const NAMES: [&str; 2] = ["acme-v02.api.letsencrypt.org", "acme-staging-v02.api.letsencrypt.org"];

/// What Let's Encrypt says when somebody orders too much.
const LIMIT: &str = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s"}"#;

/// How long a server may take until it answers.
const DEADLINE: Duration = Duration::from_secs(30);

/// Servers beyond the machine.
#[derive(Debug)]
pub struct World {
    _front: Process,
    _pebble: Pebble,
    _dns: Process,
    _scratch: Scratch,
}

impl World {
    /// Starts the servers; the authority's certificate is of `pki`. The program `authority` of the machine reaches the front.
    pub fn new(pki: &Pki, machine: &Path) -> Self {
        let scratch = Scratch::new();
        for address in [MACHINE, DNS, AUTHORITY] {
            let added =
                Command::new("ip").args(["address", "add", address, "dev", "lo"]).status().expect("ip can be run");
            assert!(added.success(), "the address {address} can be added");
        }
        let mut dns = Command::new(PebbleVersion::V2_10.program("pebble-challtestsrv"));
        dns.args(["-dnsserver", &format!("{DNS}:53"), "-doh", "", "-management", "127.0.0.1:8055"]);
        dns.args(["-defaultIPv4", MACHINE, "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let mut dns = Process::spawn("pebble-challtestsrv", &mut dns, &scratch.join("dns.log"));
        let addr = |text: &str| text.parse().expect("an address is one");
        for place in ["127.0.0.1:8055".to_owned(), format!("{DNS}:53")] {
            dns.wait_ready(DEADLINE, || http::listens(addr(&place)).then_some(()))
                .unwrap_or_else(|error| panic!("{error}"));
        }
        let pebble = Pebble::new(PebbleVersion::V2_10).dns(addr(&format!("{DNS}:53")));
        let pebble = pebble.http01(addr(&format!("{MACHINE}:80"))).tls_alpn01(addr(&format!("{MACHINE}:443")));
        let pebble = pebble.reuse_authz(100).start();
        let certificate = scratch.write("front.pem", pki.leaf(NAMES[0]).names(&NAMES).issue().fullchain_and_key());
        let directory = pebble.directory();
        let server = directory.trim_start_matches("https://").trim_end_matches("/dir");
        // It is nobody's, so that what looks for HAProxy on the machine takes it for a stranger's.
        let config = format!(
            "global\n    maxconn 100\n    user nobody\n    stats socket {} user nobody mode 600 level admin\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n\
             frontend authority\n    bind {AUTHORITY}:443 ssl crt {} alpn h2,http/1.1\n    \
             acl is_limited path_beg -u 1 /nothing\n    \
             http-request return status 429 hdr Retry-After 3600 content-type application/problem+json \
             string '{LIMIT}' if is_limited\n    \
             http-request replace-path ^/directory$ /dir\n    default_backend pebble\n\
             backend pebble\n    server pebble {server} ssl verify none\n",
            machine.join("run/authority.sock").display(),
            certificate.display(),
        );
        let config = scratch.write("front.cfg", config);
        let mut front = Command::new(HaproxyVersion::V3_2.program());
        let mut front = Process::spawn("front", front.arg("-db").arg("-f").arg(config), &scratch.join("front.log"));
        let place = addr(&format!("{AUTHORITY}:443"));
        front.wait_ready(DEADLINE, || http::listens(place).then_some(())).unwrap_or_else(|error| panic!("{error}"));
        Self { _front: front, _pebble: pebble, _dns: dns, _scratch: scratch }
    }

    /// What `/etc/resolv.conf` says.
    pub fn resolver() -> String {
        format!("nameserver {DNS}\n")
    }

    /// What `/etc/hosts` says besides.
    pub fn hosts() -> String {
        NAMES.map(|name| format!("{AUTHORITY} {name}\n")).concat()
    }
}
