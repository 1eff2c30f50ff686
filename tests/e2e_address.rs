//! Certificates for IP addresses (RFC 8738), from the order to what clients are shown.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

use support::{Haproxy, HaproxyVersion, Pebble, PebbleVersion, Site};

#[test]
fn a_certificate_for_an_address_is_ordered_served_and_renewed() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let site = Site::with(Haproxy::new(version), Pebble::new(PebbleVersion::V2_10));
        let issued = site.issue(&["127.0.0.1", "--json"]).expect_code(0).json();
        let certificate = &issued["certificates"][0];
        assert_eq!(
            (&certificate["name"], &certificate["state"]),
            (&"127.0.0.1".into(), &"serving".into()),
            "{issued:#}"
        );
        assert!(site.haproxy.crt_dir().join("127.0.0.1.pem").exists());
        assert_eq!(site.served("127.0.0.1").names, ["127.0.0.1"]);
        site.run(&["renew", "127.0.0.1", "--force"]).expect_code(0);
        site.run(&["status", "127.0.0.1"]).expect_code(0);
        site.expect_nothing_half_done();
    }
}
