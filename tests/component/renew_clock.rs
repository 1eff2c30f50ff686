//! Clocks that jump: no order too many, and no renewal missed.

use std::time::Duration;

use crate::support::net::Port;
use crate::support::simulation::{Shortlived, Simulation};
use crate::support::{Pebble, PebbleVersion};
use hotcert::clock::Clock as _;
use jiff::{SignedDuration, Timestamp};

const MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_a_month_ahead_orders_nothing_and_renews_in_time() {
    let all = Shortlived::issued(5).await;
    all.run_until(10).await;
    all.skew(MONTH);
    all.run_until(79).await;
    assert_eq!((all.orders(), all.simulation.generations()), (0, vec![1; 5]));
    let asked = all.authority.asked().len();
    assert!(asked <= 6, "the authority is asked for the time, not in a loop: {asked}");
    // By the authority's time they are due now.
    all.run_until(82).await;
    assert_eq!((all.orders(), all.simulation.generations()), (5, vec![2; 5]));
    // Somebody sets the clock right.
    all.skew(SignedDuration::ZERO);
    all.run_until(80 + 79).await;
    assert_eq!(all.orders(), 5);
    all.run_until(80 + 83).await;
    assert_eq!((all.orders(), all.simulation.generations()), (10, vec![3; 5]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_a_month_back_misses_no_renewal_and_takes_what_is_fresh() {
    let all = Shortlived::issued(5).await;
    all.run_until(70).await;
    all.skew(-MONTH);
    all.run_until(79).await;
    assert_eq!(all.orders(), 0);
    // What is issued now is valid from a month ahead of the machine's clock.
    all.run_until(82).await;
    assert_eq!((all.orders(), all.simulation.generations()), (5, vec![2; 5]));
    all.skew(SignedDuration::ZERO);
    all.run_until(80 + 79).await;
    assert_eq!(all.orders(), 5);
    all.run_until(80 + 83).await;
    assert_eq!(all.orders(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_while_the_authority_is_down_orders_nothing_afterwards() {
    let all = Shortlived::issued(3).await;
    for skew in [MONTH, -MONTH] {
        all.run_until(if skew == MONTH { 10 } else { 40 }).await;
        all.authority.fail("/", crate::support::authority::Fault::Down);
        all.authority.forget();
        all.skew(skew);
        all.run_until(if skew == MONTH { 30 } else { 60 }).await;
        let asked = all.authority.asked().len();
        assert!(asked <= 25, "{skew:?}: {asked} requests in 20 hours");
        all.authority.mend();
        all.run_until(if skew == MONTH { 40 } else { 79 }).await;
        assert_eq!(all.orders(), 0, "{skew:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_suspended_renews_once_when_it_wakes() {
    let all = Shortlived::issued(5).await;
    all.run_until(10).await;
    all.sleep(HOUR * 100);
    all.run_until(115).await;
    assert_eq!((all.orders(), all.simulation.generations()), (5, vec![2; 5]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pebble_sees_no_order_however_the_clock_jumps() {
    let port = Port::reserve();
    let validity = Duration::from_hours(40 * 24);
    let pebble = Pebble::new(PebbleVersion::V2_10).http01(port.addr()).validity(validity).start();
    let root = pebble.issuance_root_pem();
    let simulation = Simulation::new(4, Timestamp::now(), &pebble.directory(), &pebble.root_ca(), &root, &port);
    simulation.issue_all().await;
    assert_eq!((pebble.orders(), pebble.certificates()), (4, 4));
    // A month ahead all would be due, and a month back none would be valid yet.
    for skew in [MONTH, -MONTH, SignedDuration::ZERO, -MONTH, MONTH, SignedDuration::ZERO] {
        simulation.clock.set(Timestamp::now() + skew);
        for _ in 0..3 {
            let round = simulation.round(false).await;
            assert!(round.failures.is_empty() && round.ordered.is_empty() && round.held.is_empty(), "{round:?}");
            assert!(round.wake_at > simulation.clock.now());
        }
        assert_eq!(pebble.orders(), 4, "{skew:?}");
    }
    // What is ordered under a wrong clock is taken.
    for (count, skew) in [(2, -MONTH), (3, MONTH)] {
        simulation.clock.set(Timestamp::now() + skew);
        let round = simulation.round(true).await;
        assert_eq!((round.ordered.len(), round.failures.len()), (4, 0), "{skew:?}: {round:?}");
        assert_eq!(pebble.orders(), 4 * count);
        assert!(simulation.round(false).await.ordered.is_empty());
    }
}
