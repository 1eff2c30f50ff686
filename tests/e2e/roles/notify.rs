//! What a service manager is told.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::manager::Manager;
use crate::support::sidecar::{self, DEADLINE};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Leaf, Pki, Sidecar, poll};

/// A node, a user whom a service manager listens to, and a certificate that was pushed.
struct Service {
    // Before the user's directory: fields are dropped in this order.
    haproxy: Haproxy,
    hotcert: Hotcert,
    manager: Manager,
    pki: Pki,
}

impl Service {
    fn new(environment: &[(&str, &str)]) -> Self {
        let manager = Manager::new();
        let hotcert = Hotcert::new().env("NOTIFY_SOCKET", manager.address());
        let hotcert = environment.iter().fold(hotcert, |hotcert, (name, value)| hotcert.env(name, *value));
        Self { haproxy: Haproxy::new(HaproxyVersion::V3_2).start(), hotcert, manager, pki: Pki::new() }
    }

    fn flags(&self, rest: &str) -> Vec<OsString> {
        sidecar::flags(&self.hotcert, &[&self.haproxy], rest)
    }

    fn push(&self, name: &str) -> Leaf {
        let leaf = self.pki.leaf(name).issue();
        let file = self.hotcert.scratch().write("pushed.pem", leaf.fullchain_and_key());
        let arguments = [OsString::from("push"), file.into()].into_iter().chain(self.flags(""));
        self.hotcert.run(arguments).expect_code(0);
        leaf
    }

    fn start(&self, rest: &str) -> Sidecar {
        Sidecar::start_unready(&self.hotcert, self.flags(rest))
    }
}

#[test]
fn ready_comes_after_the_first_round_and_the_line_about_the_state_follows_what_happens() {
    let service = Service::new(&[]);
    let leaf = service.push("shop.test");
    let slot = format!("{}/shop.test.pem", service.haproxy.crt_dir().display());
    service.haproxy.set_cert(&slot, &service.pki.leaf("shop.test").issue().fullchain_and_key());

    let sidecar = service.start("");
    assert_eq!(service.manager.hear(), "READY=1");
    assert_eq!(sidecar::serial(&service.haproxy, "shop.test").unwrap(), leaf.serial());
    assert_eq!(service.manager.hear(), "STATUS=1 of 1 certificates served");
    service.push("other.test");
    service.manager.hear_that(|message| message == "STATUS=2 of 2 certificates served");
    sidecar.signal(Signal::TERM);
    assert_eq!(service.manager.hear_that(|message| !message.starts_with("STATUS=")), "STOPPING=1");
    sidecar.wait().expect_code(0);
}

#[test]
fn a_node_that_is_down_keeps_nothing_from_being_ready_and_is_told() {
    let service = Service::new(&[]);
    service.push("shop.test");
    let rest = "[haproxy.gone]\nsocket = \"/nonexistent/admin.sock\"\n";
    let sidecar = service.start(rest);
    assert_eq!(service.manager.hear(), "READY=1");
    let line = service.manager.hear();
    assert!(line.starts_with("STATUS=1 of 1 certificates served; node gone: "), "{line}");
    sidecar.stop().0.expect_code(0);
}

#[test]
fn a_reload_begins_and_ends_also_when_the_configuration_is_refused() {
    let service = Service::new(&[]);
    service.push("shop.test");
    let sidecar = service.start("");
    service.manager.hear_that(|message| message == "READY=1");

    for rest in ["mode = \"0640\"\n", "crt_dirr = 7\n"] {
        service.flags(rest);
        sidecar.signal(Signal::HUP);
        let reloading = service.manager.hear_that(|message| !message.starts_with("STATUS="));
        let now = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(now.parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(service.manager.hear_that(|message| !message.starts_with("STATUS=")), "READY=1");
    }
    assert!(sidecar.log().contains("the old one stays in use"), "{}", sidecar.log());
    sidecar.stop().0.expect_code(0);
}

#[test]
fn the_watchdog_is_fed_twice_in_its_interval() {
    let interval = Duration::from_secs(2);
    let service = Service::new(&[("WATCHDOG_USEC", "2000000")]);
    let sidecar = service.start("");
    let is_food = |message: &str| message == "WATCHDOG=1";
    service.manager.hear_that(is_food);
    for _ in 0..3 {
        let began = Instant::now();
        service.manager.hear_that(is_food);
        assert!(began.elapsed() < interval, "{:?}", began.elapsed());
    }
    // A service manager that expects nothing is told nothing.
    sidecar.stop().0.expect_code(0);
    let unwatched = Service::new(&[]);
    let sidecar = unwatched.start("");
    unwatched.manager.hear_that(|message| message == "READY=1");
    assert!(poll(DEADLINE, || sidecar.log().contains("ready").then_some(())).is_some());
    sidecar.signal(Signal::TERM);
    let rest = unwatched.manager.hear_that(|message| message == "STOPPING=1" || is_food(message));
    assert_eq!(rest, "STOPPING=1");
    sidecar.wait().expect_code(0);
}
