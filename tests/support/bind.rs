//! A real BIND: an authoritative server whose zones are changed by dynamic updates (RFC 2136).

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use hotcert::model::DnsName;
use hotcert::probe::dns::txt_at;

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
static NEXT: AtomicU8 = AtomicU8::new(FIRST);

/// A server for the zones `test` and `acme.example`; killed on drop.
///
/// It is at port 53, where the servers of a zone are, of an address of its own; so it needs root. In `test`,
/// `_acme-challenge.delegated` is an alias of `delegated.acme.example`. [`KEY`] may change TXT records of both zones, and the key
/// `stranger`, of the same secret, none.
#[derive(Debug)]
pub struct Bind {
    _process: Process,
    address: Ipv4Addr,
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
        let address = address();
        let primary = Self::primary(&[address]);
        let wait = if takes_over { 1 } else { 3600 };
        let zone = |name: &str| {
            format!(
                "zone \"{name}\" {{ type secondary; file \"{name}.copy\"; masterfile-format text; primaries {{ {from}; }}; \
                 min-refresh-time {wait}; max-refresh-time {wait}; min-retry-time {wait}; allow-notify {{ none; }}; }};\n",
                from = primary.address
            )
        };
        let secondary = Self::serve(address, &(zone("test") + &zone("acme.example")), Scratch::new());
        (primary, secondary)
    }

    /// Where it answers.
    pub fn addr(&self) -> SocketAddr {
        (self.address, 53).into()
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
        let address = address();
        let scratch = Scratch::new();
        scratch.write("hotcert.key", key(KEY));
        let mut servers = vec![address];
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
        let config = format!("{}{}{}{}", key(KEY), key("stranger"), zone("test"), zone("acme.example"));
        Self::serve(address, &config, scratch)
    }

    fn serve(address: Ipv4Addr, zones: &str, scratch: Scratch) -> Self {
        let directory = scratch.path().display();
        let config = scratch.write(
            "named.conf",
            format!(
                "options {{ directory \"{directory}\"; pid-file \"{directory}/named.pid\"; listen-on port 53 {{ {address}; }};
                 listen-on-v6 {{ none; }}; query-source address {address}; transfer-source {address}; recursion no;
                 dnssec-validation no; empty-zones-enable no; session-keyfile \"{directory}/session.key\"; }};
                 controls {{ }};\n{zones}"
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
        process
            .wait_ready(SERVER_DEADLINE, is_loaded)
            .unwrap_or_else(|error| panic!("{error}\nhint: port 53 needs root"));
        Self { _process: process, address, scratch }
    }
}

/// A key statement, as `tsig-keygen` prints it.
pub fn key(name: &str) -> String {
    format!("key \"{name}\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{SECRET}\";\n}};\n")
}

/// An address of the loopback that nobody else uses.
fn address() -> Ipv4Addr {
    let process = std::process::id();
    let part = |number: u32| u8::try_from(number % 250 + 1).expect("it fits");
    Ipv4Addr::new(127, part(process / 250), part(process), NEXT.fetch_add(1, Ordering::Relaxed))
}
