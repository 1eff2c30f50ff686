//! Authorities that say when to renew (RFC 9773), in simulated days.

use crate::support::authority::Fault;
use crate::support::simulation::Shortlived;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

fn window(start: Timestamp, end: Timestamp) -> Value {
    json!({ "suggestedWindow": { "start": start, "end": end } })
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// One window for the first certificates, and one far away for those that follow.
fn one_window(begin: Timestamp, from: i64, to: i64) -> impl Fn(Timestamp) -> Value + Send + 'static {
    move |now| {
        let shift = if now < begin + hours(to) { hours(0) } else { hours(1000) };
        window(begin + hours(from) + shift, begin + hours(to) + shift)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_at_a_random_instant_of_the_window_with_what_it_replaces() {
    let mut all = Shortlived::prepared(5);
    all.simulation = all.simulation.limited();
    let begin = all.begin;
    // Three hours wide, as for a certificate of 160 hours.
    all.authority.offer_renewal_info(one_window(begin, 50, 53));
    all.simulation.issue_all().await;
    all.authority.forget();
    let spent = |all: &Shortlived| {
        let standing = all.simulation.store.standing(&all.authority.directory()).unwrap();
        serde_json::to_value(&standing.events).unwrap().as_array().unwrap().len()
    };
    assert_eq!(spent(&all), 5);
    all.run_until(49).await;
    assert_eq!(all.orders(), 0);
    all.run_until(54).await;
    assert_eq!(all.simulation.generations(), [2; 5]);
    let orders = all.authority.asked_for("/order");
    let orders: Vec<_> = orders.iter().filter(|asked| asked.path == "/order").collect();
    assert_eq!(orders.len(), 5);
    assert!(orders.iter().all(|order| order.replaces.is_some()), "{orders:#?}");
    let within =
        |order: &&&crate::support::authority::Asked| (begin + hours(50)..begin + hours(53)).contains(&order.at);
    // The round comes within a minute of the chosen instant, which may be the last one of the window.
    assert!(orders.iter().filter(within).count() >= 4, "{orders:#?}");
    let instants: std::collections::BTreeSet<_> = orders.iter().map(|order| order.at).collect();
    assert!(instants.len() >= 3, "they are spread over the window: {instants:?}");
    assert!(spent(&all) <= 6, "a renewal in the window that says what it replaces is exempt");
    let looked_up = all.authority.asked_for("/ari").len();
    assert!((5 * 8..=5 * 12).contains(&looked_up), "every six hours: {looked_up}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_that_always_lie_in_the_past_lead_to_one_renewal_a_day() {
    for (explanation, most) in [(None, 4), (Some("https://ca.test/why"), 14)] {
        let all = Shortlived::prepared(1);
        all.authority.offer_renewal_info(move |now| {
            let mut answer = window(now - hours(20), now - hours(10));
            if let Some(url) = explanation {
                answer["explanationURL"] = json!(url);
            }
            answer
        });
        all.simulation.issue_all().await;
        all.authority.forget();
        all.run_until(72).await;
        let each = all.orders();
        assert!((3..=most).contains(&each), "{explanation:?}: {each} renewals of each");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_cannot_put_a_renewal_off_until_it_is_too_late() {
    let all = Shortlived::prepared(1);
    let begin = all.begin;
    all.authority.offer_renewal_info(one_window(begin, 500, 600));
    all.simulation.issue_all().await;
    all.authority.forget();
    all.run_until(139).await;
    assert_eq!(all.orders(), 0);
    // An eighth of the lifetime is left.
    all.run_until(141).await;
    assert_eq!(all.simulation.generations(), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_emergency_attempts_follow_each_other_by_the_hour() {
    let all = Shortlived::issued(1).await;
    all.authority.fail("/", Fault::Down);
    all.run_until(159).await;
    let asked = all.authority.asked();
    let late: Vec<_> = asked.iter().filter(|asked| asked.at > all.begin + hours(140)).collect();
    assert!((18..=24).contains(&late.len()), "{late:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_that_fail_harm_nothing() {
    for fault in [
        Fault::Problem(404, "", "malformed", "certificate not found"),
        Fault::Problem(500, "", "serverInternal", "no"),
        Fault::HalfBody,
    ] {
        let all = Shortlived::prepared(1);
        all.authority.offer_renewal_info(|now| window(now, now));
        all.authority.fail("/ari", fault.clone());
        all.simulation.issue_all().await;
        all.authority.forget();
        all.run_until(79).await;
        assert_eq!(all.orders(), 0);
        all.authority.mend();
        // A window that does not end after it starts counts as no answer.
        all.run_until(95).await;
        assert_eq!(all.simulation.generations(), [2], "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_replaced_already_is_ordered_without_naming_it() {
    let all = Shortlived::prepared(1);
    let begin = all.begin;
    all.authority.offer_renewal_info(one_window(begin, 50, 53));
    all.simulation.issue_all().await;
    all.authority.forget();
    all.authority.consider_all_replaced();
    all.run_until(54).await;
    let orders = all.authority.asked_for("/order");
    let replaces: Vec<_> =
        orders.iter().filter(|asked| asked.path == "/order").map(|asked| asked.replaces.is_some()).collect();
    assert_eq!(replaces, [true, false]);
    assert_eq!(all.simulation.generations(), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_without_renewal_information_is_told_of_none_and_asked_once_a_day() {
    let all = Shortlived::issued(3).await;
    all.run_until(72).await;
    assert!(all.authority.asked().iter().all(|asked| asked.path == "/dir"), "{:#?}", all.authority.asked());
    assert!(all.authority.asked().len() <= 4, "{:#?}", all.authority.asked());
    all.run_until(81).await;
    assert!(all.authority.asked().iter().all(|asked| asked.replaces.is_none()));
    assert_eq!(all.simulation.generations(), [2; 3]);
}
