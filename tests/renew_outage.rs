//! Authorities that fail, in simulated days: what is asked of them is counted, and no certificate expires.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

use hotcert::clock::Clock as _;
use hotcert::renew::Error;
use jiff::{SignedDuration, Timestamp};
use support::authority::{Asked, Fault, ScriptedAuthority};
use support::net::Port;
use support::simulation::Simulation;

/// Let's Encrypt's `shortlived`.
const LIFETIME: SignedDuration = SignedDuration::from_hours(160);

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

/// An authority and certificates of it that were just issued.
async fn issued(count: usize) -> (ScriptedAuthority, Simulation, Timestamp) {
    let (authority, simulation, begin) = prepared(count);
    simulation.issue_all().await;
    authority.forget();
    (authority, simulation, begin)
}

fn prepared(count: usize) -> (ScriptedAuthority, Simulation, Timestamp) {
    let begin = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let authority = ScriptedAuthority::start(Some(begin), LIFETIME);
    let port = Port::reserve();
    let (directory, root) = (authority.directory(), authority.root_pem());
    let simulation = Simulation::new(count, begin, &directory, &authority.root_ca(), &root, &port);
    (authority, simulation, begin)
}

/// Runs to an instant while both clocks agree; nothing may ever be expired.
async fn run(authority: &ScriptedAuthority, simulation: &Simulation, end: Timestamp) {
    simulation
        .run(end, |now, _| {
            authority.set_time(now);
            for (name, end) in simulation.ends() {
                assert!(end > now, "{name} expired");
            }
        })
        .await;
}

/// The times between requests.
fn gaps(asked: &[Asked]) -> Vec<i64> {
    asked.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at).as_secs()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_certificate_of_160_hours_expires_when_its_authority_is_down_for_48() {
    let (authority, simulation, begin) = issued(20).await;
    // All are due at the 80th hour, and from then on there is nobody.
    run(&authority, &simulation, begin + hours(79)).await;
    authority.forget();
    authority.fail("/", Fault::Down);
    run(&authority, &simulation, begin + hours(80 + 48)).await;
    // An attempt may be made twice on the wire: a connection that breaks before any answer.
    let asked = authority.asked();
    assert_eq!(asked.len(), authority.asked_for("/dir").len());
    assert!((8..=26).contains(&asked.len()), "{} requests: {:?}", asked.len(), gaps(&asked));
    println!("{} requests in 48 hours without an authority, for 20 certificates", asked.len());
    assert_eq!(simulation.generations(), [1; 20]);

    authority.mend();
    run(&authority, &simulation, begin + LIFETIME).await;
    assert_eq!(simulation.generations(), [2; 20]);
    assert_eq!(authority.asked_for("/order").iter().filter(|asked| asked.path == "/order").count(), 20);
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
        Fault::Problem(503, "", "serverInternal", "down for maintenance"),
        Fault::Html(200),
        Fault::Html(503),
        Fault::Redirect,
        Fault::HalfBody,
    ] {
        let (authority, simulation, begin) = prepared(5);
        authority.fail("/", fault.clone());
        run(&authority, &simulation, begin + hours(24)).await;
        let asked = authority.asked();
        println!("{fault:?}: {} requests in 24 hours for 5 certificates", asked.len());
        assert!(asked.iter().all(|asked| asked.path == "/dir"), "{fault:?}: {asked:?}");
        expect_back_off(&gaps(&asked));
        assert!((6..=8).contains(&asked.len()), "{fault:?}: {:?}", gaps(&asked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_takes_no_order_gets_one_for_each_step_of_the_back_off() {
    for fault in [Fault::Problem(503, "", "serverInternal", "no orders today"), Fault::Html(200), Fault::HalfBody] {
        let (authority, simulation, begin) = prepared(5);
        authority.fail("/order", fault.clone());
        run(&authority, &simulation, begin + hours(24)).await;
        let asked = authority.asked_for("/order");
        println!("{fault:?}: {} orders asked for in 24 hours for 5 certificates", asked.len());
        expect_back_off(&gaps(&asked));
        assert!((6..=8).contains(&asked.len()), "{fault:?}: {:?}", gaps(&asked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_says_when_to_come_back_is_not_asked_before() {
    for (path, status) in [("/dir", 503), ("/order", 503), ("/order", 429)] {
        let (authority, simulation, begin) = prepared(5);
        let kind = if status == 429 { "rateLimited" } else { "serverInternal" };
        authority.fail(path, Fault::Problem(status, "Retry-After: 9000\r\n", kind, "too many requests"));
        run(&authority, &simulation, begin + hours(24)).await;
        let asked = authority.asked_for(path);
        assert!(gaps(&asked).iter().all(|gap| (9_000..9_100).contains(gap)), "{path} {status}: {:?}", gaps(&asked));
        assert_eq!(asked.len(), 10, "{path} {status}: {:?}", gaps(&asked));

        // A person who asks is told the same, and one who insists is heard.
        let certificate = &simulation.certificates[0];
        let error = simulation.renewer().obtain(certificate, false).await.unwrap_err();
        assert!(
            matches!(&error, Error::Held { until: Some(until), .. } if *until > simulation.clock.now()),
            "{error:?}"
        );
        assert_eq!(authority.asked_for(path).len(), 10);
        simulation.renewer().obtain(certificate, true).await.unwrap_err();
        assert_eq!(authority.asked_for(path).len(), 11);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_never_answers_is_given_up_and_put_off() {
    let (authority, simulation, begin) = prepared(3);
    authority.fail("/", Fault::Hang);
    let round = simulation.round(false).await;
    assert_eq!((round.failures.len(), round.held.len(), authority.asked().len()), (1, 2, 1), "{round:?}");
    assert!(round.wake_at >= begin + SignedDuration::from_mins(1));
    // Before its time nothing is asked, by whomever.
    let round = simulation.round(false).await;
    assert_eq!((round.failures.len(), round.held.len(), authority.asked().len()), (0, 3, 1), "{round:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_one_certificate_is_nothing_to_the_others() {
    let (authority, simulation, begin) = prepared(3);
    // What Boulder says of one set of names.
    let detail = "too many certificates (5) already issued for this exact set of identifiers in the last 168h0m0s";
    authority.fail("/order", Fault::Problem(429, "Retry-After: 36000\r\n", "rateLimited", detail));
    let round = simulation.round(false).await;
    assert_eq!(round.failures.len(), 3, "{round:?}");
    assert_eq!(authority.asked_for("/order").len(), 3);
    run(&authority, &simulation, begin + hours(9)).await;
    assert_eq!(authority.asked_for("/order").len(), 3);
    authority.mend();
    run(&authority, &simulation, begin + hours(11)).await;
    assert_eq!(simulation.generations(), [1; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_told_with_its_link_and_ended_by_a_person_alone() {
    let (authority, simulation, begin) = prepared(1);
    let link = "https://portal.ca.test/sfe/v1/unpause?jwt=abc";
    let detail = "paused: visit https://portal.ca.test/sfe/v1/unpause?jwt=abc";
    authority.fail("/order", Fault::Problem(429, "Retry-After: 60\r\n", "rateLimited", detail));
    run(&authority, &simulation, begin + hours(72)).await;
    assert_eq!(authority.asked_for("/order").len(), 1);
    let round = simulation.round(false).await;
    let [(_, error @ Error::Held { until: None, problem, .. })] = round.held.as_slice() else { panic!("{round:?}") };
    assert!(problem.contains(link), "{problem}");
    assert!(error.to_string().contains("until somebody has acted"), "{error}");

    authority.mend();
    simulation.renewer().obtain(&simulation.certificates[0], false).await.unwrap();
    assert!(simulation.round(false).await.held.is_empty());
}
