//! Versions on which a commit of such a file breaks later ones: they are left alone, and it is said why.

use jiff::Timestamp;

use super::gatehouse::{Gatehouse, replace};
use crate::support::{HaproxyVersion, SERVER_DEADLINE, poll};

#[test]
fn haproxy_2_6_is_told_to_be_reloaded() {
    is_told_to_be_reloaded(HaproxyVersion::V2_6);
}

#[test]
fn haproxy_3_0_is_told_to_be_reloaded() {
    is_told_to_be_reloaded(HaproxyVersion::V3_0);
}

fn is_told_to_be_reloaded(version: HaproxyVersion) {
    let mut gatehouse = Gatehouse::new(version);
    gatehouse.run(&["sync"]).expect_code(0);
    assert_eq!(gatehouse.states(), ["in-sync", "in-sync"]);
    // What is written in the second of the start counts as read.
    let started = gatehouse.haproxy().cli("show info");
    let started: i64 = started.lines().find_map(|line| line.strip_prefix("Start_time_sec: ")?.parse().ok()).unwrap();
    poll(SERVER_DEADLINE, || (Timestamp::now().as_second() > started).then_some(())).unwrap();

    replace(&gatehouse.crl_file(), &gatehouse.club.crl(&[&gatehouse.alice]));
    let authorities = gatehouse.club.pem().to_owned() + crate::support::Club::new("Guests").pem();
    replace(&gatehouse.ca_file(), &authorities);
    for command in ["sync", "status", "plan"] {
        let told = gatehouse.run(&[command]).expect_code(2);
        let text = told.stdout + &told.stderr;
        assert!(text.contains("cannot replace it"), "{text}");
        assert!(command == "plan" || text.contains("reload HAProxy, which then reads it, or upgrade to"), "{text}");
    }
    assert_eq!(gatehouse.states(), ["refused", "refused"]);
    assert!(gatehouse.lets_in(&gatehouse.alice) && gatehouse.lets_in(&gatehouse.bob));
    gatehouse.push();
    gatehouse.push();

    gatehouse.house.haproxy().restart();
    assert!(!gatehouse.lets_in(&gatehouse.alice) && gatehouse.lets_in(&gatehouse.bob));
    gatehouse.run(&["sync"]).expect_code(0);
    gatehouse.push();
}
