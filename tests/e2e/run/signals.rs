//! What an operator and a service manager say to the sidecar.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::process::signal_process;
use crate::support::sidecar::{self, DEADLINE};
use crate::support::{Haproxy, HaproxyVersion, House};

/// How long a service manager waits for a stop.
const STOP: Duration = Duration::from_secs(5);

#[test]
fn it_stops_when_it_is_told_to() {
    for signal in [Signal::TERM, Signal::INT] {
        let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
        let sidecar = house.sidecar();
        sidecar.signal(signal);
        let outcome = sidecar.wait().expect_code(0);
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
    }
}

#[test]
fn a_node_that_hangs_delays_neither_another_nor_the_end() {
    let mut house = House::new([Haproxy::new(HaproxyVersion::V2_6), Haproxy::new(HaproxyVersion::V3_2)]);
    let (old, new) = (house.push("shop.test"), house.push("shop.test"));
    let sidecar = house.sidecar();
    let hanging = house.nodes[1].pid();
    signal_process(hanging, Signal::STOP);
    house.haproxy().kill();
    fs::write(house.haproxy().crt_dir().join("shop.test.pem"), old.fullchain_and_key()).unwrap();
    house.haproxy().restart();
    let served = sidecar::served_within(&house.nodes[0], "shop.test", new.serial(), Duration::from_secs(2));
    assert!(served.is_some(), "{}", sidecar.log());

    let (outcome, took) = sidecar.stop();
    outcome.expect_code(0);
    assert!(took < STOP, "{took:?}");
    signal_process(hanging, Signal::CONT);
}

#[test]
fn a_new_configuration_is_taken_at_a_hangup_and_a_bad_one_is_refused() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let leaf = house.push("shop.test");
    let mut sidecar = house.sidecar();

    house.flags_and("crt_dirr = 7\n");
    sidecar.signal(Signal::HUP);
    sidecar.wait_for("the old one stays in use");
    assert!(sidecar.log().contains("hotcert.toml:7:1: haproxy.node0.crt_dirr: unknown key"), "{}", sidecar.log());

    house.flags_and("mode = \"0640\"\n");
    sidecar.signal(Signal::HUP);
    sidecar.wait_for("with the new configuration");
    // It is in force, and drift is repaired at once.
    let node = &house.nodes[0];
    node.set_cert(
        &format!("{}/shop.test.pem", node.crt_dir().display()),
        &house.pki.leaf("shop.test").issue().fullchain_and_key(),
    );
    sidecar.signal(Signal::HUP);
    let served = sidecar::served_within(node, "shop.test", leaf.serial(), DEADLINE);
    assert!(served.is_some(), "{}", sidecar.log());
    sidecar.stop().0.expect_code(0);
}
