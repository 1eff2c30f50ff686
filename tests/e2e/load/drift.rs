//! What becomes of a node behind hotcert's back, and how it is told and mended.

use std::fs;

use super::edge::Edge;
use crate::support::{Haproxy, HaproxyVersion, each_haproxy};

each_haproxy! {
    a_restart_with_stale_files_is_seen_and_repaired,
    each_state_of_a_node_is_told,
}

fn a_restart_with_stale_files_is_seen_and_repaired(version: HaproxyVersion) {
    let mut edge = Edge::new(Haproxy::new(version));
    let (old, new) = (edge.pki.leaf("shop.test").issue(), edge.pki.leaf("shop.test").issue());
    edge.push(&old, &[]).expect_code(0);
    edge.push(&new, &[]).expect_code(0);
    // A backup is played back.
    edge.haproxy.kill();
    let file = edge.haproxy.crt_dir().join("shop.test.pem");
    fs::write(&file, old.fullchain_and_key()).unwrap();
    edge.haproxy.restart();
    assert_eq!(edge.serial("shop.test").as_deref(), Some(old.serial()));

    let drift = edge.drift();
    assert!(drift.contains("replace the certificate in") && drift.contains("publish the file"), "{drift}");
    let json = edge.run(&["plan", "--json"]).expect_code(2).json();
    assert_eq!(json["drift"], true);
    assert_eq!(json["nodes"][0]["steps"][0]["reason"], "stale", "{json:#}");
    edge.run(&["sync"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(new.serial()));
    assert_eq!(fs::read_to_string(&file).unwrap(), new.fullchain_and_key());
    edge.expect_settled();

    // Another tool's certificate, in memory alone.
    edge.haproxy.set_cert(&edge.slot("shop.test.pem"), &old.fullchain_and_key());
    assert_eq!(edge.serial("shop.test").as_deref(), Some(old.serial()));
    assert!(edge.drift().contains("replace the certificate in"));
    edge.run(&["sync"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(new.serial()));

    // The right leaf, without its chain.
    edge.haproxy.set_cert(&edge.slot("shop.test.pem"), &new.leaf_and_key());
    assert!(edge.drift().contains("replace the certificate in"));
    edge.run(&["sync"]).expect_code(0);
    edge.expect_settled();
}

fn each_state_of_a_node_is_told(version: HaproxyVersion) {
    let mut edge = Edge::new(Haproxy::new(version));
    let empty = edge.status(0);
    assert_eq!(empty["certificates"].as_array().map(Vec::len), Some(0));
    assert_eq!(empty["nodes"][0]["reachable"], true);
    edge.run(&["status", "shop.test"]).expect_code(64);

    let (old, leaf) = (edge.pki.leaf("shop.test").issue(), edge.pki.leaf("shop.test").issue());
    edge.push(&leaf, &[]).expect_code(0);
    let slot = edge.slot("shop.test.pem");
    let expect = |edge: &Edge, code: i32, certificate: &str, node: &str, verified: &str| {
        let status = edge.status(code);
        let found = &status["certificates"][0];
        assert_eq!(found["state"], certificate, "{status:#}");
        assert_eq!(found["nodes"][0]["state"], node, "{status:#}");
        assert_eq!(found["nodes"][0]["verified"], verified, "{status:#}");
        status
    };
    let status = expect(&edge, 0, "serving", "in-sync", "handshake");
    assert_eq!(status["certificates"][0]["serial"], leaf.serial());
    assert_eq!(status["certificates"][0]["sha256"], leaf.sha256());
    assert_eq!(status["certificates"][0]["nodes"][0]["serial"], leaf.serial());
    assert_eq!(status["nodes"][0]["pid"], edge.haproxy.pid());
    edge.verify = false;
    expect(&edge, 0, "serving", "in-sync", "memory");
    let text = edge.run(&["status", "shop.test"]).expect_code(0).stdout;
    assert!(text.contains("in-sync") && text.contains(leaf.serial()), "{text}");

    edge.haproxy.set_cert(&slot, &old.fullchain_and_key());
    let status = expect(&edge, 2, "stored", "stale", "none");
    assert_eq!(status["certificates"][0]["nodes"][0]["serial"], old.serial());

    let removed = edge.haproxy.cli(&format!("del ssl crt-list {} {slot}", edge.haproxy.crt_dir().display()));
    assert!(removed.contains("deleted"), "{removed}");
    edge.haproxy.set_cert(&slot, &leaf.fullchain_and_key());
    expect(&edge, 2, "stored", "detached", "none");

    let removed = edge.haproxy.cli(&format!("del ssl cert {slot}"));
    assert!(removed.contains("deleted"), "{removed}");
    expect(&edge, 2, "stored", "absent", "none");

    edge.haproxy.kill();
    let status = expect(&edge, 2, "stored", "unreachable", "none");
    assert_eq!(status["nodes"][0]["reachable"], false);
    for command in [&["plan", "--json"][..], &["sync", "--json"]] {
        assert_eq!(edge.run(command).expect_code(75).json()["error"]["kind"], "node");
    }
    edge.haproxy.restart();
    edge.run(&["sync"]).expect_code(0);
    edge.verify = true;
    expect(&edge, 0, "serving", "in-sync", "handshake");
}

#[test]
fn an_expired_certificate_is_told_as_failed() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_6));
    let expired = edge.pki.leaf("shop.test").valid_days(-90, -1).issue();
    assert_eq!(edge.push(&expired, &["--json"]).expect_code(1).json()["error"]["kind"], "refused");
    edge.push(&expired, &["--force"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(expired.serial()));
    assert_eq!(edge.status(2)["certificates"][0]["state"], "failed");
}
