//! Long files, other programs, and a death in the middle.

use super::gatehouse::{Gatehouse, replace};
use crate::support::{Club, Haproxy, HaproxyVersion, Steps};

fn many_authorities(count: usize) -> String {
    (0..count).map(|number| Club::new(&format!("Authority {number}")).pem().to_owned()).collect()
}

fn held(gatehouse: &Gatehouse) -> usize {
    let shown = gatehouse.haproxy().cli(&format!("show ssl ca-file {}", gatehouse.ca_file().display()));
    shown.matches("SHA1 FingerPrint: ").count()
}

#[test]
fn a_long_file_is_loaded_in_parts_wherever_it_was_interrupted() {
    let gatehouse = Gatehouse::with(Haproxy::new(HaproxyVersion::V2_8).global("tune.bufsize 8192"), "");
    let arguments = |gatehouse: &Gatehouse| {
        let sync = [std::ffi::OsString::from("sync")];
        sync.into_iter().chain(gatehouse.house.flags_and(&gatehouse.config())).collect::<Vec<_>>()
    };
    let authorities = gatehouse.club.pem().to_owned() + &many_authorities(30);
    replace(&gatehouse.ca_file(), &authorities);
    let clean = Steps::run(&arguments(&gatehouse), None);
    assert!(clean.succeeded, "{}", clean.stderr);
    assert_eq!(held(&gatehouse), 31);
    let parts = clean.taken.iter().filter(|step| *step == "haproxy: client file set").count();
    assert!(parts > 2, "{:?}", clean.taken);

    let mine = |step: &str| step.contains("client file");
    for point in clean.points().iter().filter(|point| mine(&point.step)) {
        replace(&gatehouse.ca_file(), gatehouse.club.pem());
        assert!(Steps::run(&arguments(&gatehouse), None).succeeded);
        assert_eq!(held(&gatehouse), 1);
        replace(&gatehouse.ca_file(), &authorities);
        let killed = Steps::run(&arguments(&gatehouse), Some(point));
        assert!(killed.killed || killed.succeeded, "{point}: {}", killed.stderr);
        assert!([1, 31].contains(&held(&gatehouse)), "{point}");
        let next = Steps::run(&arguments(&gatehouse), None);
        assert!(next.succeeded, "{point}: {}", next.stderr);
        assert_eq!(held(&gatehouse), 31, "{point}");
        gatehouse.expect_no_open_transaction();
    }
    assert!(gatehouse.lets_in(&gatehouse.bob));
}

#[test]
fn the_transaction_of_another_program_is_left_alone() {
    let gatehouse = Gatehouse::new(HaproxyVersion::V3_2);
    let file = gatehouse.crl_file().display().to_string();
    let theirs = gatehouse.club.crl(&[&gatehouse.bob]);
    let set = gatehouse.haproxy().cli_payload(&format!("set ssl crl-file {file}"), &theirs);
    assert!(set.starts_with("transaction created for CRL"), "{set}");
    replace(&gatehouse.crl_file(), &gatehouse.club.crl(&[&gatehouse.alice]));
    let sync = gatehouse.run(&["sync", "--json"]).expect_code(75);
    assert_eq!(sync.json()["error"]["kind"], "foreign-transaction");
    assert!(sync.json()["error"]["hint"].as_str().unwrap().contains(&format!("abort ssl crl-file {file}")), "{sync:?}");
    // Certificates do not wait for it.
    gatehouse.push();
    assert!(gatehouse.lets_in(&gatehouse.alice));

    let commit = gatehouse.haproxy().cli(&format!("commit ssl crl-file {file}"));
    assert!(commit.contains("Success!"), "{commit}");
    assert!(!gatehouse.lets_in(&gatehouse.bob));
    gatehouse.run(&["sync"]).expect_code(0);
    assert!(!gatehouse.lets_in(&gatehouse.alice) && gatehouse.lets_in(&gatehouse.bob));
}

#[test]
fn a_file_that_haproxy_does_not_use_is_told() {
    let gatehouse = Gatehouse::new(HaproxyVersion::V3_2);
    let stray = gatehouse.haproxy().scratch().write("stray.pem", gatehouse.club.pem());
    let config = format!("ca_file = [{:?}, {:?}]\n", gatehouse.ca_file().to_str().unwrap(), stray.to_str().unwrap());
    let flags = gatehouse.house.flags_and(&config);
    let status = gatehouse.house.hotcert.run([std::ffi::OsString::from("status")].into_iter().chain(flags));
    let status = status.expect_code(2);
    assert!(status.stdout.contains("HAProxy uses no ca-file of this name"), "{status:?}");
}

/// HAProxy shows but the beginning of such a list.
#[test]
fn a_list_of_hundreds_is_known_to_its_end() {
    let gatehouse = Gatehouse::new(HaproxyVersion::V2_8);
    let serials: Vec<Vec<u8>> = (0..230_u32).map(|number| [&[0x44; 12][..], &number.to_be_bytes()].concat()).collect();
    replace(&gatehouse.crl_file(), &gatehouse.club.crl_from(-60, 3600, &serials));
    gatehouse.run(&["sync"]).expect_code(0);
    gatehouse.run(&["status"]).expect_code(0);
    assert!(gatehouse.lets_in(&gatehouse.alice));
    let with_alice = [&serials[..], std::slice::from_ref(&gatehouse.alice.serial)].concat();
    replace(&gatehouse.crl_file(), &gatehouse.club.crl_from(-60, 3600, &with_alice));
    gatehouse.run(&["status"]).expect_code(2);
    gatehouse.run(&["sync"]).expect_code(0);
    gatehouse.run(&["status"]).expect_code(0);
    assert!(!gatehouse.lets_in(&gatehouse.alice) && gatehouse.lets_in(&gatehouse.bob));
}
