//! All that is done with an authority, done with another one than Pebble: acme2certifier, which demands external accounts.

use std::ffi::OsString;

use crate::support::{Haproxy, HaproxyVersion, Hotcert, OtherAuthority, client, other};

#[test]
fn another_authority_binds_issues_renews_changes_keys_and_revokes() {
    let haproxy = Haproxy::new(HaproxyVersion::V3_2).start();
    let authority = OtherAuthority::start(haproxy.http_addr());
    let hotcert = Hotcert::new();
    let (state_dir, socket, crt_dir, root_ca) =
        (hotcert.state_dir(), haproxy.socket(), haproxy.crt_dir(), authority.root_ca());
    let (https, http, listen) =
        (haproxy.https_addr().to_string(), haproxy.http_addr().to_string(), haproxy.acme_addr().to_string());
    let key = hotcert.scratch().write("eab.key", other::HMAC_KEY);
    let directory = authority.directory();
    let of_state = ["--state-dir", state_dir.to_str().unwrap()];
    let of_node = ["--socket", socket.to_str().unwrap(), "--crt-dir", crt_dir.to_str().unwrap(), "--verify", &https];
    let of_authority = ["--directory", &directory, "--root-ca", root_ca.to_str().unwrap()];
    let of_account = ["--contact", "a@example.org", "--agree-terms", "--eab-kid", other::KID, "--eab-hmac-key-file"];
    let of_solver = ["--http-01-listen", &listen, "--http-01-probe", &http];
    let run = |parts: &[&[&str]], code| {
        let arguments = parts.concat().into_iter().chain(of_state).chain(["-v"]).map(OsString::from);
        hotcert.run(arguments).expect_code(code)
    };
    let serial = || client::handshake(haproxy.https_addr(), "shop.test", client::Options::default()).unwrap().serial;

    let names = ["issue", "shop.test", "www.shop.test"];
    let plain = ["--contact", "a@example.org", "--agree-terms"];
    let unbound = run(&[&names, &of_node, &of_authority, &plain, &of_solver], 78);
    assert!(unbound.stderr.contains("requires an external account binding"), "{unbound:?}");
    run(&[&names, &of_node, &of_authority, &of_account, &[key.to_str().unwrap()], &of_solver], 0);
    let first = serial();
    // Nothing but the state directory is needed from now on.
    let shown = run(&[&["account", "show", "--json"]], 0).json();
    assert_eq!(shown["accounts"][0]["status"], "valid", "{shown:#}");
    run(&[&["account", "update", "--contact", "b@example.org"]], 0);
    let rolled = run(&[&["account", "rollover", "--json"]], 0).json();
    assert_ne!(rolled["account"]["thumbprint"], shown["accounts"][0]["thumbprint"]);
    assert_eq!(rolled["account"]["contacts"], serde_json::json!(["b@example.org"]));
    run(&[&["renew", "--force"]], 0);
    let second = serial();
    assert_ne!(first, second);

    run(&[&["revoke", "shop.test", "--generation", "1", "--reason", "superseded"]], 0);
    // It asks for an external account here too, where there is no account (RFC 8555, section 7.6): that is told.
    let refused = run(&[&["revoke", "shop.test", "--with", "certificate"]], 1);
    assert!(refused.stderr.contains("invalid eab credentials"), "{refused:?}");
    run(&[&["revoke", "shop.test"]], 0);
    let revoked = authority.revoked();
    // With the zero of a positive number in DER, or without.
    let is_revoked =
        |serial: &&String| revoked.iter().any(|of| of.trim_start_matches("00") == serial.trim_start_matches("00"));
    assert!([&first, &second].iter().all(is_revoked), "{first} {second} {revoked:?}");
    run(&[&["account", "deactivate", "--yes"]], 0);
    let ended = run(&[&["renew", "--force"]], 1);
    assert!(ended.stderr.contains("was deactivated at"), "{ended:?}");
}
