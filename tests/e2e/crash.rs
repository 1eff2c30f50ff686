//! Each command is killed (`SIGKILL`) after every one of its steps in turn, and then run again: it ends as if nothing had been.
//!
//! A clean run says which steps there are. At each one HAProxy must go on serving what it served, and must be able to start anew
//! with the files as they lie there.

use crate::drill::{Drill, Stage, drive};
use crate::support::{HaproxyVersion, Http01, PebbleVersion, Point, Steps};

#[test]
fn an_issue_that_is_killed_anywhere_is_finished_by_the_next_one() {
    drive(&Drill {
        stage: || Stage::new(Http01::Listener, HaproxyVersion::V2_6, PebbleVersion::V2_4),
        prepare: |_, _| {},
        command: |stage, name| stage.issue(&[name, &format!("www.{name}")]),
        verify: |crash| {
            crash.expect_account();
            crash.expect_issued(1);
            crash.expect_generations(1);
            // What an authority asks for while nobody answers fails, and the order with it (RFC 8555, section 7.1.6).
            if crash.killed.taken.last().is_none_or(|step| step != "acme: challenge ready") {
                crash.expect_orders(1);
            }
        },
    });
}

#[test]
fn an_issue_by_a_map_leaves_no_token_behind_wherever_it_is_killed() {
    drive(&Drill {
        stage: || Stage::new(Http01::Map, HaproxyVersion::V3_2, PebbleVersion::V2_10),
        prepare: |_, _| {},
        command: |stage, name| stage.issue(&[name]),
        verify: |crash| {
            crash.expect_account();
            crash.expect_issued(1);
            crash.expect_generations(1);
            crash.expect_orders(1);
            let haproxy = &crash.stage.site.haproxy;
            let map = haproxy.cli(&format!("show map {}", haproxy.map().display()));
            assert_eq!(map.trim(), "", "tokens are left in the map");
        },
    });
}

#[test]
fn an_issue_by_a_webroot_leaves_no_file_behind_wherever_it_is_killed() {
    drive(&Drill {
        stage: || Stage::with_webroot(HaproxyVersion::V3_2, PebbleVersion::V2_10),
        prepare: |_, _| {},
        command: |stage, name| stage.issue(&[name]),
        verify: |crash| {
            crash.expect_account();
            crash.expect_issued(1);
            crash.expect_generations(1);
            crash.expect_orders(1);
            let left = crash.stage.webroot.as_ref().unwrap().challenges();
            assert!(left.is_empty(), "files are left in the webroot: {left:?}");
        },
    });
}

#[test]
fn a_renewal_that_is_killed_anywhere_is_finished_by_the_next_one_and_no_client_notices() {
    drive(&Drill {
        stage: || Stage::with_webroot(HaproxyVersion::V2_6, PebbleVersion::V2_10),
        prepare: |stage, name| {
            stage.site.hotcert.run(stage.issue(&[name])).expect_code(0);
        },
        command: |stage, name| stage.with_node(&["renew", name, "--force", "--json"]),
        verify: |crash| {
            // Once the renewal is stored and its journal closed, whoever forces another one gets another one.
            let forced = 1 + usize::from(crash.killed.took("store: journal closed"));
            crash.expect_issued(forced);
            crash.expect_generations(1 + forced);
            crash.expect_orders(forced);
        },
    });
}

#[test]
fn a_push_that_is_killed_anywhere_is_finished_by_the_next_one_and_no_client_notices() {
    drive(&Drill {
        stage: || Stage::new(Http01::Listener, HaproxyVersion::V2_6, PebbleVersion::V2_4),
        prepare: |stage, name| {
            for file in ["old.pem", "new.pem"] {
                let leaf = stage.pki.leaf(name).issue();
                stage.site.hotcert.scratch().write(file, leaf.fullchain_and_key());
            }
            stage.site.hotcert.run(stage.push("old.pem")).expect_code(0);
        },
        command: |stage, _| stage.push("new.pem"),
        verify: |crash| crash.expect_generations(2),
    });
}

#[test]
fn a_first_push_that_is_killed_anywhere_is_finished_by_the_next_one() {
    drive(&Drill {
        stage: || Stage::new(Http01::Listener, HaproxyVersion::V3_2, PebbleVersion::V2_4),
        prepare: |stage, name| {
            let leaf = stage.pki.leaf(name).issue();
            stage.site.hotcert.scratch().write("new.pem", leaf.fullchain_and_key());
        },
        command: |stage, _| stage.push("new.pem"),
        verify: |crash| crash.expect_generations(1),
    });
}

#[test]
fn an_interrupted_order_that_has_failed_is_followed_by_another() {
    let stage = Stage::with_webroot(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let command = stage.issue(&["a.test"]);
    let killed = Steps::run(&command, Some(&Point { step: "store: order url journalled".to_owned(), occurrence: 1 }));
    assert!(killed.killed, "{killed:?}");
    // As if the authority had asked when nobody answered.
    let webroot = stage.webroot.as_ref().unwrap();
    webroot.refuse_once();
    let again = stage.site.hotcert.run(&command).expect_code(0);
    assert!(again.stderr.contains("ordering anew"), "{again:?}");
    assert_eq!((stage.site.pebble.orders(), stage.site.pebble.certificates()), (2, 1));
    assert_eq!(stage.site.served("a.test").names, ["a.test"]);
    assert!(webroot.challenges().is_empty());
    stage.site.expect_nothing_half_done();
}
