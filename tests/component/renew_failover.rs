//! Several issuers for a certificate: who is asked, who instead, and when the first is asked again.

use std::time::Duration;

use crate::support::authority::{Fault, ScriptedAuthority};
use crate::support::net::Port;
use crate::support::simulation::{Shortlived, Simulation};
use crate::support::{Pebble, PebbleVersion};
use hotcert::clock::Clock as _;
use hotcert::config::Limits;
use hotcert::renew::Error;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// Two authorities with one time, and certificates that may come from either: `test` first, then `second`.
struct Two {
    first: ScriptedAuthority,
    second: ScriptedAuthority,
    simulation: Simulation,
    begin: Timestamp,
}

impl Two {
    fn prepared(count: usize) -> Self {
        let Shortlived { authority: first, simulation, begin, .. } = Shortlived::prepared(count);
        let second = ScriptedAuthority::start(Some(begin), Shortlived::LIFETIME);
        let simulation = simulation.or_from("second", &second.directory(), &second.root_ca(), &second.root_pem());
        Self { first, second, simulation, begin }
    }

    async fn run_until(&self, hours: i64) {
        let end = self.begin + SignedDuration::from_hours(hours);
        self.simulation
            .run(end, |now, _| {
                self.first.set_time(now);
                self.second.set_time(now);
                assert!(self.simulation.ends().values().all(|end| *end > now), "a certificate expired");
            })
            .await;
    }

    fn orders(&self) -> (usize, usize) {
        let orders = |authority: &ScriptedAuthority| {
            let asked = authority.asked();
            authority.forget();
            asked.iter().filter(|asked| asked.path == "/order").count()
        };
        (orders(&self.first), orders(&self.second))
    }
}

fn problem(status: u16, headers: &'static str, kind: &'static str, detail: &'static str) -> Fault {
    Fault::Problem(status, headers, kind, detail)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_first_authority_is_dead_for_a_day_certificates_come_from_the_second_and_then_from_the_first_again() {
    let all = Two::prepared(5);
    all.simulation.issue_all().await;
    assert_eq!(
        (all.simulation.issuers(), all.orders()),
        (vec!["test"; 5].into_iter().map(str::to_owned).collect(), (5, 0))
    );
    // All are due at the 80th hour.
    all.run_until(70).await;
    all.first.fail("/", Fault::Down);
    all.run_until(82).await;
    assert_eq!(all.simulation.generations(), [2; 5]);
    assert_eq!(all.simulation.issuers(), ["second"; 5]);
    assert_eq!(all.second.asked_for("/order").iter().filter(|asked| asked.replaces.is_some()).count(), 0);
    all.run_until(94).await;
    let asked = all.first.asked().len();
    assert!(asked <= 12, "{asked} requests to an authority that is dead");
    assert_eq!(all.orders().1, 5);

    // That the first is back makes nothing due.
    all.first.mend();
    all.run_until(159).await;
    assert_eq!((all.orders(), all.simulation.issuers()), ((0, 0), vec!["second".to_owned(); 5]));
    all.run_until(163).await;
    assert_eq!((all.orders(), all.simulation.issuers()), ((5, 0), vec!["test".to_owned(); 5]));
    assert_eq!(all.simulation.generations(), [3; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_takes_no_order_gets_one_and_all_come_from_the_second_in_the_same_round() {
    for fault in [
        problem(503, "", "serverInternal", "no orders today"),
        problem(429, "Retry-After: 9000\r\n", "rateLimited", "too many requests"),
        problem(403, "", "userActionRequired", "new terms"),
    ] {
        let all = Two::prepared(6);
        all.first.fail("/order", fault.clone());
        let round = all.simulation.round(false).await;
        assert_eq!((round.ordered.len(), round.failures.len(), round.held.len()), (6, 0, 0), "{round:?}");
        assert_eq!(all.simulation.issuers(), ["second"; 6], "{fault:?}");
        let (first, second) = all.orders();
        // What one certificate is refused may be granted to another, and one that is busy is asked again in a moment.
        let most = match fault {
            Fault::Problem(403, ..) => 6,
            Fault::Problem(503, ..) => 4,
            _ => 1,
        };
        assert!((1..=most).contains(&first) && second == 6, "{fault:?}: {first} {second}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_refuses_to_one_certificate_the_second_issues_and_the_next_renewal_asks_the_first_again() {
    let detail = "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s";
    for fault in [
        problem(403, "", "rejectedIdentifier", "not for this name"),
        problem(429, "Retry-After: 360000\r\n", "rateLimited", detail),
    ] {
        let all = Two::prepared(1);
        all.first.fail("/order", fault.clone());
        all.simulation.issue_all().await;
        assert_eq!((all.simulation.issuers(), all.orders()), (vec!["second".to_owned()], (1, 1)), "{fault:?}");
        all.run_until(85).await;
        // A hundred hours are not over yet.
        let is_limited = matches!(fault, Fault::Problem(429, ..));
        assert_eq!(all.orders(), (usize::from(!is_limited), 1), "{fault:?}");
        all.first.mend();
        all.run_until(165).await;
        assert_eq!((all.orders(), all.simulation.issuers()), ((1, 0), vec!["test".to_owned()]), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_both_are_dead_a_certificate_is_held_until_the_first_of_them_may_be_asked() {
    let all = Two::prepared(3);
    all.first.fail("/", problem(503, "Retry-After: 36000\r\n", "serverInternal", "gone for ten hours"));
    all.second.fail("/", problem(503, "Retry-After: 7200\r\n", "serverInternal", "gone for two hours"));
    let round = all.simulation.round(false).await;
    assert_eq!((round.failures.len(), round.held.len()), (1, 2), "{round:?}");
    assert_eq!((all.first.asked().len(), all.second.asked().len()), (1, 1));
    let wait = round.wake_at.duration_since(all.begin).as_secs();
    assert!((7190..7260).contains(&wait), "{wait}");

    let round = all.simulation.round(false).await;
    let [(_, Error::Held { until: Some(until), problem, .. }), ..] = round.held.as_slice() else { panic!("{round:?}") };
    assert_eq!((round.held.len(), round.failures.len()), (3, 0));
    assert!((7190..7260).contains(&until.duration_since(all.begin).as_secs()), "{until}");
    assert!(problem.contains("gone for ten hours") && problem.contains("gone for two hours"), "{problem}");
    let forecast = all.simulation.renewer().forecast(&all.simulation.certificates[0]).unwrap().unwrap();
    assert_eq!((forecast.issuer, forecast.hold.unwrap().until), (None, Some(*until)));
    // Somebody who asks is told the same.
    let error = all.simulation.renewer().obtain(&all.simulation.certificates[0], false).await.unwrap_err();
    assert!(matches!(error, Error::Held { .. }), "{error:?}");

    all.second.mend();
    all.run_until(3).await;
    assert_eq!((all.simulation.issuers(), all.first.asked().len()), (vec!["second".to_owned(); 3], 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_issued_is_asked_when_to_renew_and_the_first_is_asked_to_issue() {
    let all = Two::prepared(2);
    all.first.fail("/", Fault::Down);
    let begin = all.begin;
    all.first.offer_renewal_info(|_| panic!("it issued nothing"));
    all.second.offer_renewal_info(move |_| {
        let at = |hours| begin + SignedDuration::from_hours(hours);
        json!({ "suggestedWindow": { "start": at(40), "end": at(43) } })
    });
    all.simulation.issue_all().await;
    all.first.mend();
    all.first.forget();
    all.run_until(39).await;
    assert_eq!(all.first.asked().len(), 0, "{:?}", all.first.asked());
    let asked = all.second.asked_for("/ari").len();
    assert!((2 * 6..=2 * 9).contains(&asked), "{asked}");
    all.second.forget();
    all.first.offer_renewal_info(move |_| {
        let at = |hours| begin + SignedDuration::from_hours(hours);
        json!({ "suggestedWindow": { "start": at(140), "end": at(143) } })
    });
    all.run_until(44).await;
    assert_eq!(all.simulation.issuers(), ["test"; 2]);
    let orders = all.first.asked_for("/order");
    assert!(orders.iter().all(|asked| asked.replaces.is_none()), "what another one issued is not named: {orders:?}");
    all.second.forget();
    all.run_until(60).await;
    assert_eq!(all.second.asked().len(), 0);
    assert!(!all.first.asked_for("/ari").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_budget_of_the_first_is_spent_the_second_is_asked_and_its_own_is_counted() {
    let mut all = Two::prepared(1);
    for issuer in &mut all.simulation.certificates[0].order.as_mut().unwrap().issuers {
        issuer.limits = Some(Limits::Letsencrypt);
    }
    let spent = |all: &Two, directory: &str| {
        let standing = all.simulation.store.standing(directory).unwrap();
        serde_json::to_value(&standing.events).unwrap().as_array().unwrap().len()
    };
    for _ in 0..5 {
        let round = all.simulation.round(true).await;
        assert_eq!(round.ordered.len(), 1, "{round:?}");
    }
    assert_eq!(all.orders(), (5, 0));
    for _ in 0..5 {
        assert_eq!(all.simulation.round(true).await.ordered.len(), 1);
    }
    assert_eq!(all.orders(), (0, 5));
    let counted = (spent(&all, &all.first.directory()), spent(&all, &all.second.directory()));
    assert_eq!(counted, (5, 5));
    let round = all.simulation.round(true).await;
    assert!(matches!(round.failures.as_slice(), [(_, Error::Spent { .. })]), "{round:?}");
    assert_eq!(all.orders(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_at_the_first_is_ended_by_a_person_alone_and_holds_up_nothing() {
    let all = Two::prepared(1);
    all.first
        .fail("/order", problem(429, "", "rateLimited", "paused: visit https://portal.ca.test/sfe/v1/unpause?jwt=a"));
    all.run_until(85).await;
    assert_eq!((all.orders(), all.simulation.issuers()), ((1, 2), vec!["second".to_owned()]));
    let name = &all.simulation.certificates[0].name;
    let noted = all.simulation.store.renewal(name, Some(2)).unwrap();
    assert!(noted.refusals["test"].problem.contains("unpause?jwt=a"), "{noted:?}");

    all.first.mend();
    all.run_until(90).await;
    assert_eq!(all.simulation.round(true).await.ordered.len(), 1);
    assert!(all.simulation.store.renewal(name, Some(3)).unwrap().refusals.is_empty());
    assert_eq!(all.simulation.issuers(), ["test"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_order_is_continued_where_it_began_and_given_up_while_that_cannot_be_reached() {
    let all = Two::prepared(1);
    all.first.fail("/", Fault::Down);
    all.second.fail("/finalize/", Fault::Down);
    let round = all.simulation.round(false).await;
    assert_eq!((round.failures.len(), all.orders().1), (1, 1), "{round:?}");
    // The first stays dead: whichever is free a moment earlier is asked.
    all.second.mend();
    all.run_until(1).await;
    assert_eq!((all.orders(), all.simulation.issuers()), ((0, 0), vec!["second".to_owned()]));

    let all = Two::prepared(1);
    all.first.fail("/finalize/", Fault::Down);
    all.simulation.issue_all().await;
    assert_eq!((all.orders(), all.simulation.issuers()), ((1, 1), vec!["second".to_owned()]));
    assert!(!all.simulation.store.has_journal(&all.simulation.certificates[0].name).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_while_the_first_is_dead_orders_nothing() {
    let all = Two::prepared(2);
    all.first.fail("/", Fault::Down);
    all.simulation.issue_all().await;
    all.orders();
    all.run_until(10).await;
    // A month ahead for the machine alone.
    all.simulation.clock.set(all.simulation.clock.now() + SignedDuration::from_hours(30 * 24));
    for _ in 0..3 {
        let round = all.simulation.round(false).await;
        assert_eq!((round.ordered.len(), round.failures.len(), round.held.len()), (0, 0, 0), "{round:?}");
        assert!(round.wake_at > all.simulation.clock.now() + SignedDuration::from_mins(10), "{round:?}");
        all.simulation.clock.set(round.wake_at);
    }
    assert_eq!(all.orders(), (0, 0));
}

/// Two Pebbles, the second of which validates at the same place; certificates name `test` first, then `second`.
fn pebbles(count: usize, blocked: bool) -> (Pebble, Pebble, Simulation) {
    let port = Port::reserve();
    let elsewhere = Port::reserve();
    let start = |addr| Pebble::new(PebbleVersion::V2_10).http01(addr).start();
    let first = start(if blocked { elsewhere.addr() } else { port.addr() });
    let second = start(port.addr());
    let simulation = Simulation::new(
        count,
        Timestamp::now(),
        &first.directory(),
        &first.root_ca(),
        &first.issuance_root_pem(),
        &port,
    );
    let simulation = simulation.or_from("second", &second.directory(), &second.root_ca(), &second.issuance_root_pem());
    (first, second, simulation)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_cannot_be_proved_is_not_tried_with_the_next_authority() {
    let (first, second, simulation) = pebbles(1, true);
    let round = simulation.round(false).await;
    assert_eq!((round.ordered.len(), round.failures.len()), (0, 1), "{round:?}");
    assert_eq!((first.orders(), second.orders()), (1, 0), "{round:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn profiles_are_those_of_each_issuer_and_nothing_is_ordered_twice_at_once() {
    let port = Port::reserve();
    let hours = |hours| Duration::from_hours(hours);
    let start = |profile: &str| {
        Pebble::new(PebbleVersion::V2_10)
            .http01(port.addr())
            .profile(profile, hours(160))
            .profile("default", hours(2160))
            .start()
    };
    let (first, second) = (start("quick"), start("brief"));
    let simulation =
        Simulation::new(3, Timestamp::now(), &first.directory(), &first.root_ca(), &first.issuance_root_pem(), &port);
    let mut simulation =
        simulation.or_from("second", &second.directory(), &second.root_ca(), &second.issuance_root_pem());
    for certificate in &mut simulation.certificates {
        let issuers = &mut certificate.order.as_mut().unwrap().issuers;
        // The first does not offer it.
        issuers[0].profile = Some("brief".to_owned());
        issuers[1].profile = Some("brief".to_owned());
    }
    let (one, other) = (simulation.renewer(), simulation.renewer());
    let (one, other) =
        tokio::join!(one.round(&simulation.certificates, false), other.round(&simulation.certificates, false));
    assert_eq!(one.ordered.len() + other.ordered.len(), 3, "{one:?} {other:?}");
    assert_eq!((first.orders(), second.orders(), second.certificates()), (0, 3, 3));
    assert_eq!(simulation.issuers(), ["second"; 3]);
    let ends = simulation.ends();
    assert!(ends.values().all(|end| *end < Timestamp::now() + SignedDuration::from_hours(161)), "{ends:?}");

    // Each has its own.
    for certificate in &mut simulation.certificates {
        certificate.order.as_mut().unwrap().issuers[0].profile = Some("quick".to_owned());
    }
    assert_eq!(simulation.round(true).await.ordered.len(), 3);
    assert_eq!((simulation.issuers(), first.orders()), (vec!["test".to_owned(); 3], 3));
}
