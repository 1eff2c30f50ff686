//! Killed after any of its steps, a command that changes entries or deletes is finished by the next one.

use std::ffi::OsString;
use std::fs;

use super::{expect_settled, list, listed, node, run, shop};
use crate::load::edge::{Edge, snapshot};
use crate::support::{Haproxy, HaproxyVersion, Pki, Steps};

/// The arguments for a command with this configuration.
fn arguments(edge: &Edge, certificates: &str, words: &[&str]) -> Vec<OsString> {
    let text = format!("version = 1\nstate_dir = {:?}\n{}{certificates}", edge.hotcert.state_dir(), node(edge));
    let file = edge.hotcert.scratch().write("killed.toml", text);
    words.iter().map(OsString::from).chain(["--config".into(), file.into()]).collect()
}

#[test]
fn entries_that_are_changed_end_as_they_should_wherever_that_is_interrupted() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_6).crt_list("# ours\n"));
    let slot = edge.slot("shop.pem");
    let old = shop("options = \"[alpn h2]\"");
    let new = shop("options = \"[alpn h2,http/1.1]\"\nfilters = [\"shop.test\"]");
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    let file = edge.file(&leaf);
    run(&edge, &old, &["push", &file, "--name", "shop"]).expect_code(0);
    let command = arguments(&edge, &new, &["sync"]);
    let clean = Steps::run(&command, None);
    assert!(clean.succeeded && clean.took("haproxy: certificate detached"), "{clean:?}");
    for point in clean.points() {
        run(&edge, &old, &["sync"]).expect_code(0);
        assert_eq!(listed(&edge), [format!("{slot} [alpn h2]")], "{point}");
        let killed = Steps::run(&arguments(&edge, &new, &["sync"]), Some(&point));
        assert!(killed.killed, "{point}: {killed:?}");
        assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()), "{point}: there is a gap");
        edge.haproxy.check().unwrap();
        run(&edge, &new, &["sync"]).expect_code(0);
        assert_eq!(listed(&edge), [format!("{slot} [alpn h2,http/1.1] shop.test")], "{point}");
        assert_eq!(list(&edge), format!("# ours\n{slot} [alpn h2,http/1.1] shop.test\n"), "{point}");
        expect_settled(&edge, &new);
    }
}

#[test]
fn a_certificate_is_deleted_or_restored_wherever_that_is_interrupted() {
    let pki = Pki::new();
    let haproxy = Haproxy::new(HaproxyVersion::V3_2).crt_list("# ours\n");
    let edge = Edge::with(pki, haproxy);
    let leaf = edge.pki.leaf("shop.test").issue();
    let file = edge.file(&leaf);
    let memory = edge.memory();
    let delete = ["delete", "shop", "--detach"];
    let push = || run(&edge, "", &["push", &file, "--name", "shop"]).expect_code(0);
    push();
    let clean = Steps::run(&arguments(&edge, "", &delete), None);
    assert!(clean.succeeded && clean.took("store: published file removed"), "{clean:?}");
    for point in clean.points() {
        push();
        let killed = Steps::run(&arguments(&edge, "", &delete), Some(&point));
        assert!(killed.killed, "{point}: {killed:?}");
        edge.haproxy.check().unwrap();
        let is_forgotten = killed.took("store: certificate forgotten");
        run(&edge, "", &["sync"]).expect_code(0);
        let served = edge.serial("shop.test");
        assert_eq!(served.as_deref(), Some(leaf.serial()).filter(|_| !is_forgotten), "{point}");
        run(&edge, "", &delete).expect_code(if is_forgotten { 64 } else { 0 });
        assert_eq!(edge.memory(), memory, "{point}");
        assert_eq!(list(&edge), "# ours\n", "{point}");
        assert_eq!(fs::read_dir(edge.haproxy.crt_dir()).unwrap().count(), 0, "{point}");
        let left = snapshot(edge.hotcert.state_dir().as_path());
        assert!(!left.keys().any(|path| path.contains("privkey") || path.contains("shop.json")), "{point}: {left:?}");
    }
}
