//! One certificate for names of every kind, each proved in the way that fits it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::sidecar::quoted;
use crate::support::{Haproxy, HaproxyVersion, Pebble, PebbleVersion, Pki, Site};

/// As many names as the classic profiles of authorities allow.
const NAMES: usize = 100;

/// Sets and clears TXT records at the management port of the DNS server.
const PROGRAM: &str = r#"#!/bin/bash
set -eu
case $1 in
    present) path=/set-txt; body="{\"host\":\"$2\",\"value\":\"$3\"}" ;;
    cleanup) path=/clear-txt; body="{\"host\":\"$2\"}" ;;
esac
exec 3<>/dev/tcp/127.0.0.1/PORT
printf 'POST %s HTTP/1.0\r\nContent-Length: %s\r\n\r\n%s' "$path" "${#body}" "$body" >&3
read -r answer <&3
[[ $answer == *" 200 "* ]]
"#;

#[test]
fn a_hundred_names_of_every_kind_are_proved_each_in_its_way() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let placeholder = Pki::self_signed("placeholder.invalid").fullchain_and_key();
        // Clients of an address name nobody, and get the first certificate of the bind line.
        let haproxy = Haproxy::new(version).ipv6().certificate("mixed.pem", &placeholder);
        let haproxy = haproxy.tls("ssl crt {dir}/certs/mixed.pem crt {dir}/certs/");
        let site = Site::with(haproxy, Pebble::new(PebbleVersion::V2_10));
        let program = PROGRAM.replace("PORT", &site.pebble.dns().management_addr().port().to_string());
        let program = site.hotcert.scratch().write("record", program);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

        let mut names = ["mixed.test", "*.mixed.test", "bücher.test", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        names.extend((names.len()..NAMES).map(|number| format!("n{number}.test")));
        // What is only proved by the DNS goes there, though it is the second choice.
        let config = format!(
            "version = 1\nresolver = \"{}\"\n{}[solver.dns]\ntype = \"dns-01\"\nprovider = \"exec\"\nprogram = {}\n\
             [[certificate]]\nname = \"mixed\"\ndomains = {names:?}\nsolver = [\"http\", \"dns\"]\n",
            site.pebble.dns().addr(),
            site.authority_config(),
            quoted(program),
        );
        site.hotcert.scratch().write("hotcert.toml", config);
        site.run(&["renew", "--force", "--config", "hotcert.toml"]).expect_code(0);

        let served = site.served("n99.test");
        let found: BTreeSet<&str> = served.names.iter().map(String::as_str).collect();
        let expected: BTreeSet<&str> =
            names.iter().map(|name| if name == "bücher.test" { "xn--bcher-kva.test" } else { name }).collect();
        assert_eq!(found, expected);
        for name in ["any.mixed.test", "xn--bcher-kva.test"] {
            assert_eq!(site.serial(name).as_ref(), Ok(&served.serial));
        }
        assert_eq!(site.pebble.orders(), 1);
        site.expect_nothing_half_done();
    }
}
