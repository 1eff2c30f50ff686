//! `hotcert dump`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::load::edge::Edge;
use crate::support::{Haproxy, HaproxyVersion, Pki};

#[test]
fn what_no_file_has_is_saved_and_nothing_else_is_overwritten() {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("foreign.test").issue(), pki.leaf("foreign.test").issue());
    let haproxy = Haproxy::new(HaproxyVersion::V3_2).certificate("foreign.pem", &old.fullchain_and_key());
    let mut edge = Edge::with(pki, haproxy);
    let ours = edge.pki.leaf("shop.test").issue();
    edge.push(&ours, &[]).expect_code(0);
    let dump = |edge: &Edge, arguments: &[&str], code: i32| {
        let outcome = edge.run(&[&["dump"], arguments].concat()).expect_code(code);
        assert!(!format!("{outcome:?}").contains("PRIVATE KEY"), "a key was printed");
        outcome
    };
    assert!(dump(&edge, &["-vvv"], 0).stdout.contains("foreign.pem has it already"));

    // Another program renews it in memory alone.
    let (slot, file) = (edge.slot("foreign.pem"), edge.haproxy.crt_dir().join("foreign.pem"));
    edge.haproxy.set_cert(&slot, &new.fullchain_and_key());
    let kept = dump(&edge, &["--json"], 1).json();
    assert_eq!(kept["error"]["kind"], "dump", "{kept:#}");
    assert!(kept["error"]["message"].as_str().unwrap().contains("holds something else"), "{kept:#}");
    assert_eq!(fs::read_to_string(&file).unwrap(), old.fullchain_and_key());

    let directory = edge.hotcert.scratch().dir("saved").display().to_string();
    dump(&edge, &["--to", &directory, "foreign"], 0);
    let saved = std::path::Path::new(&directory).join("foreign.pem");
    assert_eq!(fs::metadata(&saved).unwrap().mode() & 0o7777, 0o600);
    assert!(fs::read_to_string(&saved).unwrap().contains(&new.key_pem()));
    let again = dump(&edge, &["--to", &directory, "foreign", "--json", "-vvv"], 0).json();
    assert_eq!(again["slots"][0]["outcome"], "same");

    assert!(dump(&edge, &["--force", "-vvv"], 0).stdout.contains("written to"));
    edge.haproxy.reload();
    assert_eq!(edge.serial("foreign.test").as_deref(), Some(new.serial()));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o077 & !0o040, 0);

    // One that has no file gets one, and what is stored needs none.
    fs::remove_file(&file).unwrap();
    let written = dump(&edge, &["--json"], 0).json();
    let outcomes: Vec<_> = written["slots"].as_array().unwrap().iter().map(|slot| &slot["outcome"]).collect();
    assert_eq!(outcomes, ["written", "stored"], "{written:#}");
    edge.haproxy.check().unwrap();
    dump(&edge, &["nobody"], 64);
}

#[test]
fn a_version_that_gives_no_key_away_is_told() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V2_8, HaproxyVersion::V3_0] {
        let edge = Edge::new(Haproxy::new(version));
        let refused = edge.run(&["dump", "--json"]).expect_code(1).json();
        assert_eq!(refused["error"]["kind"], "dump");
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains(version.name()) && message.contains("came with 3.1"), "{message}");
    }
}
