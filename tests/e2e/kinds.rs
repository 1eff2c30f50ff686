//! Two key kinds of one certificate, side by side: ordered, loaded, renewed, repaired and proven each for itself, and both kinds of
//! client served.

mod ordered;
mod pushed;
mod watched;

use std::ffi::OsString;

use crate::support::client::{self, Options, Signatures, TlsVersion};
use crate::support::sidecar::flags;
use crate::support::{Haproxy, HaproxyVersion, Http01, Outcome, Pebble, PebbleVersion, Site};

/// A site with a configuration file.
struct Shop {
    site: Site,
    config: Vec<OsString>,
}

impl Shop {
    /// A shop whose certificates these lines say.
    fn new(version: HaproxyVersion, haproxy: crate::support::haproxy::Builder, certificates: &str) -> Self {
        let pebble = if version == HaproxyVersion::V2_6 { PebbleVersion::V2_4 } else { PebbleVersion::V2_10 };
        let site = Site::answering(Http01::Listener, haproxy, Pebble::new(pebble));
        let mut shop = Self { site, config: Vec::new() };
        shop.configure(certificates);
        shop
    }

    fn configure(&mut self, certificates: &str) {
        let rest = self.site.authority_config() + certificates;
        self.config = flags(&self.site.hotcert, &[&self.site.haproxy], &rest);
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.site.hotcert.run(arguments.iter().map(OsString::from).chain(self.config.clone()))
    }

    fn status(&self, code: i32) -> serde_json::Value {
        self.run(&["status", "--json"]).expect_code(code).json()
    }

    /// The serial numbers that clients are shown, those that can use ECDSA keys alone and those that can use RSA keys alone.
    fn serials(&self) -> [Option<String>; 2] {
        serials(&self.site.haproxy, "shop.test")
    }

    fn expect_settled(&self) {
        assert_eq!(self.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
        self.site.expect_nothing_half_done();
    }
}

/// What clients of each kind are shown, which must not depend on their version of TLS.
fn serials(haproxy: &Haproxy, name: &str) -> [Option<String>; 2] {
    [Signatures::Ecdsa, Signatures::Rsa].map(|signatures| {
        let [one, other] = [TlsVersion::Tls12, TlsVersion::Tls13].map(|version| {
            let options = Options { version: Some(version), signatures: Some(signatures), ..Options::default() };
            serial(haproxy, name, options)
        });
        assert_eq!(one, other, "{signatures:?}");
        one
    })
}

/// What clients of one kind are shown.
fn shown(haproxy: &Haproxy, name: &str, signatures: Signatures) -> Option<String> {
    serial(haproxy, name, Options { signatures: Some(signatures), ..Options::default() })
}

fn serial(haproxy: &Haproxy, name: &str, options: Options) -> Option<String> {
    client::handshake(haproxy.https_addr(), name, options).ok().map(|served| served.serial)
}
