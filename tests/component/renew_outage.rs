//! Authorities that fail, in simulated days: what is asked of them is counted, and no certificate expires.

use crate::support::authority::{Asked, Fault};
use crate::support::simulation::Shortlived;
use hotcert::clock::Clock as _;
use hotcert::renew::Error;
use jiff::SignedDuration;

/// The times between requests.
fn gaps(asked: &[Asked]) -> Vec<i64> {
    asked.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_secs()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_certificate_of_160_hours_expires_when_its_authority_is_down_for_48() {
    let all = Shortlived::issued(20).await;
    // All are due at the 80th hour, and from then on there is nobody.
    all.run_until(79).await;
    all.authority.forget();
    all.authority.fail("/", Fault::Down);
    all.run_until(80 + 48).await;
    // An attempt may be made twice on the wire: a connection that breaks before any answer.
    let asked = all.authority.asked();
    assert_eq!(asked.len(), all.authority.asked_for("/dir").len());
    assert!((8..=26).contains(&asked.len()), "{} requests: {:?}", asked.len(), gaps(&asked));
    println!("{} requests in 48 hours without an authority, for 20 certificates", asked.len());
    assert_eq!(all.simulation.generations(), [1; 20]);

    all.authority.mend();
    all.run_until(160).await;
    assert_eq!(all.simulation.generations(), [2; 20]);
    assert_eq!(all.orders(), 20);
}

/// Seconds between attempts: 1, 10, 100 minutes and five hours, each with up to a fifth more.
fn expect_back_off(gaps: &[i64]) {
    for (index, gap) in gaps.iter().enumerate() {
        let pause = [60, 600, 6_000, 18_000][index.min(3)];
        assert!((pause..=pause * 6 / 5 + 60).contains(gap), "{index}: {gaps:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_fails_as_a_whole_gets_one_request_for_each_step_of_the_back_off() {
    for fault in [
        Fault::Problem(500, "", "serverInternal", "down for maintenance"),
        Fault::Html(200),
        Fault::Html(502),
        Fault::Redirect,
        Fault::HalfBody,
    ] {
        let all = Shortlived::prepared(5);
        all.authority.fail("/", fault.clone());
        all.run_until(24).await;
        let asked = all.authority.asked();
        println!("{fault:?}: {} requests in 24 hours for 5 certificates", asked.len());
        assert!(asked.iter().all(|asked| asked.path == "/dir"), "{fault:?}: {asked:?}");
        expect_back_off(&gaps(&asked));
        assert!((6..=8).contains(&asked.len()), "{fault:?}: {:?}", gaps(&asked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_takes_no_order_gets_one_for_each_step_of_the_back_off() {
    for fault in [Fault::Problem(500, "", "serverInternal", "no orders today"), Fault::Html(200), Fault::HalfBody] {
        let all = Shortlived::prepared(5);
        all.authority.fail("/order", fault.clone());
        all.run_until(24).await;
        let asked = all.authority.asked_for("/order");
        println!("{fault:?}: {} orders asked for in 24 hours for 5 certificates", asked.len());
        expect_back_off(&gaps(&asked));
        assert!((6..=8).contains(&asked.len()), "{fault:?}: {:?}", gaps(&asked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_says_when_to_come_back_is_not_asked_before() {
    for (path, status) in [("/dir", 503), ("/order", 503), ("/order", 429)] {
        let all = Shortlived::prepared(5);
        let kind = if status == 429 { "rateLimited" } else { "serverInternal" };
        all.authority.fail(path, Fault::Problem(status, "Retry-After: 9000\r\n", kind, "too many requests"));
        all.run_until(24).await;
        let asked = all.authority.asked_for(path);
        assert!(gaps(&asked).iter().all(|gap| (9_000..9_100).contains(gap)), "{path} {status}: {:?}", gaps(&asked));
        assert_eq!(asked.len(), 10, "{path} {status}: {:?}", gaps(&asked));

        // A person who asks is told the same, and one who insists is heard.
        let certificate = &all.simulation.certificates[0];
        let error = all.simulation.renewer().obtain(certificate, false).await.unwrap_err();
        assert!(
            matches!(&error, Error::Held { until: Some(until), .. } if *until > all.simulation.clock.now()),
            "{error:?}"
        );
        assert_eq!(all.authority.asked_for(path).len(), 10);
        all.simulation.renewer().obtain(certificate, true).await.unwrap_err();
        assert_eq!(all.authority.asked_for(path).len(), 11);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_never_answers_is_given_up_and_put_off() {
    let all = Shortlived::prepared(3);
    all.authority.fail("/", Fault::Hang);
    let round = all.simulation.round(false).await;
    assert_eq!((round.failures.len(), round.held.len(), all.authority.asked().len()), (1, 2, 1), "{round:?}");
    assert!(round.wake_at >= all.begin + SignedDuration::from_mins(1));
    // Before its time nothing is asked, by whomever.
    let round = all.simulation.round(false).await;
    assert_eq!((round.failures.len(), round.held.len(), all.authority.asked().len()), (0, 3, 1), "{round:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_one_certificate_is_nothing_to_the_others() {
    let all = Shortlived::prepared(3);
    // What Boulder says of one set of names.
    let detail = "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s";
    all.authority.fail("/order", Fault::Problem(429, "Retry-After: 36000\r\n", "rateLimited", detail));
    let round = all.simulation.round(false).await;
    assert_eq!(round.failures.len(), 3, "{round:?}");
    assert_eq!(all.authority.asked_for("/order").len(), 3);
    all.run_until(9).await;
    assert_eq!(all.authority.asked_for("/order").len(), 3);
    all.authority.mend();
    all.run_until(11).await;
    assert_eq!(all.simulation.generations(), [1; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_told_with_its_link_and_ended_by_a_person_alone() {
    let all = Shortlived::prepared(1);
    let link = "https://portal.ca.test/sfe/v1/unpause?jwt=abc";
    let detail = "paused: visit https://portal.ca.test/sfe/v1/unpause?jwt=abc";
    all.authority.fail("/order", Fault::Problem(429, "Retry-After: 60\r\n", "rateLimited", detail));
    all.run_until(72).await;
    assert_eq!(all.authority.asked_for("/order").len(), 1);
    let round = all.simulation.round(false).await;
    let [(_, error @ Error::Held { until: None, problem, .. })] = round.held.as_slice() else { panic!("{round:?}") };
    assert!(problem.contains(link), "{problem}");
    assert!(error.to_string().contains("until somebody has acted"), "{error}");

    all.authority.mend();
    all.simulation.renewer().obtain(&all.simulation.certificates[0], false).await.unwrap();
    assert!(all.simulation.round(false).await.held.is_empty());
}
