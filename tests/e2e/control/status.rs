//! `hotcert status` beside a sidecar.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use rustix::process::Signal;

use super::status_that;
use crate::support::authority::{Fault, ScriptedAuthority};
use crate::support::net::Port;
use crate::support::process::signal_process;
use crate::support::sidecar::{DEADLINE, quoted};
use crate::support::{Haproxy, HaproxyVersion, House, Pki, Sidecar, poll};

/// Certificates in the test of how soon an answer comes.
const MANY: usize = 200;
/// How often it is asked.
const ASKED: usize = 20;
/// How long an answer may take, with a program that was built to be debugged and beside other tests: far less than HAProxy would
/// be waited for, which is a minute.
const AT_ONCE: Duration = Duration::from_secs(5);

fn count(json: &serde_json::Value, key: &str, value: &str) -> usize {
    json["certificates"].as_array().unwrap().iter().filter(|certificate| certificate[key] == value).count()
}

fn median(house: &House, asked: usize) -> Duration {
    let mut times: Vec<Duration> = (0..asked)
        .map(|_| {
            let began = Instant::now();
            let json = house.run(&["status", "--json"]).json();
            assert_eq!(json["certificates"].as_array().unwrap().len(), MANY);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[asked / 2]
}

#[test]
fn status_is_told_at_once_also_while_the_node_hangs() {
    // HAProxy has them already: it is not loading that is measured.
    let pki = Pki::new();
    let leaf = |number: usize| pki.leaf(&format!("c{number}.test")).issue();
    let files: Vec<_> =
        (0..MANY).map(|number| (format!("c{number}.test.pem"), leaf(number).fullchain_and_key())).collect();
    let haproxy = Haproxy::new(HaproxyVersion::V3_2);
    let house = House::new([files.iter().fold(haproxy, |haproxy, (name, pem)| haproxy.certificate(name, pem))]);
    let watched = house.hotcert.scratch().dir("watched");
    let write = |name: &str, pem: &str| house.hotcert.scratch().write(watched.join(name), pem);
    for (name, pem) in &files {
        write(name, pem);
    }
    let watch = format!("[[watch]]\ndir = {}\n", quoted(&watched));
    let sidecar = Sidecar::start(&house.hotcert, house.flags_and(&watch));
    let run = |house: &House, arguments: &[&str]| {
        house.hotcert.run(arguments.iter().map(OsString::from).chain(house.flags_and(&watch)))
    };
    let all = poll(Duration::from_secs(40), || {
        let outcome = run(&house, &["status", "--json"]);
        (outcome.code == Some(0) && count(&outcome.json(), "state", "serving") == MANY).then_some(())
    });
    assert!(all.is_some(), "{}", sidecar.log());

    let running = median(&house, ASKED);
    let node = house.nodes[0].pid();
    signal_process(node, Signal::STOP);
    let began = Instant::now();
    let last = house.run(&["status", "--json"]).json();
    assert_eq!(count(&last, "state", "serving"), MANY, "{last:#}");
    let hanging = median(&house, ASKED / 4);
    println!("{MANY} certificates: status in {running:?}, and in {hanging:?} while HAProxy hangs");
    assert!(running < AT_ONCE && hanging < AT_ONCE && began.elapsed() < AT_ONCE * 20, "{running:?}, {hanging:?}");

    // What is stored meanwhile is known, and that the node does not have it.
    let new = leaf(7);
    write("c7.test.pem", &new.fullchain_and_key());
    let status = status_that(&house, |json| json["certificates"].to_string().contains(new.serial()));
    let json = status.expect_code(2).json();
    let certificate = json["certificates"].as_array().unwrap().iter().find(|found| found["name"] == "c7.test").unwrap();
    assert_eq!((&certificate["state"], &certificate["generation"]), (&"stored".into(), &2.into()), "{certificate:#}");
    assert!(["stale", "unreachable"].contains(&certificate["nodes"][0]["state"].as_str().unwrap()), "{certificate:#}");
    signal_process(node, Signal::CONT);
    status_that(&house, |json| count(json, "state", "serving") == MANY).expect_code(0);
    sidecar.stop().0.expect_code(0);
}

#[test]
fn how_ordering_stands_is_told_also_where_there_is_no_node() {
    let authority = ScriptedAuthority::start(None, SignedDuration::from_hours(160));
    let link = "https://portal.test/sfe/v1/unpause?jwt=abc";
    authority.fail(
        "/order",
        Fault::Problem(429, "", "rateLimited", "paused for shop.test; see https://portal.test/sfe/v1/unpause?jwt=abc"),
    );
    let house = House::new([]);
    let port = Port::reserve();
    let rest = format!(
        "[issuer.test]\ndirectory = \"{}\"\nroot_ca = {}\ncontact = [\"admin@example.org\"]\nterms_agreed = true\n\
         [solver.http]\ntype = \"http-01\"\nvia = \"listener\"\nlisten = \"{port}\"\nprobe = \"{port}\"\n\
         [[certificate]]\nname = \"shop.test\"\ndomains = [\"shop.test\"]\n",
        authority.directory(),
        quoted(authority.root_ca()),
        port = port.addr(),
    );
    house.hotcert.scratch().write("roots.pem", authority.root_pem());
    let rest = format!("trust = [{}]\n{rest}", quoted(house.hotcert.scratch().join("roots.pem")));
    let flags = house.flags_and(&rest);
    let run = |command: &[&str]| house.hotcert.run(command.iter().map(OsString::from).chain(flags.clone()));
    let sidecar = Sidecar::start(&house.hotcert, &flags);
    let status_with = |what: &str| {
        let found = poll(DEADLINE, || {
            let outcome = run(&["status", "-vv", "--json"]);
            outcome.json()["certificates"].to_string().contains(what).then_some(outcome)
        });
        let outcome = found.unwrap_or_else(|| panic!("{:?}\n{}", run(&["status"]), sidecar.log()));
        assert!(outcome.stderr.contains("the daemon does it"), "{outcome:?}");
        outcome
    };

    // Nobody but a person can help.
    let certificate = status_with(link).expect_code(2).json()["certificates"][0].clone();
    assert_eq!((&certificate["state"], &certificate["next_try"]), (&"missing".into(), &serde_json::Value::Null));
    assert!(run(&["status"]).expect_code(2).stdout.contains(link));
    authority.mend();
    let renewed = run(&["renew", "--force", "-vv", "--json"]).expect_code(0);
    assert!(renewed.stderr.contains("the daemon does it"), "{renewed:?}");
    let certificate = run(&["status", "--json"]).expect_code(0).json()["certificates"][0].clone();
    assert_eq!((&certificate["state"], &certificate["problem"]), (&"stored".into(), &serde_json::Value::Null));
    assert!(certificate["renew_at"].is_string(), "{certificate:#}");

    // A renewal that failed while there is time is told as well, and when it is tried again.
    authority.fail("/order", Fault::Problem(503, "", "serverInternal", "no orders today"));
    run(&["renew", "--force"]).expect_code(75);
    let certificate = status_with("no orders today").expect_code(2).json()["certificates"][0].clone();
    assert!(certificate["next_try"].is_string(), "{certificate:#}");
    sidecar.stop().0.expect_code(0);
}
