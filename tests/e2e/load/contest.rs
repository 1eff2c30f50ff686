//! H4: of two certificates for one name HAProxy serves the one that was loaded first, and loading moves to the end.

use std::fs;

use super::edge::Edge;
use crate::support::{Haproxy, HaproxyVersion, each_haproxy};

each_haproxy! {
    the_narrow_one_of_two_of_ours_serves_whichever_was_loaded_last,
    ours_serves_instead_of_a_foreign_twin_that_stands_in_front,
    what_cannot_be_made_to_give_way_is_reported,
    an_expired_foreign_twin_in_front_gives_way,
    of_two_of_ours_the_valid_one_serves,
}

fn the_narrow_one_of_two_of_ours_serves_whichever_was_loaded_last(version: HaproxyVersion) {
    for verify in [true, false] {
        let mut edge = Edge::new(Haproxy::new(version)).verify(verify);
        let narrow = || edge.pki.leaf("a.test").issue();
        let wide = || edge.pki.leaf("a.test").names(&["a.test", "b.test"]).issue();
        // After a reload the order is that of the alphabet, and so the wrong one.
        let (mut n, mut w) = (narrow(), wide());
        let expect = |edge: &Edge, n: &crate::support::Leaf, w: &crate::support::Leaf| {
            assert_eq!(edge.serial("a.test").as_deref(), Some(n.serial()), "verify: {verify}");
            assert_eq!(edge.serial("b.test").as_deref(), Some(w.serial()), "verify: {verify}");
        };
        edge.push(&w, &["--name", "a-wide"]).expect_code(0);
        edge.push(&n, &["--name", "z-narrow"]).expect_code(0);
        expect(&edge, &n, &w);
        edge.expect_settled();

        n = narrow();
        edge.push(&n, &["--name", "z-narrow"]).expect_code(0);
        expect(&edge, &n, &w);
        w = wide();
        edge.push(&w, &["--name", "a-wide"]).expect_code(0);
        expect(&edge, &n, &w);
        edge.expect_settled();

        // Without an address for a handshake only 3.2 tells which one of them is served.
        if verify || version >= HaproxyVersion::V3_2 {
            edge.haproxy.reload();
            assert_eq!(edge.serial("a.test").as_deref(), Some(w.serial()));
            let drift = edge.drift();
            assert!(drift.contains("a-wide.pem again unchanged, so that it gives way"), "{drift}");
            edge.run(&["sync"]).expect_code(0);
            expect(&edge, &n, &w);
            edge.expect_settled();
        } else {
            let status = edge.status(2);
            let detail = status["certificates"][0]["nodes"][0]["detail"].as_str().unwrap();
            assert!(detail.contains("nothing shows which one clients get: say by --verify"), "{detail}");
        }
    }
}

fn ours_serves_instead_of_a_foreign_twin_that_stands_in_front(version: HaproxyVersion) {
    for verify in [true, false] {
        let pki = crate::support::Pki::new();
        let foreign = pki.leaf("shop.test").issue();
        // Its key may stand beside it.
        let (file, key) =
            if verify { (foreign.fullchain_and_key(), None) } else { (foreign.fullchain(), Some(foreign.key_pem())) };
        let haproxy = Haproxy::new(version).certificate("a-foreign.pem", &file);
        let haproxy = key.iter().fold(haproxy, |haproxy, key| haproxy.certificate("a-foreign.pem.key", key));
        let mut edge = Edge::with(pki, haproxy).verify(verify);
        assert_eq!(edge.serial("shop.test").as_deref(), Some(foreign.serial()));

        for _ in 0..2 {
            let ours = edge.pki.leaf("shop.test").issue();
            edge.push(&ours, &[]).expect_code(0);
            assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()), "verify: {verify}");
            edge.expect_settled();
            if verify || version >= HaproxyVersion::V3_2 {
                edge.haproxy.reload();
                assert_eq!(edge.serial("shop.test").as_deref(), Some(foreign.serial()));
                assert!(edge.drift().contains("a-foreign.pem again unchanged"));
                edge.run(&["sync"]).expect_code(0);
                assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()));
                edge.expect_settled();
            }
        }
        let found = edge.haproxy.scratch().read("certs/a-foreign.pem");
        assert_eq!(found, file, "the foreign file is not ours to change");
    }
}

fn what_cannot_be_made_to_give_way_is_reported(version: HaproxyVersion) {
    for is_there in [true, false] {
        let pki = crate::support::Pki::new();
        let (foreign, in_file) = (pki.leaf("shop.test").issue(), pki.leaf("shop.test").issue());
        let haproxy = Haproxy::new(version).certificate("a-foreign.pem", &foreign.fullchain_and_key());
        let mut edge = Edge::with(pki, haproxy);
        let file = edge.haproxy.crt_dir().join("a-foreign.pem");
        if is_there {
            // The certificate that HAProxy holds can be read nowhere.
            fs::write(&file, in_file.fullchain_and_key()).unwrap();
        } else {
            fs::remove_file(&file).unwrap();
        }

        let ours = edge.pki.leaf("shop.test").issue();
        let push = edge.push(&ours, &["--json"]).expect_code(1);
        assert_eq!(push.json()["error"]["kind"], "not-served", "{push:?}");
        assert_eq!(edge.serial("shop.test").as_deref(), Some(foreign.serial()), "nothing foreign is lost");
        let drift = edge.drift();
        assert!(drift.contains("cannot be done: shop.test is served from"), "{drift}");
        let status = edge.status(2);
        assert_eq!(status["certificates"][0]["state"], "failed", "{status:#}");
        let detail = status["certificates"][0]["nodes"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("a-foreign.pem"), "{detail}");
        if version >= HaproxyVersion::V3_2 {
            // It tells without a handshake.
            edge.verify = false;
            assert!(edge.drift().contains("cannot be done"));
            assert_eq!(edge.status(2)["certificates"][0]["nodes"][0]["detail"], detail);
            let sync = edge.run(&["sync"]).expect_code(0);
            assert!(sync.stderr.contains("a-foreign.pem"), "{sync:?}");
            edge.verify = true;
        }

        // Whoever put it there takes it away, and with the next start it is gone.
        if is_there {
            fs::remove_file(&file).unwrap();
        }
        edge.haproxy.reload();
        assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()));
        edge.expect_settled();
    }
}

fn an_expired_foreign_twin_in_front_gives_way(version: HaproxyVersion) {
    let pki = crate::support::Pki::new();
    let expired = pki.leaf("shop.test").valid_days(-90, -1).issue();
    let haproxy = Haproxy::new(version).certificate("a-old.pem", &expired.fullchain_and_key());
    let edge = Edge::with(pki, haproxy);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(expired.serial()));

    let ours = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    edge.push(&ours, &[]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()));
    edge.expect_settled();
}

fn of_two_of_ours_the_valid_one_serves(version: HaproxyVersion) {
    let edge = Edge::new(Haproxy::new(version));
    let expired = edge.pki.leaf("a.test").valid_days(-90, -1).issue();
    let wide = edge.pki.leaf("a.test").names(&["a.test", "b.test"]).issue();
    edge.push(&expired, &["--force"]).expect_code(0);
    edge.push(&wide, &["--name", "wide"]).expect_code(0);
    assert_eq!(edge.serial("a.test").as_deref(), Some(wide.serial()));
    edge.run(&["plan"]).expect_code(0);

    let narrow = edge.pki.leaf("a.test").issue();
    edge.push(&narrow, &[]).expect_code(0);
    assert_eq!(edge.serial("a.test").as_deref(), Some(narrow.serial()));
    assert_eq!(edge.serial("b.test").as_deref(), Some(wide.serial()));
    edge.expect_settled();
}

#[test]
fn ours_serves_instead_of_a_twin_that_stands_before_it_in_a_crt_list() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let pki = crate::support::Pki::new();
        let foreign = pki.leaf("shop.test").issue();
        let haproxy = Haproxy::new(version)
            .crt_list("{dir}/certs/foreign.pem\n")
            .certificate("foreign.pem", &foreign.fullchain_and_key());
        let mut edge = Edge::with(pki, haproxy);
        let list = edge.haproxy.crt_list().display().to_string();
        let ours = edge.pki.leaf("shop.test").issue();
        edge.push(&ours, &["--attach", &list]).expect_code(0);
        assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()));
        edge.expect_settled();

        edge.haproxy.restart();
        assert_eq!(edge.serial("shop.test").as_deref(), Some(foreign.serial()));
        edge.run(&["sync"]).expect_code(0);
        assert_eq!(edge.serial("shop.test").as_deref(), Some(ours.serial()));
        edge.expect_settled();
    }
}
