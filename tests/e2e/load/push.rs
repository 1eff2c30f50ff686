//! `push`: whatever place HAProxy has for a certificate.

use std::fs;

use super::edge::{Edge, snapshot};
use crate::support::client::{self, Options};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Pki, each_haproxy};

each_haproxy! {
    a_new_certificate_in_a_directory_is_served_and_stays,
    a_new_certificate_in_a_crt_list_is_served_and_stays,
    a_certificate_that_the_bind_line_names_is_replaced,
}

fn a_new_certificate_in_a_directory_is_served_and_stays(version: HaproxyVersion) {
    let mut edge = Edge::new(Haproxy::new(version).master());
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "*.shop.test"]).issue();

    let (memory, disk, state) = (edge.memory(), snapshot(&edge.haproxy.crt_dir()), snapshot(&edge.hotcert.state_dir()));
    let preview = edge.push(&leaf, &["--dry-run"]).expect_code(0);
    for step in ["create slot", "load ", "publish the file of shop.test", "attach "] {
        let step = if step == "load " { "in memory" } else { step };
        assert!(preview.stdout.contains(step), "{preview:?}");
    }
    assert_eq!(edge.memory(), memory);
    assert_eq!(snapshot(&edge.haproxy.crt_dir()), disk);
    assert_eq!(snapshot(&edge.hotcert.state_dir()), state);

    let push = edge.push(&leaf, &["--json"]).expect_code(0).json();
    let certificate = &push["certificates"][0];
    assert_eq!(certificate["name"], "shop.test");
    assert_eq!(certificate["source"], "push");
    assert_eq!(certificate["nodes"][0]["verified"], "handshake");
    assert_eq!(certificate["nodes"][0]["slot"].as_str(), Some(edge.slot("shop.test.pem").as_str()));
    for name in ["shop.test", "www.shop.test"] {
        assert_eq!(edge.serial(name).as_deref(), Some(leaf.serial()));
    }
    assert_eq!(edge.serial("other.test"), None);

    // The same again.
    let again = edge.push(&leaf, &["-vvv", "--json"]).expect_code(0);
    assert!(!again.stderr.contains("ssl cert <<") && !again.stderr.contains("commit ssl cert"), "{again:?}");
    assert_eq!(again.json()["certificates"][0]["generation"], 1);

    edge.haproxy.check().unwrap();
    edge.haproxy.reload();
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    edge.expect_settled();

    // Later commands need no flags but the store.
    let state_dir = edge.hotcert.state_dir();
    let state_dir = state_dir.to_str().unwrap();
    edge.hotcert.run(["plan", "--state-dir", state_dir]).expect_code(0);
    let list = edge.hotcert.run(["list", "--state-dir", state_dir]).expect_code(0).stdout;
    assert!(list.starts_with("shop.test\t") && list.trim_end().ends_with("shop.test, *.shop.test"), "{list}");
}

#[test]
fn a_certificate_that_is_not_published_is_lost_with_a_reload_and_comes_back() {
    let mut edge = Edge::new(Haproxy::new(HaproxyVersion::V2_6));
    let leaf = edge.pki.leaf("shop.test").issue();
    edge.push(&leaf, &["--no-publish"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert!(snapshot(&edge.haproxy.crt_dir()).is_empty());
    edge.expect_settled();

    edge.haproxy.reload();
    assert_eq!(edge.serial("shop.test"), None);
    assert_eq!(edge.status(2)["certificates"][0]["nodes"][0]["state"], "absent");
    edge.run(&["sync"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert!(snapshot(&edge.haproxy.crt_dir()).is_empty());
}

fn a_new_certificate_in_a_crt_list_is_served_and_stays(version: HaproxyVersion) {
    let pki = Pki::new();
    let other = pki.leaf("other.test").issue();
    // As people write them: comments, blank lines, tabs.
    let lines = "# ours\n\n\t{dir}/certs/other.pem  [alpn h2]\t other.test   \n#end\n";
    let haproxy = Haproxy::new(version).crt_list(lines).certificate("other.pem", &other.fullchain_and_key());
    let mut edge = Edge::with(pki, haproxy);
    let list = edge.haproxy.crt_list().display().to_string();
    let before = fs::read_to_string(&list).unwrap();

    let leaf = edge.pki.leaf("shop.test").issue();
    let refused = edge.push(&leaf, &["--attach", "/nowhere/list.txt", "--json"]).expect_code(1);
    assert_eq!(refused.json()["error"]["kind"], "unplaced");
    let preview = edge.push(&leaf, &["--attach", &list, "--dry-run"]).expect_code(0);
    assert!(preview.stdout.contains("in memory and in the file"), "{preview:?}");
    assert_eq!((fs::read_to_string(&list).unwrap(), edge.serial("shop.test")), (before.clone(), None));

    edge.push(&leaf, &["--attach", &list]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert_eq!(fs::read_to_string(&list).unwrap(), format!("{before}{}\n", edge.slot("shop.test.pem")));
    edge.expect_settled();

    edge.haproxy.check().unwrap();
    edge.haproxy.reload();
    for (name, leaf) in [("shop.test", &leaf), ("other.test", &other)] {
        assert_eq!(edge.serial(name).as_deref(), Some(leaf.serial()));
    }
    edge.expect_settled();

    // Somebody's tool writes the list anew, without our line: what is in memory still serves, the next start would not.
    fs::write(&list, &before).unwrap();
    let status = edge.status(2);
    assert_eq!(status["certificates"][0]["state"], "serving", "{status:#}");
    assert!(edge.drift().contains("in the file"));
    edge.run(&["sync"]).expect_code(0);
    edge.haproxy.restart();
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    edge.expect_settled();

    // And the other way: in the file, and not in memory.
    let removed = edge.haproxy.cli(&format!("del ssl crt-list {list} {}", edge.slot("shop.test.pem")));
    assert!(removed.contains("deleted"), "{removed}");
    assert_eq!(edge.status(2)["certificates"][0]["nodes"][0]["state"], "detached");
    edge.run(&["sync"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    edge.expect_settled();
}

/// `crt FILE`: nothing can be added, but what is there can be replaced; the slot is found by its names.
fn a_certificate_that_the_bind_line_names_is_replaced(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, other) = (pki.leaf("shop.test").issue(), pki.leaf("other.test").issue());
    let haproxy = Haproxy::new(version)
        .file("site.pem", &old.fullchain_and_key())
        .file("other.pem", &other.fullchain_and_key())
        .tls("ssl crt {dir}/other.pem crt {dir}/site.pem");
    let mut edge = Edge::with(pki, haproxy).without_crt_dir();
    edge.haproxy.scratch().chmod("site.pem", 0o640);

    let new = edge.pki.leaf("shop.test").issue();
    let push = edge.push(&new, &["--json"]).expect_code(0).json();
    let slot = edge.haproxy.dir().join("site.pem");
    assert_eq!(push["certificates"][0]["nodes"][0]["slot"].as_str(), slot.to_str(), "{push:#}");
    assert_eq!(edge.serial("shop.test").as_deref(), Some(new.serial()));
    assert_eq!(fs::read_to_string(&slot).unwrap(), new.fullchain_and_key());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&slot).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o640, "it keeps its mode");
    edge.expect_settled();

    edge.haproxy.restart();
    assert_eq!(edge.serial("shop.test").as_deref(), Some(new.serial()));
    assert_eq!(edge.serial("other.test").as_deref(), Some(other.serial()));
    edge.expect_settled();

    // What has no slot there can get none.
    let stranger = edge.pki.leaf("stranger.test").issue();
    let push = edge.push(&stranger, &["--json"]).expect_code(1);
    assert_eq!(push.json()["error"]["kind"], "unplaced");
}

#[test]
fn paths_may_be_relative() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_8));
    let leaf = edge.pki.leaf("shop.test").issue();
    let user = edge.hotcert.scratch();
    user.write("shop.pem", leaf.fullchain());
    user.write("keys/shop.key", leaf.key_pem());
    for (name, target) in [("node.sock", edge.haproxy.socket()), ("certs", edge.haproxy.crt_dir())] {
        std::os::unix::fs::symlink(target, user.join(name)).unwrap();
    }
    let verify = edge.haproxy.https_addr().to_string();
    let files = ["push", "shop.pem", "./keys/shop.key"];
    let node = ["--socket", "./node.sock", "--state-dir", "state", "--verify", &verify];

    edge.hotcert.run(files.iter().chain(&node)).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    let again: Vec<&str> = ["plan"].into_iter().chain(node).collect();
    assert_eq!(edge.hotcert.run(again).expect_code(0).stdout, "nothing to do\n");
}

#[test]
fn the_certificate_directory_may_be_relative_too() {
    let pki = Pki::new();
    let hotcert = Hotcert::new();
    let live = hotcert.scratch().dir("live");
    let haproxy = Haproxy::new(HaproxyVersion::V3_0).tls(&format!("ssl crt {}/ strict-sni", live.display()));
    let mut edge = Edge { hotcert, ..Edge::with(pki, haproxy) };
    edge.crt_dir = false;
    let leaf = edge.pki.leaf("shop.test").issue();
    edge.push(&leaf, &["--crt-dir", "live"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert!(live.join("shop.test.pem").is_file());
    // HAProxy has but one directory, so that it need not be named.
    edge.expect_settled();
}

#[test]
fn rollback_goes_back_one_generation_or_to_the_one_named() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V3_0));
    let generations: Vec<_> = (0..3).map(|_| edge.pki.leaf("shop.test").issue()).collect();
    let serial = |number: usize| Some(generations[number - 1].serial().to_owned());
    edge.run(&["rollback", "shop.test"]).expect_code(64);
    edge.push(&generations[0], &[]).expect_code(0);
    edge.run(&["rollback", "shop.test"]).expect_code(64);
    edge.push(&generations[1], &[]).expect_code(0);
    edge.push(&generations[2], &[]).expect_code(0);

    edge.run(&["rollback", "shop.test"]).expect_code(0);
    assert_eq!(edge.serial("shop.test"), serial(2));
    edge.expect_settled();
    let back = edge.run(&["rollback", "shop.test", "--json"]).expect_code(0).json();
    assert_eq!(back["certificates"][0]["generation"], 1);
    assert_eq!(edge.serial("shop.test"), serial(1));
    assert_eq!(edge.haproxy.scratch().read("certs/shop.test.pem"), generations[0].fullchain_and_key());

    edge.run(&["rollback", "shop.test", "--to", "9"]).expect_code(1);
    edge.run(&["rollback", "shop.test", "--to", "3"]).expect_code(0);
    assert_eq!(edge.serial("shop.test"), serial(3));
    edge.expect_settled();

    // An older one is not pushed by mistake, and is when told so.
    let older = edge.pki.leaf("shop.test").valid_days(-30, 30).issue();
    let push = edge.push(&older, &["--json"]).expect_code(1);
    assert_eq!(push.json()["error"]["kind"], "refused");
    edge.push(&older, &["--force"]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(older.serial()));
}

#[test]
fn a_new_chain_for_the_same_leaf_is_loaded() {
    let pki = Pki::with_two_intermediates();
    let edge = Edge::with(pki, Haproxy::new(HaproxyVersion::V2_6));
    let leaf = edge.pki.leaf("shop.test").issue();
    let short = leaf.cert_pem() + &edge.pki.intermediates()[0].replace("\r\n", "\n") + &leaf.key_pem();
    edge.hotcert.scratch().write("short.pem", short);
    let chain = || client::handshake(edge.haproxy.https_addr(), "shop.test", Options::default()).unwrap().chain.len();

    edge.run(&["push", "short.pem"]).expect_code(0);
    assert_eq!(chain(), 2);
    edge.push(&leaf, &[]).expect_code(0);
    assert_eq!(chain(), 3);
    edge.expect_settled();
}

#[test]
fn a_new_certificate_is_served_on_every_line_that_reads_the_directory() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_6).tls2("ssl crt {dir}/certs/ strict-sni"));
    let second = edge.haproxy.https2_addr();
    let leaf = edge.pki.leaf("shop.test").issue();
    edge.push(&leaf, &["--verify", &second.to_string()]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert_eq!(client::handshake(second, "shop.test", Options::default()).unwrap().serial, leaf.serial());
}

/// H5: HAProxy takes `ssl` on a stats socket without a word, and speaks plain text.
#[test]
fn a_socket_that_should_be_tls_is_not_spoken_to_in_plain_text() {
    let placeholder = Pki::self_signed("placeholder.invalid").fullchain_and_key();
    let haproxy = Haproxy::new(HaproxyVersion::V2_6)
        .file("cli.pem", &placeholder)
        .global("stats socket ipv4@127.0.0.1:{stats} ssl crt {dir}/cli.pem level admin");
    let edge = Edge::new(haproxy);
    let leaf = edge.pki.leaf("shop.test").issue();
    let file = edge.file(&leaf);
    let (socket, state_dir) = (format!("tls://{}", edge.haproxy.stats_addr()), edge.hotcert.state_dir());
    let crt_dir = edge.haproxy.crt_dir();
    let arguments = ["push", &file, "--json", "--socket", &socket, "--state-dir", state_dir.to_str().unwrap()];
    let push = edge.hotcert.run(arguments.into_iter().chain(["--crt-dir", crt_dir.to_str().unwrap()]));
    // Flags have no certificate to show; the plain text itself is met by those that have one.
    assert!(push.code != Some(0) && push.stdout.contains("it takes a client certificate"), "{push:?}");
    assert_eq!(edge.serial("shop.test"), None);
    assert!(snapshot(&crt_dir).is_empty());
}

#[test]
fn a_socket_on_loopback_serves_and_one_below_admin_is_explained() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_8).tcp_stats());
    let leaf = edge.pki.leaf("shop.test").issue();
    let file = edge.file(&leaf);
    let (socket, state_dir) = (format!("tcp://{}", edge.haproxy.stats_addr()), edge.hotcert.state_dir());
    let crt_dir = edge.haproxy.crt_dir();
    let arguments = ["push", &file, "--socket", &socket, "--state-dir", state_dir.to_str().unwrap()];
    edge.hotcert.run(arguments.into_iter().chain(["--crt-dir", crt_dir.to_str().unwrap()])).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));

    for level in ["operator", "user"] {
        let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_6).stats_level(level));
        let push = edge.push(&leaf, &["--json"]).expect_code(1);
        assert!(push.json()["error"]["hint"].as_str().unwrap().contains("level admin"), "{push:?}");
        assert!(snapshot(&edge.haproxy.crt_dir()).is_empty());
    }
}
