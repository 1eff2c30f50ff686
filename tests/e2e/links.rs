//! Nodes behind TLS: a frontend of HAProxy that asks for a client certificate and leads to its own stats socket.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use crate::support::secrets::{Secret, expect_none};
use crate::support::sidecar::{DEADLINE, quoted, serial, served_within};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome, Pki, Sidecar, each_haproxy};

/// The frontend of the documentation.
const FRONTEND: &str = "stats timeout 2m
frontend hotcert
    mode tcp
    bind 127.0.0.1:{stats} ssl crt {dir}/server.pem ca-file {dir}/clients-ca.pem verify required
    option dontlog-normal
    timeout client 2m
    default_backend hotcert
backend hotcert
    mode tcp
    timeout connect 5s
    timeout server 2m
    server stats unix@{socket}";

/// What looks like the same, and is not: HAProxy ignores all that follows the address but the level.
const IGNORED: &str = "stats socket ipv4@127.0.0.1:{stats} level admin ssl crt {dir}/server.pem ca-file {dir}/clients-ca.pem verify required";

each_haproxy!(a_push_over_tls_is_served_and_proven, what_is_wrong_with_a_link_is_said);

fn a_push_over_tls_is_served_and_proven(version: HaproxyVersion) {
    let site = Site::new(version, FRONTEND);
    let leaf = Pki::new().leaf("a.test").issue();
    let pem = site.hotcert.scratch().write("a.test.pem", leaf.fullchain_and_key());
    let pushed = site.run(&["push", pem.to_str().unwrap(), "-vvv"], &site.files).expect_code(0);
    assert_eq!(serial(&site.haproxy, "a.test").as_deref(), Some(leaf.serial()), "{pushed:?}");

    let status = site.run(&["status", "--json", "-vvv"], &site.files).expect_code(0);
    let (certificate, node) = (&status.json()["certificates"][0]["nodes"][0], &status.json()["nodes"][0]);
    assert_eq!((&certificate["state"], &certificate["verified"]), (&"in-sync".into(), &"handshake".into()));
    assert_eq!((&node["address"], &node["pid"]), (&site.address("127.0.0.1").into(), &site.haproxy.pid().into()));

    let key = Secret::of("the client key", &fs::read_to_string(&site.files[2]).unwrap());
    assert!(key.is_in(&fs::read(&site.files[2]).unwrap()), "a search that finds nothing proves nothing");
    for outcome in [pushed, status] {
        expect_none(std::slice::from_ref(&key), "what is printed", format!("{outcome:?}").as_bytes());
    }
    expect_none(&[key], "the log of HAProxy", site.haproxy.log().as_bytes());
}

fn what_is_wrong_with_a_link_is_said(version: HaproxyVersion) {
    let site = Site::new(version, FRONTEND);
    let [ca, cert, key] = site.files.clone();
    let stranger = Authority::new();
    let scratch = site.hotcert.scratch();
    let other_ca = scratch.write("other/ca.pem", &stranger.pem);
    let (other, other_key) = stranger.issue("hotcert", ExtendedKeyUsagePurpose::ClientAuth);
    let other_cert = scratch.write("other/cert.pem", other);
    let other_key = scratch.write("other/key.pem", other_key);
    let missing = scratch.join("missing.pem");

    let at = |host: &str, files: [&PathBuf; 3]| {
        let node = site.node(&site.address(host), &files.map(Clone::clone));
        let status = site.run_with(&["status"], &node).expect_code(2);
        assert!(status.stdout.contains("node edge: no TLS with tls://"), "{status:?}");
        site.run_with(&["sync", "-vvv"], &node).expect_code(75)
    };
    for (outcome, expected) in [
        (
            at("127.0.0.1", [&other_ca, &cert, &key]),
            [
                "its certificate is signed by an authority that is not trusted",
                "UnknownIssuer",
                "let `ca` of the node name",
            ],
        ),
        (
            at("localhost", [&ca, &cert, &key]),
            ["its certificate is for 127.0.0.1", "not for localhost", "use a name of the certificate"],
        ),
        (
            at("127.0.0.1", [&ca, &other_cert, &other_key]),
            ["it refuses the client certificate", "UnknownCA", "`ca-file`"],
        ),
        (
            at("127.0.0.1", [&ca, &cert, &other_key]),
            ["other/key.pem", "does not belong to the certificate", "correct `tls`"],
        ),
        (at("127.0.0.1", [&ca, &cert, &missing]), ["cannot read", "missing.pem", "No such file"]),
        (at("127.0.0.1", [&ca, &cert, &cert]), ["cert.pem", "no private key", "correct `tls`"]),
        (at("127.0.0.1", [&key, &cert, &key]), ["key.pem", "there is no certificate in it", "correct `tls`"]),
    ] {
        for text in expected {
            assert!(outcome.stderr.contains(text), "{text}: {outcome:?}");
        }
        let keys = [&key, &other_key].map(|key| Secret::of("a client key", &fs::read_to_string(key).unwrap()));
        expect_none(&keys, "what is printed", format!("{outcome:?}").as_bytes());
    }
    assert_eq!(site.haproxy.cli("show ssl cert").matches(".pem").count(), 1, "{}", site.haproxy.cli("show ssl cert"));

    // A flag has no way to name the files.
    let address = site.address("127.0.0.1");
    let state = site.hotcert.state_dir();
    let flags = ["sync", "--socket", &address, "--state-dir", state.to_str().unwrap()];
    let refused = site.hotcert.run(flags).expect_code(1);
    assert!(refused.stderr.contains("none is given") && refused.stderr.contains("configuration file"), "{refused:?}");
}

#[test]
fn a_node_that_answers_in_plain_text_is_refused() {
    for version in HaproxyVersion::ALL {
        let site = Site::new(version, IGNORED);
        let outcome = site.run(&["sync"], &site.files).expect_code(75);
        for text in ["it answers in plain text", "ignores `ssl` on a `stats socket` line", "verify required"] {
            assert!(outcome.stderr.contains(text), "{text}: {outcome:?}");
        }
    }
}

#[test]
fn a_node_that_does_not_finish_the_handshake_is_told_so() {
    let site = Site::new(HaproxyVersion::V3_2, FRONTEND);
    // The system accepts connections, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let node = site.node(&format!("tls://{}", silent.local_addr().unwrap()), &site.files);
    let outcome = site.run_with(&["status"], &node).expect_code(2);
    for text in ["it has not finished the handshake within 5 s", "whether this is a TLS frontend"] {
        assert!(outcome.stdout.contains(text), "{text}: {outcome:?}");
    }
}

#[test]
fn a_frontend_that_leads_nowhere_is_told_from_one_that_refuses() {
    let frontend = FRONTEND.replace("unix@{socket}", "unix@{dir}/nothing.sock");
    let site = Site::new(HaproxyVersion::V3_2, &frontend);
    let outcome = site.run(&["sync"], &site.files).expect_code(75);
    assert!(outcome.stderr.contains("it closed the connection after the handshake"), "{outcome:?}");
    assert!(outcome.stderr.contains("look whether the frontend leads to"), "{outcome:?}");
}

#[test]
fn a_daemon_takes_files_that_come_or_change_while_it_runs() {
    let site = Site::new(HaproxyVersion::V2_6, FRONTEND);
    let key = fs::read(&site.files[2]).unwrap();
    fs::remove_file(&site.files[2]).unwrap();
    let mut sidecar = Sidecar::start(&site.hotcert, site.config(&site.node(&site.address("127.0.0.1"), &site.files)));
    sidecar.wait_for("cannot be reached");
    let leaf = Pki::new().leaf("a.test").issue();
    let pem = site.hotcert.scratch().write("a.test.pem", leaf.fullchain_and_key());
    fs::write(&site.files[2], key).unwrap();
    sidecar.wait_for("no longer");
    site.run(&["push", pem.to_str().unwrap()], &site.files).expect_code(0);
    assert!(served_within(&site.haproxy, "a.test", leaf.serial(), DEADLINE).is_some(), "{}", sidecar.log());
}

#[test]
fn config_check_and_config_haproxy_tell_what_tls_takes() {
    let site = Site::new(HaproxyVersion::V3_0, FRONTEND);
    site.run(&["config", "check"], &site.files).expect_code(0);
    let [ca, cert, _] = site.files.clone();
    let missing = site.hotcert.scratch().join("missing.pem");
    let checked = site.run(&["config", "check"], &[ca, cert, missing]).expect_code(78);
    assert!(checked.stderr.contains("haproxy.edge.tls.key: cannot read"), "{checked:?}");

    // For one that is not there yet.
    let node = site.node("tls://127.0.0.1:1", &site.files);
    let lines = site.run_with(&["config", "haproxy"], &node).expect_code(0).stdout;
    assert!(lines.contains("verify required") && lines.contains("unix@"), "{lines}");
    let stats = lines.lines().find(|line| line.starts_with("stats socket")).unwrap();
    assert!(!stats.contains("ssl"), "{lines}");
}

/// A HAProxy with a frontend before its stats socket, and a user who may use that.
struct Site {
    haproxy: Haproxy,
    hotcert: Hotcert,
    /// `ca`, `cert` and `key`.
    files: [PathBuf; 3],
}

impl Site {
    fn new(version: HaproxyVersion, global: &str) -> Self {
        let (servers, clients) = (Authority::new(), Authority::new());
        let (cert, key) = servers.issue("127.0.0.1", ExtendedKeyUsagePurpose::ServerAuth);
        let haproxy = Haproxy::new(version)
            .global(global)
            .file("server.pem", &(cert + &key))
            .file("clients-ca.pem", &clients.pem)
            .start();
        let hotcert = Hotcert::new();
        let (cert, key) = clients.issue("hotcert", ExtendedKeyUsagePurpose::ClientAuth);
        let file = |name: &str, text: &str| hotcert.scratch().write(PathBuf::from("tls").join(name), text);
        let files = [file("ca.pem", &servers.pem), file("cert.pem", &cert), file("key.pem", &key)];
        Self { haproxy, hotcert, files }
    }

    fn address(&self, host: &str) -> String {
        format!("tls://{host}:{}", self.haproxy.stats_addr().port())
    }

    fn node(&self, address: &str, [ca, cert, key]: &[PathBuf; 3]) -> String {
        format!(
            "[haproxy.edge]\nsocket = \"{address}\"\ncrt_dir = {}\nverify = [\"{}\"]\ntls = {{ ca = {}, cert = {}, key = {} }}\n",
            quoted(self.haproxy.crt_dir()),
            self.haproxy.https_addr(),
            quoted(ca),
            quoted(cert),
            quoted(key)
        )
    }

    fn config(&self, node: &str) -> [String; 2] {
        let text = format!("version = 1\nstate_dir = {}\n{node}", quoted(self.hotcert.state_dir()));
        let path = self.hotcert.scratch().write("hotcert.toml", text);
        ["--config".to_owned(), path.to_str().unwrap().to_owned()]
    }

    fn run(&self, arguments: &[&str], files: &[PathBuf; 3]) -> Outcome {
        self.run_with(arguments, &self.node(&self.address("127.0.0.1"), files))
    }

    fn run_with(&self, arguments: &[&str], node: &str) -> Outcome {
        let config = self.config(node);
        self.hotcert.run(config.iter().map(String::as_str).chain(arguments.iter().copied()))
    }
}

/// An authority of one link or the other.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Links {}", rand::random::<u64>()));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, name: &str, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
