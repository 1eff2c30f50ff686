//! With the sidecar running: whoever is revoked is out at once, and nobody else notices.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::gatehouse::{Gatehouse, SITE, replace};
use crate::support::sidecar::DEADLINE;
use crate::support::{Club, HaproxyVersion, Sidecar, Visitor, poll};

/// How soon a revocation counts.
const PROMPT: Duration = Duration::from_secs(1);

/// Waits until a visitor is let in, or is not; how long that took.
fn wait_until(gatehouse: &Gatehouse, visitor: &Visitor, is_in: bool, sidecar: &Sidecar) -> Duration {
    let began = Instant::now();
    poll(DEADLINE, || (gatehouse.lets_in(visitor) == is_in).then(|| began.elapsed()))
        .unwrap_or_else(|| panic!("let in: {}\n{}", !is_in, sidecar.log()))
}

/// Lets a visitor come again and again while something is done, and fails when one visit does.
fn while_visiting<T>(gatehouse: &Gatehouse, visitor: &Visitor, act: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    let address = gatehouse.haproxy().https_addr();
    thread::scope(|scope| {
        let visits = scope.spawn(|| {
            let mut count = 0;
            while !over.load(Ordering::Relaxed) {
                visitor.visit(address, SITE).unwrap_or_else(|error| panic!("visit {count}: {error}"));
                count += 1;
            }
            count
        });
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        assert!(visits.join().unwrap() > 10);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn a_revoked_client_is_out_within_a_second_and_nobody_else_notices(version: HaproxyVersion) {
    const ROUNDS: usize = 4;
    let gatehouse = Gatehouse::new(version);
    let sidecar = Sidecar::start(&gatehouse.house.hotcert, gatehouse.house.flags_and(&gatehouse.config()));
    let visitors: Vec<_> = (0..ROUNDS).map(|number| gatehouse.club.admit(&format!("visitor {number}"))).collect();
    while_visiting(&gatehouse, &gatehouse.bob, || {
        let mut revoked = Vec::new();
        for (round, visitor) in visitors.iter().enumerate() {
            assert!(gatehouse.lets_in(visitor));
            revoked.push(visitor);
            let list = gatehouse.club.crl(&revoked);
            // Every other time in place, as `cat >` does.
            if round % 2 == 0 {
                replace(&gatehouse.crl_file(), &list);
            } else {
                fs::write(gatehouse.crl_file(), list).unwrap();
            }
            let took = wait_until(&gatehouse, visitor, false, &sidecar);
            assert!(took < PROMPT, "{took:?}\n{}", sidecar.log());
        }
    });
    let settled = poll(DEADLINE, || (gatehouse.states() == ["in-sync", "in-sync"]).then_some(()));
    assert!(settled.is_some(), "{}", sidecar.log());
    gatehouse.run(&["status"]).expect_code(0);
    gatehouse.expect_no_open_transaction();
    sidecar.stop().0.expect_code(0);
}

fn an_authority_comes_and_goes_and_certificates_are_still_replaced(version: HaproxyVersion) {
    let mut gatehouse = Gatehouse::new(version);
    let sidecar = Sidecar::start(&gatehouse.house.hotcert, gatehouse.house.flags_and(&gatehouse.config()));
    let guests = Club::new("Guests");
    let carol = guests.admit("carol");
    let both = |gatehouse: &Gatehouse| {
        let authorities = gatehouse.club.pem().to_owned() + guests.pem();
        (authorities, gatehouse.club.crl(&[&gatehouse.alice]) + &guests.crl(&[]))
    };
    assert!(!gatehouse.lets_in(&carol) && gatehouse.lets_in(&gatehouse.alice));
    while_visiting(&gatehouse, &gatehouse.bob, || {
        let (authorities, lists) = both(&gatehouse);
        replace(&gatehouse.ca_file(), &authorities);
        replace(&gatehouse.crl_file(), &lists);
        wait_until(&gatehouse, &carol, true, &sidecar);
        wait_until(&gatehouse, &gatehouse.alice, false, &sidecar);
        // What an unfixed HAProxy breaks: a commit of a certificate afterwards.
        gatehouse.push();
        replace(&gatehouse.ca_file(), gatehouse.club.pem());
        replace(&gatehouse.crl_file(), &gatehouse.club.crl(&[&gatehouse.alice]));
        wait_until(&gatehouse, &carol, false, &sidecar);
        gatehouse.push();
    });

    // HAProxy starts with what lies there, and what comes next is loaded again.
    gatehouse.house.haproxy().restart();
    assert!(gatehouse.lets_in(&gatehouse.bob) && !gatehouse.lets_in(&gatehouse.alice) && !gatehouse.lets_in(&carol));
    let settled = poll(DEADLINE, || (gatehouse.run(&["status"]).code == Some(0)).then_some(()));
    assert!(settled.is_some(), "{:?}\n{}", gatehouse.run(&["status"]), sidecar.log());
    replace(&gatehouse.crl_file(), &gatehouse.club.crl(&[]));
    wait_until(&gatehouse, &gatehouse.alice, true, &sidecar);
    gatehouse.push();
    gatehouse.expect_no_open_transaction();
    sidecar.stop().0.expect_code(0);
}

#[test]
fn a_broken_file_is_told_until_it_is_mended() {
    let gatehouse = Gatehouse::new(HaproxyVersion::V3_2);
    let mut sidecar = Sidecar::start(&gatehouse.house.hotcert, gatehouse.house.flags_and(&gatehouse.config()));
    fs::write(gatehouse.crl_file(), "").unwrap();
    let told = poll(DEADLINE, || gatehouse.problem()).unwrap_or_else(|| panic!("{}", sidecar.log()));
    assert_eq!(told["message"], "node node0: not loaded: it is empty");
    assert_eq!(told["file"], gatehouse.crl_file().display().to_string());
    gatehouse.run(&["status"]).expect_code(2);
    sidecar.wait_for("not loaded: it is empty");
    assert!(gatehouse.lets_in(&gatehouse.alice));

    replace(&gatehouse.crl_file(), &gatehouse.club.crl(&[&gatehouse.alice]));
    wait_until(&gatehouse, &gatehouse.alice, false, &sidecar);
    sidecar.wait_for("no longer: node node0: not loaded: it is empty");
    let mended = poll(DEADLINE, || (gatehouse.run(&["status"]).code == Some(0)).then_some(()));
    assert!(mended.is_some(), "{:?}", gatehouse.run(&["status"]));
    sidecar.stop().0.expect_code(0);
}

mod v2_8 {
    use crate::support::HaproxyVersion::V2_8;

    #[test]
    fn a_revoked_client_is_out_within_a_second_and_nobody_else_notices() {
        super::a_revoked_client_is_out_within_a_second_and_nobody_else_notices(V2_8);
    }

    #[test]
    fn an_authority_comes_and_goes_and_certificates_are_still_replaced() {
        super::an_authority_comes_and_goes_and_certificates_are_still_replaced(V2_8);
    }
}

mod v3_2 {
    use crate::support::HaproxyVersion::V3_2;

    #[test]
    fn a_revoked_client_is_out_within_a_second_and_nobody_else_notices() {
        super::a_revoked_client_is_out_within_a_second_and_nobody_else_notices(V3_2);
    }

    #[test]
    fn an_authority_comes_and_goes_and_certificates_are_still_replaced() {
        super::an_authority_comes_and_goes_and_certificates_are_still_replaced(V3_2);
    }
}
