//! Certificates that are pushed, and bundles that HAProxy's own configuration names.

use std::ffi::OsString;
use std::fs;

use super::{Shop, serials};
use crate::support::haproxy::Builder;
use crate::support::{Haproxy, HaproxyVersion, Hotcert, KeyType, Leaf, Outcome, Pki, each_haproxy};

each_haproxy! {
    a_bundle_that_a_bind_line_or_a_crt_list_names_is_kept_by_kind,
}

/// A HAProxy, and a user who pushes into it.
struct Edge {
    haproxy: Haproxy,
    hotcert: Hotcert,
}

impl Edge {
    fn push(&self, leaf: &Leaf, arguments: &[&str]) -> Outcome {
        let file = self.hotcert.scratch().write("pushed.pem", leaf.fullchain_and_key());
        self.run(&[&["push", file.to_str().unwrap()], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        all.extend(["--socket".into(), self.haproxy.socket().into()]);
        all.extend(["--state-dir".into(), self.hotcert.state_dir().into()]);
        all.extend(["--verify".into(), self.haproxy.https_addr().to_string().into()]);
        self.hotcert.run(all)
    }
}

/// The serial numbers of two leaves, as clients of each kind are shown them.
fn of(ecdsa: &Leaf, rsa: &Leaf) -> [Option<String>; 2] {
    [ecdsa, rsa].map(|leaf| Some(leaf.serial().to_owned()))
}

fn a_bundle_that_a_bind_line_or_a_crt_list_names_is_kept_by_kind(version: HaproxyVersion) {
    let haproxy = Haproxy::new(version).master();
    keep_bundle(haproxy.tls("ssl crt {dir}/certs/shop.pem"));
    let list = "{dir}/certs/shop.pem shop.test\n";
    let edge = keep_bundle(Haproxy::new(version).master().crt_list(list));
    let expected = list.replace("{dir}", edge.haproxy.dir().to_str().unwrap());
    assert_eq!(fs::read_to_string(edge.haproxy.crt_list()).unwrap(), expected);
}

fn keep_bundle(haproxy: Builder) -> Edge {
    let pki = Pki::new();
    let leaf = |key| pki.leaf("shop.test").key(key).issue();
    let (ecdsa, rsa) = (leaf(KeyType::EcdsaP256), leaf(KeyType::Rsa2048));
    let haproxy = haproxy
        .certificate("shop.pem.ecdsa", &ecdsa.fullchain_and_key())
        .certificate("shop.pem.rsa", &rsa.fullchain_and_key());
    let mut edge = Edge { haproxy: haproxy.start(), hotcert: Hotcert::new() };
    assert_eq!(serials(&edge.haproxy, "shop.test"), of(&ecdsa, &rsa));

    // Without a directory the slot is found by its names and its kind.
    let (ecdsa2, rsa2) = (leaf(KeyType::EcdsaP256), leaf(KeyType::Rsa2048));
    edge.push(&rsa2, &["--name", "shop-rsa"]).expect_code(0);
    assert_eq!(serials(&edge.haproxy, "shop.test"), of(&ecdsa, &rsa2));
    edge.push(&ecdsa2, &["--name", "shop-ecdsa"]).expect_code(0);
    let pushed = of(&ecdsa2, &rsa2);
    assert_eq!(serials(&edge.haproxy, "shop.test"), pushed);
    assert_eq!(edge.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    edge.haproxy.reload();
    assert_eq!(serials(&edge.haproxy, "shop.test"), pushed);
    assert_eq!(edge.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    edge
}

const BOTH: &str =
    "[[certificate]]\nname = \"shop\"\ndomains = [\"shop.test\"]\nkey = [\"ecdsa-p256\", \"rsa-2048\"]\n";

/// Pushes a leaf into a shop, by the name of the whole certificate.
fn push(shop: &Shop, leaf: &Leaf, arguments: &[&str]) -> Outcome {
    let file = shop.site.hotcert.scratch().write("pushed.pem", leaf.fullchain_and_key());
    shop.run(&[&["push", file.to_str().unwrap()], arguments].concat())
}

#[test]
fn a_twin_of_one_kind_gives_way_for_that_kind() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        a_twin_gives_way(version);
    }
}

fn a_twin_gives_way(version: HaproxyVersion) {
    let pki = Pki::new();
    let leaf = |key| pki.leaf("shop.test").key(key).issue();
    let (twin, ecdsa, rsa) = (leaf(KeyType::Rsa2048), leaf(KeyType::EcdsaP384), leaf(KeyType::Rsa2048));
    let haproxy = Haproxy::new(version).certificate("a-twin.pem", &twin.fullchain_and_key());
    let mut shop = Shop::new(version, haproxy, BOTH);

    // No client that can use ECDSA keys is shown the twin, so it stands in nobody's way.
    push(&shop, &ecdsa, &["--name", "shop"]).expect_code(0);
    assert_eq!(shop.serials(), of(&ecdsa, &twin));
    assert_eq!(shop.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    push(&shop, &rsa, &["--name", "shop"]).expect_code(0);
    assert_eq!(shop.serials(), of(&ecdsa, &rsa));
    shop.expect_settled();

    shop.site.haproxy.restart();
    assert_eq!(shop.serials(), of(&ecdsa, &twin));
    if version >= HaproxyVersion::V3_2 {
        // It tells without a handshake.
        let blind = fs::read_to_string(&shop.config[1]).unwrap().replace("verify = ", "# ");
        fs::write(&shop.config[1], blind).unwrap();
    }
    let plan = shop.run(&["plan"]).expect_code(2).stdout;
    assert!(plan.lines().count() == 2 && plan.contains("a-twin.pem again unchanged"), "{plan}");
    shop.run(&["sync"]).expect_code(0);
    assert_eq!(shop.serials(), of(&ecdsa, &rsa));
    shop.expect_settled();
}

#[test]
fn which_kind_is_pushed_follows_from_the_key() {
    let shop = Shop::new(HaproxyVersion::V3_0, Haproxy::new(HaproxyVersion::V3_0), BOTH);
    let pki = Pki::new();
    let leaf = |key| pki.leaf("shop.test").key(key).issue();
    let (rsa, ecdsa) = (leaf(KeyType::Rsa2048), leaf(KeyType::EcdsaP256));
    let pushed = push(&shop, &rsa, &["--name", "shop", "--json"]).expect_code(0).json();
    assert_eq!(pushed["certificates"][0]["key"], "rsa-2048", "{pushed:#}");
    assert_eq!(shop.serials()[1].as_deref(), Some(rsa.serial()));
    let missing = shop.status(2);
    assert_eq!(missing["certificates"][0]["state"], "missing", "the other is left as it is: {missing:#}");
    push(&shop, &ecdsa, &["--name", "shop.ecdsa"]).expect_code(0);
    assert_eq!(shop.serials(), of(&ecdsa, &rsa));

    // HAProxy would take either in either place.
    let again = leaf(KeyType::Rsa2048);
    let refused = push(&shop, &again, &["--name", "shop.ecdsa", "--force"]).expect_code(1);
    let expected =
        "certificate shop.ecdsa is refused: its key must be of the kind ECDSA, and it has one of type rsa-2048";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    assert_eq!(shop.serials(), of(&ecdsa, &rsa));
    shop.expect_settled();
}
