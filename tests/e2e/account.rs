//! Accounts at a real authority: bound to an external one, looked at, changed and ended; and which of its chains is served.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use x509_parser::prelude::FromDer as _;
use x509_parser::prelude::X509Certificate;

use crate::support::secrets::{Secret, expect_none, files};
use crate::support::sidecar::quoted;
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Http01, Outcome, Pebble, PebbleVersion, Point, Site, Steps};

const KID: &str = "kid-1";
const HMAC_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";

/// Somebody with an account, or about to have one.
struct Customer {
    pebble: Pebble,
    hotcert: Hotcert,
}

impl Customer {
    fn new(pebble: crate::support::pebble::Builder) -> Self {
        Self { pebble: pebble.start(), hotcert: Hotcert::new() }
    }

    fn key_file(&self, content: &str) -> PathBuf {
        self.hotcert.scratch().write("eab.key", content)
    }

    /// Runs a command with a configuration whose issuer has these lines.
    fn run(&self, command: &[&str], issuer: &str) -> Outcome {
        self.hotcert.run(self.arguments(command, issuer))
    }

    fn arguments(&self, command: &[&str], issuer: &str) -> Vec<OsString> {
        let config = format!(
            "version = 1\nstate_dir = {}\n[issuer.pebble]\ndirectory = \"{}\"\nroot_ca = {}\ncontact = \"a@example.org\"\n\
             terms_agreed = true\n{issuer}\n",
            quoted(self.hotcert.state_dir()),
            self.pebble.directory(),
            quoted(self.pebble.root_ca()),
        );
        let config = self.hotcert.scratch().write("hotcert.toml", config);
        command.iter().map(OsString::from).chain(["--config".into(), config.into()]).collect()
    }

    fn show(&self, issuer: &str) -> Value {
        let shown = self.run(&["account", "show", "--json"], issuer).expect_code(0);
        shown.json()["accounts"][0].clone()
    }
}

fn thumbprint(account: &Value) -> String {
    account["thumbprint"].as_str().unwrap().to_owned()
}

#[test]
fn an_account_is_bound_shown_changed_and_ended_and_no_key_shows_up() {
    let customer = Customer::new(Pebble::new(PebbleVersion::V2_10).eab(KID, HMAC_KEY));
    let mut outcomes = Vec::new();
    let mut run = |command: &[&str], issuer: &str, code| {
        let outcome = customer.run(&[command, &["-vvv", "--json"]].concat(), issuer).expect_code(code);
        outcomes.push(outcome.clone());
        outcome
    };
    let shown = run(&["account", "show"], "", 0).json()["accounts"][0].clone();
    assert_eq!((&shown["url"], &shown["status"], &shown["thumbprint"]), (&Value::Null, &Value::Null, &Value::Null));

    let unbound = run(&["account", "register"], "", 78).json();
    assert!(unbound["error"]["hint"].as_str().unwrap().contains("eab = { kid ="), "{unbound}");
    // The padding, the other alphabet and the end of the line are as people paste them.
    let file = customer.key_file(&format!("{HMAC_KEY}\n"));
    let eab = format!("eab = {{ kid = \"{KID}\", hmac_key_file = {} }}", quoted(&file));
    run(&["config", "check"], &eab, 0);
    let registered = run(&["account", "register"], &eab, 0).json();
    assert_eq!((&registered["done"], &registered["account"]["status"]), (&"registered".into(), &"valid".into()));
    let account = customer.show(&eab);
    assert_eq!(account["contacts"], serde_json::json!(["a@example.org"]));
    assert!(account["url"].as_str().unwrap().starts_with("https://"), "{account}");
    assert_eq!(run(&["account", "register"], &eab, 0).json()["done"], "none");
    assert_eq!(customer.pebble.accounts(), 1);

    run(&["account", "update", "--contact", "b@example.org", "--contact", "c@example.org"], &eab, 0);
    assert_eq!(customer.show(&eab)["contacts"], serde_json::json!(["b@example.org", "c@example.org"]));

    let key_file = PathBuf::from(account["key_file"].as_str().unwrap());
    let mut secrets = vec![Secret::of("the first key", &fs::read_to_string(&key_file).unwrap())];
    let rolled = run(&["account", "rollover"], &eab, 0).json();
    assert_ne!(thumbprint(&rolled["account"]), thumbprint(&account));
    assert_eq!((&rolled["account"]["url"], &rolled["account"]["status"]), (&account["url"], &"valid".into()));
    secrets.push(Secret::of("the second key", &fs::read_to_string(&key_file).unwrap()));

    let unsure = run(&["account", "deactivate"], &eab, 64).json();
    assert!(unsure["error"]["hint"].as_str().unwrap().contains("--yes"), "{unsure}");
    assert_eq!(run(&["account", "deactivate", "--yes"], &eab, 0).json()["done"], "deactivated");
    assert_eq!(run(&["account", "deactivate", "--yes"], &eab, 0).json()["done"], "none");
    assert_ne!(customer.show(&eab)["deactivated_at"], Value::Null);
    let ended = run(&["account", "rollover"], &eab, 1).json();
    assert_eq!(ended["error"]["kind"], "account", "{ended}");

    let again = run(&["account", "register"], &eab, 0).json();
    assert_eq!((&again["done"], &again["account"]["deactivated_at"]), (&"registered".into(), &Value::Null));
    assert_ne!(again["account"]["url"], account["url"]);
    secrets.push(Secret::of("the third key", &fs::read_to_string(&key_file).unwrap()));

    let shared = Secret::of_bytes("the HMAC key", &BASE64_URL_SAFE_NO_PAD.decode(HMAC_KEY).unwrap());
    assert!(shared.is_in(&fs::read(&file).unwrap()), "a search that finds nothing proves nothing");
    secrets.push(shared);
    for outcome in &outcomes {
        expect_none(&secrets, &format!("{outcome:?}"), format!("{}{}", outcome.stdout, outcome.stderr).as_bytes());
    }
    let is_key = |path: &PathBuf| *path == file || path.file_name().is_some_and(|name| name == "key.pem");
    for path in files(customer.hotcert.scratch().path()).iter().filter(|path| !is_key(path)) {
        expect_none(&secrets, &path.display().to_string(), &fs::read(path).unwrap());
    }
}

#[test]
fn a_binding_that_is_wrong_is_told_before_or_by_the_authority() {
    let customer = Customer::new(Pebble::new(PebbleVersion::V2_10).eab(KID, HMAC_KEY));
    let file = customer.hotcert.scratch().join("eab.key");
    let eab = |kid: &str| format!("eab = {{ kid = \"{kid}\", hmac_key_file = {} }}", quoted(&file));
    let checked = customer.run(&["config", "check"], &eab(KID)).expect_code(78);
    assert!(checked.stderr.contains("issuer.pebble.eab.hmac_key_file: cannot read"), "{checked:?}");
    let missing = customer.run(&["account", "register"], &eab(KID)).expect_code(78);
    assert!(missing.stderr.contains("there is no "), "{missing:?}");
    customer.key_file("not base64, but a secret!");
    let broken = customer.run(&["account", "register"], &eab(KID)).expect_code(78);
    assert!(!format!("{broken:?}").contains("a secret"), "{broken:?}");
    customer.key_file(&HMAC_KEY.replace('z', "y"));
    for kid in [KID, "kid-2"] {
        let refused = customer.run(&["account", "register"], &eab(kid)).expect_code(1);
        assert!(refused.stderr.contains("refused the external account binding"), "{refused:?}");
        assert!(refused.stderr.contains("belong together"), "{refused:?}");
    }
    assert_eq!(customer.pebble.accounts(), 0);
}

#[test]
fn a_rollover_that_is_killed_anywhere_is_finished_by_the_next_command_and_no_account_is_lost() {
    let mut customer = Customer::new(Pebble::new(PebbleVersion::V2_10));
    let mut points = vec![None];
    let mut at = 0;
    while let Some(point) = points.get(at).cloned() {
        at += 1;
        customer.hotcert = Hotcert::new();
        customer.run(&["account", "register"], "").expect_code(0);
        let before = customer.show("");
        let run = Steps::run(&customer.arguments(&["account", "rollover"], ""), point.as_ref());
        let Some(point) = point else {
            assert!(run.succeeded, "{run:?}");
            points.extend(run.points().into_iter().map(Some));
            continue;
        };
        assert!(run.killed, "{point}: {run:?}");
        // Whoever comes next finds out which key counts.
        let found = customer.show("");
        assert_eq!((&found["url"], &found["status"]), (&before["url"], &"valid".into()), "{point}");
        assert_eq!(thumbprint(&found) != thumbprint(&before), run.took("acme: account key changed"), "{point}");
        let again = customer.run(&["account", "rollover", "--json"], "").expect_code(0).json();
        assert_eq!((&again["done"], &again["account"]["status"]), (&"rolled-over".into(), &"valid".into()), "{point}");
        let key_file = PathBuf::from(found["key_file"].as_str().unwrap());
        assert!(!key_file.with_file_name("next-key.pem").exists(), "{point}");
    }
    assert!(points.len() > 5, "{points:?}");
    // One for each state directory.
    assert_eq!(customer.pebble.accounts(), points.len());
}

#[test]
fn an_interrupted_rollover_is_settled_by_an_order_and_the_new_thumbprint_is_told() {
    let haproxy = Haproxy::new(HaproxyVersion::V3_2);
    let site = Site::with(haproxy, Pebble::new(PebbleVersion::V2_10));
    site.issue(&["shop.test"]).expect_code(0);
    let state_dir = site.hotcert.state_dir();
    let account = |command: &str| ["account", command, "--state-dir", state_dir.to_str().unwrap()].map(OsString::from);
    let before = site.hotcert.run(account("show")).expect_code(0);
    let point = Point { step: "acme: account key changed".to_owned(), occurrence: 1 };
    assert!(Steps::run(&account("rollover"), Some(&point)).killed);
    let renewed = site.run(&["renew", "--force", "-v"]).expect_code(0);
    assert!(renewed.stderr.contains("an interrupted change of the account's key is finished"), "{renewed:?}");
    let after = site.hotcert.run(account("show")).expect_code(0);
    assert_ne!(before.stdout, after.stdout);
    assert_eq!(site.pebble.accounts(), 1);
    site.expect_nothing_half_done();
}

#[test]
fn a_rollover_prints_what_haproxy_needs_where_it_answers_by_the_thumbprint() {
    let customer = Customer::new(Pebble::new(PebbleVersion::V2_10));
    let stateless = "[solver.http]\ntype = \"http-01\"\nvia = \"stateless\"\n[[certificate]]\ndomains = [\"a.test\"]";
    customer.run(&["account", "register"], stateless).expect_code(0);
    let rolled = customer.run(&["account", "rollover", "--json"], stateless).expect_code(0);
    let (json, new) = (rolled.json(), thumbprint(&rolled.json()["account"]));
    assert!(json["haproxy"].as_str().unwrap().contains(&new), "{rolled:?}");
    assert!(rolled.stderr.contains("new thumbprint"), "{rolled:?}");
}

#[test]
fn an_account_is_shown_with_the_records_that_prove_names_for_good() {
    let customer = Customer::new(Pebble::new(PebbleVersion::V2_10));
    let persist =
        "[solver.dns]\ntype = \"dns-persist-01\"\n[[certificate]]\ndomains = [\"a.test\", \"*.a.test\", \"b.test\"]";
    assert_eq!(customer.show(persist)["records"], serde_json::json!([]));
    customer.run(&["account", "register"], persist).expect_code(0);
    let account = customer.show(persist);
    let (records, url) = (account["records"].as_array().unwrap(), account["url"].as_str().unwrap());
    let record = |at: usize| records[at].as_str().unwrap();
    assert_eq!(records.len(), 2, "{account:#}");
    assert!(record(0).starts_with("_validation-persist.a.test. IN TXT \""), "{account:#}");
    assert!(record(0).contains(&format!("accounturi={url}; policy=wildcard")), "{account:#}");
    assert!(record(1).ends_with(&format!("accounturi={url}\"")), "{account:#}");
}

#[test]
fn an_account_is_shown_as_it_is_stored_while_its_authority_is_down_and_another_follows_one_that_is_gone() {
    let mut customer = Customer::new(Pebble::new(PebbleVersion::V2_10));
    customer.run(&["account", "register"], "").expect_code(0);
    let before = customer.show("");
    customer.pebble.stop();
    let down = customer.run(&["account", "show", "--json"], "").expect_code(0);
    let account = &down.json()["accounts"][0];
    assert_eq!((&account["url"], &account["status"]), (&before["url"], &Value::Null));
    assert!(account["problem"].as_str().unwrap().contains("cannot be reached"), "{account}");
    assert!(down.stderr.contains("warning: what is stored is shown"), "{down:?}");
    customer.run(&["account", "rollover"], "").expect_code(75);
}

#[test]
fn the_chain_to_the_preferred_root_is_served_and_without_one_the_default() {
    let site = Site::with(Haproxy::new(HaproxyVersion::V3_2), Pebble::new(PebbleVersion::V2_10).alternate_roots(2));
    let common_name = |pem: &str| {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let certificate = block.parse_x509().unwrap();
        certificate.subject().iter_common_name().next().unwrap().as_str().unwrap().to_owned()
    };
    let roots: Vec<String> = (0..3).map(|index| common_name(&site.pebble.alternate_root_pem(index))).collect();
    let issuer_of_last = || {
        let chain = site.served("shop.test").chain;
        let (_, last) = X509Certificate::from_der(chain.last().unwrap()).unwrap();
        last.issuer().iter_common_name().next().unwrap().as_str().unwrap().to_owned()
    };
    for (preferred, expected) in [(&roots[2], &roots[2]), (&roots[0], &roots[0]), (&"Nobody".to_owned(), &roots[0])] {
        let authority =
            site.authority_config().replace("[solver", &format!("preferred_chain = \"{preferred}\"\n[solver"));
        let text = format!("version = 1\n{authority}[[certificate]]\ndomains = [\"shop.test\"]\n");
        let config = site.hotcert.scratch().write("hotcert.toml", text);
        let command = ["issue", "shop.test", "--force", "-v", "--config", config.to_str().unwrap()];
        let issued = site.run(&command).expect_code(0);
        assert_eq!(issuer_of_last(), *expected);
        let warned = issued.stderr.contains("no chain to the preferred root");
        assert_eq!(warned, preferred != expected, "{issued:?}");
        if warned {
            assert!(roots.iter().all(|root| issued.stderr.contains(root)), "{issued:?}");
        }
    }
}

#[test]
fn a_profile_is_that_of_the_issuer_and_one_that_is_not_offered_is_refused_with_the_list() {
    let pebble = Pebble::new(PebbleVersion::V2_10).profile("shortlived", Duration::from_hours(160));
    let site = Site::with(Haproxy::new(HaproxyVersion::V3_2), pebble.profile("classic", Duration::from_hours(2160)));
    let refused = site.issue(&["shop.test", "--profile", "nonsense"]).expect_code(78);
    for word in ["\"nonsense\"", "classic", "shortlived", "--profile"] {
        assert!(refused.stderr.contains(word), "{word} in {refused:?}");
    }
    assert_eq!(site.pebble.orders(), 0);
    let issued = site.issue(&["shop.test", "--profile", "shortlived", "--json"]).expect_code(0).json();
    let time = |key: &str| issued["certificates"][0][key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(time("not_after").duration_since(time("not_before")).as_hours() <= 160, "{issued:#}");
}

#[test]
fn issue_binds_a_new_account_by_flags_alone() {
    let pebble = Pebble::new(PebbleVersion::V2_10).eab(KID, HMAC_KEY);
    let site = Site::answering(Http01::Listener, Haproxy::new(HaproxyVersion::V2_6), pebble);
    let unbound = site.issue(&["shop.test"]).expect_code(78);
    assert!(unbound.stderr.contains("--eab-hmac-key-file"), "{unbound:?}");
    let file = site.hotcert.scratch().write("eab.key", HMAC_KEY);
    site.issue(&["shop.test", "--eab-kid", KID]).expect_code(64);
    site.issue(&["shop.test", "--eab-kid", KID, "--eab-hmac-key-file", file.to_str().unwrap()]).expect_code(0);
    // The key has done its duty.
    fs::remove_file(file).unwrap();
    site.run(&["renew", "--force"]).expect_code(0);
    assert_eq!(site.pebble.accounts(), 1);
}
