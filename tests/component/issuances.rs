//! Many issuances by an authority that refuses half of all nonces and is busy for every tenth request.

use std::time::Instant;

use crate::support::Chance;
use crate::support::authority::ScriptedAuthority;
use crate::support::net::Port;
use crate::support::simulation::Simulation;
use jiff::{SignedDuration, Timestamp};

/// How many certificates are issued unless `TEST_ISSUANCES` says otherwise.
const ISSUANCES: usize = 24;

/// The most orders for a hundred certificates.
const ORDERS_FOR_A_HUNDRED: usize = 101;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_certificate_is_issued_by_one_order_when_half_of_the_nonces_are_refused_and_a_tenth_of_the_answers_is_503()
 {
    let given = std::env::var("TEST_ISSUANCES").ok();
    let count: usize = given.map_or(ISSUANCES, |count| count.parse().unwrap());
    let begin = Timestamp::from_second(Timestamp::now().as_second()).expect("it is the present");
    let authority = ScriptedAuthority::start(Some(begin), SignedDuration::from_hours(90 * 24));
    authority.be_strict();
    authority.be_moody(Chance::new());
    let (directory, root) = (authority.directory(), authority.root_pem());
    let port = Port::reserve();
    let simulation = Simulation::new(count, begin, &directory, &authority.root_ca(), &root, &port);

    let (clock, mut rounds) = (Instant::now(), 0);
    simulation
        .run(begin + SignedDuration::from_hours(7 * 24), |now, round| {
            authority.set_time(now);
            rounds += usize::from(round.is_some_and(|round| !round.ordered.is_empty() || !round.failures.is_empty()));
        })
        .await;

    assert_eq!(simulation.generations(), vec![1; count], "every certificate is there");
    let (orders, (refused, busy), requests) = (authority.orders(), authority.moods(), authority.asked().len());
    println!(
        "{count} certificates by {orders} orders in {rounds} rounds and {:.1} s: {requests} requests, {refused} nonces refused, \
         {busy} times busy",
        clock.elapsed().as_secs_f64()
    );
    assert!(refused > count && busy > count / 2, "the authority was in a good mood");
    assert!(orders * 100 <= count * ORDERS_FOR_A_HUNDRED, "{orders} orders for {count} certificates");
}
