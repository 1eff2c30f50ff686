//! Which solver answers for which name, and what happens when one fails, with real servers.

use std::net::SocketAddr;

use crate::support::net::Port;
use crate::support::sidecar::quoted;
use crate::support::{Haproxy, HaproxyVersion, Outcome, Pebble, PebbleVersion, Site, Webroot};

/// A site with a web server beside it that no road from the authority leads to.
struct Crossroads {
    site: Site,
    aside: (Port, Webroot),
    /// Where hotcert listens: where HAProxy sends challenges, unless a test says otherwise.
    listen: SocketAddr,
}

impl Crossroads {
    fn new() -> Self {
        let haproxy = Haproxy::new(HaproxyVersion::V3_2);
        let site = Site::with(haproxy, Pebble::new(PebbleVersion::V2_10));
        let port = Port::reserve();
        let aside = Webroot::serve(port.addr());
        let listen = site.haproxy.acme_addr();
        Self { site, aside: (port, aside), listen }
    }

    /// A configuration for names, with the solver `aside` before the one through HAProxy. It is tried out by the pre-flight at an
    /// address.
    fn configure(&self, names: &str, probe: SocketAddr, more: &str) {
        let aside = format!(
            "[solver.aside]\ntype = \"http-01\"\nvia = \"webroot\"\npath = {}\nprobe = \"{probe}\"\n{more}\n",
            quoted(self.aside.1.path()),
        );
        let certificate = format!("[[certificate]]\ndomains = {names}\nsolver = [\"aside\", \"http\"]\n");
        let through = self.site.authority_config();
        let through = through.replace(&self.site.haproxy.acme_addr().to_string(), &self.listen.to_string());
        let config = ["version = 1\n", &through, &aside, &certificate].concat();
        self.site.hotcert.scratch().write("hotcert.toml", config);
    }

    fn renew(&self) -> Outcome {
        self.site.run(&["renew", "--config", "hotcert.toml"])
    }
}

#[test]
fn a_solver_whose_road_is_wrong_gives_way_before_an_order_is_spent() {
    let crossroads = Crossroads::new();
    crossroads.configure("[\"a.test\", \"b.test\"]", crossroads.site.haproxy.http_addr(), "");
    let renewed = crossroads.renew().expect_code(0);
    assert!(renewed.stderr.contains("another solver is tried"), "{renewed:?}");
    assert_eq!(crossroads.site.pebble.orders(), 1);
    assert!(crossroads.site.serial("b.test").is_ok());
    crossroads.site.expect_nothing_half_done();
}

#[test]
fn a_solver_that_proves_nothing_gives_way_in_the_next_order() {
    let crossroads = Crossroads::new();
    // The pre-flight is told to ask where the authority does not.
    crossroads.configure("[\"a.test\", \"b.test\"]", crossroads.aside.0.addr(), "names = [\"a.test\"]");
    let renewed = crossroads.renew().expect_code(0);
    assert!(renewed.stderr.contains("ordering anew"), "{renewed:?}");
    assert_eq!(crossroads.site.pebble.orders(), 2);
    assert!(crossroads.site.serial("a.test").is_ok());
    assert!(crossroads.aside.1.challenges().is_empty());
    crossroads.site.expect_nothing_half_done();
}

#[test]
fn where_the_last_solver_fails_its_failure_is_told() {
    let mut crossroads = Crossroads::new();
    let elsewhere = Port::reserve();
    crossroads.listen = elsewhere.addr();
    crossroads.configure("[\"a.test\"]", crossroads.site.haproxy.http_addr(), "names = [\"*.b.test\", \"a.test\"]");
    let failed = crossroads.renew().expect_code(1);
    assert!(failed.stderr.contains("challenges for a.test would not reach hotcert"), "{failed:?}");
    assert!(failed.stderr.contains(&format!("server hotcert {}", elsewhere.addr())), "{failed:?}");
    assert_eq!(crossroads.site.pebble.orders(), 0);
}
