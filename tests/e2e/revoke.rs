//! Revoking on real servers: who may, what is noted, and that what was taken out of service stays out.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::support::town::Answering;
use crate::support::{Haproxy, HaproxyVersion, Outcome, Pebble, PebbleVersion, Site, Steps, Town, poll};

/// How long the daemon may take for what it does at once.
const DEADLINE: Duration = Duration::from_secs(10);

fn site(haproxy: HaproxyVersion, pebble: PebbleVersion) -> Site {
    Site::with(Haproxy::new(haproxy), Pebble::new(pebble))
}

/// How the authority says that a certificate stands, and why.
fn status(pebble: &Pebble, serial: &str) -> (String, Value) {
    let answer: Value =
        serde_json::from_str(&pebble.management(&format!("/cert-status-by-serial/{serial}")).text()).unwrap();
    (answer["Status"].as_str().unwrap().to_owned(), answer["Reason"].clone())
}

fn serial(outcome: &Outcome) -> String {
    outcome.json()["certificates"][0]["serial"].as_str().unwrap().to_owned()
}

#[test]
fn a_certificate_is_revoked_once_noted_and_never_gone_back_to() {
    let site = site(HaproxyVersion::V2_6, PebbleVersion::V2_4);
    let first = serial(&site.issue(&["shop.test", "--json"]).expect_code(0));
    let revoked = site.run(&["revoke", "shop.test", "--reason", "keyCompromise", "--json"]).expect_code(0);
    let json = revoked.json();
    assert_eq!((&json["revoked"][0]["generation"], &json["revoked"][0]["before"]), (&1.into(), &false.into()));
    assert_eq!(status(&site.pebble, &first), ("Revoked".to_owned(), 1.into()));
    assert!(revoked.stderr.contains("hotcert renew shop.test --force"), "{revoked:?}");
    assert_eq!(site.serial("shop.test"), Ok(first.clone()), "nobody asked to stop serving it");
    let again = site.run(&["revoke", "shop.test"]).expect_code(0);
    assert!(again.stderr.contains("was revoked already"), "{again:?}");
    let told = site.run(&["status", "--json"]).expect_code(2).json();
    assert_eq!(told["certificates"][0]["revoked"]["reason"], "keyCompromise", "{told:#}");

    // Whoever asks for the certificate wants one that is good.
    site.run(&["renew"]).expect_code(0);
    assert_eq!(site.pebble.orders(), 1);
    let second = serial(&site.issue(&["shop.test", "--json"]).expect_code(0));
    site.issue(&["shop.test"]).expect_code(0);
    assert_eq!(site.pebble.orders(), 2);
    site.run(&["status"]).expect_code(0);
    site.run(&["rollback", "shop.test"]).expect_code(64);
    let refused = site.run(&["rollback", "shop.test", "--to", "1", "--force"]).expect_code(1);
    assert!(refused.stderr.contains("was revoked at"), "{refused:?}");
    assert_eq!(site.serial("shop.test"), Ok(second.clone()));

    // One that is not current any more, of which the store does not know that it was revoked by somebody else.
    let third = serial(&site.run(&["renew", "--force", "--json"]).expect_code(0));
    site.run(&["revoke", "shop.test", "--generation", "2", "--reason", "superseded"]).expect_code(0);
    assert_eq!(status(&site.pebble, &second), ("Revoked".to_owned(), 4.into()));
    assert_eq!(status(&site.pebble, &third).0, "Valid");
    site.run(&["status"]).expect_code(0);
    site.run(&["revoke", "shop.test", "--reason", "certificateHold"]).expect_code(64);
}

#[test]
fn every_kind_of_key_revokes_its_certificate_without_the_account() {
    let site = site(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    for key in ["ecdsa-p256", "ecdsa-p384", "rsa-2048"] {
        let name = format!("{key}.test");
        let issued = serial(&site.issue(&[&name, "--key", key, "--json"]).expect_code(0));
        site.run(&["revoke", &name, "--with", "certificate"]).expect_code(0);
        assert_eq!(status(&site.pebble, &issued).0, "Revoked", "{key}");
    }
    // Without an account that could, the key does.
    let issued = serial(&site.issue(&["shop.test", "--json"]).expect_code(0));
    fs::rename(site.hotcert.state_dir().join("accounts"), site.hotcert.scratch().join("lost")).unwrap();
    let refused = site.run(&["revoke", "shop.test", "--with", "account"]).expect_code(1);
    assert!(refused.stderr.contains("there is no account"), "{refused:?}");
    assert_eq!(status(&site.pebble, &issued).0, "Valid");
    site.run(&["revoke", "shop.test"]).expect_code(0);
    assert_eq!(status(&site.pebble, &issued).0, "Revoked");
    // Nor is another account entitled (RFC 8555, section 7.6).
    let issued = serial(&site.issue(&["other.test", "--json"]).expect_code(0));
    fs::rename(site.hotcert.state_dir().join("accounts"), site.hotcert.scratch().join("lost-too")).unwrap();
    site.issue(&["third.test"]).expect_code(0);
    site.run(&["revoke", "other.test", "--with", "account"]).expect_code(1);
    site.run(&["revoke", "other.test"]).expect_code(0);
    assert_eq!(status(&site.pebble, &issued).0, "Revoked");
}

#[test]
fn what_hotcert_did_not_order_is_revoked_by_its_key_where_the_user_says() {
    let site = site(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let issued = serial(&site.issue(&["shop.test", "--json"]).expect_code(0));
    let file = site.hotcert.scratch().join("shop.pem");
    fs::copy(site.haproxy.crt_dir().join("shop.test.pem"), &file).unwrap();
    site.run(&["delete", "shop.test", "--detach"]).expect_code(0);
    site.run(&["push", file.to_str().unwrap()]).expect_code(0);
    let unsaid = site.run(&["revoke", "shop.test"]).expect_code(64);
    assert!(unsaid.stderr.contains("--directory"), "{unsaid:?}");
    let (directory, root_ca) = (site.pebble.directory(), site.pebble.root_ca());
    let authority = ["--directory", &directory, "--root-ca", root_ca.to_str().unwrap(), "--with", "certificate"];
    site.run(&[&["revoke", "shop.test"], &authority[..]].concat()).expect_code(0);
    assert_eq!(status(&site.pebble, &issued).0, "Revoked");
}

#[test]
fn what_is_detached_stays_out_until_it_is_renewed() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let site = site(version, PebbleVersion::V2_10);
        site.issue(&["shop.test"]).expect_code(0);
        site.issue(&["steady.test"]).expect_code(0);
        let first = site.serial("shop.test").unwrap();
        let detached = site.run(&["revoke", "shop.test", "--detach", "--json"]).expect_code(0);
        assert_eq!(detached.json()["detached"], true);
        assert_eq!(status(&site.pebble, &first).0, "Revoked");
        let is_gone = || {
            assert_ne!(site.serial("shop.test"), Ok(first.clone()));
            assert!(!site.haproxy.crt_dir().join("shop.test.pem").exists());
            assert!(!site.haproxy.cli("show ssl cert").contains("shop.test"));
        };
        is_gone();
        site.run(&["plan"]).expect_code(0);
        site.run(&["sync"]).expect_code(0);
        is_gone();
        let told = site.run(&["status", "shop.test", "--json"]).expect_code(2).json();
        let certificate = &told["certificates"][0];
        assert_eq!((&certificate["state"], &certificate["nodes"][0]["state"]), (&"stored".into(), &"absent".into()));
        assert!(certificate["problem"].as_str().unwrap().contains("taken out of service"), "{told:#}");
        let kept = site.hotcert.scratch().join("revoked.pem");
        let stored = site.hotcert.state_dir().join("certs/shop.test/current");
        let pem = ["fullchain.pem", "privkey.pem"].map(|file| fs::read_to_string(stored.join(file)).unwrap()).concat();
        fs::write(&kept, pem).unwrap();
        let refused = site.run(&["push", kept.to_str().unwrap()]).expect_code(1);
        assert!(refused.stderr.contains("this certificate was revoked"), "{refused:?}");
        // To detach again is no error, and changes nothing.
        site.run(&["revoke", "shop.test", "--detach"]).expect_code(0);
        site.haproxy.check().unwrap();

        site.run(&["renew", "shop.test", "--force"]).expect_code(0);
        assert_eq!(site.served("shop.test").names, ["shop.test"]);
        assert_ne!(site.serial("shop.test"), Ok(first));
        site.run(&["status"]).expect_code(0);
        site.expect_nothing_half_done();
    }
}

#[test]
fn a_revocation_that_is_killed_anywhere_is_finished_by_the_next_one() {
    let site = site(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let arguments = |name: &str| {
        let words = ["revoke", name, "--detach"].into_iter().map(std::ffi::OsString::from);
        words.chain(site.node_flags()).collect::<Vec<_>>()
    };
    site.issue(&["clean.test"]).expect_code(0);
    let clean = Steps::run(&arguments("clean.test"), None);
    assert!(clean.succeeded, "{clean:?}");
    for (index, point) in clean.points().iter().enumerate() {
        let name = format!("p{index}.test");
        let issued = serial(&site.issue(&[&name, "--json"]).expect_code(0));
        assert!(Steps::run(&arguments(&name), Some(point)).killed, "{point}");
        site.haproxy.check().unwrap();
        site.hotcert.run(arguments(&name)).expect_code(0);
        assert_eq!(status(&site.pebble, &issued).0, "Revoked", "{point}");
        site.run(&["sync"]).expect_code(0);
        assert_ne!(site.serial(&name), Ok(issued), "{point}");
        site.run(&["delete", &name]).expect_code(0);
    }
    site.expect_nothing_half_done();
}

#[test]
fn a_daemon_revokes_for_its_users_and_does_not_bring_back_what_was_detached() {
    let haproxy = Haproxy::new(HaproxyVersion::V3_2);
    let town = Town::new(Answering::Map, haproxy, PebbleVersion::V2_10, &["a.test", "b.test"]);
    let mut sidecar = town.sidecar();
    sidecar.wait_for("certificate stored");
    town.expect_served(&sidecar);
    let serial = town.stored("a.test").unwrap();
    let revoked = town.run(&["revoke", "a.test", "--detach", "-vv"]).expect_code(0);
    assert!(revoked.stderr.contains("the daemon does it"), "{revoked:?}");
    assert_eq!(status(&town.pebble, &serial).0, "Revoked");
    // It has looked at the nodes anew when it says so.
    town.run(&["sync"]).expect_code(0);
    let haproxy = &town.house.nodes[0];
    assert!(!haproxy.cli("show ssl cert").contains("a.test"));
    let shown = town.run(&["account", "show", "--json", "-vv"]).expect_code(0);
    assert!(shown.stderr.contains("the daemon does it"), "{shown:?}");
    assert_eq!(shown.json()["accounts"][0]["status"], "valid");
    town.run(&["renew", "a.test", "--force"]).expect_code(0);
    assert!(poll(DEADLINE, || town.is_served().then_some(())).is_some(), "{}", sidecar.log());
}
