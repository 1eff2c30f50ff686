//! Certificates that hotcert orders.

use std::fs;

use serde_json::Value;

use super::{Shop, serials};
use crate::support::{Haproxy, HaproxyVersion, each_haproxy};

const BOTH: &str = "[[certificate]]\nname = \"shop\"\ndomains = [\"shop.test\", \"www.shop.test\"]\nkey = [\"ecdsa-p256\", \"rsa-2048\"]\n";

each_haproxy! {
    both_kinds_are_ordered_served_renewed_and_repaired_each_for_itself,
}

/// The certificates of a report, by key.
fn by_key<'a>(report: &'a Value, key: &str) -> &'a Value {
    let all = report["certificates"].as_array().unwrap();
    all.iter().find(|certificate| certificate["key"] == key).unwrap_or_else(|| panic!("{report:#}"))
}

fn both_kinds_are_ordered_served_renewed_and_repaired_each_for_itself(version: HaproxyVersion) {
    let mut shop = Shop::new(version, Haproxy::new(version).master(), BOTH);
    let renewed = shop.run(&["renew", "--json"]).expect_code(0).json();
    assert_eq!(renewed["ordered"], serde_json::json!(["shop.ecdsa", "shop.rsa"]));
    assert_eq!((shop.site.pebble.orders(), shop.site.pebble.accounts()), (2, 1));
    let status = shop.status(0);
    assert_eq!(status["certificates"].as_array().unwrap().len(), 2);
    let first = shop.serials();
    for ((key, ending), serial) in [("ecdsa-p256", "ecdsa"), ("rsa-2048", "rsa")].into_iter().zip(&first) {
        let certificate = by_key(&status, key);
        assert_eq!(certificate["name"], "shop");
        assert_eq!(certificate["state"], "serving");
        assert_eq!(certificate["serial"], serial.as_deref().unwrap());
        let file = shop.site.haproxy.crt_dir().join(format!("shop.pem.{ending}"));
        let node = &certificate["nodes"][0];
        assert_eq!((&node["slot"], &node["verified"]), (&file.to_str().unwrap().into(), &"handshake".into()));
        assert!(file.is_file());
    }
    assert_ne!(first[0], first[1]);
    assert_eq!(serials(&shop.site.haproxy, "www.shop.test"), first);
    shop.expect_settled();

    // Nothing that either start or reload reads is different from what is in memory.
    shop.site.haproxy.check().unwrap();
    shop.site.haproxy.reload();
    assert_eq!(shop.serials(), first);
    shop.site.haproxy.restart();
    assert_eq!(shop.serials(), first);
    shop.expect_settled();

    // One is renewed, the other stays.
    let renewed = shop.run(&["renew", "--force", "--json", "shop.rsa"]).expect_code(0).json();
    assert_eq!(renewed["ordered"], serde_json::json!(["shop.rsa"]));
    let second = shop.serials();
    assert_eq!(first[0], second[0]);
    assert_ne!(first[1], second[1]);
    shop.expect_settled();

    // One drifts, the other stays.
    let slot = shop.site.haproxy.crt_dir().join("shop.pem.ecdsa").display().to_string();
    let other = crate::support::Pki::new().leaf("shop.test").issue();
    shop.site.haproxy.set_cert(&slot, &other.fullchain_and_key());
    let plan = shop.run(&["plan"]).expect_code(2).stdout;
    assert_eq!(plan.lines().skip(1).collect::<Vec<_>>(), [format!("  replace the certificate in {slot}")]);
    let report = shop.status(2);
    assert_eq!(by_key(&report, "ecdsa-p256")["nodes"][0]["state"], "stale");
    assert_eq!(by_key(&report, "rsa-2048")["state"], "serving");
    shop.run(&["sync"]).expect_code(0);
    assert_eq!(shop.serials(), second);

    // Both go back at once, if nobody says which.
    let refused = shop.run(&["rollback", "shop"]).expect_code(64);
    assert!(refused.stderr.contains("certificate shop.ecdsa has no earlier generation"), "{}", refused.stderr);
    shop.run(&["rollback", "shop.rsa"]).expect_code(0);
    assert_eq!(shop.serials(), first);
    let which = shop.run(&["rollback", "shop", "--to", "1"]).expect_code(64);
    assert!(which.stderr.contains("shop.ecdsa or shop.rsa"), "{}", which.stderr);
    shop.expect_settled();

    let listed = shop.run(&["list"]).expect_code(0).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.starts_with("shop\t") && listed.ends_with("\tshop.test, www.shop.test\n"), "{listed}");
    let table = shop.run(&["status", "shop"]).expect_code(0).stdout;
    let keys: Vec<_> = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(keys[..2], ["ecdsa-p256", "rsa-2048"], "{table}");
    assert_eq!(shop.run(&["status", "--json", "shop.rsa"]).expect_code(0).json()["certificates"][0]["key"], "rsa-2048");
    shop.run(&["status", "shop.dsa"]).expect_code(64);
}

#[test]
fn while_one_kind_is_being_ordered_the_other_waits() {
    let version = HaproxyVersion::V2_6;
    let first = "[[certificate]]\nname = \"a\"\ndomains = [\"a.test\"]\n";
    let shop = Shop::new(version, Haproxy::new(version), &format!("{first}{BOTH}"));
    // The first order of a round goes alone, the others at the same time.
    shop.run(&["renew"]).expect_code(0);
    // Some authorities answer an order for the names of one that is open with that one.
    let log = shop.site.pebble.log();
    let step = |line: &str| ["Added order", "Issued"].into_iter().find(|step| line.contains(step));
    let steps: Vec<_> = log.lines().filter_map(step).collect();
    assert_eq!(steps, ["Added order", "Issued"].repeat(3));
    assert!(shop.serials().iter().all(Option::is_some));
}

#[test]
fn one_of_two_kinds_that_fails_does_not_hold_up_the_other() {
    let mut shop = Shop::new(HaproxyVersion::V2_6, Haproxy::new(HaproxyVersion::V2_6), BOTH);
    // Nothing can be stored of it.
    let in_the_way = |name: &str| shop.site.hotcert.state_dir().join("certs").join(name);
    let (issued, renewed) = (in_the_way("shop.test.rsa"), in_the_way("shop.rsa"));
    fs::create_dir(renewed.parent().unwrap()).unwrap();

    fs::write(&issued, "").unwrap();
    let arguments = ["shop.test", "--json", "--key", "rsa-2048", "--key", "ecdsa-p256"];
    assert_eq!(shop.site.issue(&arguments).expect_code(1).json()["error"]["kind"], "store");
    let alone = shop.serials();
    assert!(alone[0].is_some(), "{alone:?}");
    fs::remove_file(&issued).unwrap();
    shop.site.issue(&arguments).expect_code(0);
    assert_eq!((shop.serials()[0].clone(), shop.site.pebble.orders()), (alone[0].clone(), 2));

    shop.configure(&BOTH.replace("shop.test", "b.test"));
    fs::write(&renewed, "").unwrap();
    shop.run(&["renew"]).expect_code(1);
    let [ecdsa, _] = serials(&shop.site.haproxy, "www.b.test");
    assert!(ecdsa.is_some());
    fs::remove_file(&renewed).unwrap();
    shop.run(&["renew"]).expect_code(0);
    let both = serials(&shop.site.haproxy, "www.b.test");
    assert!(both[0] == ecdsa && both[1].is_some() && both[1] != ecdsa, "{both:?}");
}

#[test]
fn flags_order_both_kinds_and_what_was_ordered_in_one_piece_gives_way() {
    let version = HaproxyVersion::V3_2;
    let mut shop = Shop::new(version, Haproxy::new(version).master(), "");
    let site = &mut shop.site;
    site.issue(&["shop.test"]).expect_code(0);
    let single = site.serial("shop.test").unwrap();

    let keys = ["--key", "ecdsa-p256", "--key", "rsa-2048"];
    let issued = site.issue(&[&["shop.test", "--json"], &keys[..]].concat()).expect_code(0).json();
    assert_eq!(issued["ordered"], serde_json::json!(["shop.test.ecdsa", "shop.test.rsa"]));
    assert_eq!(site.pebble.orders(), 3);
    let both = serials(&site.haproxy, "shop.test");
    assert!(both.iter().all(|serial| *serial != Some(single.clone())), "{both:?}");
    // The old one is not taken away by itself, and stands in nobody's way.
    assert!(site.haproxy.crt_dir().join("shop.test.pem").is_file());
    assert_eq!(site.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    site.haproxy.restart();
    assert_eq!(serials(&site.haproxy, "shop.test"), [Some(single), both[1].clone()]);
    site.run(&["sync"]).expect_code(0);
    assert_eq!(serials(&site.haproxy, "shop.test"), both);

    // To issue the same name again means both.
    assert_eq!(site.issue(&["shop.test", "--json"]).expect_code(0).json()["ordered"], serde_json::json!([]));
    site.run(&["renew", "--force", "shop.test"]).expect_code(0);
    assert_eq!(site.pebble.orders(), 5);
    let renewed = serials(&site.haproxy, "shop.test");
    assert!(renewed[0] != both[0] && renewed[1] != both[1], "{renewed:?}");
    let state_dir = site.hotcert.state_dir();
    let listed = site.hotcert.run(["list", "--state-dir", state_dir.to_str().unwrap()]).expect_code(0).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
}

#[test]
fn what_is_left_of_the_other_kind_is_told() {
    let version = HaproxyVersion::V2_8;
    let mut shop = Shop::new(version, Haproxy::new(version), BOTH);
    shop.run(&["renew"]).expect_code(0);
    let both = shop.serials();
    shop.configure(&BOTH.replace("[\"ecdsa-p256\", \"rsa-2048\"]", "\"rsa-2048\""));
    shop.run(&["renew"]).expect_code(0);
    let [ecdsa, rsa] = shop.serials();
    assert!(ecdsa == both[0] && rsa != both[1], "the new one serves clients of its kind");
    let detail = shop.status(2)["certificates"][0]["nodes"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("shop.pem.ecdsa") && detail.contains("`hotcert delete shop.ecdsa --detach`"), "{detail}");

    // As the documentation says.
    shop.run(&["delete", "shop.ecdsa", "--detach"]).expect_code(0);
    assert!(!shop.site.haproxy.crt_dir().join("shop.pem.ecdsa").exists());
    assert!(!shop.site.haproxy.cli("show ssl cert").contains("shop.pem.ecdsa"));
    shop.status(0);
    assert_eq!(shop.serials(), [None, rsa]);
}

#[test]
fn in_a_crt_list_each_kind_has_an_entry_with_the_options() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let certificate = format!("{BOTH}options = \"[alpn h2,http/1.1]\"\nfilters = [\"shop.test\"]\n");
        let mut shop = Shop::new(version, Haproxy::new(version).master().crt_list("# ours\n"), &certificate);
        shop.run(&["renew"]).expect_code(0);
        let serials = shop.serials();
        assert!(serials.iter().all(Option::is_some));
        let list = fs::read_to_string(shop.site.haproxy.crt_list()).unwrap();
        let slot = shop.site.haproxy.crt_dir().join("shop.pem").display().to_string();
        let line = |kind| format!("{slot}.{kind} [alpn h2,http/1.1] shop.test\n");
        assert_eq!(list, format!("# ours\n{}{}", line("ecdsa"), line("rsa")));
        shop.site.haproxy.reload();
        assert_eq!(shop.serials(), serials);
        shop.expect_settled();
    }
}
