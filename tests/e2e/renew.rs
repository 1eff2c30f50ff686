//! Renewals by real processes on real servers: each once, with what it replaces, within what an authority allows.

use std::ffi::OsString;
use std::time::Duration;

use crate::support::authority::ScriptedAuthority;
use crate::support::net::Port;
use crate::support::{Hotcert, Outcome, Pebble, PebbleVersion, Webroot};
use jiff::{SignedDuration, Timestamp};

/// A user with a configuration of an authority and certificates, and no HAProxy.
struct User {
    hotcert: Hotcert,
    config: OsString,
    names: Vec<String>,
    _webroot: Webroot,
}

impl User {
    /// `extra` are lines for the issuer.
    fn new(count: usize, directory: &str, root_ca: &str, roots: &str, port: &Port, extra: &str) -> Self {
        let hotcert = Hotcert::new();
        let webroot = Webroot::serve(port.addr());
        let roots = hotcert.scratch().write("roots.pem", roots);
        let (state, roots, web) =
            (hotcert.state_dir().display().to_string(), roots.display().to_string(), webroot.path().display());
        let mut config = format!(
            "version = 1\nstate_dir = {state:?}\ntrust = {roots:?}\n[issuer.test]\ndirectory = {directory:?}\n\
             contact = \"admin@example.org\"\nterms_agreed = true\nroot_ca = {root_ca:?}\n{extra}\n\
             [solver.web]\ntype = \"http-01\"\nvia = \"webroot\"\npath = \"{web}\"\nprobe = \"{}\"\n",
            port.addr()
        );
        let names: Vec<String> = (0..count).map(|number| format!("c{number}.test")).collect();
        for name in &names {
            config += &format!("[[certificate]]\nname = {name:?}\ndomains = [{name:?}]\n");
        }
        let config = hotcert.scratch().write("hotcert.toml", config).into();
        Self { hotcert, config, names, _webroot: webroot }
    }

    fn at(pebble: &Pebble, port: &Port, count: usize) -> Self {
        let root_ca = pebble.root_ca().display().to_string();
        Self::new(count, &pebble.directory(), &root_ca, &pebble.issuance_root_pem(), port, "")
    }

    fn arguments(&self, command: &[&str]) -> Vec<OsString> {
        let config = ["--config".into(), self.config.clone()];
        command.iter().map(OsString::from).chain(config).collect()
    }

    fn run(&self, command: &[&str]) -> Outcome {
        self.hotcert.run(self.arguments(command))
    }

    /// Moves the windows of all current certificates into the past, and makes hotcert ask anew. Returns how many of them can be
    /// named as replaced: Pebble 2.10 does not find a serial number whose first bit is set, for the zero byte before it.
    fn call_for_renewals(&self, pebble: &Pebble) -> usize {
        let status = self.run(&["status", "--json"]).json();
        let serials = status["certificates"].as_array().unwrap().iter().map(|found| found["serial"].as_str().unwrap());
        let findable = serials.filter(|serial| serial.len() % 2 == 1 || serial.as_bytes()[0] < b'8').count();
        for name in &self.names {
            let place = self.hotcert.state_dir().join("certs").join(name);
            let certificate = std::fs::read_to_string(place.join("current/cert.pem")).unwrap();
            let now = Timestamp::now();
            let hours = SignedDuration::from_hours;
            pebble.set_renewal_window(&certificate, now - hours(2), now - hours(1));
            // What it was told lasts for six hours; what it was told can be lost.
            std::fs::remove_file(place.join("renewal.json")).unwrap();
        }
        findable
    }
}

#[test]
fn when_an_authority_calls_for_renewals_each_certificate_is_renewed_once_with_what_it_replaces() {
    let port = Port::reserve();
    let pebble = Pebble::new(PebbleVersion::V2_10).http01(port.addr()).start();
    let user = User::at(&pebble, &port, 4);
    let first = user.run(&["renew", "--json"]).expect_code(0).json();
    assert_eq!(first["ordered"].as_array().unwrap().len(), 4);
    assert_eq!((pebble.orders(), pebble.replacements()), (4, 0));
    // The instant that the authority suggests, two thirds of the lifetime ahead: chosen, and the same at each look.
    let renew_at = |outcome: Outcome| outcome.json()["certificates"][0]["renew_at"].as_str().unwrap().to_owned();
    let chosen = renew_at(user.run(&["status", "--json"]));
    assert!(chosen.parse::<Timestamp>().unwrap() > Timestamp::now() + SignedDuration::from_hours(24 * 30));
    assert!(user.run(&["renew", "--json"]).expect_code(0).json()["ordered"].as_array().unwrap().is_empty());
    assert_eq!(renew_at(user.run(&["status", "--json"])), chosen);
    let later = user.run(&["renew", "--dry-run", "--json"]).expect_code(0).json();
    assert_eq!(later["later"][0]["at"], chosen, "{later:#}");

    let findable = user.call_for_renewals(&pebble);
    for _ in 0..3 {
        user.run(&["renew"]).expect_code(0);
    }
    assert_eq!((pebble.orders(), pebble.certificates(), pebble.replacements()), (8, 8, findable));
    for serial in user.run(&["status", "--json"]).json()["certificates"].as_array().unwrap() {
        assert_eq!(serial["generation"], 2);
    }
}

#[test]
fn of_two_and_of_eight_processes_one_orders_each_renewal() {
    let port = Port::reserve();
    let pebble = Pebble::new(PebbleVersion::V2_10).http01(port.addr()).start();
    let user = User::at(&pebble, &port, 3);
    user.run(&["renew"]).expect_code(0);
    let mut replaced = 0;
    for (round, processes) in [(1, 2), (2, 8)] {
        replaced += user.call_for_renewals(&pebble);
        // That a window of the past led to a renewal counts for a day; what was told is lost with it here.
        let running: Vec<_> = (0..processes).map(|_| user.hotcert.spawn(user.arguments(&["renew", "-v"]))).collect();
        for process in running {
            process.wait(Duration::from_mins(1)).expect_code(0);
        }
        let expected = 3 + 3 * round;
        assert_eq!((pebble.orders(), pebble.certificates()), (expected, expected), "{processes} processes");
        assert_eq!(pebble.replacements(), replaced);
    }
    assert_eq!(pebble.accounts(), 1);
}

#[test]
fn orders_of_one_and_of_several_processes_share_the_address_at_which_challenges_are_answered() {
    let port = Port::reserve();
    let pebble = Pebble::new(PebbleVersion::V2_10).http01(port.addr()).start();
    // The web server goes away; hotcert listens in its place.
    let User { hotcert, config, names, .. } = User::at(&pebble, &Port::reserve(), 6);
    let text = std::fs::read_to_string(&config).unwrap();
    let begin = text.find("via = ").unwrap();
    let end = text.find("[[certificate]]").unwrap();
    let place = port.addr();
    let listener = format!("via = \"listener\"\nlisten = \"{place}\"\nprobe = \"{place}\"\n");
    std::fs::write(&config, format!("{}{listener}{}", &text[..begin], &text[end..])).unwrap();

    let arguments: Vec<OsString> = ["renew".into(), "-v".into(), "--config".into(), config].into();
    let running: Vec<_> = (0..3).map(|_| hotcert.spawn(&arguments)).collect();
    for process in running {
        process.wait(Duration::from_mins(1)).expect_code(0);
    }
    assert_eq!((pebble.orders(), pebble.certificates()), (names.len(), names.len()));
}

#[test]
fn the_sixth_certificate_for_the_same_names_is_not_asked_for_and_its_time_is_told() {
    let authority = ScriptedAuthority::start(None, SignedDuration::from_hours(160));
    let port = Port::reserve();
    let (directory, root_ca) = (authority.directory(), authority.root_ca().display().to_string());
    let limits = "limits = \"letsencrypt\"";
    let user = User::new(1, &directory, &root_ca, &authority.root_pem(), &port, limits);
    let orders = || authority.asked().iter().filter(|asked| asked.path == "/order").count();
    let begin = Timestamp::now();
    for count in 1..=5 {
        user.run(&["renew", "--force"]).expect_code(0);
        assert_eq!(orders(), count);
    }
    let refused = user.run(&["renew", "--force", "--json"]).expect_code(75).json();
    assert_eq!(refused["error"]["kind"], "budget", "{refused:#}");
    assert_eq!(orders(), 5);

    let status = user.run(&["status", "--json"]).expect_code(2).json();
    let certificate = &status["certificates"][0];
    let next: Timestamp = certificate["next_try"].as_str().unwrap().parse().unwrap();
    let wait = next.duration_since(begin);
    assert!(wait > SignedDuration::from_hours(33) && wait < SignedDuration::from_hours(35), "{certificate:#}");
    let problem = certificate["problem"].as_str().unwrap();
    assert!(problem.contains("5 certificates for exactly these names in 7 days"), "{problem}");
    // It is not due, so a timer's command has nothing to say.
    user.run(&["renew"]).expect_code(0);
    assert_eq!(orders(), 5);
}

#[test]
fn what_failed_is_not_tried_again_by_the_next_command_and_shown_until_then() {
    let mut pebble = Pebble::new(PebbleVersion::V2_10).start();
    let port = Port::reserve();
    let user = User::at(&pebble, &port, 3);
    pebble.stop();
    let failed = user.run(&["renew"]).expect_code(75);
    assert!(failed.stderr.contains("cannot be reached"), "{failed:?}");
    let again = user.run(&["renew", "--json"]).expect_code(75).json();
    assert_eq!(again["error"]["kind"], "held", "{again:#}");

    let status = user.run(&["status", "--json"]).expect_code(2).json();
    for certificate in status["certificates"].as_array().unwrap() {
        assert!(certificate["problem"].as_str().unwrap().contains("cannot be reached"), "{certificate:#}");
        let next: Timestamp = certificate["next_try"].as_str().unwrap().parse().unwrap();
        assert!(next > Timestamp::now() && next < Timestamp::now() + SignedDuration::from_mins(3));
    }
    let shown = user.run(&["status"]).expect_code(2).stdout;
    assert!(shown.contains("tried again at"), "{shown}");
    // Somebody who insists is heard.
    let forced = user.run(&["renew", "--force"]).expect_code(75);
    assert!(forced.stderr.contains("cannot be reached"), "{forced:?}");
}
