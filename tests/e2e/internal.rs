//! A private authority of our own: from nothing to a handshake that its root vouches for, without any network but HAProxy.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::secrets::{Secret, expect_none, files};
use crate::support::sidecar::quoted;
use crate::support::simulation::MovedClock;
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome, client};
use hotcert::bundle::Trust;
use hotcert::clock::{Clock as _, SystemClock};
use hotcert::config::{Config, Flags};
use hotcert::renew::Renewer;
use hotcert::store::Store;
use jiff::SignedDuration;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

struct Site {
    haproxy: Haproxy,
    hotcert: Hotcert,
}

impl Site {
    fn new(version: HaproxyVersion) -> Self {
        let site = Self { haproxy: Haproxy::new(version).start(), hotcert: Hotcert::new() };
        let config = format!(
            "version = 1\nstate_dir = {state}\n[issuer.local]\ntype = \"internal\"\n\
             [haproxy.edge]\nsocket = {socket}\ncrt_dir = {crt_dir}\nverify = [\"{https}\"]\n\
             [[certificate]]\nname = \"shop.test\"\ndomains = [\"shop.test\", \"*.shop.test\", \"bücher.test\"]\n\
             [[certificate]]\ndomains = [\"both.test\"]\nkey = [\"ecdsa-p256\", \"rsa-2048\"]\n",
            state = quoted(site.hotcert.state_dir()),
            socket = quoted(site.haproxy.socket()),
            crt_dir = quoted(site.haproxy.crt_dir()),
            https = site.haproxy.https_addr(),
        );
        site.hotcert.scratch().write("hotcert.toml", config);
        site
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(["--config", "hotcert.toml"].iter().chain(arguments))
    }

    fn root_file(&self) -> PathBuf {
        let internal = self.hotcert.state_dir().join("internal");
        files(&internal).into_iter().find(|file| file.ends_with("root.pem")).unwrap()
    }
}

/// A handshake by somebody who trusts this root and nothing else.
fn verified(addr: SocketAddr, name: &str, root_pem: &str) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(addr).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error: io::Error| error.to_string())?;
    }
    Ok(())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn it_is_issued_served_and_believed(version: HaproxyVersion) {
    let site = Site::new(version);
    let https = site.haproxy.https_addr();
    assert_eq!(site.run(&["config", "check", "--json"]).expect_code(0).json()["warnings"], serde_json::json!([]));
    let pid = site.haproxy.pid();
    let first = site.run(&["renew", "-vv"]).expect_code(0);

    let root = site.run(&["internal", "root"]).expect_code(0).stdout;
    for name in ["shop.test", "www.shop.test", "xn--bcher-kva.test", "both.test"] {
        assert_eq!(verified(https, name, &root), Ok(()), "{name}");
    }
    for options in [client::Options::rsa(), client::Options::ecdsa()] {
        assert_eq!(client::handshake(https, "both.test", options).unwrap().names, ["both.test"]);
    }
    let served = client::handshake(https, "shop.test", client::Options::default()).unwrap();
    assert_eq!(served.not_after.duration_since(served.not_before).as_secs(), 7 * 86_400 + 90);
    let status = site.run(&["status", "shop.test", "--json"]).expect_code(0).json();
    let shown = &status["certificates"][0];
    assert_eq!(
        (&shown["source"], &shown["issuer"], &shown["state"]),
        (&"internal".into(), &"local".into(), &"serving".into())
    );
    assert_eq!(shown["nodes"][0]["verified"], "handshake");

    // Nothing is due, and what is forced comes from the same root.
    site.run(&["renew"]).expect_code(0);
    assert_eq!(client::handshake(https, "shop.test", client::Options::default()).unwrap().serial, served.serial);
    site.run(&["renew", "shop.test", "--force"]).expect_code(0);
    assert_ne!(client::handshake(https, "shop.test", client::Options::default()).unwrap().serial, served.serial);
    assert_eq!(verified(https, "shop.test", &root), Ok(()));
    let json = site.run(&["internal", "root", "--issuer", "local", "--json"]).expect_code(0).json();
    assert_eq!(json["pem"], root.as_str());
    assert_eq!(site.haproxy.pid(), pid);

    // What was issued can be rolled back, pushed and asked for like anything else.
    site.run(&["rollback", "shop.test"]).expect_code(0);
    assert_eq!(client::handshake(https, "shop.test", client::Options::default()).unwrap().serial, served.serial);

    let file = site.root_file();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with(&root));
    assert!(!root.contains("PRIVATE KEY"));
    let line = site.run(&["account", "register", "--issuer", "local"]);
    assert!(line.code != Some(0) && line.stderr.contains("issuer"), "{line:?}");
    let key = Secret::of("the root", text[text.find("-----BEGIN PRIVATE").unwrap()..].trim());
    assert!(key.is_in(text.as_bytes()), "a search that finds nothing proves nothing");
    for text in [&first.stdout, &first.stderr, &site.haproxy.log(), &format!("{json}")] {
        expect_none(std::slice::from_ref(&key), "what is printed", text.as_bytes());
    }
}

#[test]
fn it_is_issued_served_and_believed_on_old_haproxy() {
    it_is_issued_served_and_believed(HaproxyVersion::V2_6);
}

#[test]
fn it_is_issued_served_and_believed_on_new_haproxy() {
    it_is_issued_served_and_believed(HaproxyVersion::V3_2);
}

#[test]
fn processes_that_begin_at_once_make_one_root_and_a_damaged_one_is_left_as_it_is() {
    let site = Site::new(HaproxyVersion::V2_8);
    let started: Vec<_> =
        (0..6).map(|_| site.hotcert.spawn(["--config", "hotcert.toml", "internal", "root"])).collect();
    let printed: Vec<_> = started
        .into_iter()
        .map(|running| running.wait(crate::support::SERVER_DEADLINE).expect_code(0).stdout)
        .collect();
    assert!(printed.iter().all(|root| *root == printed[0] && root.contains("BEGIN CERTIFICATE")), "{printed:?}");
    site.run(&["renew"]).expect_code(0);
    assert_eq!(verified(site.haproxy.https_addr(), "shop.test", &printed[0]), Ok(()));

    let file = site.root_file();
    let damaged = std::fs::read_to_string(&file).unwrap().replace("-----BEGIN PRIVATE", "-----BEGIN PUBLIC");
    std::fs::write(&file, &damaged).unwrap();
    let failed = site.run(&["renew", "shop.test", "--force", "--json"]).expect_code(1).json();
    assert_eq!(failed["error"]["kind"], "internal", "{failed}");
    assert!(failed["error"]["message"].as_str().unwrap().contains(file.to_str().unwrap()), "{failed}");
    assert!(failed["error"]["hint"].as_str().unwrap().contains("backup"), "{failed}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), damaged);
    assert_eq!(verified(site.haproxy.https_addr(), "shop.test", &printed[0]), Ok(()));
    site.run(&["internal", "root", "--issuer", "other"]).expect_code(64);
}

/// A round asks to be woken when half of the lifetime is over, and then renews.
#[test]
fn half_of_the_lifetime_later_it_is_renewed() {
    let hotcert = Hotcert::new();
    let file = hotcert.scratch().write(
        "hotcert.toml",
        format!(
            "version = 1\nstate_dir = {}\n[issuer.local]\ntype = \"internal\"\n[[certificate]]\ndomains = [\"*.a.test\", \"192.0.2.1\"]\n",
            quoted(hotcert.state_dir())
        ),
    );
    let config = Config::load(Some(&file), &Flags::default()).unwrap();
    let store = Store::open(&hotcert.state_dir()).unwrap();
    let begun = SystemClock.now();
    let (clock, trust) = (MovedClock::new(begun), Trust::default());
    let renewer = Renewer::new(&store, &clock, &trust);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let round = || runtime.block_on(renewer.round(config.certificates.values(), false));
    assert_eq!(round().ordered.len(), 1);
    let mut issued = 1;
    let end = begun + SignedDuration::from_hours(21 * 24);
    for _ in 0..200 {
        let seen = round();
        assert!(seen.failures.is_empty() && seen.held.is_empty(), "{seen:?}");
        issued += seen.ordered.len();
        let current = store.current(config.certificates.keys().next().unwrap()).unwrap().unwrap();
        let left = current.facts.not_after.duration_since(clock.now());
        assert!(left >= SignedDuration::from_hours(3 * 24), "{left:?} left");
        assert!(seen.wake_at > clock.now());
        if seen.wake_at > end {
            break;
        }
        clock.set(seen.wake_at);
    }
    assert!((6..=7).contains(&issued), "{issued} in three weeks");
}
