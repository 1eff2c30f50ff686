//! Slots that are no file of their own directory: aliases, and names that `crt-base` completes.

use std::fs;

use crate::load::edge::{Edge, configured};
use crate::support::client::{self, Options};
use crate::support::{Haproxy, HaproxyVersion, Leaf, Pki, each_haproxy};

each_haproxy! {
    a_relative_line_is_the_line_of_our_slot,
    one_slot_in_several_lists_and_binds_is_renewed_once,
}

fn config(edge: &Edge, rest: &str) -> String {
    format!(
        "[issuer.nobody]\ndirectory = \"https://127.0.0.1:1/dir\"\n\
         [haproxy.edge]\nsocket = {:?}\nverify = [\"{}\"]\n{rest}",
        edge.haproxy.socket(),
        edge.haproxy.https_addr()
    )
}

fn a_relative_line_is_the_line_of_our_slot(version: HaproxyVersion) {
    let pki = Pki::new();
    let leaf = |name: &str| pki.leaf(name).issue();
    let (a, b, new_a, new_b) = (leaf("a.test"), leaf("b.test"), leaf("a.test"), leaf("b.test"));
    let haproxy = Haproxy::new(version)
        .crt_list("a.test.pem [alpn h2]\n./b.test.pem\n")
        .global("crt-base {dir}/certs")
        .certificate("a.test.pem", &a.fullchain_and_key())
        .certificate("b.test.pem", &b.fullchain_and_key());
    let mut edge = Edge::with(Pki::new(), haproxy);
    let before = fs::read_to_string(edge.haproxy.crt_list()).unwrap();
    let (memory, list) = (edge.memory(), edge.haproxy.crt_list().display().to_string());
    let names = |memory: &str| memory.lines().filter(|line| line.contains(".test.pem") && !line.contains(": ")).count();
    for (leaf, name) in [(&new_a, "a.test"), (&new_b, "b.test")] {
        edge.push(leaf, &["--attach", &list, "--force"]).expect_code(0);
        assert_eq!(edge.serial(name).as_deref(), Some(leaf.serial()));
    }
    assert_eq!(fs::read_to_string(edge.haproxy.crt_list()).unwrap(), before);
    assert_eq!(names(&edge.memory()), names(&memory), "{}", edge.memory());
    edge.expect_settled();
    edge.haproxy.reload();
    edge.expect_settled();
    assert_eq!(edge.serial("b.test").as_deref(), Some(new_b.serial()));
    // The lines are not ours.
    let refused = edge.run(&["delete", "b.test", "--detach"]).expect_code(1);
    assert!(refused.stderr.contains("line 2 of") && refused.stderr.contains("has not written"), "{refused:?}");
    assert_eq!(fs::read_to_string(edge.haproxy.crt_list()).unwrap(), before);
}

fn one_slot_in_several_lists_and_binds_is_renewed_once(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("shop.test").issue(), pki.leaf("shop.test").issue());
    let haproxy = Haproxy::new(version)
        .crt_list("{dir}/certs/shop.test.pem\n")
        .tls2("ssl crt-list {dir}/second.txt crt {dir}/certs/shop.test.pem strict-sni")
        .file("second.txt", "{dir}/certs/shop.test.pem [alpn h2,http/1.1]\n{dir}/certs/shop.test.pem www.test\n")
        .certificate("shop.test.pem", &old.fullchain_and_key());
    let edge = Edge::with(pki, haproxy);
    edge.push(&new, &[]).expect_code(0);
    edge.expect_settled();
    for (address, name) in [
        (edge.haproxy.https_addr(), "shop.test"),
        (edge.haproxy.https2_addr(), "shop.test"),
        (edge.haproxy.https2_addr(), "www.test"),
    ] {
        let served = client::handshake(address, name, Options::default()).unwrap();
        assert_eq!(served.serial, new.serial(), "{name}");
    }
    let refused = edge.run(&["delete", "shop.test", "--detach", "--json"]).expect_code(1).json();
    assert_eq!(refused["error"]["kind"], "in-use", "{refused:#}");
}

/// A HAProxy with a crt-store: one alias in a crt-list, one that nothing uses yet, one whose key stands in a file of its own.
fn with_store(version: HaproxyVersion, pki: &Pki) -> (Haproxy, [Leaf; 3]) {
    let leaves = ["site1.test", "spare.test", "split.test"].map(|name| pki.leaf(name).issue());
    let [site1, spare, split] = &leaves;
    let store = "crt-store web\n    crt-base {dir}/store\n    key-base {dir}/store\n    load crt site1.pem alias \"site1\"\n    \
                 load crt spare.pem alias \"spare\"\n    load crt split.crt key split.key alias \"split\"\n";
    let haproxy = Haproxy::new(version)
        .crt_list("@web/site1 [alpn h2,http/1.1]\n@web/split\n")
        .global(&format!("log stdout local0 emerg\n{store}"))
        .file("store/site1.pem", &site1.fullchain_and_key())
        .file("store/spare.pem", &spare.fullchain_and_key())
        .file("store/split.crt", &split.fullchain())
        .file("store/split.key", &split.key_pem())
        .start();
    (haproxy, leaves)
}

#[test]
fn a_certificate_is_placed_at_an_alias() {
    for version in [HaproxyVersion::V3_0, HaproxyVersion::V3_2] {
        let pki = Pki::new();
        let (haproxy, [old, _, split]) = with_store(version, &pki);
        let mut edge = Edge { haproxy, hotcert: crate::support::Hotcert::new(), pki, verify: true, crt_dir: false };
        let list = fs::read_to_string(edge.haproxy.crt_list()).unwrap();
        let directory = edge.haproxy.dir().to_owned();
        let certificate = |name: &str| {
            let file = directory.join(format!("store/{name}.{}", if name == "split" { "crt" } else { "pem" }));
            format!(
                "[[certificate]]\nname = \"{name}\"\ndomains = [\"{name}.test\"]\nslot = \"@web/{name}\"\nfile = {file:?}\n"
            )
        };
        let all = config(&edge, &(certificate("site1") + &certificate("spare")));
        let mut pushed = Vec::new();
        for name in ["site1", "spare"] {
            let leaf = edge.pki.leaf(&format!("{name}.test")).issue();
            let file = edge.file(&leaf);
            configured(&edge.hotcert, &all, &["push", &file, "--name", name]).expect_code(0);
            assert_eq!(edge.haproxy.scratch().read(format!("store/{name}.pem")), leaf.fullchain_and_key());
            pushed.push(leaf);
        }
        assert_ne!(old.serial(), pushed[0].serial());
        assert_eq!(fs::read_to_string(edge.haproxy.crt_list()).unwrap(), format!("{list}@web/spare\n"));
        assert_eq!(configured(&edge.hotcert, &all, &["plan"]).expect_code(0).stdout, "nothing to do\n");
        edge.haproxy.check().unwrap();
        edge.haproxy.reload();
        for (name, leaf) in ["site1.test", "spare.test"].iter().zip(&pushed) {
            assert_eq!(edge.serial(name).as_deref(), Some(leaf.serial()));
        }
        assert_eq!(configured(&edge.hotcert, &all, &["plan"]).expect_code(0).stdout, "nothing to do\n");

        // A file without its key cannot be replaced as one, and an alias that is not there cannot be made to last.
        for (name, text) in [("split", "without its key"), ("none", "an alias comes only from its configuration")] {
            let leaf = edge.pki.leaf(&format!("{name}.test")).issue();
            let file = edge.file(&leaf);
            let with = config(&edge, &certificate(name));
            let refused = configured(&edge.hotcert, &with, &["push", &file, "--name", name]).expect_code(1);
            assert!(refused.stderr.contains(text), "{refused:?}");
        }
        assert_eq!(edge.serial("split.test").as_deref(), Some(split.serial()));

        // What stays is theirs, what goes is ours: the line, but not the alias and its file, which HAProxy's configuration names.
        let none = config(&edge, "");
        configured(&edge.hotcert, &none, &["delete", "spare", "--detach"]).expect_code(0);
        assert_eq!(fs::read_to_string(edge.haproxy.crt_list()).unwrap(), list);
        assert_eq!(edge.serial("spare.test"), None);
        assert!(edge.haproxy.cli("show ssl cert").contains("@web/spare"));
        edge.haproxy.check().unwrap();
        // The line of the other one was there before.
        configured(&edge.hotcert, &none, &["delete", "site1", "--detach"]).expect_code(0);
        assert_eq!(edge.serial("site1.test").as_deref(), Some(pushed[0].serial()));
    }
}
