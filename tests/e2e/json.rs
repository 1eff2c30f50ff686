//! With `--json` standard output is one document, whatever happens; without it, errors leave standard output alone.

use std::ffi::OsString;

use crate::support::{HaproxyVersion, Outcome, PebbleVersion, Pki, Site};
use serde_json::Value;

/// The document, and that it is the only thing on standard output.
fn document(outcome: &Outcome, code: i32) -> Value {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    let json = outcome.json();
    assert_eq!(json.get("error").is_some(), code != 0 && code != 2, "{outcome:?}");
    if let Some(error) = json.get("error") {
        assert!(error["message"].is_string() && error["causes"].is_array(), "{outcome:?}");
        assert!(error["hint"].is_string() && error["kind"].is_string(), "{outcome:?}");
    }
    json
}

/// Runs a command with `--json` and the flags for the node.
fn run(site: &Site, arguments: &[&str]) -> Outcome {
    site.run(&[arguments, &["--json"]].concat())
}

#[test]
fn every_command_prints_one_document_when_it_succeeds() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let bare = |arguments: &[&str]| {
        let state: [OsString; 2] = ["--state-dir".into(), site.hotcert.state_dir().into()];
        let arguments = arguments.iter().chain(&["--json"]).map(OsString::from);
        site.hotcert.run(arguments.chain(state))
    };
    // Nothing is there yet, and that is no failure.
    assert_eq!(document(&bare(&["list"]), 0)["certificates"], Value::Array(Vec::new()));
    document(&run(&site, &["status"]), 0);
    assert_eq!(document(&run(&site, &["plan"]), 0)["drift"], false);
    document(&run(&site, &["sync"]), 0);

    assert_eq!(document(&site.issue(&["shop.test", "--json"]), 0)["ordered"][0], "shop.test");
    assert_eq!(document(&site.issue(&["shop.test", "--json"]), 0)["ordered"], Value::Array(Vec::new()));
    let pki = Pki::new();
    for _ in 0..2 {
        let pem = pki.leaf("push.test").issue().fullchain_and_key();
        let file = site.hotcert.scratch().write("push.pem", pem).display().to_string();
        assert_eq!(document(&run(&site, &["push", &file, "--dry-run"]), 0)["certificate"], "push.test");
        assert!(document(&run(&site, &["push", &file]), 0)["notices"].is_array());
    }
    assert_eq!(document(&run(&site, &["status", "push.test"]), 0)["certificates"].as_array().map(Vec::len), Some(1));
    document(&run(&site, &["rollback", "push.test"]), 0);
    assert!(document(&run(&site, &["renew", "--dry-run"]), 0)["due"].is_array());
    assert!(document(&run(&site, &["renew"]), 0)["ordered"].is_array());
    assert_eq!(document(&bare(&["list"]), 0)["certificates"].as_array().map(Vec::len), Some(2));

    // What needs a look is data, and no error.
    site.haproxy.set_cert(
        &site.haproxy.crt_dir().join("push.test.pem").display().to_string(),
        &pki.leaf("push.test").issue().fullchain_and_key(),
    );
    assert_eq!(document(&run(&site, &["plan"]), 2)["drift"], true);
    document(&run(&site, &["status"]), 2);
    document(&run(&site, &["sync"]), 0);

    let config = format!(
        "version = 1\nstate_dir = '{}'\n[issuer.a]\ndirectory = 'letsencrypt'\n[haproxy.edge]\nsocket = '{}'\n",
        site.hotcert.state_dir().display(),
        site.haproxy.socket().display()
    );
    let config = site.hotcert.scratch().write("hotcert.toml", config).display().to_string();
    assert_eq!(document(&bare(&["config", "check", "--config", &config]), 0)["ok"], true);
    assert!(document(&bare(&["config", "show", "--config", &config]), 0)["settings"].is_array());
    assert!(document(&bare(&["config", "haproxy", "--config", &config]), 0)["lines"].is_string());
    document(&run(&site, &["config", "haproxy", "--http-01-stateless"]), 0);
}

#[test]
fn every_command_prints_one_document_when_it_fails() {
    let hotcert = crate::support::Hotcert::new();
    let state = hotcert.state_dir().display().to_string();
    let flags = ["--json", "--state-dir", &state, "--socket", "/nowhere.sock"];
    let no_socket = ["--json", "--state-dir", &state];
    let broken = hotcert.scratch().write("broken.toml", "version = 1\ncolour = 1\n").display().to_string();
    let pem = hotcert.scratch().write("a.pem", Pki::new().leaf("a.test").issue().fullchain_and_key());
    let pem = pem.display().to_string();
    let contact = ["--contact", "a@example.org", "--agree-terms"];
    let issue = [&["issue", "a.test"][..], &contact].concat();

    let cases: [(&[&str], &[&str], i32); 21] = [
        (&issue, &flags, 75),
        (&issue, &no_socket, 64),
        (&["push", &pem], &flags, 75),
        (&["push", &pem], &no_socket, 64),
        (&["push", &pem, "--dry-run"], &flags, 75),
        (&["plan"], &flags, 75),
        (&["plan"], &no_socket, 64),
        (&["sync"], &flags, 75),
        (&["sync"], &no_socket, 64),
        (&["status", "nobody.test"], &flags, 64),
        (&["rollback", "nobody.test"], &flags, 64),
        (&["renew", "nobody.test"], &flags, 64),
        (&["list", "--config", &broken], &no_socket, 78),
        (&["renew", "--config", &broken], &no_socket, 78),
        (&["config", "check", "--config", &broken], &["--json"], 78),
        (&["config", "show", "--config", &broken], &["--json"], 78),
        (&["config", "haproxy", "--config", &broken], &["--json"], 78),
        (&["issue"], &flags, 64),
        (&["nonsense"], &flags, 64),
        (&["push", "--colour"], &flags, 64),
        (&["config"], &["--json"], 64),
    ];
    for (command, flags, code) in cases {
        let outcome = hotcert.run([command, flags].concat());
        let json = document(&outcome, code);
        let message = json["error"]["message"].as_str().unwrap_or_default();
        assert!(outcome.stderr.contains(message), "{outcome:?}");
        // The same without `--json`: standard output stays empty, and the exit code is the same.
        let plain: Vec<&str> = [command, flags].concat().into_iter().filter(|word| *word != "--json").collect();
        let plain = hotcert.run(plain).expect_code(code);
        // A round that failed still reports how things stand, which is data.
        assert!(plain.stdout.is_empty() || command == ["sync"], "{plain:?}");
        assert!(plain.stderr.contains("error: ") || command == ["config"], "{plain:?}");
    }
    // A node that cannot be reached needs a look.
    let status = hotcert.run([&["status"][..], &flags].concat());
    assert_eq!(document(&status, 2)["nodes"][0]["reachable"], false);
    // What is missing is named, however many lines clap takes for it.
    let nothing = hotcert.run([&["issue"][..], &flags].concat());
    assert!(
        nothing.json()["error"]["message"].as_str().is_some_and(|message| message.contains("<NAME>")),
        "{nothing:?}"
    );
}
