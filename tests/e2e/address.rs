//! Certificates for IP addresses of both kinds (RFC 8738), from the order to what clients are shown.

use std::collections::BTreeSet;

use crate::support::{Haproxy, HaproxyVersion, Pebble, PebbleVersion, Pki, Site};

/// A client that connects to an address sends no name, so the certificate has to be the first one of the bind line, and something has
/// to be there when HAProxy starts.
#[test]
fn a_certificate_for_addresses_is_ordered_served_and_renewed() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let placeholder = Pki::self_signed("placeholder.invalid").fullchain_and_key();
        let haproxy = Haproxy::new(version).ipv6().certificate("0--1.pem", &placeholder);
        let haproxy = haproxy.tls("ssl crt {dir}/certs/0--1.pem crt {dir}/certs/");
        let site = Site::with(haproxy, Pebble::new(PebbleVersion::V2_10));
        let issued = site.issue(&["::1", "127.0.0.1", "--force", "--json"]).expect_code(0).json();
        let certificate = &issued["certificates"][0];
        assert_eq!((&certificate["name"], &certificate["state"]), (&"0--1".into(), &"serving".into()), "{issued:#}");
        assert_eq!(certificate["nodes"][0]["verified"], "handshake");
        let first = site.served("127.0.0.1");
        let names: BTreeSet<&str> = first.names.iter().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["::1", "127.0.0.1"]));
        let link = site.hotcert.state_dir().join("certs/0--1/current");
        assert_eq!(std::fs::read_link(link).unwrap().to_str(), Some("generations/1"));
        site.run(&["renew", "::1", "--force"]).expect_code(0);
        assert_ne!(site.serial("127.0.0.1"), Ok(first.serial));
        site.run(&["status", "0--1"]).expect_code(0);
        site.run(&["revoke", "0--1"]).expect_code(0);
        site.expect_nothing_half_done();
    }
}
