//! The program beside a sidecar: `status` is told at once what it knows, other commands are done by it, and without it the program
//! does the same.

mod files;
mod status;

use std::time::Duration;

use serde_json::Value;

use crate::support::sidecar::DEADLINE;
use crate::support::{HaproxyVersion, House, Outcome, PebbleVersion, Pki, Sidecar, Site, poll};

/// Asks for the status until it is as wanted.
fn status_that(house: &House, is_wanted: impl Fn(&Value) -> bool) -> Outcome {
    let mut last = None;
    let found = poll(DEADLINE, || {
        let outcome = house.run(&["status", "--json"]);
        let is_wanted = is_wanted(&outcome.json());
        last = Some(outcome.clone());
        is_wanted.then_some(outcome)
    });
    found.unwrap_or_else(|| panic!("{last:?}"))
}

#[test]
fn every_command_is_the_same_through_the_sidecar_and_without_it() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let mut sidecar = Sidecar::start(&site.hotcert, site.node_flags());
    let by_sidecar = |outcome: Outcome| {
        assert!(outcome.stderr.contains("the daemon does it"), "{outcome:?}");
        outcome.expect_code(0).json()
    };
    let pki = Pki::new();
    for _ in 0..2 {
        let leaf = pki.leaf("push.test").issue();
        site.hotcert.scratch().write("push.pem", leaf.fullchain_and_key());
        let pushed = by_sidecar(site.run(&["push", "push.pem", "--json", "-vv"]));
        assert_eq!(pushed["certificates"][0]["serial"], leaf.serial());
        assert_eq!(site.serial("push.test").unwrap(), leaf.serial());
    }
    let issued = by_sidecar(site.issue(&["shop.test", "--json", "-v"]));
    assert_eq!(issued["ordered"][0], "shop.test");
    let first = site.serial("shop.test").unwrap();
    let renewed = by_sidecar(site.run(&["renew", "shop.test", "--force", "--json", "-vv"]));
    assert_eq!(renewed["ordered"][0], "shop.test");
    assert_ne!(site.serial("shop.test").unwrap(), first);
    let back = by_sidecar(site.run(&["rollback", "shop.test", "--json", "-vv"]));
    assert_eq!(back["certificates"][0]["serial"], first.as_str());
    assert_eq!(site.serial("shop.test"), Ok(first));

    let commands: [&[&str]; 7] = [
        &["status", "--json"],
        &["status"],
        &["status", "push.test", "--json"],
        &["sync", "--json"],
        &["plan", "--json"],
        &["renew", "--dry-run", "--json"],
        &["push", "push.pem", "--json"],
    ];
    // What was done is looked at by the sidecar as well, in a moment.
    let alone = |command: &&[&str]| {
        let outcome = site.run(command).expect_code(0);
        // The daemon calls its node by the same name, for both have it from the same flag.
        (outcome.stdout, outcome.stderr)
    };
    let quiet = poll(DEADLINE, || {
        let json = site.run(&["status", "--json"]).expect_code(0).json();
        let nodes = json["certificates"].as_array()?.iter().map(|certificate| &certificate["nodes"][0]["verified"]);
        nodes.into_iter().all(|verified| verified == "handshake").then_some(())
    });
    assert!(quiet.is_some(), "{}", sidecar.log());
    let through: Vec<_> = commands.iter().map(alone).collect();
    let (outcome, _) = sidecar.stop();
    outcome.expect_code(0);
    assert_eq!(through, commands.iter().map(alone).collect::<Vec<_>>());
    // Whoever comes back finds the same.
    sidecar = Sidecar::start(&site.hotcert, site.node_flags());
    assert!(poll(Duration::from_secs(5), || (alone(&commands[0]).0 == through[0].0).then_some(())).is_some());
    sidecar.stop().0.expect_code(0);
    site.expect_nothing_half_done();
}
