//! HAProxy goes away and comes back.

use std::fs;
use std::time::Duration;

use crate::support::sidecar::{self, DEADLINE};
use crate::support::town::{Answering, Town};
use crate::support::{Haproxy, HaproxyVersion, House, Leaf, PebbleVersion, each_haproxy, poll};

each_haproxy! {
    a_restarted_haproxy_with_stale_files_is_put_right_within_two_seconds,
}

#[test]
fn what_is_due_at_the_start_is_ordered_once_haproxy_is_there() {
    let names = ["a.test", "b.test"];
    let mut town = Town::new(Answering::Webroot, Haproxy::new(HaproxyVersion::V2_8), PebbleVersion::V2_10, &names);
    town.house.haproxy().kill();
    let mut sidecar = town.sidecar();
    sidecar.wait_for("nobody listens");
    town.house.haproxy().restart();
    town.expect_served(&sidecar);
    let outcome = sidecar.stop().0.expect_code(0);
    assert!(!outcome.stderr.contains("could not be ordered"), "{outcome:?}");
    assert_eq!(town.pebble.orders(), names.len());
}

/// How soon everything has to be right after HAProxy's socket is back.
const PROMPT: Duration = Duration::from_secs(2);

fn a_restarted_haproxy_with_stale_files_is_put_right_within_two_seconds(version: HaproxyVersion) {
    let mut house = House::new([Haproxy::new(version)]);
    let names: Vec<String> = (0..10).map(|number| format!("shop{number}.test")).collect();
    let old: Vec<Leaf> = names.iter().map(|name| house.push(name)).collect();
    let new: Vec<Leaf> = names.iter().map(|name| house.push(name)).collect();
    let sidecar = house.sidecar();

    house.haproxy().kill();
    let crt_dir = house.haproxy().crt_dir();
    for (name, leaf) in names.iter().zip(&old) {
        fs::write(crt_dir.join(format!("{name}.pem")), leaf.fullchain_and_key()).unwrap();
    }
    // One that is gone altogether.
    fs::remove_file(crt_dir.join("shop9.test.pem")).unwrap();
    house.haproxy().restart();

    let is_right = |house: &House| {
        names
            .iter()
            .zip(&new)
            .all(|(name, leaf)| sidecar::serial(&house.nodes[0], name).as_deref() == Some(leaf.serial()))
    };
    let right = poll(PROMPT, || is_right(&house).then_some(()));
    assert!(right.is_some(), "not right within {PROMPT:?}\n{}", sidecar.log());
    // What the next start would load is right as well.
    for (name, leaf) in names.iter().zip(&new) {
        let file = crt_dir.join(format!("{name}.pem"));
        let published = poll(DEADLINE, || (fs::read_to_string(&file).ok()? == leaf.fullchain_and_key()).then_some(()));
        assert!(published.is_some(), "{name} is not published\n{}", sidecar.log());
    }
    house.expect_no_open_transaction();
    sidecar.stop().0.expect_code(0);
}
