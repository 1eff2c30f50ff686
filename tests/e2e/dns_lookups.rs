//! What is found out by the DNS before an order, and records that prove names for good, against a real authority.

use crate::support::{HaproxyVersion, Outcome, PebbleVersion, Site};
use serde_json::Value;

/// How Pebble 2.10 is named in records, unless it is configured otherwise.
const AUTHORITY: &str = "pebble.letsencrypt.org";

/// A site whose user asks the DNS server of the authority.
struct Town {
    site: Site,
}

impl Town {
    fn new() -> Self {
        Self { site: Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10) }
    }

    /// Issues by a configuration with this solver in it; with that for http-01 when it is empty.
    fn issue(&self, names: &[&str], solver: &str) -> Outcome {
        let Site { haproxy, pebble, hotcert, .. } = &self.site;
        let authority = self.site.authority_config();
        let (issuer, http) = authority.split_at(authority.find("[solver.http]").unwrap());
        let config = format!(
            "version = 1\nstate_dir = {:?}\nresolver = \"{}\"\n\
             [haproxy.edge]\nsocket = {:?}\ncrt_dir = {:?}\nverify = [\"{}\"]\n{issuer}{}",
            hotcert.state_dir(),
            pebble.dns().addr(),
            haproxy.socket(),
            haproxy.crt_dir(),
            haproxy.https_addr(),
            if solver.is_empty() { http } else { solver },
        );
        let file = hotcert.scratch().write("hotcert.toml", config);
        let arguments = ["--json", "-v", "--config", file.to_str().unwrap(), "issue"];
        hotcert.run(arguments.iter().chain(names))
    }

    /// Checks that no order was spent on what was refused, and returns the error.
    fn refused(&self, names: &[&str], solver: &str) -> (String, String) {
        let orders = self.site.pebble.orders();
        let outcome = self.issue(names, solver).expect_code(1);
        let error: Value = outcome.json()["error"].clone();
        assert_eq!(error["kind"], "preflight", "{outcome:?}");
        assert_eq!(self.site.pebble.orders(), orders, "{outcome:?}");
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        (text("message"), text("hint"))
    }
}

#[test]
fn records_that_forbid_the_authority_cost_no_order() {
    let town = Town::new();
    let dns = town.site.pebble.dns();
    dns.add_caa("b.test.", &[("issue", "other.test"), ("iodef", "mailto:a@b.test")]);
    let (message, hint) = town.refused(&["x.b.test"], "");
    for part in ["x.b.test", "at b.test", "CAA 0 issue \"other.test\"", "pebble"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!message.contains("iodef"), "{message}");
    assert!(hint.contains(&format!("b.test. IN CAA 0 issue \"{AUTHORITY}\"")), "{hint}");

    dns.add_caa("c.test.", &[("issue", "pebble.letsencrypt.org; validationmethods=dns-01")]);
    let (_, hint) = town.refused(&["c.test"], "");
    assert!(hint.contains("validationmethods=http-01"), "{hint}");

    // The same name once a record admits the authority.
    dns.add_caa("b.test.", &[("issue", "other.test"), ("issue", AUTHORITY)]);
    town.issue(&["x.b.test"], "").expect_code(0);

    // The account is there now, so that it can be compared.
    dns.add_caa("d.test.", &[("issue", "pebble.letsencrypt.org; accounturi=https://other.test/1")]);
    let (message, hint) = town.refused(&["d.test"], "");
    assert!(message.contains("accounturi=https://other.test/1"), "{message}");
    assert!(hint.contains("another account"), "{hint}");

    // A failure is for the authority to judge.
    dns.set_servfail("fail.test.");
    let outcome = town.issue(&["x.fail.test"], "").expect_code(0);
    assert!(outcome.stderr.contains("SERVFAIL"), "{outcome:?}");
}

#[test]
fn a_name_without_an_address_costs_no_order() {
    let town = Town::new();
    let dns = town.site.pebble.dns();
    dns.set_default_ipv4("");
    dns.add_a("known.test.", &["127.0.0.1"]);
    let (message, hint) = town.refused(&["known.test", "unknown.test"], "");
    assert!(message.contains("unknown.test has no address"), "{message}");
    assert!(hint.contains("A or AAAA record"), "{hint}");
    town.issue(&["known.test"], "").expect_code(0);
}

#[test]
fn a_record_that_stays_proves_a_name_and_its_wildcard() {
    const SOLVER: &str = "[solver.record]\ntype = \"dns-persist-01\"\n";
    let town = Town::new();
    let dns = town.site.pebble.dns();
    let (message, hint) = town.refused(&["a.test", "*.a.test"], SOLVER);
    assert!(message.contains("_validation-persist.a.test") && message.contains("no TXT record"), "{message}");
    let line = hint.lines().last().unwrap();
    let (name, text) = line.split_once(" IN TXT ").unwrap();
    let text = text.trim_matches('"');
    assert_eq!(name, "_validation-persist.a.test.", "{hint}");
    assert!(text.starts_with(&format!("{AUTHORITY}; accounturi=https://")) && text.ends_with("; policy=wildcard"));

    // One for a name is none for its wildcard, and one for another account is none at all.
    let narrow = text.strip_suffix("; policy=wildcard").unwrap();
    dns.set_txt(name, narrow);
    let (message, _) = town.refused(&["a.test", "*.a.test"], SOLVER);
    assert!(message.contains(narrow), "{message}");
    town.issue(&["a.test"], SOLVER).expect_code(0);
    dns.clear_txt(name);
    dns.set_txt(name, &text.replace("accounturi=", "accounturi=https://other.test/"));
    town.refused(&["a.test", "--force"], SOLVER);

    dns.clear_txt(name);
    dns.set_txt(name, text);
    town.issue(&["a.test", "*.a.test", "--cert-name", "both"], SOLVER).expect_code(0);
    assert!(town.site.served("x.a.test").names.contains(&"*.a.test".to_owned()));
}
