//! A real BIND: an authoritative server whose zones are changed by dynamic updates (RFC 2136).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hotcert::model::DnsName;
use hotcert::probe::dns::txt_at;

use super::net::Port;
use super::process::Process;
use super::{SERVER_DEADLINE, Scratch};

/// The name of the key that may change records.
pub const KEY: &str = "hotcert-key";
/// Its secret, in base64.
pub const SECRET: &str = "c29tZSBzZWNyZXQgdGhhdCBpcyBwbGFudGVkIGhlcmU=";
/// What stands at a name beside what a test adds: `_acme-challenge.shared.test`.
pub const OTHER: &str = "what somebody else has put here";

/// The first of the numbers that tell the servers of one process apart; those below are for other servers.
const FIRST: u8 = 100;
/// How often a front looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
static NEXT: AtomicU8 = AtomicU8::new(FIRST);

/// A server for the zones `test` and `acme.example`; killed on drop.
///
/// In `test`, `_acme-challenge.delegated` is an alias of `delegated.acme.example`. [`KEY`] may change TXT records of both zones, and the key
/// `stranger`, of the same secret, none.
#[derive(Debug)]
pub struct Bind {
    _process: Process,
    port: Port,
    front: Front,
    scratch: Scratch,
}

impl Bind {
    /// A server that is alone.
    pub fn start() -> Self {
        Self::primary(&[])
    }

    /// A server, and one that takes its zones over, by asking every second, or never after the first time. Both are named by
    /// the zones.
    pub fn pair(takes_over: bool) -> (Self, Self) {
        let front = Front::bind();
        let primary = Self::primary(&[front.address]);
        let wait = if takes_over { 1 } else { 3600 };
        let zone = |name: &str| {
            format!(
                "zone \"{name}\" {{ type secondary; file \"{name}.copy\"; masterfile-format text; primaries {{ 127.0.0.1 port {from}; }}; \
                 min-refresh-time {wait}; max-refresh-time {wait}; min-retry-time {wait}; allow-notify {{ none; }}; }};\n",
                from = primary.port.number()
            )
        };
        let secondary = Self::serve(front, &(zone("test") + &zone("acme.example")), Scratch::new());
        (primary, secondary)
    }

    /// Where it answers, and takes updates.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// Where it answers as the zones name it.
    pub fn named_addr(&self) -> SocketAddr {
        (self.front.address, 53).into()
    }

    /// The file with its key, as `tsig-keygen` prints it.
    pub fn key_file(&self) -> PathBuf {
        self.scratch.join("hotcert.key")
    }

    /// Its TXT records of a name.
    pub fn txt(&self, name: &str) -> Vec<String> {
        let name: DnsName = name.parse().expect("a test asks for names");
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let mut found = runtime.block_on(txt_at(self.addr(), &name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        found.sort();
        found
    }

    /// Everything that it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("named.log")).unwrap_or_default()
    }

    fn primary(others: &[Ipv4Addr]) -> Self {
        let front = Front::bind();
        let scratch = Scratch::new();
        scratch.write("hotcert.key", key(KEY));
        let mut servers = vec![front.address];
        servers.extend(others);
        let mut head = String::from("$TTL 60\n@ SOA ns0 admin 1 1 1 1000 1\n");
        for (index, server) in servers.iter().enumerate() {
            head.push_str(&format!("@ NS ns{index}\nns{index} A {server}\n"));
        }
        let alias = "_acme-challenge.delegated CNAME delegated.acme.example.\n";
        scratch.write("test.zone", format!("{head}{alias}_acme-challenge.shared TXT \"{OTHER}\"\n"));
        scratch.write("acme.example.zone", &head);
        let zone = |name: &str| {
            format!(
                "zone \"{name}\" {{ type primary; file \"{name}.zone\"; notify no; allow-transfer {{ any; }}; \
                 update-policy {{ grant {KEY} subdomain {name}. TXT; }}; }};\n"
            )
        };
        // There is nothing else in this world: nobody is asked about other names. An alias is followed from zone to zone.
        scratch.write("root.zone", "$TTL 60\n@ SOA ns admin 1 1 1 1 1\n@ NS ns\nns A 127.0.0.1\n");
        let root = "zone \".\" { type primary; file \"root.zone\"; };\n";
        let config = format!("{root}{}{}{}{}", key(KEY), key("stranger"), zone("test"), zone("acme.example"));
        Self::serve(front, &config, scratch)
    }

    fn serve(mut front: Front, zones: &str, scratch: Scratch) -> Self {
        let port = Port::reserve_with_udp();
        let directory = scratch.path().display();
        let config = scratch.write(
            "named.conf",
            format!(
                "options {{ directory \"{directory}\"; pid-file \"{directory}/named.pid\"; listen-on port {number} {{ 127.0.0.1; }};
                 listen-on-v6 {{ none; }}; recursion yes;
                 dnssec-validation no; empty-zones-enable no; session-keyfile \"{directory}/session.key\"; }};
                 controls {{ }};\n{zones}",
                number = port.number(),
            ),
        );
        let program = PathBuf::from("/usr/sbin/named");
        assert!(program.exists(), "named is missing\nhint: run ./scripts/need named bind9, as ./scripts/test does");
        let mut command = Command::new(program);
        command.args(["-4", "-g", "-n", "1", "-c"]).arg(config);
        let mut process = Process::spawn("named", &mut command, &scratch.join("named.log"));
        let log = scratch.join("named.log");
        let is_loaded = || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            // A secondary is of use once it has the zones.
            let transfers = log.matches("Transfer status: success").count();
            (log.contains("all zones loaded") && (!zones.contains("secondary") || transfers == 2)).then_some(())
        };
        process.wait_ready(SERVER_DEADLINE, is_loaded).unwrap_or_else(|error| panic!("{error}"));
        front.pass_to(port.addr());
        Self { _process: process, port, front, scratch }
    }
}

/// A key statement, as `tsig-keygen` prints it.
pub fn key(name: &str) -> String {
    format!("key \"{name}\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n")
}

/// A server is asked at port 53 of the address that its zone names. Servers listen at addresses of the machine's interfaces alone, so
/// this passes datagrams on to it.
#[derive(Debug)]
pub struct Front {
    pub address: Ipv4Addr,
    socket: Arc<UdpSocket>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Takes an address of the loopback that nobody else uses.
    pub fn bind() -> Self {
        let process = std::process::id();
        let part = |number: u32| u8::try_from(number % 250 + 1).expect("it fits");
        let address = Ipv4Addr::new(127, part(process / 250), part(process), NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = UdpSocket::bind((address, 53)).expect("port 53 can be used\nhint: run the tests as root");
        socket.set_read_timeout(Some(TICK)).expect("a socket takes a deadline");
        Self { address, socket: Arc::new(socket), stop: Arc::default(), thread: None }
    }

    /// Passes what comes on to a server.
    pub fn pass_to(&mut self, server: SocketAddr) {
        let (socket, stop) = (Arc::clone(&self.socket), Arc::clone(&self.stop));
        let behind = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        behind.connect(server).expect("a datagram socket connects to anything");
        behind.set_read_timeout(Some(SERVER_DEADLINE)).expect("a socket takes a deadline");
        self.thread = Some(thread::spawn(move || {
            let mut message = [0; 4096];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, client)) = socket.recv_from(&mut message) else { continue };
                if behind.send(&message[..length]).is_ok()
                    && let Ok(length) = behind.recv(&mut message)
                {
                    let _ = socket.send_to(&message[..length], client);
                }
            }
        }));
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
