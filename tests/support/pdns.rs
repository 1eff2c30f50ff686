//! A real `PowerDNS`: an authoritative server whose zone is changed through its programming interface, like that of a hosted provider.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use super::bind::{Front, OTHER};
use super::net::Port;
use super::process::Process;
use super::{SERVER_DEADLINE, Scratch, http};

/// The key of its programming interface.
pub const API_KEY: &str = "key/of&the=interface";

/// A server for the zone `test`; killed on drop.
#[derive(Debug)]
pub struct Pdns {
    _process: Process,
    _front: Front,
    dns: Port,
    api: Port,
    scratch: Scratch,
}

impl Pdns {
    /// Starts it, and waits until it has its zone.
    pub fn start() -> Self {
        let program = PathBuf::from("/usr/sbin/pdns_server");
        let backend = PathBuf::from("/usr/lib/x86_64-linux-gnu/pdns/liblmdbbackend.so");
        assert!(
            program.exists() && (backend.exists() || !backend.parent().is_some_and(std::path::Path::exists)),
            "PowerDNS is missing\nhint: run ./scripts/need pdns_server pdns-server and the same for pdns-backend-lmdb, as ./scripts/test does"
        );
        let (scratch, dns, api) = (Scratch::new(), Port::reserve_with_udp(), Port::reserve());
        let directory = scratch.path().display();
        let config = format!(
            "launch=lmdb\nlmdb-filename={directory}/zones\nlocal-address=127.0.0.1\nlocal-port={dns}\n\
             socket-dir={directory}\nwebserver=yes\napi=yes\napi-key={API_KEY}\nwebserver-address=127.0.0.1\n\
             webserver-port={api}\nwebserver-allow-from=127.0.0.1\ndaemon=no\nguardian=no\ndisable-syslog=yes\n",
            dns = dns.number(),
            api = api.number(),
        );
        scratch.write("pdns.conf", config);
        let mut command = Command::new(program);
        command.arg(format!("--config-dir={directory}"));
        let mut process = Process::spawn("pdns_server", &mut command, &scratch.join("pdns.log"));
        process
            .wait_ready(SERVER_DEADLINE, || (http::listens(api.addr()) && http::listens(dns.addr())).then_some(()))
            .unwrap_or_else(|error| panic!("{error}"));
        let mut front = Front::bind();
        front.pass_to(dns.addr());
        let set = |name: &str, kind: &str, content: String| json!({ "name": name, "type": kind, "ttl": 60, "records": [{ "content": content, "disabled": false }] });
        let zone = json!({
            "name": "test.", "kind": "Native", "nameservers": ["ns.test."],
            "rrsets": [
                set("ns.test.", "A", front.address.to_string()),
                set("_acme-challenge.shared.test.", "TXT", format!("{OTHER:?}")),
            ],
        });
        let pdns = Self { _process: process, _front: front, dns, api, scratch };
        pdns.post("/api/v1/servers/localhost/zones", &zone.to_string());
        pdns
    }

    /// Where it answers questions.
    pub fn addr(&self) -> SocketAddr {
        self.dns.addr()
    }

    /// The URL of its programming interface.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.api.addr())
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("pdns.log")).unwrap_or_default()
    }

    fn post(&self, path: &str, body: &str) {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(self.api.addr()).expect("it listens");
        stream.set_read_timeout(Some(SERVER_DEADLINE)).expect("a socket takes a deadline");
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {API_KEY}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}\n{}", self.log());
    }
}
