//! Session ticket keys that nodes share: a session that began on one is resumed on another, and old tickets are refused.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};

use crate::support::http::{connect, read_response};
use crate::support::sidecar::{DEADLINE, quoted};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome, Pki, Sidecar, Steps, hex, poll, steps};

use HaproxyVersion::{V2_6, V2_8, V3_0, V3_2};

#[test]
fn as_hotcert() -> ExitCode {
    steps::play()
}

#[test]
fn a_ticket_of_one_node_is_resumed_on_another_until_its_window_is_over() {
    // 3.2.26 takes tickets of none that is older, as it ties them to the certificate; they take none of it.
    for versions in [[V2_6, V3_0], [V3_0, V2_8], [V3_2, V3_2]] {
        let fleet = Fleet::new(&versions, 80);
        // What was there is taken over: sessions that are open now go on.
        let planted = fleet.held(0);
        let protocols = [&rustls::version::TLS12, &rustls::version::TLS13];
        let clients = || protocols.map(|protocol| Client::new(&fleet, protocol));
        let (before, across, late, after) = (clients(), clients(), clients(), clients());
        for client in before.iter().chain(&across).chain(&late) {
            assert!(!client.is_resumed(fleet.address(0)));
        }
        fleet.sync();
        assert_eq!(fleet.held(0), planted);
        for client in &before {
            assert!(client.is_resumed(fleet.address(1)));
        }

        fleet.rotate();
        assert_eq!(fleet.held(0)[..2], planted[1..]);
        for client in &across {
            assert!(client.is_resumed(fleet.address(1)), "across a rotation: {versions:?}");
        }
        for client in &after {
            assert!(!client.is_resumed(fleet.address(1)));
        }
        fleet.rotate();
        for client in &late {
            assert!(!client.is_resumed(fleet.address(1)), "older than the window: {versions:?}");
        }
        for client in &after {
            assert!(client.is_resumed(fleet.address(0)));
        }
    }
}

#[test]
fn after_a_long_stop_no_key_is_left_and_all_nodes_have_the_same() {
    let mut fleet = Fleet::new(&[V2_6, V2_8, V3_0, V3_2], 48);
    fleet.sync();
    let before = fleet.held(0);
    fleet.nodes[3].kill();
    fleet.age(SignedDuration::from_hours(1000));
    let outcome = fleet.run(&["sync", "-vvv"]);
    assert!(outcome.stderr.contains("session ticket keys rotated"), "{outcome:?}");
    let now = fleet.held(0);
    assert!(before.iter().all(|key| !now.contains(key)), "{outcome:?}");
    assert!((1..3).all(|node| fleet.held(node) == now));
    // The one that was away reads them from the file.
    fleet.nodes[3].restart();
    assert_eq!(fleet.held(3), now);
    let second = fleet.sync();
    assert!(!second.stderr.contains("ticket key"), "a second round changes nothing: {second:?}");
    expect_unsaid(&outcome, &[before, now]);
}

#[test]
fn a_daemon_rotates_and_brings_back_what_a_node_has_lost() {
    let mut fleet = Fleet::new(&[V2_6, V3_2], 80);
    let sidecar = Sidecar::start(&fleet.hotcert, fleet.config());
    let first = fleet.held(0);
    poll(DEADLINE, || fleet.stored().map(drop)).unwrap();
    fleet.age(SignedDuration::from_hours(12));
    let rotated =
        |node: usize| poll(DEADLINE, || Some(fleet.held(node)).filter(|keys| keys[..2] == first[1..])).unwrap();
    let now = rotated(0);
    assert_eq!(rotated(1), now);
    // As a node does that reads another file, on another machine.
    fleet.nodes[1].restart();
    (0..3).for_each(|key| fleet.set(1, &[key; 80]));
    let back = poll(DEADLINE, || (fleet.held(1) == now).then_some(()));
    assert!(back.is_some(), "{}", sidecar.log());
    let (outcome, _) = sidecar.stop();
    expect_unsaid(&outcome, &[first, now]);
}

#[test]
fn keys_are_made_where_there_are_none_and_nobody_else_can_read_them() {
    let fleet = Fleet::new(&[V3_0], 80);
    fs::remove_file(&fleet.file).unwrap();
    let outcome = fleet.run(&["sync", "-vvv"]).expect_code(0);
    let keys = fleet.held(0);
    assert_eq!(fs::read_to_string(&fleet.file).unwrap(), keys.concat().replace('=', "=\n"));
    for file in [fleet.file.clone(), fleet.hotcert.state_dir().join("ticket-keys")] {
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    expect_unsaid(&outcome, &[keys]);
    let lines = fleet.run(&["config", "haproxy"]).stdout;
    assert!(lines.contains(&format!("tls-ticket-keys {}", fleet.file.display())), "{lines}");
}

#[test]
fn a_file_of_the_wrong_size_is_named_with_its_line_and_nothing_is_changed() {
    let fleet = Fleet::new(&[V2_8], 80);
    let (before, line) = (fleet.held(0), |byte: u8, bytes: usize| BASE64_STANDARD.encode(vec![byte; bytes]) + "\n");
    for (text, expected) in [
        (line(1, 80) + &line(2, 79) + &line(3, 80), "line 2: a ticket key has 48 or 80 bytes, and this one 79"),
        (
            line(1, 80) + &line(2, 80) + &line(3, 48),
            "line 3: this ticket key has 48 bytes, and those before it have 80",
        ),
        (line(1, 80) + &line(2, 80), "it has 2 keys, and HAProxy wants at least 3"),
        (line(1, 80) + "non-sense\n", "line 2: it is not a ticket key in base64"),
        (String::new(), "it has no key"),
    ] {
        fs::write(&fleet.file, &text).unwrap();
        for command in ["sync", "status"] {
            let outcome = fleet.run(&[command, "-vvv"]).expect_code(2);
            let all = outcome.stdout.clone() + &outcome.stderr;
            assert!(all.contains(expected) && all.contains(fleet.file.to_str().unwrap()), "{outcome:?}");
            expect_unsaid(&outcome, &[vec![line(1, 80)]]);
        }
        assert_eq!(
            (fs::read_to_string(&fleet.file).unwrap(), fleet.stored(), fleet.held(0)),
            (text, None, before.clone())
        );
    }
}

#[test]
fn a_node_that_cannot_have_the_keys_is_named_and_holds_up_no_other() {
    let [mut fleet, small] = [Fleet::new(&[V2_6, V3_2], 80), Fleet::new(&[V3_2], 48)];
    let [haproxy] = <[Haproxy; 1]>::try_from(small.nodes).unwrap();
    fleet.nodes.push(haproxy);
    fleet.nodes.push(Haproxy::new(V3_0).start());
    fleet.age(SignedDuration::ZERO);
    let outcome = fleet.run(&["sync"]).expect_code(2);
    let file = fleet.file.display();
    for expected in [
        format!("node node2: no bind line has tls-ticket-keys {file}"),
        format!("node node3: no bind line has tls-ticket-keys {file}"),
        format!("add `tls-ticket-keys {file}` to the bind lines"),
    ] {
        assert!(outcome.stderr.contains(&expected), "{expected}: {outcome:?}");
    }
    assert_eq!(fleet.held(0), fleet.held(1));
    let status = fleet.run(&["status", "--json"]).expect_code(2).json();
    assert_eq!(status["problems"].as_array().unwrap().len(), 2, "{status}");

    // HAProxy takes no keys of another size than those it was started with.
    let fleet = Fleet::new(&[V2_6], 48);
    fs::remove_file(&fleet.file).unwrap();
    let outcome = fleet.run(&["sync"]).expect_code(2);
    assert!(outcome.stderr.contains("holds ticket keys of 48 bytes, and those of"), "{outcome:?}");
    assert!(outcome.stderr.contains("reload HAProxy once"), "{outcome:?}");
}

#[test]
fn a_rotation_that_is_killed_at_any_step_is_finished_by_the_next_round() {
    let fleet = Fleet::new(&[V2_6, V3_2], 80);
    let sync: Vec<OsString> = fleet.config().into_iter().chain(["sync".into()]).collect();
    fleet.sync();
    let due = || fleet.age(SignedDuration::from_hours(12));
    due();
    let clean = Steps::run(&sync, None);
    assert!(
        clean.succeeded && clean.took("store: ticket keys stored") && clean.took("haproxy: ticket key added"),
        "{clean:?}"
    );
    for point in clean.points() {
        let before = fleet.held(0);
        due();
        let killed = Steps::run(&sync, Some(&point));
        assert!(killed.killed, "{point}: {killed:?}");
        fleet.sync();
        let now = fleet.held(0);
        assert_eq!(now[..2], before[1..], "{point}: rotated once");
        assert_eq!((fleet.held(1), fleet.stored().unwrap()), (now.clone(), now.clone()), "{point}");
        assert_eq!(fs::read_to_string(&fleet.file).unwrap(), now.join("\n") + "\n", "{point}");
    }
}

/// Nodes that serve `a.test` with ticket keys from one file.
struct Fleet {
    nodes: Vec<Haproxy>,
    hotcert: Hotcert,
    file: PathBuf,
    pki: Pki,
}

impl Fleet {
    fn new(versions: &[HaproxyVersion], bytes: usize) -> Self {
        let (hotcert, pki) = (Hotcert::new(), Pki::new());
        let key = || BASE64_STANDARD.encode((0..bytes).map(|_| rand::random::<u8>()).collect::<Vec<_>>()) + "\n";
        let file = hotcert.scratch().write("tickets/tickets.key", [key(), key(), key()].concat());
        let pem = pki.leaf("a.test").issue().fullchain_and_key();
        let tls = format!("ssl crt {{dir}}/certs/a.test.pem tls-ticket-keys {}", file.display());
        let node = |version: &HaproxyVersion| Haproxy::new(*version).certificate("a.test.pem", &pem).tls(&tls).start();
        let nodes = versions.iter().map(node).collect();
        Self { nodes, hotcert, file, pki }
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node].https_addr()
    }

    fn config(&self) -> Vec<OsString> {
        let mut text = format!(
            "version = 1\nstate_dir = {}\n[ticket_keys]\nfile = {}\nrotate = \"12h\"\n",
            quoted(self.hotcert.state_dir()),
            quoted(&self.file)
        );
        for (index, node) in self.nodes.iter().enumerate() {
            text.push_str(&format!("[haproxy.node{index}]\nsocket = {}\n", quoted(node.socket())));
        }
        vec!["--config".into(), self.hotcert.scratch().write("hotcert.toml", text).into()]
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(self.config().into_iter().chain(arguments.iter().map(OsString::from)))
    }

    fn sync(&self) -> Outcome {
        self.run(&["sync", "-vvv"]).expect_code(0)
    }

    /// Lets the time of one rotation pass.
    fn rotate(&self) {
        self.age(SignedDuration::from_hours(12));
        self.sync();
    }

    /// Makes the last rotation so much older, if there was one.
    fn age(&self, by: SignedDuration) {
        let path = self.hotcert.state_dir().join("ticket-keys");
        let Ok(text) = fs::read_to_string(&path) else { return };
        let (_, keys) = text.split_once('\n').unwrap();
        let text = format!("{}\n{keys}", Timestamp::now() - by);
        let other = self.hotcert.scratch().write("aged", text);
        fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(other, path).unwrap();
    }

    /// The keys in the store.
    fn stored(&self) -> Option<Vec<String>> {
        let text = fs::read_to_string(self.hotcert.state_dir().join("ticket-keys")).ok()?;
        Some(text.lines().skip(1).map(str::to_owned).collect())
    }

    /// The keys that a node holds, from the oldest.
    fn held(&self, node: usize) -> Vec<String> {
        let listing = self.nodes[node].cli(&format!("show tls-keys {}", self.file.display()));
        let keys: Vec<_> = listing.lines().filter_map(|line| line.strip_prefix("0.")?.split_once(' ')).collect();
        assert_eq!(keys.len(), 3, "{listing}");
        keys.into_iter().map(|(_, key)| key.to_owned()).collect()
    }

    /// Adds a key to a node, as another program would.
    fn set(&self, node: usize, key: &[u8]) {
        let command = format!("set ssl tls-key {} {}", self.file.display(), BASE64_STANDARD.encode(key));
        assert_eq!(self.nodes[node].cli(&command).trim(), "TLS ticket key updated!");
    }
}

/// A client that remembers its sessions, whichever node they are from.
struct Client(Arc<ClientConfig>);

impl Client {
    fn new(fleet: &Fleet, protocol: &'static SupportedProtocolVersion) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(fleet.pki.root_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[protocol]).unwrap();
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(8);
        Self(Arc::new(config))
    }

    /// One request: TLS 1.3 hands out tickets only after the handshake.
    fn is_resumed(&self, address: SocketAddr) -> bool {
        let session = ClientConnection::new(Arc::clone(&self.0), ServerName::try_from("a.test").unwrap()).unwrap();
        let mut stream = StreamOwned::new(session, connect(address).unwrap());
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!(read_response(&mut stream).unwrap().status, 200);
        stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// Fails the test if any key was printed, in whatever form.
fn expect_unsaid(outcome: &Outcome, keys: &[Vec<String>]) {
    let said = outcome.stdout.clone() + &outcome.stderr;
    for key in keys.iter().flatten().map(|key| key.trim()) {
        let raw = BASE64_STANDARD.decode(key).unwrap();
        for piece in [&key[..20], &key[24..44], &hex(&raw[..10]), &hex(&raw[20..30])] {
            assert!(!said.contains(piece), "a ticket key was printed\n{outcome:?}");
        }
    }
}
