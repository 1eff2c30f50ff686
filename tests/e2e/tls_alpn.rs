//! tls-alpn-01 behind HAProxy, with exactly the lines that `hotcert config haproxy` prints.

use std::fs;
use std::time::Duration;

use crate::support::secrets::{Secret, expect_none, files};
use crate::support::sidecar::quoted;
use crate::support::{Hammer, Haproxy, HaproxyVersion, Hotcert, Outcome, Pebble, PebbleVersion, Pki, client};

/// The names of the certificate: RFC 8737 and RFC 8738.
const NAMES: [&str; 5] = ["shop.test", "www.shop.test", "xn--bcher-kva.test", "127.0.0.1", "::1"];

/// A site as it is before anybody thought of tls-alpn-01: HAProxy ends TLS itself.
const BEFORE: &str = "\
global
    maxconn 1000
    log stdout format raw local0
    stats socket {socket} mode 600 level admin expose-fd listeners
defaults
    log global
    mode http
    option httplog
    option dontlognull
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend https
    bind :443 ssl crt {dir}/certs/
    http-request return status 200 content-type text/plain lf-string %[src]
";

struct Site {
    haproxy: Haproxy,
    pebble: Pebble,
    hotcert: Hotcert,
}

impl Site {
    fn new(version: HaproxyVersion) -> Self {
        // Clients send no server name for an address, so its certificate has to be HAProxy's default.
        let placeholder = Pki::self_signed("shop.test").fullchain_and_key();
        let config = BEFORE.replace(":443", "127.0.0.1:{https}");
        let haproxy = Haproxy::new(version).config(&config).certificate("shop.test.pem", &placeholder).start();
        let pebble = Pebble::new(PebbleVersion::V2_10).tls_alpn01(haproxy.https_addr()).start();
        let site = Self { haproxy, pebble, hotcert: Hotcert::new() };
        let names = NAMES.map(|name| format!("\"{name}\"")).join(", ");
        let config = format!(
            "version = 1\nstate_dir = {state}\n\
             [issuer.pebble]\ndirectory = \"{directory}\"\nroot_ca = {root_ca}\ncontact = \"admin@example.org\"\nterms_agreed = true\n\
             [solver.alpn]\ntype = \"tls-alpn-01\"\nlisten = \"{listen}\"\nprobe = \"{https}\"\n\
             [haproxy.edge]\nsocket = {socket}\ncrt_dir = {crt_dir}\nverify = [\"{https}\"]\n\
             [[certificate]]\nname = \"shop.test\"\ndomains = [{names}]\n",
            state = quoted(site.hotcert.state_dir()),
            directory = site.pebble.directory(),
            root_ca = quoted(site.pebble.root_ca()),
            listen = site.haproxy.acme_addr(),
            https = site.haproxy.https_addr(),
            socket = quoted(site.haproxy.socket()),
            crt_dir = quoted(site.haproxy.crt_dir()),
        );
        site.hotcert.scratch().write("hotcert.toml", config);
        site
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.hotcert.run(["--config", "hotcert.toml"].iter().chain(arguments))
    }

    /// Does with the printed lines what they say; only the addresses are those of the test.
    fn apply(&mut self, lines: &str) {
        let https = self.haproxy.https_addr();
        let ours = format!("abns@hotcert_{}", https.port());
        assert!(lines.contains("    bind :443\n"), "{lines}");
        let bind = lines.lines().find(|line| line.starts_with("bind ")).unwrap();
        assert!(bind.starts_with("bind abns@hotcert_https accept-proxy ssl crt "), "{lines}");
        let sections: String = lines.split_inclusive('\n').skip_while(|line| !line.starts_with("frontend ")).collect();
        let sections = sections
            .replace("bind :443", &format!("bind {https}\n    bind [::1]:{}", https.port()))
            .replace("abns@hotcert_https", &ours);
        let config = self.haproxy.scratch().read("haproxy.cfg");
        let config = config.replace(&format!("bind {https} ssl"), &format!("bind {ours} accept-proxy ssl"));
        self.haproxy.scratch().write("haproxy.cfg", format!("{config}{sections}"));
        self.haproxy.check().unwrap();
        self.haproxy.reload();
        let log = self.haproxy.log();
        let complaint = log.lines().find(|line| line.starts_with("[WARNING]") && !line.contains(" stopped ("));
        assert_eq!(complaint, None);
    }
}

fn names_and_addresses_are_proved_through_haproxy(version: HaproxyVersion) {
    let mut site = Site::new(version);
    let https = site.haproxy.https_addr();

    // HAProxy ends TLS itself: that is found before an order is spent, and what is printed is what has to be done.
    let misrouted = site.run(&["renew", "--json"]).expect_code(1);
    let text = format!("{misrouted:?}");
    assert!(text.contains("HAProxy ends TLS itself") && text.contains("req.ssl_alpn acme-tls/1"), "{text}");
    assert_eq!((site.pebble.orders(), site.pebble.accounts()), (0, 0));
    let lines = site.run(&["config", "haproxy"]).expect_code(0).stdout;
    site.apply(&lines);

    // Clients are served as before, and seen with their own address.
    let clients = Hammer::start(https, "shop.test", Duration::from_millis(20), 1);
    let issued = site.run(&["renew", "--force", "-vv", "--json"]).expect_code(0);
    clients.stop().expect_no_errors();
    let served = client::handshake(https, "shop.test", client::Options::default()).unwrap();
    let mut names = served.names.clone();
    names.sort();
    let mut expected = NAMES;
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(issued.json()["certificates"][0]["serial"].as_str(), Some(served.serial.as_str()));
    assert_eq!(client::https_get(https, "shop.test", "/").unwrap().1.text(), "127.0.0.1");
    let by_v6 = format!("[::1]:{}", https.port()).parse().unwrap();
    assert_eq!(client::https_get(by_v6, "shop.test", "/").unwrap().1.text(), "::1");
    assert_eq!(site.pebble.orders(), 1);

    // What is stored is all that is secret.
    let keys: Vec<_> = files(&site.hotcert.state_dir())
        .into_iter()
        .filter_map(|path| Some((path.display().to_string(), fs::read_to_string(&path).ok()?)))
        .filter(|(_, text)| text.contains("-----BEGIN PRIVATE KEY-----"))
        .map(|(path, text)| Secret::of(&path, text[text.find("-----BEGIN PRIVATE").unwrap()..].trim()))
        .collect();
    assert_eq!(keys.len(), 2, "those of the account and of the certificate");
    for text in [&issued.stdout, &issued.stderr, &site.haproxy.log()] {
        expect_none(&keys, "what is printed", text.as_bytes());
    }
}

#[test]
fn names_and_addresses_are_proved_through_old_haproxy() {
    names_and_addresses_are_proved_through_haproxy(HaproxyVersion::V2_6);
}

#[test]
fn names_and_addresses_are_proved_through_new_haproxy() {
    names_and_addresses_are_proved_through_haproxy(HaproxyVersion::V3_2);
}

/// Each thing that can be wrong on the way is told, and costs no order.
#[test]
fn a_wrong_way_is_told_and_costs_no_order() {
    let mut site = Site::new(HaproxyVersion::V2_8);
    site.apply(&site.run(&["config", "haproxy"]).expect_code(0).stdout);
    let listen = site.haproxy.acme_addr().to_string();
    // Nobody else is to answer for hotcert.
    let elsewhere = "127.0.0.1:0";
    let config = site.hotcert.scratch().read("hotcert.toml");
    site.hotcert.scratch().write("hotcert.toml", config.replace(&listen, elsewhere));
    let cut_off = site.run(&["renew"]).expect_code(1);
    assert!(cut_off.stderr.contains("cannot reach hotcert"), "{cut_off:?}");

    site.hotcert.scratch().write("hotcert.toml", config.replace("probe = \"", "probe = \"localhost.invalid:1\" # "));
    let nowhere = site.run(&["renew", "--force"]).expect_code(1);
    assert!(nowhere.stderr.contains("the probe address has no address"), "{nowhere:?}");

    let https = site.haproxy.https_addr().to_string();
    let plain = config.replace(&format!("probe = \"{https}\""), &format!("probe = \"{listen}\""));
    // The responder is asked straight, which the authority does not do; nothing is wrong with that.
    site.hotcert.scratch().write("hotcert.toml", plain);
    assert_eq!(site.pebble.orders(), 0);
    site.run(&["renew", "--force"]).expect_code(0);
    assert_eq!(site.pebble.orders(), 1);

    // A flag wins over the file.
    site.hotcert.scratch().write("hotcert.toml", config.replace(&listen, elsewhere));
    site.run(&["issue", "shop.test", "--force", "--tls-alpn-01-listen", &listen]).expect_code(0);
    assert_eq!(site.pebble.orders(), 2);
}
