//! The main job on real servers: from nothing to served, and again, unnoticed.

use std::time::Duration;

use crate::support::{Hammer, Haproxy, HaproxyVersion, Pebble, PebbleVersion, Site};

/// The servers of Debian 12, and newer ones.
const SITES: [(HaproxyVersion, PebbleVersion); 2] =
    [(HaproxyVersion::V2_6, PebbleVersion::V2_4), (HaproxyVersion::V3_2, PebbleVersion::V2_10)];

#[test]
fn issue_goes_from_nothing_to_served_and_the_next_start_agrees() {
    for (haproxy, pebble) in SITES {
        let mut site = Site::with(Haproxy::new(haproxy).master(), Pebble::new(pebble));
        let issued = site.issue(&["shop.test", "www.shop.test", "--json"]).expect_code(0);
        let json = issued.json();
        let certificate = &json["certificates"][0];
        assert_eq!(certificate["state"], "serving", "{json:#}");
        assert_eq!(certificate["nodes"][0]["verified"], "handshake");

        let served = site.served("www.shop.test");
        assert_eq!(served.serial, certificate["serial"].as_str().unwrap());
        assert_eq!(served.chain.len(), 2);
        site.expect_nothing_half_done();

        site.haproxy.check().unwrap();
        site.haproxy.reload();
        assert_eq!(site.serial("shop.test"), Ok(served.serial));
    }
}

#[test]
fn a_forced_renewal_is_seen_by_no_client_but_for_its_new_serial() {
    for (haproxy, pebble) in SITES {
        let site = Site::with(Haproxy::new(haproxy).master(), Pebble::new(pebble));
        site.issue(&["shop.test"]).expect_code(0);
        let process = |site: &Site| {
            let info = site.haproxy.cli("show info");
            let field = |name: &str| info.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
            (field("Pid:"), field("Start_time_sec:"), site.haproxy.worker_count())
        };
        let before = (site.serial("shop.test").unwrap(), process(&site));

        let hammer = Hammer::start(site.haproxy.https_addr(), "shop.test", Duration::from_millis(5), 2);
        // Everything that the renewal needs was remembered by `issue`.
        let state_dir = site.hotcert.state_dir();
        let renewed = site.hotcert.run(["renew", "--force", "--json", "--state-dir", state_dir.to_str().unwrap()]);
        assert_eq!(renewed.expect_code(0).json()["ordered"][0], "shop.test");
        let after = (site.serial("shop.test").unwrap(), process(&site));
        let report = hammer.stop();

        report.expect_no_errors();
        assert_eq!(report.serials, [before.0.clone(), after.0.clone()], "{report:#?}");
        assert!(report.min_chain >= 2, "{report:#?}");
        assert_ne!(before.0, after.0);
        assert_eq!(before.1, after.1, "HAProxy was restarted");
        site.expect_nothing_half_done();
    }
}

#[test]
fn to_issue_or_to_sync_again_does_nothing() {
    let site = Site::new(HaproxyVersion::V2_6, PebbleVersion::V2_4);
    site.issue(&["shop.test"]).expect_code(0);
    let first = site.serial("shop.test");

    let again = site.issue(&["shop.test", "--json"]).expect_code(0).json();
    assert_eq!(again["ordered"].as_array().map(Vec::len), Some(0));
    assert_eq!((site.pebble.orders(), site.serial("shop.test")), (1, first.clone()));
    for _ in 0..2 {
        site.run(&["sync"]).expect_code(0);
        assert_eq!(site.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    }
    assert_eq!(site.serial("shop.test"), first);

    site.issue(&["shop.test", "--force"]).expect_code(0);
    assert_eq!(site.pebble.orders(), 2);
    assert_ne!(site.serial("shop.test"), first);
}

#[test]
fn a_new_name_gets_an_entry_in_the_only_crt_list_and_in_its_file() {
    for (haproxy, pebble) in SITES {
        let haproxy = Haproxy::new(haproxy).master().crt_list("# ours\n");
        let mut site = Site::with(haproxy, Pebble::new(pebble));
        site.issue(&["shop.test"]).expect_code(0);
        let served = site.serial("shop.test").unwrap();

        let slot = site.haproxy.crt_dir().join("shop.test.pem");
        let list = std::fs::read_to_string(site.haproxy.crt_list()).unwrap();
        assert_eq!(list, format!("# ours\n{}\n", slot.display()));
        site.haproxy.check().unwrap();
        site.haproxy.reload();
        assert_eq!(site.serial("shop.test"), Ok(served));
        assert_eq!(site.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    }
}

#[test]
fn names_that_are_added_are_ordered_and_names_that_are_served_are_not_dropped() {
    let site = Site::new(HaproxyVersion::V2_6, PebbleVersion::V2_4);
    site.issue(&["shop.test"]).expect_code(0);
    site.issue(&["shop.test", "www.shop.test"]).expect_code(0);
    assert_eq!((site.pebble.orders(), site.served("www.shop.test").names.len()), (2, 2));

    let refused = site.issue(&["shop.test"]).expect_code(1);
    assert!(refused.stderr.contains("www.shop.test"), "{}", refused.stderr);
    assert_eq!((site.pebble.orders(), site.served("www.shop.test").names.len()), (2, 2));
}

#[test]
fn of_several_processes_that_issue_the_same_certificate_one_orders_it() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let running: Vec<_> = (0..4).map(|_| site.hotcert.spawn(site.issue_arguments(&["shop.test"]))).collect();
    for process in running {
        process.wait(Duration::from_mins(1)).expect_code(0);
    }
    assert_eq!((site.pebble.accounts(), site.pebble.orders(), site.pebble.certificates()), (1, 1, 1));
    assert!(site.serial("shop.test").is_ok());
    site.expect_nothing_half_done();
}
