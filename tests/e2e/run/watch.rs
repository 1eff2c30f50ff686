//! Files that other programs write are served as soon as they are written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::certbot::Certbot;
use crate::support::sidecar::{self, DEADLINE, served_within};
use crate::support::{
    Haproxy, HaproxyVersion, House, Http01, Leaf, Pebble, PebbleVersion, Sidecar, each_haproxy, poll,
};

each_haproxy! {
    a_file_that_is_replaced_is_served_within_half_a_second,
}

/// How soon a change is to be served, in the median.
const PROMPT: Duration = Duration::from_millis(500);

/// A watched directory of a house, and the sidecar that watches it.
fn watching(house: &House) -> (PathBuf, Sidecar) {
    let directory = house.hotcert.scratch().dir("watched");
    let sidecar = watch(house, &directory);
    (directory, sidecar)
}

fn watch(house: &House, directory: &Path) -> Sidecar {
    let watch = format!("[[watch]]\ndir = {:?}\n", directory.to_str().unwrap());
    Sidecar::start(&house.hotcert, house.flags_and(&watch))
}

/// Writes as careful programs do: beside the place, then by a rename.
fn replace(directory: &Path, name: &str, content: &str) {
    fs::write(directory.join(".new"), content).unwrap();
    fs::rename(directory.join(".new"), directory.join(name)).unwrap();
}

fn a_file_that_is_replaced_is_served_within_half_a_second(version: HaproxyVersion) {
    const ROUNDS: usize = 9;
    let house = House::new([Haproxy::new(version)]);
    let (directory, sidecar) = watching(&house);
    let mut took: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let (leaf, _) = house.leaf("shop.test");
            // Every other time in place, as an editor or `cat >` does.
            if round % 2 == 0 {
                replace(&directory, "shop.test.pem", &leaf.fullchain_and_key());
            } else {
                fs::write(directory.join("shop.test.pem"), leaf.fullchain_and_key()).unwrap();
            }
            served_within(&house.nodes[0], "shop.test", leaf.serial(), DEADLINE)
                .unwrap_or_else(|| panic!("{}", sidecar.log()))
        })
        .collect();
    took.sort_unstable();
    assert!(took[ROUNDS / 2] < PROMPT, "{took:?}");
    house.expect_no_open_transaction();
    sidecar.stop().0.expect_code(0);
}

fn certbot_house(version: HaproxyVersion) -> (House, Pebble, Certbot) {
    let house = House::new([Haproxy::new(version).http01(Http01::Listener)]);
    let pebble = Pebble::new(PebbleVersion::V2_10).http01(house.nodes[0].http_addr()).start();
    let certbot = Certbot::new(&pebble, house.nodes[0].acme_addr());
    (house, pebble, certbot)
}

#[test]
fn what_certbot_orders_and_renews_is_picked_up_from_its_live_directory() {
    let (house, _pebble, certbot) = certbot_house(HaproxyVersion::V2_6);
    let node = &house.nodes[0];
    // Before certbot has ever run: its directory is not there yet.
    let sidecar = watch(&house, &certbot.live());
    certbot.obtain(&["shop.test", "www.shop.test"], [""; 0]).expect_success();
    let first =
        poll(DEADLINE, || sidecar::serial(node, "www.shop.test")).unwrap_or_else(|| panic!("{}", sidecar.log()));

    certbot.renew().expect_success();
    let second = poll(DEADLINE, || sidecar::serial(node, "shop.test").filter(|serial| *serial != first));
    let second = second.unwrap_or_else(|| panic!("{}", sidecar.log()));
    let status = house.run(&["status", "--json"]).expect_code(0).json();
    assert_eq!(status["certificates"][0]["name"], "shop.test", "{status:#}");
    assert_eq!(status["certificates"][0]["source"], "watch", "{status:#}");
    assert_eq!(status["certificates"][0]["serial"], second, "{status:#}");
    sidecar.stop().0.expect_code(0);
}

#[test]
fn what_is_broken_or_older_or_gone_changes_nothing_that_is_served() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let (directory, mut sidecar) = watching(&house);
    let node = &house.nodes[0];
    let old = house.pki.leaf("shop.test").valid_days(-30, 60).issue();
    let (leaf, _) = house.leaf("shop.test");
    let serves = |leaf: &Leaf| sidecar::serial(node, "shop.test").as_deref() == Some(leaf.serial());
    replace(&directory, "shop.test.pem", &leaf.fullchain_and_key());
    assert!(served_within(node, "shop.test", leaf.serial(), DEADLINE).is_some(), "{}", sidecar.log());
    let expect_told = |reason: &str| {
        let told = poll(DEADLINE, || {
            let status = house.run(&["status", "--json"]).json();
            status["problems"]
                .as_array()
                .unwrap()
                .iter()
                .any(|problem| problem["message"].as_str().unwrap().contains(reason))
                .then_some(())
        });
        assert!(told.is_some(), "{}", house.run(&["status", "--json"]).stdout);
        assert!(serves(&leaf));
    };

    replace(&directory, "shop.test.pem", &leaf.fullchain_and_key()[..700]);
    expect_told("is cut off");
    replace(&directory, "shop.test.pem", &old.fullchain_and_key());
    expect_told("it is older than");
    fs::remove_file(directory.join("shop.test.pem")).unwrap();
    expect_told("removed");
    house.run(&["status"]).expect_code(2);

    let (next, _) = house.leaf("shop.test");
    replace(&directory, "shop.test.pem", &next.fullchain_and_key());
    assert!(served_within(node, "shop.test", next.serial(), DEADLINE).is_some(), "{}", sidecar.log());
    let mended = poll(DEADLINE, || house.run(&["status"]).code.filter(|code| *code == 0));
    assert!(mended.is_some(), "{:?}\n{}", house.run(&["status", "--json"]), sidecar.log());
    sidecar.wait_for("shop.test.pem");
    sidecar.stop().0.expect_code(0);
}

#[test]
fn an_operator_may_work_in_the_certificate_directory_of_haproxy_itself() {
    let (shop, mail) = ("shop.test", "mail.test");
    let house = House::new([Haproxy::new(HaproxyVersion::V2_6)]);
    let node = &house.nodes[0];
    let pushed = house.push(mail);
    let sidecar = watch(&house, &node.crt_dir());
    // A new one, by hand.
    let (leaf, _) = house.leaf(shop);
    replace(&node.crt_dir(), "shop.test.pem", &leaf.fullchain_and_key());
    assert!(served_within(node, shop, leaf.serial(), DEADLINE).is_some(), "{}", sidecar.log());
    // One that is replaced, and one that was pushed before.
    for name in [shop, mail] {
        let (leaf, _) = house.leaf(name);
        replace(&node.crt_dir(), &format!("{name}.pem"), &leaf.fullchain_and_key());
        assert!(served_within(node, name, leaf.serial(), DEADLINE).is_some(), "{}", sidecar.log());
        assert_ne!(leaf.serial(), pushed.serial());
    }
    let status = house.run(&["status", "--json"]).expect_code(0).json();
    assert_eq!(status["certificates"].as_array().unwrap().len(), 2, "{status:#}");
    sidecar.stop().0.expect_code(0);
}
