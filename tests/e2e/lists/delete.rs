//! `hotcert delete`.

use std::fs;

use super::{list, run, shop};
use crate::load::edge::{Edge, snapshot};
use crate::support::sidecar::{flags, quoted};
use crate::support::{Haproxy, HaproxyVersion, KeyType, Pki, Sidecar, each_haproxy, sidecar};

each_haproxy! {
    a_certificate_is_forgotten_and_taken_out_of_a_directory,
    what_holds_on_to_a_slot_is_told_and_nothing_is_changed,
}

fn a_certificate_is_forgotten_and_taken_out_of_a_directory(version: HaproxyVersion) {
    let mut edge = Edge::new(Haproxy::new(version));
    let memory = edge.memory();
    let leaf = edge.pki.leaf("shop.test").issue();
    edge.push(&leaf, &[]).expect_code(0);

    // Forgotten alone, HAProxy goes on.
    let forgotten = edge.run(&["delete", "shop.test"]).expect_code(0);
    assert!(forgotten.stderr.contains("HAProxy goes on serving shop.test"), "{forgotten:?}");
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert!(!snapshot(edge.hotcert.state_dir().as_path()).keys().any(|path| path.contains("privkey")));
    let again = edge.run(&["delete", "shop.test", "--json"]).expect_code(64).json();
    assert_eq!(again["error"]["message"], "there is no certificate shop.test");
    let foreign = &edge.status(0)["nodes"][0]["foreign"];
    assert_eq!(foreign[0]["slot"].as_str(), Some(edge.slot("shop.test.pem").as_str()));
    assert_eq!(foreign[0]["serial"], leaf.serial());
    assert_eq!(foreign[0]["lists"][0].as_str(), edge.haproxy.crt_dir().to_str());
    assert!(foreign[0]["not_after"].is_string());
    let text = edge.run(&["status"]).expect_code(0).stdout;
    assert!(text.contains(", 1 certificate that hotcert does not manage"), "{text}");

    edge.push(&leaf, &[]).expect_code(0);
    assert_eq!(edge.status(0)["nodes"][0]["foreign"].as_array().map(Vec::len), Some(0));
    // Whether it came at the start makes no difference, even if it is the first one then.
    edge.haproxy.reload();
    let deleted = edge.run(&["delete", "shop.test", "--detach", "--json"]).expect_code(0).json();
    assert_eq!(deleted["deleted"], "shop.test");
    assert_eq!(deleted["detached"], true);
    let steps: Vec<_> = deleted["nodes"][0]["steps"].as_array().unwrap().iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, ["detach", "delete", "unpublish"], "{deleted:#}");
    assert_eq!(edge.memory(), memory);
    assert_eq!(fs::read_dir(edge.haproxy.crt_dir()).unwrap().count(), 0);
    assert_eq!(edge.serial("shop.test"), None);
    edge.run(&["delete", "shop.test", "--detach"]).expect_code(64);
    edge.expect_settled();
}

fn what_holds_on_to_a_slot_is_told_and_nothing_is_changed(version: HaproxyVersion) {
    let pki = Pki::new();
    let old = pki.leaf("shop.test").issue();
    let expect_held = |edge: &Edge, by: &str| {
        let new = edge.pki.leaf("shop.test").issue();
        edge.push(&new, &[]).expect_code(0);
        let before = (edge.memory(), snapshot(edge.haproxy.dir()), snapshot(edge.hotcert.state_dir().as_path()));
        let refused = edge.run(&["delete", "shop.test", "--detach", "--json"]).expect_code(1).json();
        assert_eq!(refused["error"]["kind"], "in-use", "{refused:#}");
        assert!(refused["error"]["message"].as_str().unwrap().contains(by), "{refused:#}");
        assert!(refused["error"]["hint"].as_str().unwrap().contains("nothing was changed"), "{refused:#}");
        let after = (edge.memory(), snapshot(edge.haproxy.dir()), snapshot(edge.hotcert.state_dir().as_path()));
        assert_eq!(after.0, before.0);
        assert!(after == before, "files were changed");
        assert_eq!(edge.serial("shop.test").as_deref(), Some(new.serial()));
    };
    // A line of somebody else, the bind line itself, and the default of a directory.
    let start = || Haproxy::new(version).certificate("shop.test.pem", &old.fullchain_and_key());
    expect_held(&Edge::with(Pki::new(), start().crt_list("\n{dir}/certs/shop.test.pem\n")), "line 2 of");
    expect_held(
        &Edge::with(Pki::new(), start().tls("ssl crt {dir}/certs/shop.test.pem strict-sni")),
        "HAProxy's own configuration",
    );
    expect_held(&Edge::with(Pki::new(), start().tls("ssl crt {dir}/certs/")), "the default of");
}

#[test]
fn a_certificate_of_the_file_is_not_deleted_and_a_node_that_is_down_stops_it() {
    let mut edge = Edge::new(Haproxy::new(HaproxyVersion::V2_8).crt_list("# ours\n"));
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    let file = edge.file(&leaf);
    run(&edge, &shop(""), &["push", &file, "--name", "shop"]).expect_code(0);
    let refused = run(&edge, &shop(""), &["delete", "shop"]).expect_code(64);
    assert!(
        refused.stderr.contains("certificate shop stands in") && refused.stderr.contains("hotcert.toml:"),
        "{refused:?}"
    );

    edge.haproxy.kill();
    let before = (list(&edge), snapshot(edge.hotcert.state_dir().as_path()));
    run(&edge, "", &["delete", "shop", "--detach"]).expect_code(75);
    assert_eq!(list(&edge), before.0);
    edge.haproxy.restart();
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    run(&edge, "", &["delete", "shop", "--detach"]).expect_code(0);
    assert_eq!(list(&edge), "# ours\n");
    assert_eq!(edge.serial("shop.test"), None);
    run(&edge, "", &["delete", "shop", "--detach"]).expect_code(64);
}

#[test]
fn both_kinds_of_a_certificate_are_deleted_by_its_name() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_8).crt_list("# ours\n"));
    let config = shop("key = [\"ecdsa-p256\", \"rsa-2048\"]");
    for (kind, key) in [("ecdsa", KeyType::EcdsaP256), ("rsa", KeyType::Rsa2048)] {
        let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).key(key).issue();
        let file = edge.file(&leaf);
        run(&edge, &config, &["push", &file, "--name", &format!("shop.{kind}")]).expect_code(0);
    }
    assert!(list(&edge).contains("shop.pem.ecdsa") && list(&edge).contains("shop.pem.rsa"), "{}", list(&edge));
    run(&edge, &config, &["delete", "shop"]).expect_code(64);
    let deleted = run(&edge, "", &["delete", "shop", "--detach", "--json"]).expect_code(0).json();
    let steps = |at: usize| deleted["nodes"][at]["steps"].as_array().map_or(0, Vec::len);
    assert_eq!((steps(0), steps(1)), (3, 3), "{deleted:#}");
    assert_eq!(list(&edge), "# ours\n");
    assert_eq!(edge.serial("shop.test"), None);
    run(&edge, "", &["delete", "shop"]).expect_code(64);
}

/// No version tells before whether it is the default of a bind.
#[test]
fn a_node_that_refuses_restores_the_others() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let mut edge = Edge::new(Haproxy::new(version).crt_list("# ours\n"));
        let second = Haproxy::new(version).tls("ssl crt {dir}/certs/ strict-sni").start();
        let rest = format!("crt_list = {}\n", quoted(edge.haproxy.crt_list()));
        let flags = flags(&edge.hotcert, &[&second, &edge.haproxy], &rest);
        let command = |words: &[&str]| {
            let words = words.iter().map(std::ffi::OsString::from);
            edge.hotcert.run(words.chain(flags.iter().cloned()))
        };
        let leaf = edge.pki.leaf("shop.test").issue();
        let file = edge.file(&leaf);
        command(&["push", &file]).expect_code(0);
        let config = edge.haproxy.scratch().read("haproxy.cfg").replace(" strict-sni", "");
        edge.haproxy.scratch().write("haproxy.cfg", config);
        edge.haproxy.reload();
        let before = (list(&edge), snapshot(&second.crt_dir()), snapshot(edge.hotcert.state_dir().as_path()));
        let command = |words: &[&str]| {
            let words = words.iter().map(std::ffi::OsString::from);
            edge.hotcert.run(words.chain(flags.iter().cloned()))
        };
        let refused = command(&["delete", "shop.test", "--detach"]).expect_code(1);
        assert!(refused.stderr.contains("it is the default of a bind that uses"), "{refused:?}");
        let after = (list(&edge), snapshot(&second.crt_dir()), snapshot(edge.hotcert.state_dir().as_path()));
        assert!(after == before, "files were changed");
        for node in [&edge.haproxy, &second] {
            assert_eq!(sidecar::serial(node, "shop.test").as_deref(), Some(leaf.serial()));
        }
        command(&["plan"]).expect_code(0);
    }
}

#[test]
fn a_daemon_deletes_over_its_fleet_and_a_watched_file_stays() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V3_2));
    let second = Haproxy::new(HaproxyVersion::V2_6).start();
    let inbox = edge.hotcert.scratch().dir("inbox");
    let watched = edge.pki.leaf("watched.test").issue();
    fs::write(inbox.join("watched.pem"), watched.fullchain_and_key()).unwrap();
    let rest = format!("[[watch]]\ndir = {}\n", quoted(&inbox));
    let flags = flags(&edge.hotcert, &[&edge.haproxy, &second], &rest);
    let daemon = Sidecar::start(&edge.hotcert, &flags);
    let leaf = edge.pki.leaf("shop.test").issue();
    let file = edge.file(&leaf);
    let command = |words: &[&str]| {
        let words = words.iter().map(std::ffi::OsString::from);
        edge.hotcert.run(words.chain(flags.iter().cloned()))
    };
    command(&["push", &file, "-vv"]).expect_code(0);
    for node in [&edge.haproxy, &second] {
        assert_eq!(sidecar::serial(node, "shop.test").as_deref(), Some(leaf.serial()));
        assert!(sidecar::served_within(node, "watched.test", watched.serial(), sidecar::DEADLINE).is_some());
    }
    let deleted = command(&["delete", "shop.test", "--detach", "--json", "-vv"]).expect_code(0);
    assert!(deleted.stderr.contains("the daemon does it"), "{deleted:?}");
    assert_eq!(deleted.json()["nodes"].as_array().map(Vec::len), Some(2));
    for node in [&edge.haproxy, &second] {
        assert_eq!(sidecar::serial(node, "shop.test"), None);
    }
    assert!(!command(&["list"]).expect_code(0).stdout.contains("shop.test"));

    let deleted = command(&["delete", "watched", "--detach"]).expect_code(0);
    assert!(deleted.stderr.contains("is taken again from"), "{deleted:?}");
    assert!(inbox.join("watched.pem").exists());
    fs::remove_file(inbox.join("watched.pem")).unwrap();
    drop(daemon);
}
