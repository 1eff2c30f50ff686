//! The harness tests itself: what other tests stand on must hold, on each version of each server.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::support::client::{Connection, Options, TlsVersion, handshake, https_get};
use crate::support::disk::TinyDisk;
use crate::support::fake::FakeSocket;
use crate::support::http::http_get;
use crate::support::net::Port;
use crate::support::process::is_running;
use crate::support::{
    Hammer, Haproxy, HaproxyVersion, Hotcert, Http01, KeyType, Pebble, PebbleVersion, Pki, Scratch, each_haproxy, hex,
};
use instant_acme::{Account, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, RetryPolicy};

each_haproxy! {
    starts_serves_and_is_killed_on_drop,
    reloads_in_master_worker_mode,
    keeps_serving_when_a_reload_is_refused,
    reloads_by_a_new_process,
    comes_back_on_the_same_ports,
    an_old_worker_lives_as_long_as_its_connection,
    clients_see_a_new_certificate_without_an_error,
    answers_challenges_in_each_way,
    starts_with_each_kind_of_configuration,
    limits_what_a_stats_socket_allows,
}

fn starts_serves_and_is_killed_on_drop(version: HaproxyVersion) {
    let pki = Pki::with_two_intermediates();
    let leaf = pki.leaf("a.test").names(&["a.test", "*.b.test", "127.0.0.1"]).issue();
    let mut haproxy = Haproxy::new(version).certificate("a.pem", &leaf.fullchain_and_key()).master().start();

    let served = handshake(haproxy.https_addr(), "a.test", Options::default()).unwrap();
    assert_eq!(served.serial, leaf.serial());
    assert_eq!(served.sha256, leaf.sha256());
    assert_eq!(served.leaf(), leaf.der());
    assert_eq!(served.names, leaf.names());
    assert_eq!((served.not_before, served.not_after), (leaf.not_before(), leaf.not_after()));
    assert_eq!(served.chain.len(), 3);
    let sent: Vec<Vec<u8>> = pki.intermediates().iter().map(|pem| pem::parse(pem).unwrap().into_contents()).collect();
    assert_eq!(served.chain[1..], sent);

    assert!(handshake(haproxy.https_addr(), "unknown.test", Options::default()).is_err());
    assert_eq!(http_get(haproxy.http_addr(), "a.test", "/").unwrap().text(), "hi");
    assert_eq!(http_get(haproxy.http_addr(), "a.test", "/.well-known/acme-challenge/x").unwrap().status, 503);
    assert!(haproxy.cli("show info").contains(&format!("Version: {}", version.name())));
    assert!(haproxy.cli("show ssl cert").contains(&haproxy.crt_dir().join("a.pem").display().to_string()));
    haproxy.check().unwrap();
    assert!(haproxy.is_alive());

    let (master, worker) = (haproxy.main_pid(), haproxy.pid());
    assert!(is_running(master) && is_running(worker) && master != worker);
    drop(haproxy);
    assert!(!is_running(master) && !is_running(worker));
}

fn reloads_in_master_worker_mode(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let mut haproxy = Haproxy::new(version).certificate("a.pem", &old.fullchain_and_key()).master().start();
    let before = haproxy.pid();
    for leaf in [&new, &old, &new] {
        haproxy.scratch().write("certs/a.pem", leaf.fullchain_and_key());
        haproxy.reload();
        assert_eq!(handshake(haproxy.https_addr(), "a.test", Options::default()).unwrap().serial, leaf.serial());
    }
    assert_ne!(haproxy.pid(), before);
    haproxy.wait_old_workers_gone();
    assert_eq!(haproxy.worker_count(), 1);
    assert_eq!(haproxy.workers()[0].pid, haproxy.pid());
}

fn keeps_serving_when_a_reload_is_refused(version: HaproxyVersion) {
    let leaf = Pki::new().leaf("a.test").issue();
    let mut haproxy = Haproxy::new(version).certificate("a.pem", &leaf.fullchain_and_key()).master().start();
    let pid = haproxy.pid();
    for _ in 0..2 {
        haproxy.scratch().write("certs/broken.pem", "no certificate");
        haproxy.check().unwrap_err();
        assert!(haproxy.try_reload().unwrap_err().contains("the reload failed"));
        assert_eq!(haproxy.pid(), pid);
        handshake(haproxy.https_addr(), "a.test", Options::default()).unwrap();
    }
    std::fs::remove_file(haproxy.crt_dir().join("broken.pem")).unwrap();
    haproxy.reload();
    assert_ne!(haproxy.pid(), pid);
}

fn reloads_by_a_new_process(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let mut haproxy = Haproxy::new(version).certificate("a.pem", &old.fullchain_and_key()).start();
    let before = haproxy.pid();
    haproxy.scratch().write("certs/a.pem", new.fullchain_and_key());
    haproxy.reload();
    assert_ne!(haproxy.pid(), before);
    assert_eq!(haproxy.pid(), haproxy.main_pid());
    assert_eq!(handshake(haproxy.https_addr(), "a.test", Options::default()).unwrap().serial, new.serial());
}

fn comes_back_on_the_same_ports(version: HaproxyVersion) {
    let leaf = Pki::new().leaf("a.test").issue();
    let mut haproxy = Haproxy::new(version).certificate("a.pem", &leaf.fullchain_and_key()).start();
    let (before, addr) = (haproxy.pid(), haproxy.https_addr());
    haproxy.kill();
    assert!(!haproxy.is_alive());
    assert!(haproxy.try_cli("show info").is_err());
    assert!(handshake(addr, "a.test", Options::default()).is_err());
    haproxy.restart();
    assert_ne!(haproxy.pid(), before);
    assert_eq!(handshake(addr, "a.test", Options::default()).unwrap().serial, leaf.serial());

    haproxy.scratch().write("certs/broken.pem", "no certificate");
    assert!(haproxy.try_restart().unwrap_err().contains("broken.pem"));
}

fn an_old_worker_lives_as_long_as_its_connection(version: HaproxyVersion) {
    let leaf = Pki::new().leaf("a.test").issue();
    let mut haproxy = Haproxy::new(version).certificate("a.pem", &leaf.fullchain_and_key()).master().start();
    let before = haproxy.pid();
    // Mid-request: an idle connection would be closed at once.
    let mut request = std::net::TcpStream::connect(haproxy.http_addr()).unwrap();
    request.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    crate::support::poll(crate::support::SERVER_DEADLINE, || {
        haproxy.cli("show info").contains("CurrConns: 1").then_some(())
    })
    .unwrap();
    haproxy.reload();
    assert_eq!(haproxy.worker_count(), 2);
    assert!(haproxy.workers().iter().any(|worker| worker.old && worker.pid == before));
    assert!(haproxy.master_cli(&format!("@!{before} show info")).contains("Stopping: 1"));
    drop(request);
    haproxy.wait_old_workers_gone();
}

fn clients_see_a_new_certificate_without_an_error(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version).certificate("a.pem", &old.fullchain_and_key()).start();
    let hammer = Hammer::start(haproxy.https_addr(), "a.test", Duration::from_millis(5), 2);
    std::thread::sleep(Duration::from_millis(200));
    haproxy.set_cert(&haproxy.crt_dir().join("a.pem").display().to_string(), &new.fullchain_and_key());
    std::thread::sleep(Duration::from_millis(200));
    let report = hammer.stop();
    report.expect_no_errors();
    assert_eq!(report.serials, [old.serial(), new.serial()]);
    assert_eq!(report.min_chain, 2);
    assert!(report.handshakes > 20, "{report:?}");
}

fn answers_challenges_in_each_way(version: HaproxyVersion) {
    const PATH: &str = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
    let mut ways = vec![(Http01::Map, Some("acme.map"))];
    if version >= HaproxyVersion::V3_0 {
        ways.push((Http01::VirtualMap, Some("virt@acme")));
    }
    for (way, map) in ways {
        let haproxy = Haproxy::new(version).http01(way).start();
        let map = map.map(|map| if map == "virt@acme" { map.into() } else { haproxy.map() }).unwrap();
        assert_eq!(http_get(haproxy.http_addr(), "a.test", PATH).unwrap().status, 404);
        haproxy.cli(&format!("add map {} {} answer", map.display(), PATH.rsplit('/').next().unwrap()));
        assert_eq!(http_get(haproxy.http_addr(), "a.test", PATH).unwrap().text(), "answer");
    }
    let haproxy = Haproxy::new(version).http01(Http01::Stateless("THUMB".into())).start();
    assert!(http_get(haproxy.http_addr(), "a.test", PATH).unwrap().text().ends_with("-oA.THUMB"));
}

fn starts_with_each_kind_of_configuration(version: HaproxyVersion) {
    let pki = Pki::new();
    let (rsa, ecdsa) = (pki.leaf("a.test").key(KeyType::Rsa2048).issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version)
        .file("keys/a.pem.rsa", &rsa.fullchain_and_key())
        .file("keys/a.pem.ecdsa", &ecdsa.fullchain_and_key())
        .crt_list("{dir}/keys/a.pem a.test\n")
        .tls2("ssl crt {dir}/keys/a.pem.rsa")
        .global("tune.bufsize 32768")
        .tcp_stats()
        .start();
    let at = |options| handshake(haproxy.https_addr(), "a.test", options).unwrap();
    assert_eq!(at(Options::rsa()).serial, rsa.serial());
    assert_eq!(at(Options::ecdsa()).serial, ecdsa.serial());
    assert_eq!(at(Options::tls12()).version, TlsVersion::Tls12);
    assert_eq!(at(Options::tls13()).version, TlsVersion::Tls13);
    assert_eq!(handshake(haproxy.https2_addr(), "a.test", Options::no_sni()).unwrap().serial, rsa.serial());
    assert!(handshake(haproxy.https_addr(), "a.test", Options::no_sni()).is_err());
    assert!(haproxy.cli("show pools").contains("Pool buffer (32768 bytes)") || version > HaproxyVersion::V3_0);
    assert!(haproxy.cli(&format!("show ssl crt-list {}", haproxy.crt_list().display())).contains("a.pem"));
    let mut tcp = std::net::TcpStream::connect(haproxy.stats_addr()).unwrap();
    tcp.write_all(b"show info\n").unwrap();
    assert!(std::io::read_to_string(tcp).unwrap().contains("Pid: "));

    let haproxy = Haproxy::new(version).placeholder().start();
    let (served, response) = https_get(haproxy.https_addr(), "anything.test", "/").unwrap();
    assert_eq!((served.names, response.status), (vec!["placeholder.invalid".to_owned()], 200));

    let error = Haproxy::new(version).config("global\n    nonsense\n").try_start().unwrap_err();
    assert!(error.contains("nonsense"), "{error}");
}

fn limits_what_a_stats_socket_allows(version: HaproxyVersion) {
    for level in ["user", "operator", "admin"] {
        let haproxy = Haproxy::new(version).stats_level(level).start();
        assert_eq!(haproxy.cli("show cli level").trim(), level);
        assert_eq!(haproxy.cli("new ssl cert x").contains("Permission denied"), level != "admin", "{level}");
    }
}

#[test]
fn pebble_2_4_issues_and_counts() {
    issues_and_counts(PebbleVersion::V2_4);
}

#[test]
fn pebble_2_10_issues_and_counts() {
    issues_and_counts(PebbleVersion::V2_10);
}

/// Orders with HAProxy's map in front, so that the whole road of a challenge is there: Pebble, its DNS server, HAProxy.
fn issues_and_counts(version: PebbleVersion) {
    let haproxy = Haproxy::new(HaproxyVersion::V2_8).http01(Http01::Map).start();
    let mut pebble = Pebble::new(version)
        .http01(haproxy.http_addr())
        .chain_length(2)
        .alternate_roots(1)
        .validity(Duration::from_hours(24))
        .start();
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (0, 0, 0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let chain = runtime.block_on(async {
        let account = account(&pebble).await;
        order(&account, &haproxy, "a.test").await.unwrap();
        order(&account, &haproxy, "b.test").await.unwrap()
    });
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (1, 2, 2));
    assert_eq!(pebble.requests("/order-plz"), 2);

    let chain = pem::parse_many(chain).unwrap();
    assert_eq!(chain.len(), 3);
    let parse = |der| x509_parser::parse_x509_certificate(der).unwrap().1;
    let (leaf, top) = (parse(chain[0].contents()), parse(chain[2].contents()));
    assert_eq!(leaf.validity().not_after.timestamp() - leaf.validity().not_before.timestamp(), 24 * 3600 - 1);
    let root = pem::parse(pebble.issuance_root_pem()).unwrap();
    top.verify_signature(Some(parse(root.contents()).public_key())).unwrap();
    assert_ne!(pebble.alternate_root_pem(1), pebble.issuance_root_pem());
    let status = pebble.management(&format!("/cert-status-by-serial/{}", hex(leaf.raw_serial())));
    assert!(status.text().contains("Valid"), "{status:?}");

    pebble.dns().set_servfail("c.test.");
    runtime.block_on(async {
        let account = account(&pebble).await;
        order(&account, &haproxy, "c.test").await.unwrap_err();
    });
    assert_eq!((pebble.accounts(), pebble.orders(), pebble.certificates()), (2, 3, 2));
    assert!(pebble.dns().history("a.test.").to_string().contains("\"a.test.\""));

    pebble.stop();
    assert!(
        Connection::open(pebble.directory()[8..].trim_end_matches("/dir").parse().unwrap(), "x", Options::default())
            .is_err()
    );
    assert_eq!(pebble.orders(), 3);
}

#[test]
fn pebble_rejects_nonces_and_wants_bound_accounts_when_told() {
    for version in PebbleVersion::ALL {
        let pebble = Pebble::new(version).reject_nonces(100).strict(true).reuse_authz(100).start();
        assert!(pebble.log().contains("reject 100% of good nonces"));
        assert!(pebble.log().contains("identifier 100% of the time"));
        let bound = Pebble::new(version)
            .eab("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W")
            .start();
        let (_, directory) =
            https_get(bound.directory()[8..].trim_end_matches("/dir").parse().unwrap(), "localhost", "/dir").unwrap();
        assert!(directory.text().contains("\"externalAccountRequired\": true"), "{directory:?}");
    }
}

async fn account(pebble: &Pebble) -> Account {
    let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let builder = Account::builder_with_root(pebble.root_ca()).unwrap();
    builder.create(&new, pebble.directory(), None).await.unwrap().0
}

async fn order(account: &Account, haproxy: &Haproxy, name: &str) -> Result<String, instant_acme::Error> {
    let names = [Identifier::Dns(name.to_owned())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        assert_eq!(authorization.status, AuthorizationStatus::Pending);
        let mut challenge = authorization.challenge(ChallengeType::Http01).unwrap();
        let (token, answer) = (challenge.token.clone(), challenge.key_authorization());
        haproxy.cli(&format!("add map {} {token} {}", haproxy.map().display(), answer.as_str()));
        challenge.set_ready().await?;
    }
    let key = KeyType::EcdsaP256.generate();
    let csr = rcgen::CertificateParams::new([name.to_owned()]).unwrap().serialize_request(&key).unwrap();
    let status = order.poll_ready(&RetryPolicy::default()).await?;
    if status != instant_acme::OrderStatus::Ready {
        return Err(instant_acme::Error::Str("the order is not ready"));
    }
    order.finalize_csr(csr.der()).await?;
    order.poll_certificate(&RetryPolicy::default()).await
}

#[test]
fn a_leaf_comes_in_every_form() {
    let pki = Pki::new();
    let ecdsa = pki.leaf("a.test").serial(&[0, 0x9a, 1]).valid_days(-3, -1).issue();
    assert!(ecdsa.not_after() < jiff::Timestamp::now());
    let rsa = pki.leaf("a.test").key(KeyType::Rsa2048).issue();
    let p384 = pki.leaf("a.test").key(KeyType::EcdsaP384).issue();
    assert!(ecdsa.key_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    assert!(ecdsa.key_sec1().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    assert!(p384.key_sec1().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    assert!(rsa.key_pkcs1().starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert!(rsa.key_encrypted("secret").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(pki.leaf("b.test").issue_with_key_of(&rsa).key_pem(), rsa.key_pem());
    assert_eq!(Pki::self_signed("a.test").chain_pem(), "");
    assert_eq!(
        Pki::with_two_intermediates().leaf("a.test").issue().fullchain().matches("BEGIN CERTIFICATE").count(),
        3
    );
    assert!(!ecdsa.fullchain_and_key().contains('\r'));
}

#[test]
fn a_leaf_is_padded_to_a_size() {
    let pki = Pki::new();
    for wanted in [2000, 4096, 16_336, 16_337, 16_383, 16_384, 40_000] {
        let size = pki.leaf("a.test").pem_size(wanted).issue().fullchain_and_key().len();
        assert!(size <= wanted && size + 4 >= wanted, "{size} instead of {wanted}");
    }
}

#[test]
fn a_served_serial_is_the_issued_one() {
    let pki = Pki::new();
    let leaf = pki.leaf("a.test").serial(&[0x9a, 0, 1]).issue();
    let haproxy = Haproxy::new(HaproxyVersion::V3_0).certificate("a.pem", &leaf.fullchain_and_key()).start();
    assert_eq!(handshake(haproxy.https_addr(), "a.test", Options::default()).unwrap().serial, "9a0001");
    let shown = haproxy.cli(&format!("show ssl cert {}", haproxy.crt_dir().join("a.pem").display()));
    assert!(shown.contains("Serial: 9A0001\n"), "{shown}");
}

#[test]
fn a_hammer_reports_what_clients_suffer() {
    let leaf = Pki::new().leaf("a.test").issue();
    let mut haproxy = Haproxy::new(HaproxyVersion::V3_2).certificate("a.pem", &leaf.leaf_and_key()).start();
    let hammer = Hammer::start(haproxy.https_addr(), "a.test", Duration::from_millis(5), 2);
    std::thread::sleep(Duration::from_millis(100));
    haproxy.kill();
    std::thread::sleep(Duration::from_millis(100));
    let report = hammer.stop();
    assert!(report.error_texts.iter().any(|text| text == "1 certificates instead of 2"), "{report:?}");
    assert!(report.error_texts.iter().any(|text| text.contains("refused")), "{report:?}");
    assert!(report.errors > report.handshakes && report.min_chain == 1, "{report:?}");
}

#[test]
fn a_reserved_port_is_given_to_nobody_else_and_can_be_listened_on() {
    let ports: Vec<Port> = (0..200).map(|_| Port::reserve()).collect();
    let mut seen: BTreeSet<u16> = ports.iter().map(Port::number).collect();
    assert_eq!(seen.len(), ports.len());
    let others: Vec<_> = (0..200).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    assert!(others.iter().all(|other| seen.insert(other.local_addr().unwrap().port())));
    for _ in 0..2 {
        let listener = std::net::TcpListener::bind(ports[0].addr()).unwrap();
        let _client = std::net::TcpStream::connect(ports[0].addr()).unwrap();
        let _accepted = listener.accept().unwrap();
    }
}

#[test]
fn a_fake_socket_answers_or_is_silent() {
    let scratch = Scratch::new();
    let fake = FakeSocket::replying(scratch.join("fake.sock"), "HTTP/1.1 400 Bad Request\r\n\r\n");
    let mut stream = UnixStream::connect(fake.path()).unwrap();
    stream.write_all(b"show info\n").unwrap();
    assert_eq!(std::io::read_to_string(stream).unwrap(), "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(fake.received(), b"show info\n");

    let silent = FakeSocket::silent(scratch.join("silent.sock"));
    let mut stream = UnixStream::connect(silent.path()).unwrap();
    stream.write_all(b"show info\n").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let error = std::io::Read::read(&mut stream, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_tiny_disk_fills_and_becomes_read_only_for_the_program_alone() {
    let scratch = Scratch::new();
    scratch.write("disk/kept", "as it was");
    let disk = TinyDisk::mount(scratch.join("disk"), 64);
    let run = |script: &str| {
        let [program, arguments @ ..] = disk.enter();
        let mut command = std::process::Command::new(program);
        let output = command.args(arguments).args(["sh", "-c", script]).current_dir(scratch.path()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let path = scratch.join("disk").display().to_string();
    assert_eq!(run(&format!("grep -q 'as it was' {path}/kept && echo new > {path}/new")), (true, String::new()));
    assert!(!scratch.join("disk/new").exists() && disk.view().join("new").exists());
    disk.fill();
    assert!(run(&format!("echo more | cat > {path}/more")).1.contains("No space left"));
    disk.free();
    disk.read_only(true);
    assert!(run(&format!("echo more > {path}/more2")).1.contains("Read-only"));
    disk.read_only(false);
    assert!(run(&format!("echo more > {path}/more2")).0);
}

#[test]
fn the_program_runs_as_each_user_and_on_a_tiny_disk() {
    let hotcert = Hotcert::new();
    assert_eq!(hotcert.run(["--version"]).signal, None);
    Hotcert::new().unprivileged().run(["--version"]);
    let disk = TinyDisk::mount(hotcert.state_dir(), 64);
    let outcome = hotcert.unprivileged().on_disk(&disk).run(["--version"]);
    assert_eq!((outcome.signal, outcome.stderr.as_str()), (None, ""));
}
