//! H1, H3, H6 and H7: what a certificate file may hold, and what HAProxy makes of it.

use super::edge::{Edge, snapshot};
use crate::support::client::{self, Options};
use crate::support::{Haproxy, HaproxyVersion, Pki, each_haproxy};

each_haproxy! {
    a_file_that_haproxy_would_misread_is_repaired_or_refused,
    a_certificate_around_the_buffer_size_leaves_haproxy_alive,
    a_commit_that_changes_nothing_is_not_believed,
}

/// H6 and H7.
fn a_file_that_haproxy_would_misread_is_repaired_or_refused(version: HaproxyVersion) {
    let edge = Edge::new(Haproxy::new(version));
    let leaf = edge.pki.leaf("shop.test").issue();
    let (cert, key, chain) = (leaf.cert_pem(), leaf.key_pem(), leaf.chain_pem());
    let write = |text: String| edge.hotcert.scratch().write("input.pem", text);

    // Everything after the blank line would be lost, or run as commands.
    write(format!("{cert}{key}\n{chain}").replace('\n', "\r\n"));
    let push = edge.run(&["push", "input.pem"]).expect_code(0);
    assert!(push.stderr.contains("blank lines were removed"), "{push:?}");
    let served = client::handshake(edge.haproxy.https_addr(), "shop.test", Options::default()).unwrap();
    assert_eq!((served.serial.as_str(), served.chain.len()), (leaf.serial(), 2));
    edge.expect_settled();

    let (memory, disk) = (edge.memory(), snapshot(&edge.haproxy.crt_dir()));
    let state = snapshot(&edge.hotcert.state_dir());
    let broken = chain.replacen("MII", "!!!", 1);
    let other = Pki::new().leaf("shop.test").issue();
    for (what, text) in [
        ("a broken intermediate", format!("{cert}{broken}{key}")),
        ("no intermediate", format!("{cert}{key}")),
        ("another authority's intermediate", format!("{cert}{}{key}", other.chain_pem())),
        ("no key", format!("{cert}{chain}")),
        ("another key", format!("{cert}{chain}{}", other.key_pem())),
        ("an encrypted key", format!("{cert}{chain}{}", leaf.key_encrypted("secret"))),
        ("a file cut short", leaf.fullchain_and_key()[..700].to_owned()),
        ("nothing", String::new()),
    ] {
        write(text);
        for force in [&["push", "input.pem", "--json"][..], &["push", "input.pem", "--json", "--force"]] {
            let push = edge.run(force).expect_code(1);
            assert_eq!(push.json()["error"]["kind"], "refused", "{what}: {push:?}");
        }
    }
    assert_eq!(edge.memory(), memory);
    assert_eq!(snapshot(&edge.haproxy.crt_dir()), disk);
    assert_eq!(snapshot(&edge.hotcert.state_dir()), state);
}

/// H1.
fn a_certificate_around_the_buffer_size_leaves_haproxy_alive(version: HaproxyVersion) {
    let edge = Edge::new(Haproxy::new(version));
    let pid = edge.haproxy.pid();
    let command = format!("set ssl cert {} <<\n\n", edge.slot("shop.test.pem"));
    // Exactly the buffer, a little less, and more.
    for size in [16384 - command.len(), 16380 - command.len(), 17000] {
        let leaf = edge.pki.leaf("shop.test").pem_size(size).issue();
        let push = edge.push(&leaf, &["--json"]).expect_code(1);
        let error = &push.json()["error"];
        assert_eq!(error["kind"], "too-large", "{push:?}");
        assert!(error["hint"].as_str().unwrap().contains("tune.bufsize"), "{push:?}");
        assert_eq!(edge.haproxy.pid(), pid);
        assert_eq!(edge.serial("shop.test"), None);
    }
    let leaf = edge.pki.leaf("shop.test").pem_size(15900).issue();
    edge.push(&leaf, &[]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert_eq!(edge.haproxy.pid(), pid);
}

/// H3: after an update of a CA file some versions say `Success!` to a certificate, and go on serving the old one.
fn a_commit_that_changes_nothing_is_not_believed(version: HaproxyVersion) {
    believes_no_commit_that_changes_nothing(version, true);
    // What HAProxy itself says of the slot is enough to notice.
    believes_no_commit_that_changes_nothing(version, false);
}

fn believes_no_commit_that_changes_nothing(version: HaproxyVersion, verify: bool) {
    let pki = Pki::new();
    let old = pki.leaf("shop.test").issue();
    let haproxy = Haproxy::new(version)
        .file("ca.pem", pki.root_pem())
        .certificate("shop.test.pem", &old.fullchain_and_key())
        .tls("ssl crt {dir}/certs/ strict-sni ca-file {dir}/ca.pem verify optional");
    let mut edge = Edge::with(pki, haproxy).verify(verify);
    edge.push(&old, &[]).expect_code(0);
    let ca = edge.haproxy.dir().join("ca.pem").display().to_string();
    edge.haproxy.cli_payload(&format!("set ssl ca-file {ca}"), Pki::new().root_pem());
    let commit = edge.haproxy.cli(&format!("commit ssl ca-file {ca}"));
    assert!(commit.contains("Success!"), "{commit}");

    let new = edge.pki.leaf("shop.test").issue();
    let push = edge.push(&new, &["--json"]);
    if matches!(version, HaproxyVersion::V2_6 | HaproxyVersion::V3_0) {
        let code = if verify { 1 } else { 75 };
        assert_eq!(push.clone().expect_code(code).json()["error"]["kind"], "not-served");
        assert_eq!(edge.serial("shop.test").as_deref(), Some(old.serial()));
        // What was good before is what should be served again.
        let status = edge.status(2);
        assert_eq!(status["certificates"][0]["serial"], old.serial(), "{status:#}");
        assert_eq!(status["certificates"][0]["nodes"][0]["state"], "stale", "{status:#}");
        edge.haproxy.restart();
        edge.run(&["sync"]).expect_code(0);
        assert_eq!(edge.serial("shop.test").as_deref(), Some(old.serial()));
        edge.expect_settled();
    } else {
        push.expect_code(0);
        assert_eq!(edge.serial("shop.test").as_deref(), Some(new.serial()));
    }
}
