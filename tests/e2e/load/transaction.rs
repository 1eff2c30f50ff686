//! H2: HAProxy has one certificate transaction, without an owner, which outlives its connection.

use std::collections::BTreeMap;

use hotcert::model::{Sha1, Slot};
use hotcert::store::{Staging, Store};
use jiff::Timestamp;

use super::edge::Edge;
use crate::support::{Haproxy, HaproxyVersion, Leaf, Pki, each_haproxy};

each_haproxy! {
    a_foreign_transaction_is_waited_for,
    our_own_stale_transaction_is_aborted_and_done_again,
}

/// The words in which hotcert says that it waits.
const WAITING: &str = "another program has a certificate transaction open";

/// A HAProxy with `other.test` and `shop.test`.
fn edge(version: HaproxyVersion) -> Edge {
    let pki = Pki::new();
    let haproxy = ["other.test", "shop.test"].iter().fold(Haproxy::new(version), |haproxy, name| {
        haproxy.certificate(&format!("{name}.pem"), &pki.leaf(name).issue().fullchain_and_key())
    });
    Edge::with(pki, haproxy)
}

/// Opens a transaction as another tool does.
fn open(edge: &Edge, name: &str) -> Leaf {
    let leaf = edge.pki.leaf(name).issue();
    let slot = edge.slot(&format!("{name}.pem"));
    let set = edge.haproxy.cli_payload(&format!("set ssl cert {slot}"), &leaf.fullchain_and_key());
    assert!(set.starts_with("Transaction created"), "{set}");
    leaf
}

/// Ends it as its owner wanted.
fn commit(edge: &Edge, name: &str) {
    let commit = edge.haproxy.cli(&format!("commit ssl cert {}", edge.slot(&format!("{name}.pem"))));
    assert!(commit.contains("Success!"), "{commit}");
}

fn a_foreign_transaction_is_waited_for(version: HaproxyVersion) {
    let edge = edge(version);
    for name in ["other.test", "shop.test"] {
        let before = edge.serial("shop.test");
        let foreign = open(&edge, name);
        let ours = edge.pki.leaf("shop.test").issue();
        let file = edge.file(&ours);
        let mut push = edge.spawn(&["push", &file]);
        push.wait_for(WAITING);
        assert_eq!(edge.serial("shop.test"), before);

        commit(&edge, name);
        push.wait(crate::support::SERVER_DEADLINE).expect_code(0);
        assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()));
        if name == "other.test" {
            assert_eq!(edge.serial("other.test").as_deref(), Some(foreign.serial()));
        }
        edge.expect_settled();
    }
}

/// The deadline is ten seconds, so one version must do for both slots.
#[test]
fn a_foreign_transaction_that_stays_open_is_left_alone_on_another_slot() {
    stays_open("other.test");
}

#[test]
fn a_foreign_transaction_that_stays_open_is_left_alone_on_the_same_slot() {
    stays_open("shop.test");
}

fn stays_open(name: &str) {
    let edge = edge(HaproxyVersion::V2_6);
    let before = edge.serial("shop.test");
    let foreign = open(&edge, name);

    let ours = edge.pki.leaf("shop.test").issue();
    let push = edge.push(&ours, &["--json"]).expect_code(75);
    assert_eq!(push.json()["error"]["kind"], "foreign-transaction");
    assert!(push.stderr.contains(WAITING), "{push:?}");
    assert_eq!(edge.serial("shop.test"), before);
    let status = edge.status(2);
    assert!(status["nodes"][0]["detail"].as_str().unwrap().contains("not ours is open"), "{status:#}");

    commit(&edge, name);
    assert_eq!(edge.serial(name).as_deref(), Some(foreign.serial()), "it was neither committed nor changed");
    edge.run(&["sync"]).expect_code(0);
    edge.expect_settled();
}

/// What a hotcert leaves that was killed between `set` and `commit`: the note, and the open transaction.
fn our_own_stale_transaction_is_aborted_and_done_again(version: HaproxyVersion) {
    let edge = edge(version);
    let first = edge.pki.leaf("shop.test").issue();
    edge.push(&first, &[]).expect_code(0);
    let slot: Slot = edge.slot("shop.test.pem").parse().unwrap();
    let note = |leaf: &Leaf| {
        let store = Store::open(&edge.hotcert.state_dir()).unwrap();
        let lock = store.try_lock_node(edge.haproxy.socket().to_str().unwrap()).unwrap().unwrap();
        let slots = BTreeMap::from([(slot.clone(), Sha1::of(leaf.der()))]);
        let staging = Staging { haproxy_pid: edge.haproxy.pid(), since: Timestamp::now(), slots };
        store.note_staging(&lock, &staging).unwrap();
    };

    let ours = open(&edge, "shop.test");
    note(&ours);
    assert!(edge.drift().contains("abort our own transaction"));
    edge.push(&ours, &[]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()));
    edge.expect_settled();

    // A note whose transaction holds something else does not make it ours.
    let foreign = open(&edge, "shop.test");
    note(&ours);
    let plan = edge.run(&["plan"]).expect_code(0);
    assert!(!plan.stdout.contains("abort"), "{plan:?}");
    edge.run(&["sync"]).expect_code(0);
    commit(&edge, "shop.test");
    assert_eq!(edge.serial("shop.test").as_deref(), Some(foreign.serial()));
}
