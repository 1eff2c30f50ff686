//! Several issuers, and a rehearsal at a staging environment, by the real program on real servers.

use std::ffi::OsString;

use crate::support::sidecar::{self, quoted};
use crate::support::{Haproxy, HaproxyVersion, Http01, Outcome, Pebble, PebbleVersion, Sidecar, Site};
use serde_json::Value;

/// A site with another authority, which validates at the same place.
struct Two {
    site: Site,
    other: Pebble,
}

impl Two {
    fn new(http01: Http01, haproxy: HaproxyVersion) -> Self {
        let site = Site::answering(http01, Haproxy::new(haproxy), Pebble::new(PebbleVersion::V2_10));
        let other = Pebble::new(PebbleVersion::V2_10).http01(site.haproxy.http_addr()).start();
        Self { site, other }
    }

    /// The flag with a configuration; both authorities have an end point of their own.
    fn flags(&self, issuers: &str) -> Vec<OsString> {
        let config = self.site.authority_config();
        let rest = format!("{config}{issuers}");
        sidecar::flags(&self.site.hotcert, &[&self.site.haproxy], &rest)
    }

    /// The configuration in which `second` follows.
    fn either(&self) -> Vec<OsString> {
        self.flags(&format!(
            "[issuer.second]\ndirectory = \"{}\"\nroot_ca = {}\ncontact = \"admin@example.org\"\nterms_agreed = true\n\
             [[certificate]]\ndomains = [\"shop.test\"]\nissuers = [\"pebble\", \"second\"]\n",
            self.other.directory(),
            quoted(self.other.root_ca()),
        ))
    }

    /// The configuration in which the other one is the staging environment of the first.
    fn staged(&self) -> Vec<OsString> {
        let roots = std::fs::read_to_string(self.site.pebble.root_ca()).unwrap()
            + &std::fs::read_to_string(self.other.root_ca()).unwrap();
        let roots = self.site.hotcert.scratch().write("roots.pem", roots);
        let config = self.site.authority_config().replace(&quoted(self.site.pebble.root_ca()), &quoted(roots));
        let staging = format!("[issuer.pebble]\nstaging = \"{}\"\n", self.other.directory());
        let config = config.replace("[issuer.pebble]\n", &staging);
        let certificate = "[[certificate]]\ndomains = [\"shop.test\", \"www.shop.test\"]\n";
        sidecar::flags(&self.site.hotcert, &[&self.site.haproxy], &format!("{config}{certificate}"))
    }

    fn run(&self, flags: &[OsString], arguments: &[&str]) -> Outcome {
        self.site.hotcert.run(arguments.iter().map(OsString::from).chain(flags.iter().cloned()))
    }
}

fn certificate(outcome: &Outcome) -> Value {
    outcome.json()["certificates"][0].clone()
}

#[test]
fn a_certificate_comes_from_the_next_issuer_while_the_first_is_dead_and_commands_say_so() {
    let mut two = Two::new(Http01::Listener, HaproxyVersion::V3_2);
    let flags = two.either();
    let forecast = two.run(&flags, &["renew", "--dry-run"]).expect_code(0).stdout;
    assert_eq!(forecast, "shop.test: would be ordered from pebble, there is none yet\n");
    two.site.pebble.stop();
    let renewed = two.run(&flags, &["renew", "--json"]).expect_code(0);
    let shown = certificate(&renewed);
    assert_eq!((&shown["issuer"], &shown["state"]), (&"second".into(), &"serving".into()), "{shown:#}");
    assert!(renewed.stderr.contains("another one is asked"), "{renewed:?}");
    assert_eq!((two.other.orders(), two.site.serial("shop.test").ok().as_deref()), (1, shown["serial"].as_str()));
    two.site.expect_nothing_half_done();

    // Nothing is due, and nothing is wrong with the certificate.
    let status = certificate(&two.run(&flags, &["status", "--json"]).expect_code(0));
    assert_eq!((&status["issuer"], &status["next_issuer"]), (&"second".into(), &"second".into()), "{status:#}");
    assert_eq!(status["problem"], Value::Null);
    // Who insists asks the first once more.
    let forced = two.run(&flags, &["issue", "shop.test", "--force", "--json"]).expect_code(0);
    assert_eq!((&certificate(&forced)["issuer"], two.other.orders()), (&"second".into(), 2));

    two.other.stop();
    let failed = two.run(&flags, &["renew", "--force", "--json"]).expect_code(75).json();
    assert_eq!(failed["error"]["kind"], "authority", "{failed:#}");
    // The authorities' trouble is nothing to a certificate that is not due.
    let status = certificate(&two.run(&flags, &["status", "--json"]).expect_code(0));
    assert_eq!((&status["next_issuer"], &status["problem"]), (&Value::Null, &Value::Null), "{status:#}");
}

/// Nothing of a certificate is there, nor of the first authority.
fn expect_nothing_kept(two: &Two) {
    let state = two.site.hotcert.state_dir();
    assert!(!state.join("certs/shop.test").exists(), "something is kept of the certificate");
    let accounts: Vec<_> = std::fs::read_dir(state.join("accounts")).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(accounts.len(), 1, "only the account at the staging environment is: {accounts:?}");
    assert_eq!((two.site.pebble.orders(), two.site.pebble.accounts()), (0, 0));
    assert!(two.site.serial("shop.test").is_err() || !two.site.haproxy.crt_dir().join("shop.test.pem").exists());
    two.site.expect_nothing_half_done();
}

#[test]
fn a_rehearsal_orders_at_the_staging_environment_and_keeps_nothing() {
    let mut two = Two::new(Http01::Listener, HaproxyVersion::V2_6);
    let flags = two.staged();
    two.run(&flags, &["config", "check"]).expect_code(0);
    let said = two.run(&flags, &["issue", "shop.test", "--dry-run"]).expect_code(0).stdout;
    let begin = "shop.test: 2 names proved, certificate for shop.test, www.shop.test by pebble-staging, valid until ";
    assert!(said.starts_with(begin), "{said}");
    assert!(said.contains("would order it from pebble (there is none yet), and load it into "), "{said}");
    assert_eq!((two.other.orders(), two.other.certificates()), (1, 1));
    expect_nothing_kept(&two);

    let json = two.run(&flags, &["issue", "shop.test", "--dry-run", "--json"]).expect_code(0).json();
    let rehearsed = &json["rehearsed"][0];
    assert_eq!((&json["dry_run"], &rehearsed["next"]["action"]), (&true.into(), &"order".into()), "{json:#}");
    assert_eq!(rehearsed["proved"].as_array().unwrap().len(), 2);
    expect_nothing_kept(&two);

    two.other.stop();
    let failed = two.run(&flags, &["issue", "shop.test", "--dry-run", "--json"]).expect_code(75).json();
    assert_eq!(failed["error"]["kind"], "authority", "{failed:#}");
    expect_nothing_kept(&two);
    // It holds up nothing.
    two.run(&flags, &["issue", "shop.test"]).expect_code(0);
    let missing = two.run(&two.flags(""), &["issue", "other.test", "--dry-run"]).expect_code(78);
    assert!(missing.stderr.contains("staging = ") && missing.stderr.contains("[issuer.pebble]"), "{missing:?}");
}

#[test]
fn a_daemon_rehearses_through_the_map_of_haproxy_and_leaves_what_is_served() {
    let two = Two::new(Http01::Map, HaproxyVersion::V3_2);
    let flags = two.staged();
    let sidecar = Sidecar::start(&two.site.hotcert, &flags);
    let served = crate::support::poll(sidecar::DEADLINE, || {
        two.site.serial("shop.test").ok().filter(|_| two.site.pebble.certificates() == 1)
    });
    let json = two.run(&flags, &["issue", "shop.test", "--dry-run", "--json"]).expect_code(0).json();
    assert_eq!(json["rehearsed"][0]["next"]["action"], "keep", "{json:#}\n{}", sidecar.log());
    assert_eq!((two.other.certificates(), two.site.pebble.orders()), (1, 1));
    let status = certificate(&two.run(&flags, &["status", "--json"]));
    assert_eq!(
        (status["generation"].as_u64(), two.site.serial("shop.test").ok().as_deref()),
        (Some(1), status["serial"].as_str())
    );
    assert!(served.is_some());
    let map = two.site.haproxy.cli(&format!("show map {}", two.site.haproxy.map().display()));
    assert_eq!(map.trim(), "", "answers to challenges are left");
    sidecar.stop();
    two.site.expect_nothing_half_done();
}
