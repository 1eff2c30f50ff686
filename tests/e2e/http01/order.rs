//! What is ordered: names, keys, addresses; from a troublesome authority; from a configuration file.

use super::{NEW, OLD};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome, Pebble, PebbleVersion, Pki, Site};

#[test]
fn names_with_accents_are_a_labels_in_the_certificate() {
    let site = Site::new(OLD.0, OLD.1);
    let issued = site.issue(&["bücher.test", "WWW.Bücher.test", "--json"]).expect_code(0).json();
    assert_eq!(issued["certificates"][0]["domains"][0], "xn--bcher-kva.test");
    let served = site.served("www.xn--bcher-kva.test");
    let mut names = served.names.clone();
    names.sort();
    assert_eq!(names, ["www.xn--bcher-kva.test", "xn--bcher-kva.test"]);
    let list = site.hotcert.run(["list", "--state-dir", site.hotcert.state_dir().to_str().unwrap()]);
    assert!(list.expect_code(0).stdout.contains("bücher.test"));
}

#[test]
fn every_key_type_is_ordered_and_served() {
    let site = Site::new(NEW.0, NEW.1);
    for (key, algorithm) in [
        ("ecdsa-p256", "EC256"),
        ("ecdsa-p384", "EC384"),
        ("rsa-2048", "RSA2048"),
        ("rsa-3072", "RSA3072"),
        ("rsa-4096", "RSA4096"),
    ] {
        let name = format!("{key}.test");
        site.issue(&[&name, "--key", key]).expect_code(0);
        let slot = site.haproxy.crt_dir().join(format!("{name}.pem"));
        let shown = site.haproxy.cli(&format!("show ssl cert {}", slot.display()));
        assert!(shown.contains(&format!("Algorithm: {algorithm}\n")), "{shown}");
        assert!(site.serial(&name).is_ok());
    }
    // Another key type is another certificate, and is due.
    site.issue(&["ecdsa-p256.test", "--key", "ecdsa-p384"]).expect_code(0);
    assert_eq!(site.pebble.orders(), 6);
}

/// Clients send no server name for an address, so the certificate has to be HAProxy's default.
#[test]
fn an_address_is_ordered_and_served() {
    let placeholder = Pki::self_signed("127.0.0.1").fullchain_and_key();
    let haproxy = Haproxy::new(NEW.0).certificate("127.0.0.1.pem", &placeholder).tls("ssl crt {dir}/certs/");
    let site = Site::with(haproxy, Pebble::new(NEW.1));
    site.issue(&["127.0.0.1"]).expect_code(0);
    let served = site.served("127.0.0.1");
    assert_eq!(served.names, ["127.0.0.1"]);
    assert_eq!(served.chain.len(), 2);
}

fn a_troublesome_authority_is_borne((haproxy, pebble): (HaproxyVersion, PebbleVersion)) {
    let site = Site::with(Haproxy::new(haproxy), Pebble::new(pebble).reject_nonces(50).reuse_authz(100));
    let first = site.issue(&["shop.test", "www.shop.test", "--json"]).expect_code(0).json();
    // All names of the second order are valid from the start.
    let second = site.issue(&["shop.test", "www.shop.test", "--json", "--force"]).expect_code(0).json();
    assert_ne!(first["certificates"][0]["serial"], second["certificates"][0]["serial"]);
    assert_eq!(site.serial("shop.test").ok().as_deref(), second["certificates"][0]["serial"].as_str());
    assert_eq!(site.pebble.orders(), 2);
    site.expect_nothing_half_done();
}

#[test]
fn a_troublesome_old_authority_is_borne() {
    a_troublesome_authority_is_borne(OLD);
}

#[test]
fn a_troublesome_new_authority_is_borne() {
    a_troublesome_authority_is_borne(NEW);
}

/// Both are renewed in one round, and the one with fewer names goes on serving the name that they share.
#[test]
fn two_certificates_for_one_name_are_renewed_together() {
    let site = Site::with(Haproxy::new(OLD.0), Pebble::new(OLD.1));
    site.issue(&["a.test", "b.test", "--cert-name", "a-wide"]).expect_code(0);
    site.issue(&["a.test", "--cert-name", "z-narrow"]).expect_code(0);
    let state_dir = site.hotcert.state_dir();
    for _ in 0..2 {
        let renewed = site.hotcert.run(["renew", "--force", "--json", "--state-dir", state_dir.to_str().unwrap()]);
        let renewed = renewed.expect_code(0).json();
        assert_eq!(renewed["ordered"], serde_json::json!(["a-wide", "z-narrow"]));
        let serial = |at: usize| renewed["certificates"][at]["serial"].as_str().map(str::to_owned);
        assert_eq!((site.serial("b.test").ok(), site.serial("a.test").ok()), (serial(0), serial(1)));
    }
    site.run(&["plan"]).expect_code(0);
}

/// Runs a command with a configuration file of these domains.
fn configured(site: &Site, hotcert: &Hotcert, domains: &[&str], arguments: &[&str]) -> Outcome {
    let config = format!(
        "version = 1\nstate_dir = {:?}\n\
         [issuer.pebble]\ndirectory = {:?}\ncontact = [\"admin@example.org\"]\nterms_agreed = true\nroot_ca = {:?}\n\
         [solver.http]\ntype = \"http-01\"\nvia = \"listener\"\nlisten = \"{}\"\nprobe = \"{}\"\n\
         [haproxy.edge]\nsocket = {:?}\ncrt_dir = {:?}\nverify = [\"{}\"]\n\
         [[certificate]]\nname = \"shop\"\ndomains = {domains:?}\nkey = \"ecdsa-p384\"\n",
        hotcert.state_dir(),
        site.pebble.directory(),
        site.pebble.root_ca(),
        site.haproxy.acme_addr(),
        site.haproxy.http_addr(),
        site.haproxy.socket(),
        site.haproxy.crt_dir(),
        site.haproxy.https_addr(),
    );
    let file = hotcert.scratch().write("hotcert.toml", config);
    hotcert.run([arguments, &["--config", file.to_str().unwrap()]].concat())
}

fn renew_orders_what_is_configured((haproxy, pebble): (HaproxyVersion, PebbleVersion)) {
    let site = Site::with(Haproxy::new(haproxy), Pebble::new(pebble));
    let run = |domains: &[&str], arguments: &[&str]| configured(&site, &site.hotcert, domains, arguments);
    let (one, two) = (&["shop.test"][..], &["shop.test", "www.shop.test"][..]);
    run(one, &["config", "check"]).expect_code(0);
    let status = run(one, &["status", "--json"]).expect_code(2).json();
    assert_eq!(status["certificates"][0]["state"], "missing");
    let forecast = run(one, &["renew", "--dry-run"]).expect_code(0).stdout;
    assert_eq!(forecast, "shop: would be ordered from pebble, there is none yet\n");
    assert_eq!(site.pebble.orders(), 0);

    let renewed = run(one, &["renew", "--json"]).expect_code(0).json();
    assert_eq!(renewed["ordered"][0], "shop");
    assert_eq!(renewed["certificates"][0]["nodes"][0]["verified"], "handshake");
    let served = site.serial("shop.test");
    assert_eq!(served.as_deref().ok(), renewed["certificates"][0]["serial"].as_str());
    assert!(site.haproxy.crt_dir().join("shop.pem").is_file());

    let forecast = run(one, &["renew", "--dry-run"]).expect_code(0).stdout;
    assert!(forecast.starts_with("nothing is due\nshop: is due at 20"), "{forecast}");
    run(one, &["renew"]).expect_code(0);
    assert_eq!((site.pebble.orders(), site.serial("shop.test")), (1, served.clone()));
    let status = run(one, &["status", "--json"]).expect_code(0).json();
    assert_eq!(status["certificates"][0]["issuer"], "pebble");

    // A name is added.
    let forecast = run(two, &["renew", "--dry-run"]).expect_code(0).stdout;
    assert_eq!(forecast, "shop: would be ordered from pebble, it lacks a name\n");
    run(two, &["renew", "shop"]).expect_code(0);
    assert_eq!(site.serial("www.shop.test"), site.serial("shop.test"));
    assert_ne!(site.serial("shop.test"), served);
    assert_eq!(site.pebble.orders(), 2);
    run(two, &["renew", "nothing"]).expect_code(64);
    site.expect_nothing_half_done();
}

#[test]
fn renew_orders_what_is_configured_from_old_servers() {
    renew_orders_what_is_configured(OLD);
}

#[test]
fn renew_orders_what_is_configured_from_new_servers() {
    renew_orders_what_is_configured(NEW);
}
