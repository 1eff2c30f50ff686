//! Files of both kinds that other programs write into HAProxy's own directory.

use std::fs;

use super::{Shop, shown};
use crate::support::client::Signatures;
use crate::support::sidecar::DEADLINE;
use crate::support::{Haproxy, HaproxyVersion, KeyType, Leaf, Pki, Sidecar, poll};

const OURS: &str =
    "[[certificate]]\nname = \"shop\"\ndomains = [\"shop.test\"]\nkey = [\"ecdsa-p256\", \"rsa-2048\"]\n";

/// Writes as careful programs do: beside the place, then by a rename.
fn write(shop: &Shop, name: &str, leaf: &Leaf) {
    let directory = shop.site.haproxy.crt_dir();
    fs::write(directory.join(".new"), leaf.fullchain_and_key()).unwrap();
    fs::rename(directory.join(".new"), directory.join(name)).unwrap();
}

#[test]
fn files_of_both_kinds_are_two_certificates_and_what_we_publish_is_none() {
    let version = HaproxyVersion::V2_6;
    let mut shop = Shop::new(version, Haproxy::new(version), OURS);
    let watch = format!("{OURS}[[watch]]\ndir = {:?}\n", shop.site.haproxy.crt_dir().to_str().unwrap());
    shop.configure(&watch);
    let pki = Pki::new();
    let leaf = |key| pki.leaf("other.test").key(key).issue();
    let (ecdsa, rsa) = (leaf(KeyType::EcdsaP256), leaf(KeyType::Rsa2048));
    write(&shop, "other.pem.ecdsa", &ecdsa);

    let sidecar = Sidecar::start(&shop.site.hotcert, shop.config.clone());
    let is_served = |signatures, name: &str, serial: Option<&str>| {
        let found = poll(DEADLINE, || {
            let found = shown(&shop.site.haproxy, name, signatures);
            found.filter(|found| serial.is_none_or(|serial| serial == found))
        });
        assert!(found.is_some(), "{}", sidecar.log());
    };
    is_served(Signatures::Ecdsa, "other.test", Some(ecdsa.serial()));
    is_served(Signatures::Ecdsa, "shop.test", None);
    is_served(Signatures::Rsa, "shop.test", None);
    write(&shop, "other.pem.rsa", &rsa);
    is_served(Signatures::Rsa, "other.test", Some(rsa.serial()));
    is_served(Signatures::Ecdsa, "other.test", Some(ecdsa.serial()));

    let settled = poll(DEADLINE, || {
        let status = shop.run(&["status", "--json"]);
        (status.code == Some(0)).then(|| status.json())
    });
    let status = settled.unwrap_or_else(|| panic!("{}\n{}", shop.run(&["status"]).stdout, sidecar.log()));
    let seen: Vec<String> = status["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|certificate| {
            let text = |key: &str| certificate[key].as_str().unwrap().to_owned();
            [text("name"), text("key"), text("source")].join(" ")
        })
        .collect();
    assert_eq!(seen, ["other ecdsa-p256 watch", "other rsa-2048 watch", "shop ecdsa-p256 acme", "shop rsa-2048 acme"]);

    // A file with a key of the other kind is told, and displaces nothing.
    write(&shop, "other.pem.rsa", &leaf(KeyType::EcdsaP256));
    let told = poll(DEADLINE, || {
        let status = shop.run(&["status", "--json"]).json();
        let problem = status["problems"].as_array()?.first()?.clone();
        problem["file"].as_str()?.ends_with("other.pem.rsa").then(|| problem["message"].as_str().unwrap().to_owned())
    });
    let told = told.unwrap_or_else(|| panic!("{}", sidecar.log()));
    assert!(told.contains("its key must be of the kind RSA"), "{told}");
    is_served(Signatures::Rsa, "other.test", Some(rsa.serial()));
    assert_eq!(shop.site.pebble.orders(), 2);
    drop(sidecar);
}
