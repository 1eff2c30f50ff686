//! Several sidecars on one state directory.

use std::fs::{self, File};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};

use crate::support::sidecar::DEADLINE;
use crate::support::{Answering, Haproxy, HaproxyVersion, PebbleVersion, Sidecar, Town, poll};

const NAMES: [&str; 3] = ["a.test", "b.test", "c.test"];

#[test]
fn two_sidecars_place_one_order_for_each_renewal() {
    live_together(2);
}

#[test]
fn eight_sidecars_place_one_order_for_each_renewal() {
    live_together(8);
}

fn live_together(count: usize) {
    let town = Town::new(Answering::Map, Haproxy::new(HaproxyVersion::V3_2), PebbleVersion::V2_10, &NAMES);
    let mut sidecars: Vec<Sidecar> = (0..count).map(|_| town.sidecar()).collect();
    for sidecar in &mut sidecars {
        sidecar.wait_for("ready");
    }
    expect_renewed(&town, 1, &sidecars);

    // All of them learn at the same time that all certificates are due.
    suggest_renewal(&town);
    expect_renewed(&town, 2, &sidecars);

    // Somebody insists, and whoever has the socket does it.
    town.run(&["renew", "--force"]).expect_code(0);
    expect_renewed(&town, 3, &sidecars);

    // It passes to another one when its holder dies.
    let stands_by = |sidecar: &Sidecar| {
        let log = sidecar.log();
        log.contains("standing by") && !log.contains("the other daemon has ended")
    };
    let holder = sidecars.iter().position(|sidecar| !stands_by(sidecar)).unwrap();
    sidecars.remove(holder).kill();
    let heir = poll(DEADLINE, || sidecars.iter().position(|sidecar| !stands_by(sidecar)));
    assert!(heir.is_some(), "nobody serves the control socket");
    let forced = town.run(&["renew", "--force", "-vv"]).expect_code(0);
    assert!(forced.stderr.contains("the daemon does it"), "{forced:?}");
    expect_renewed(&town, 4, &sidecars);
    assert_eq!(town.pebble.accounts(), 1);
    for sidecar in sidecars {
        sidecar.stop().0.expect_code(0);
    }
    town.expect_nothing_half_done();
}

/// Waits until each certificate is served in so many generations, and all of it was ordered once.
fn expect_renewed(town: &Town, generations: usize, sidecars: &[Sidecar]) {
    let wanted = generations * NAMES.len();
    let log = || sidecars.iter().map(Sidecar::log).collect::<Vec<_>>().join("\n---\n");
    let done = poll(DEADLINE, || (town.generations() >= wanted && town.is_served()).then_some(()));
    assert!(done.is_some(), "{} of {wanted} generations\n{}", town.generations(), log());
    let counts = [town.pebble.orders(), town.pebble.certificates(), town.generations()];
    assert_eq!(counts, [wanted; 3], "orders, certificates, generations\n{}", log());
}

/// The authority wants all certificates to be renewed, and it is time to ask it.
fn suggest_renewal(town: &Town) {
    let certs = town.house.hotcert.state_dir().join("certs");
    for name in NAMES {
        let certificate = fs::read_to_string(certs.join(name).join("current/cert.pem")).unwrap();
        let ago = |hours| Timestamp::now() - SignedDuration::from_hours(hours);
        town.pebble.set_renewal_window(&certificate, ago(48), ago(24));
        // What can be lost without harm: then the authority is asked again.
        fs::remove_file(certs.join(name).join("renewal.json")).unwrap();
    }
    // Whoever stores something leaves this sign.
    File::open(certs).unwrap().set_modified(SystemTime::now()).unwrap();
}
