//! What lies beside the file of a certificate: OCSP responses are stapled, issuers make that possible, and certificates with `.sctl`
//! files are not touched, for that kills HAProxy.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::client::{self, Options, Served};
use crate::support::sidecar::{DEADLINE, quoted};
use crate::support::{Haproxy, HaproxyVersion, House, Leaf, Outcome, Pki, each_haproxy, poll};

each_haproxy! {
    a_response_is_stapled_and_a_renewal_leaves_no_gap,
    what_cannot_be_stapled_is_told_and_holds_up_no_certificate,
    an_issuer_is_taken_where_the_chain_lacks_it,
}

/// Not on 2.8.25: with such a file it dies of a few handshakes, whatever is done to the certificate.
#[test]
fn a_certificate_that_has_timestamps_is_not_replaced() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_0, HaproxyVersion::V3_2] {
        refuses_to_replace_what_has_timestamps(version);
    }
}

const SHOP: &str = "shop.test";
const HOUR: i64 = 60 * 60;

/// A house with one node, and the file that it publishes.
struct Shop {
    house: House,
}

impl Shop {
    fn new(haproxy: crate::support::haproxy::Builder) -> Self {
        Self { house: House::new([haproxy]) }
    }

    fn node(&self) -> &Haproxy {
        &self.house.nodes[0]
    }

    fn pki(&self) -> &Pki {
        &self.house.pki
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.node().crt_dir().join(format!("{SHOP}.pem{ending}"))
    }

    /// Puts a file beside the certificate, as a careful program does.
    fn put(&self, ending: &str, contents: impl AsRef<[u8]>) {
        let hidden = self.node().crt_dir().join(".new");
        fs::write(&hidden, contents).unwrap();
        fs::rename(hidden, self.file(ending)).unwrap();
    }

    fn take(&self, ending: &str) {
        fs::remove_file(self.file(ending)).unwrap();
    }

    fn push(&self, leaf: &Leaf) -> Outcome {
        self.house.hotcert.scratch().write("next.pem", leaf.fullchain_and_key());
        self.house.run(&["push", "next.pem", "--json"])
    }

    fn served(&self) -> Served {
        client::handshake(self.node().https_addr(), SHOP, Options::default()).unwrap()
    }

    fn expect_stapled(&self, leaf: &Leaf, response: &[u8]) {
        for options in [Options::tls12(), Options::tls13()] {
            let served = client::handshake(self.node().https_addr(), SHOP, options).unwrap();
            assert_eq!(served.serial, leaf.serial());
            assert!(served.ocsp == response, "stapled: {:?}", served.ocsp);
        }
    }

    fn expect_settled(&self) {
        assert_eq!(self.house.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
    }

    /// The problem with a file beside the certificate.
    fn problem(&self, ending: &str) -> String {
        let status = self.house.run(&["status", "--json"]).expect_code(2).json();
        let file = self.file(ending);
        let problems = status["problems"].as_array().unwrap().iter();
        let mut about = problems.filter(|problem| problem["file"].as_str() == file.to_str());
        about.next().unwrap_or_else(|| panic!("{status:#}"))["message"].as_str().unwrap().to_owned()
    }
}

fn a_response_is_stapled_and_a_renewal_leaves_no_gap(version: HaproxyVersion) {
    let mut shop = Shop::new(Haproxy::new(version));
    let first = shop.pki().leaf(SHOP).issue();
    shop.push(&first).expect_code(0);
    assert!(shop.served().ocsp.is_empty());
    shop.expect_settled();

    // A response comes, then a fresher one, then an older one again.
    let old = shop.pki().ocsp(&first).valid_seconds(-2 * HOUR, HOUR).der();
    let fresh = shop.pki().ocsp(&first).valid_seconds(-HOUR, 2 * HOUR).der();
    shop.put(".ocsp", &old);
    let plan = shop.house.run(&["plan"]).expect_code(2).stdout;
    assert!(plan.contains("again with the OCSP response beside its file"), "{plan}");
    shop.house.run(&["sync"]).expect_code(0);
    shop.expect_stapled(&first, &old);
    shop.expect_settled();
    shop.put(".ocsp", &fresh);
    shop.house.run(&["sync"]).expect_code(0);
    shop.expect_stapled(&first, &fresh);
    shop.put(".ocsp", &old);
    shop.expect_settled();

    // The response of the next certificate is there before it.
    let second = shop.pki().leaf(SHOP).issue();
    let next = shop.pki().ocsp(&second).der();
    shop.put(".ocsp", &next);
    let status = shop.house.run(&["status", "--json"]).expect_code(2).json();
    let detail = status["certificates"][0]["nodes"][0]["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("it is about another certificate") && detail.contains(second.serial()), "{status:#}");
    shop.expect_settled();
    shop.expect_stapled(&first, &fresh);

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                seen.push(shop.served());
            }
            seen
        });
        shop.push(&second).expect_code(0);
        done.store(true, Ordering::Relaxed);
        for served in client.join().unwrap() {
            let expected = if served.serial == first.serial() { &fresh } else { &next };
            assert!(served.ocsp == *expected, "{} was shown with {:?}", served.serial, served.ocsp);
        }
    });
    shop.expect_stapled(&second, &next);
    shop.expect_settled();

    // One that was not fetched anew is nothing for the certificate after that.
    let third = shop.pki().leaf(SHOP).issue();
    let pushed = shop.push(&third).expect_code(0);
    assert!(pushed.stderr.contains("it is about another certificate"), "{pushed:?}");
    shop.expect_stapled(&third, &[]);
    shop.house.haproxy().restart();
    shop.expect_stapled(&third, &[]);
    shop.put(".ocsp", shop.pki().ocsp(&third).der());
    shop.house.run(&["sync"]).expect_code(0);
    shop.house.haproxy().restart();
    assert!(!shop.served().ocsp.is_empty());
    shop.expect_settled();
}

fn what_cannot_be_stapled_is_told_and_holds_up_no_certificate(version: HaproxyVersion) {
    let shop = Shop::new(Haproxy::new(version));
    let flawed = |make: &dyn Fn(&Leaf) -> Vec<u8>, reason: &str| {
        let leaf = shop.pki().leaf(SHOP).issue();
        shop.put(".ocsp", make(&leaf));
        let pushed = shop.push(&leaf).expect_code(2);
        assert!(pushed.stderr.contains(reason), "{pushed:?}");
        shop.expect_stapled(&leaf, &[]);
        assert!(shop.problem(".ocsp").contains(reason), "{}", shop.problem(".ocsp"));
        shop.expect_settled();
        leaf
    };
    flawed(&|_| b"garbage".to_vec(), "it is not an OCSP response in DER");
    flawed(&|leaf| shop.pki().ocsp(leaf).valid_seconds(-2 * HOUR, -HOUR).der(), "it was valid until");
    flawed(&|leaf| shop.pki().ocsp(leaf).valid_seconds(HOUR, 2 * HOUR).der(), "it is valid from");
    let leaf = flawed(&|leaf| shop.pki().ocsp(leaf).revoked().der(), "it says that the certificate is revoked");
    let good = shop.pki().ocsp(&leaf).der();
    shop.put(".ocsp", &good);
    shop.house.run(&["sync"]).expect_code(0);
    shop.expect_stapled(&leaf, &good);
    shop.house.run(&["status"]).expect_code(0);
    // Nothing is taken away that is still good.
    shop.take(".ocsp");
    shop.expect_settled();
    shop.expect_stapled(&leaf, &good);
}

fn an_issuer_is_taken_where_the_chain_lacks_it(version: HaproxyVersion) {
    let mut shop = Shop::new(Haproxy::new(version));
    shop.house.pki = Pki::with_intermediates(0);
    let hotcert = &shop.house.hotcert;
    let root = hotcert.scratch().write("root.pem", shop.pki().root_pem());
    let leaf = shop.pki().leaf(SHOP).issue();
    hotcert.scratch().write("next.pem", leaf.fullchain_and_key());
    let config = format!(
        "version = 1\nstate_dir = {}\ntrust = {}\n[haproxy.edge]\nsocket = {}\ncrt_dir = {}\n",
        quoted(hotcert.state_dir()),
        quoted(root),
        quoted(shop.node().socket()),
        quoted(shop.node().crt_dir()),
    );
    hotcert.scratch().write("trusting.toml", config);
    let run = |arguments: &[&str]| hotcert.run([arguments, &["--config", "trusting.toml"]].concat());

    let response = shop.pki().ocsp(&leaf).der();
    shop.put(".ocsp", &response);
    let pushed = run(&["push", "next.pem"]).expect_code(2);
    assert!(pushed.stderr.contains("HAProxy does not start without"), "{pushed:?}");
    shop.node().check().unwrap_err();
    shop.expect_stapled(&leaf, &[]);
    let stranger = Pki::new();
    shop.put(".issuer", stranger.issuer_pem());
    let told = run(&["status"]).expect_code(2).stdout;
    assert!(told.contains("which did not issue the leaf"), "{told}");
    shop.node().check().unwrap_err();

    shop.put(".issuer", shop.pki().issuer_pem());
    run(&["sync"]).expect_code(0);
    shop.expect_stapled(&leaf, &response);
    shop.node().check().unwrap();
    let plan = run(&["plan"]).expect_code(0);
    assert_eq!(plan.stdout, "nothing to do\n");
}

/// A list with one timestamp, which need not be a true one.
const TIMESTAMPS: &str = "\0\u{6}\0\u{4}time";

/// Whether a client is shown signed certificate timestamps (RFC 6962, section 3.3.1).
fn shows_timestamps(haproxy: &Haproxy) -> bool {
    let output = Command::new("openssl")
        .args(["s_client", "-tls1_2", "-serverinfo", "18", "-servername", SHOP, "-connect"])
        .arg(haproxy.https_addr().to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains("SERVERINFO FOR EXTENSION 18")
}

fn refuses_to_replace_what_has_timestamps(version: HaproxyVersion) {
    let pki = Pki::new();
    let (first, second) = (pki.leaf(SHOP).issue(), pki.leaf(SHOP).issue());
    let haproxy = Haproxy::new(version)
        .certificate(&format!("{SHOP}.pem"), &first.fullchain_and_key())
        .file(format!("certs/{SHOP}.pem.sctl"), TIMESTAMPS);
    let mut shop = Shop::new(haproxy);
    shop.house.pki = pki;
    assert!(shows_timestamps(shop.node()));
    shop.push(&first).expect_code(2);
    assert!(shop.problem(".sctl").contains("HAProxy crashes"), "{}", shop.problem(".sctl"));

    let pid = shop.node().pid();
    let refused = shop.push(&second).expect_code(1).json();
    assert_eq!(refused["error"]["kind"], "timestamps", "{refused:#}");
    shop.put(".ocsp", shop.pki().ocsp(&first).der());
    shop.house.run(&["sync"]).expect_code(2);
    let kept = shop.house.run(&["delete", SHOP, "--detach", "--json"]).expect_code(1).json();
    assert_eq!(kept["error"]["kind"], "timestamps", "{kept:#}");
    assert_eq!(shop.node().pid(), pid);
    assert_eq!(shop.served().serial, first.serial());
    assert!(shows_timestamps(shop.node()));

    // As the hint has it.
    let config = shop.node().scratch().read("haproxy.cfg");
    let config = config.replacen("global\n", "global\n    ssl-load-extra-files bundle ocsp issuer key\n", 1);
    shop.node().scratch().write("haproxy.cfg", config);
    shop.house.haproxy().reload();
    shop.take(".sctl");
    let pid = shop.node().pid();
    shop.push(&second).expect_code(0);
    assert_eq!(shop.served().serial, second.serial());
    assert_eq!(shop.node().pid(), pid);
    assert!(!shows_timestamps(shop.node()));
    shop.put(".sctl", "garbage");
    assert!(shop.problem(".sctl").contains("it is not a list of signed certificate timestamps"));
}

#[test]
fn the_sidecar_staples_what_comes_within_moments() {
    let shop = Shop::new(Haproxy::new(HaproxyVersion::V3_2));
    let leaf = shop.house.push(SHOP);
    let sidecar = shop.house.sidecar();
    // The first comes, others are written in its place.
    for hours in [4, 3, 2] {
        let response = shop.pki().ocsp(&leaf).valid_seconds(-hours * HOUR, HOUR).der();
        fs::write(shop.file(".ocsp"), &response).unwrap();
        let stapled = poll(DEADLINE, || (shop.served().ocsp == response).then_some(()));
        assert!(stapled.is_some(), "{}", sidecar.log());
    }
    fs::write(shop.file(".ocsp"), "garbage").unwrap();
    let told = poll(DEADLINE, || shop.house.run(&["status"]).code.filter(|code| *code == 2));
    assert!(told.is_some(), "{}", sidecar.log());
    assert!(shop.problem(".ocsp").contains("it is not an OCSP response"));
    let (outcome, _) = sidecar.stop();
    assert!(outcome.stderr.contains("it is not an OCSP response"), "{outcome:?}");
}

#[test]
fn a_foreign_certificate_that_gives_way_keeps_its_response() {
    let pki = Pki::new();
    let foreign = pki.leaf(SHOP).names(&[SHOP, "other.test"]).issue();
    let haproxy = Haproxy::new(HaproxyVersion::V2_8).certificate("foreign.pem", &foreign.fullchain_and_key());
    let mut shop = Shop::new(haproxy);
    let response = pki.ocsp(&foreign).der();
    fs::write(shop.node().crt_dir().join("foreign.pem.ocsp"), &response).unwrap();
    shop.house.pki = pki;
    shop.house.haproxy().restart();
    let other = |shop: &Shop| client::handshake(shop.node().https_addr(), "other.test", Options::default()).unwrap();
    assert!(other(&shop).ocsp == response);

    let ours = shop.house.push(SHOP);
    assert_eq!(shop.served().serial, ours.serial());
    let shown = other(&shop);
    assert_eq!(shown.serial, foreign.serial());
    assert!(shown.ocsp == response);
}
