//! What does not pass never takes the place of what is served.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::gatehouse::{Gatehouse, replace};
use crate::support::{Club, HaproxyVersion};

#[test]
fn a_bad_file_is_refused_with_its_reason_and_changes_nothing() {
    let mut gatehouse = Gatehouse::new(HaproxyVersion::V3_2);
    let (club, alice) = (&gatehouse.club, &gatehouse.alice);
    replace(&gatehouse.crl_file(), &club.crl_from(-60, 3600, &[]));
    gatehouse.run(&["sync"]).expect_code(0);

    let good = club.crl(&[]);
    let (stranger, twin) = (Club::new("Strangers"), Club::new("Test Club"));
    let many: Vec<Vec<u8>> = (0..600_u32).map(|number| [&[0x44; 12][..], &number.to_be_bytes()].concat()).collect();
    let lists = [
        (String::new(), "it is empty"),
        (good[..good.len() - 40].to_owned(), "is cut off"),
        (good.replacen("MI", "!!", 1), "is not valid base64"),
        (club.pem().to_owned() + &good, "begins a block of type CERTIFICATE"),
        (stranger.crl(&[alice]), "belongs to no CA in ca_file"),
        (twin.crl(&[alice]), "is not signed by the CA of that name"),
        (good.clone() + &stranger.crl(&[]), "belongs to no CA in ca_file"),
        (club.crl_from(-30, -10, &[]), "has expired"),
        (club.crl_from(600, 3600, &[]), "is not yet valid"),
        (club.crl_from(-600, 3600, std::slice::from_ref(&alice.serial)), "and HAProxy has one of"),
        (without_next_update(&club.crl(&[alice])), "does not say when the next one comes"),
        (club.crl_from(-10, 3600, &many), "tune.bufsize"),
    ];
    let authorities = [
        (String::new(), "it is empty"),
        (club.pem()[..200].to_owned(), "is cut off"),
        (club.pem().to_owned() + &good, "begins a block of type X509 CRL"),
        ("nothing\n".to_owned(), "has no `-----BEGIN"),
    ];
    let all = lists.iter().map(|case| (gatehouse.crl_file(), case));
    for (file, (content, reason)) in all.chain(authorities.iter().map(|case| (gatehouse.ca_file(), case))) {
        let before = fs::read_to_string(&file).unwrap();
        replace(&file, content);
        let sync = gatehouse.run(&["sync"]).expect_code(2);
        assert!(sync.stderr.contains(reason) && sync.stderr.contains("hint: "), "{reason}: {sync:?}");
        assert!(sync.stderr.contains(&file.display().to_string()), "{sync:?}");
        assert!(gatehouse.lets_in(alice) && gatehouse.lets_in(&gatehouse.bob), "{reason}");
        replace(&file, &before);
    }
    gatehouse.run(&["sync"]).expect_code(0);
    gatehouse.expect_no_open_transaction();
    replace(&gatehouse.crl_file(), &club.crl_from(-5, 3600, std::slice::from_ref(&alice.serial)));
    gatehouse.run(&["sync"]).expect_code(0);
    assert!(!gatehouse.lets_in(alice) && gatehouse.lets_in(&gatehouse.bob));

    // HAProxy itself reads anything.
    replace(&gatehouse.crl_file(), &club.crl_from(-30, -10, &[]));
    gatehouse.house.haproxy().restart();
    assert!(!gatehouse.lets_in(&gatehouse.bob));
    let problem = gatehouse.problem().unwrap();
    assert!(problem["message"].as_str().unwrap().contains("has expired"), "{problem}");
}

/// HAProxy dies when it shows such a list, and reads one at its start all the same.
#[test]
fn haproxy_is_never_asked_about_a_list_without_an_end() {
    let mut gatehouse = Gatehouse::new(HaproxyVersion::V2_8);
    fs::write(gatehouse.crl_file(), without_next_update(&gatehouse.club.crl(&[]))).unwrap();
    // Its signature does not hold, so that nobody gets in, until there is another one.
    gatehouse.house.haproxy().restart();
    let pid = gatehouse.haproxy().pid();
    for command in ["sync", "status", "plan"] {
        gatehouse.run(&[command]).expect_code(2);
    }
    replace(&gatehouse.crl_file(), &gatehouse.club.crl(&[&gatehouse.alice]));
    gatehouse.run(&["plan"]).expect_code(2);
    gatehouse.run(&["sync"]).expect_code(0);
    gatehouse.run(&["status"]).expect_code(0);
    assert_eq!(gatehouse.haproxy().pid(), pid);
    assert!(!gatehouse.lets_in(&gatehouse.alice) && gatehouse.lets_in(&gatehouse.bob));
}

#[test]
fn a_list_must_not_lose_what_an_authority_in_use_has_revoked() {
    let guests = Club::new("Guests");
    let carol = guests.admit("carol");
    let gatehouse = Gatehouse::with(crate::support::Haproxy::new(HaproxyVersion::V2_8), guests.pem());
    replace(&gatehouse.crl_file(), &(gatehouse.club.crl(&[]) + &guests.crl(&[])));
    gatehouse.run(&["sync"]).expect_code(0);
    assert!(gatehouse.lets_in(&carol) && gatehouse.lets_in(&gatehouse.bob));

    replace(&gatehouse.crl_file(), &gatehouse.club.crl(&[]));
    let sync = gatehouse.run(&["sync"]).expect_code(2);
    assert!(sync.stderr.contains("it has no CRL by"), "{sync:?}");
    assert!(gatehouse.lets_in(&carol));
    // Together with the authority it may go.
    replace(&gatehouse.ca_file(), gatehouse.club.pem());
    gatehouse.run(&["sync"]).expect_code(0);
    assert!(!gatehouse.lets_in(&carol) && gatehouse.lets_in(&gatehouse.bob));
}

/// The list with its `nextUpdate` taken out; the signature does not hold any more.
fn without_next_update(pem: &str) -> String {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(text).unwrap();
    // Both lengths take two octets after the first in a list of this size, or one.
    let (_, list) = element(&der);
    let (_, tbs) = element(list);
    let rest = &list[element(list).0..];
    let (mut kept, mut left, mut times) = (Vec::new(), tbs, 0);
    while !left.is_empty() {
        let (length, _) = element(left);
        times += usize::from(left[0] == 0x17);
        if !(left[0] == 0x17 && times == 2) {
            kept.extend_from_slice(&left[..length]);
        }
        left = &left[length..];
    }
    let der = sequence(&[sequence(&kept), rest.to_vec()].concat());
    format!("-----BEGIN X509 CRL-----\n{}\n-----END X509 CRL-----\n", BASE64_STANDARD.encode(der))
}

/// The length of the first element (X.690, section 8.1), and its contents.
fn element(der: &[u8]) -> (usize, &[u8]) {
    let (begin, length) = match der[1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[2])),
        _ => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
    };
    (begin + length, &der[begin..begin + length])
}

fn sequence(contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82, length[0], length[1]][..], contents].concat()
}
