//! What is wrong with a server or a key is found before an order is spent, and told with a cure.

use super::{County, expect_no_notes, head, rest};
use crate::support::bind::{SECRET, key};
use crate::support::net::Port;
use crate::support::secrets;

#[test]
fn what_is_wrong_costs_no_order_and_says_what_to_do() {
    let county = County::new();
    let bind = &county.bind;
    let file = |name: &str, text: String| county.hotcert.scratch().write(name, text);
    let unknown = file("unknown.key", key("nobody"));
    let other_secret = file("other.key", key("hotcert-key").replace(SECRET, "b3RoZXIgc2VjcmV0"));
    let other_algorithm = file("algorithm.key", key("hotcert-key").replace("sha256", "sha512"));
    let alone = file("alone.key", format!("{SECRET}\n"));
    let broken = file("broken.key", "key hotcert-key { secret".to_owned());
    let nobody = Port::reserve();
    let of = |server: String, key: &std::path::Path, more: &str| {
        format!("provider = \"rfc2136\"\nserver = \"{server}\"\ntsig = {{ key_file = {key:?} }}\n{more}")
    };
    let (there, good) = (bind.addr().to_string(), bind.key_file());
    for (solver, domain, says, hint) in [
        (of(there.clone(), &unknown, ""), "a.test", "knows no key of this name and algorithm", "`key` statement"),
        (of(there.clone(), &other_secret, ""), "a.test", "has another secret for it", "`key` statement"),
        (of(there.clone(), &other_algorithm, ""), "a.test", "hotcert-key (hmac-sha512)", "`key` statement"),
        (of(there.clone(), &alone, ""), "a.test", "`name` is not set", "name = \\\"NAME\\\""),
        (of(there.clone(), &broken, ""), "a.test", "is no key for updates", "tsig-keygen"),
        (of(there.clone(), &good, "zone = \"acme.example\""), "a.test", "is not in the zone acme.example", "`zone`"),
        (
            of(there.clone(), &good, ""),
            "a.example.net",
            "not authoritative for _acme-challenge.a.example.net",
            "primary",
        ),
        (of(nobody.addr().to_string(), &good, ""), "a.test", "cannot be reached", "dig +tcp"),
        (of("no-such-host.test:53".to_owned(), &good, ""), "a.test", "cannot be reached", "dig +tcp"),
        ("provider = \"exec\"\nprogram = \"/etc/passwd\"".to_owned(), "a.test", "cannot run /etc/passwd", "executable"),
        (
            "provider = \"acme.sh\"\napi = \"dns_cf\"\nhome = \"/nowhere\"".to_owned(),
            "a.test",
            "/nowhere/dnsapi/dns_cf.sh",
            "`home`",
        ),
        (
            format!(
                "provider = \"cloudflare\"\nzone = \"test\"\ncredentials = {{ api_token_file = {:?} }}",
                "/nowhere/token"
            ),
            "a.test",
            "cannot read the secret /nowhere/token",
            "correct its path",
        ),
        (
            format!(
                "provider = \"pdns\"\nzone = \"test\"\ncredentials = {{ api_key_file = {alone:?}, endpoint = \"dns\" }}"
            ),
            "a.test",
            "`endpoint` is no URL",
            "`credentials`",
        ),
    ] {
        let outcome = county.run(&["renew", "a", "--force", "-v", "--json"], &solver, "a", &[domain]);
        assert_ne!(outcome.code, Some(0), "{outcome:?}");
        let told = outcome.json();
        let text = told.to_string();
        assert!(text.contains(says) && text.contains(hint), "{says}, {hint}: {outcome:?}");
        assert!(!outcome.stderr.contains(SECRET) && !outcome.stdout.contains(SECRET), "{outcome:?}");
    }
    assert_eq!(county.pebble.orders(), 0);
    // Only the change itself tells that the zone is another one, or that the key may not change it.
    let solver = of(there.clone(), &good, "zone = \"sub.a.test\"");
    let outcome = county.run(&["renew", "a", "--force", "-v", "--json"], &solver, "a", &["sub.a.test"]).expect_code(75);
    assert!(
        outcome.stdout.contains("is not authoritative for sub.a.test") && outcome.stdout.contains("`zone`"),
        "{outcome:?}"
    );
    let stranger = file("stranger.key", key("stranger"));
    let solver = of(there, &stranger, "");
    let outcome = county.run(&["renew", "a", "--force", "-v", "--json"], &solver, "a", &["a.test"]).expect_code(75);
    assert!(outcome.stdout.contains("refuses to change _acme-challenge.a.test"), "{outcome:?}");
    assert!(outcome.stdout.contains("grant stranger name _acme-challenge.a.test. TXT"), "{outcome:?}");
    assert!(!outcome.stderr.contains("left behind"), "{outcome:?}");
    county.expect_tidy(&["_acme-challenge.a.test"]);
    // Whether one that goes away has made the change, nobody knows.
    let solver = format!(
        "provider = \"pdns\"\nzone = \"test\"\ncredentials = {{ api_key_file = {alone:?}, endpoint = \"http://{}\" }}",
        nobody.addr()
    );
    let outcome = county.run(&["renew", "a", "--force", "-v", "--json"], &solver, "a", &["b.test"]).expect_code(75);
    let at = format!("the DNS provider pdns cannot be reached at http://{}", nobody.addr());
    assert!(outcome.stdout.contains(&at) && outcome.stdout.contains("curl -v"), "{outcome:?}");
}

/// The order that was begun is continued with the other solver.
#[test]
fn a_solver_whose_record_cannot_be_added_gives_way_to_the_next() {
    let county = County::new();
    let stranger = county.hotcert.scratch().write("stranger.key", key("stranger"));
    let with = |key: &std::path::Path| {
        format!(
            "type = \"dns-01\"\nprovider = \"rfc2136\"\nserver = \"{}\"\ntsig = {{ key_file = {key:?} }}\n",
            county.bind.addr()
        )
    };
    let solvers = format!("[solver.a]\n{}[solver.b]\n{}", with(&stranger), with(&county.bind.key_file()));
    let rest = rest(&county.pebble, &solvers, "two", &["a.test", "*.a.test"]) + "solver = [\"a\", \"b\"]\n";
    let config = county.hotcert.scratch().write("two.toml", head(&county.hotcert, county.bind.addr()) + &rest);
    let outcome = county.hotcert.run(["renew", "-vvv", "--json", "--config", config.to_str().unwrap()]).expect_code(0);
    assert!(outcome.stderr.contains("another solver is tried"), "{outcome:?}");
    assert!(!outcome.stderr.contains(SECRET) && !outcome.stdout.contains(SECRET), "{outcome:?}");
    assert_eq!((county.pebble.orders(), county.pebble.certificates()), (1, 1));
    for file in secrets::files(&county.hotcert.state_dir()) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains(SECRET), "{}", file.display());
    }
    expect_no_notes(&county.hotcert);
}
