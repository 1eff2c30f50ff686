//! Proof of service: what hotcert finds out by handshakes with real HAProxy servers, right after a change.

use std::net::SocketAddr;

use crate::support::haproxy::Builder;
use crate::support::pki::KeyType;
use crate::support::process::signal_process;
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Leaf, Outcome, Pki, each_haproxy, poll};
use rustix::process::Signal;

each_haproxy! {
    one_version_of_tls_is_enough,
    a_certificate_that_no_client_of_its_kind_gets_is_reported,
    a_forgotten_process_on_the_same_port_is_found,
    what_clients_notice_beside_the_new_certificate_is_told,
    clients_that_resume_a_session_are_told_of_where_the_version_lets_them,
}

/// Options of a bind line that leave nothing but RSA over TLS 1.2.
const RSA_12: &str = "ciphers ECDHE-RSA-AES128-GCM-SHA256";

/// A HAProxy, and a user who says where clients come in.
struct Front {
    haproxy: Haproxy,
    hotcert: Hotcert,
    pki: Pki,
    verify: Vec<SocketAddr>,
}

impl Front {
    fn new(haproxy: Builder) -> Self {
        Self::with(Pki::new(), haproxy)
    }

    fn with(pki: Pki, haproxy: Builder) -> Self {
        let haproxy = haproxy.start();
        let verify = vec![haproxy.https_addr()];
        Self { haproxy, hotcert: Hotcert::new(), pki, verify }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        all.extend(["--socket".to_owned(), self.haproxy.socket().display().to_string()]);
        all.extend(["--crt-dir".to_owned(), self.haproxy.crt_dir().display().to_string()]);
        all.extend(["--state-dir".to_owned(), self.hotcert.state_dir().display().to_string()]);
        for address in &self.verify {
            all.extend(["--verify".to_owned(), address.to_string()]);
        }
        self.hotcert.run(all)
    }

    fn push(&self, leaf: &Leaf, arguments: &[&str]) -> Outcome {
        let file = format!("{}.pem", leaf.serial());
        self.hotcert.scratch().write(&file, leaf.fullchain_and_key());
        self.run(&[&["push", &file], arguments].concat())
    }

    /// Pushes a leaf, and returns what was noticed beside it: kinds and messages.
    fn noticed(&self, leaf: &Leaf, arguments: &[&str]) -> Vec<(String, String)> {
        let report = self.push(leaf, &[&["--json"], arguments].concat()).expect_code(0).json();
        assert_eq!(report["certificates"][0]["nodes"][0]["verified"], "handshake", "{report:#}");
        let text = |warning: &serde_json::Value, key: &str| warning[key].as_str().unwrap().to_owned();
        let warnings = report["warnings"].as_array().unwrap();
        warnings.iter().map(|warning| (text(warning, "kind"), text(warning, "message"))).collect()
    }
}

fn one_version_of_tls_is_enough(version: HaproxyVersion) {
    let pki = Pki::new();
    let directory = "ssl crt {dir}/certs/ strict-sni";
    // Clients without a certificate are refused in the middle of the handshake.
    let strict = "ssl-max-ver TLSv1.2 ca-file {dir}/clients.pem verify required";
    let haproxy = Haproxy::new(version)
        .tls(&format!("{directory} {strict}"))
        .tls2(&format!("{directory} ssl-min-ver TLSv1.3"))
        .file("clients.pem", pki.root_pem());
    let mut front = Front::with(pki, haproxy);
    front.verify.push(front.haproxy.https2_addr());
    for key in [KeyType::Rsa2048, KeyType::EcdsaP384] {
        let leaf = front.pki.leaf("a.test").key(key).issue();
        let report = front.push(&leaf, &["--json"]).expect_code(0).json();
        assert_eq!(report["certificates"][0]["nodes"][0]["verified"], "handshake", "{report:#}");
    }
}

fn a_certificate_that_no_client_of_its_kind_gets_is_reported(version: HaproxyVersion) {
    let haproxy = Haproxy::new(version)
        .tls(&format!("ssl crt {{dir}}/certs/ strict-sni ssl-max-ver TLSv1.2 {RSA_12}"))
        .tls2(&format!("ssl crt {{dir}}/certs/ strict-sni {RSA_12}"));
    let mut front = Front::new(haproxy);
    let issue = |key| front.pki.leaf("a.test").key(key).issue();
    let (rsa, ecdsa) = (issue(KeyType::Rsa2048), issue(KeyType::EcdsaP256));
    front.push(&rsa, &[]).expect_code(0);
    let refused = front.push(&ecdsa, &["--json"]).expect_code(1);
    let error = refused.json();
    assert_eq!(error["error"]["kind"], "not-served", "{error:#}");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("is shown no certificate"), "{message}");
    assert!(message.contains("refuses the handshake: "), "{message}");

    // Where TLS 1.3 is spoken the certificate is served, and clients that speak 1.2 alone are lost.
    front.verify = vec![front.haproxy.https2_addr()];
    front.push(&rsa, &["--force"]).expect_code(0);
    for (leaf, expected) in
        [(&ecdsa, "no longer speaks TLS 1.2 for a.test"), (&rsa, "speaks TLS 1.2 as well for a.test")]
    {
        let mut noticed = front.noticed(leaf, &["--force"]);
        noticed.retain(|(kind, _)| kind != "resumption");
        let [(kind, message)] = &noticed[..] else { panic!("{noticed:#?}") };
        assert_eq!(kind, "protocol");
        assert!(message.ends_with(expected), "{message}");
    }
}

#[test]
fn a_chain_that_is_lost_on_the_way_is_reported() {
    let pki = Pki::new();
    let leaf = pki.leaf("a.test").issue();
    let other = Haproxy::new(HaproxyVersion::V2_8).certificate("a.test.pem", &leaf.leaf_and_key()).start();
    let mut front = Front::with(pki, Haproxy::new(HaproxyVersion::V3_2));
    front.verify = vec![other.https_addr()];
    let push = front.push(&leaf, &[]).expect_code(1);
    assert!(push.stderr.contains("is shown the right leaf with another chain (0 certificates, not 1)"), "{push:?}");
}

/// A HAProxy of the old days: the same port, and the certificate that it started with.
fn twin(version: HaproxyVersion, port: u16, leaf: &Leaf) -> Haproxy {
    let config = "global\n    stats socket {socket} level admin\ndefaults\n    mode http\n    timeout client 5s\n    \
                  timeout server 5s\n    timeout connect 5s\nfrontend https\n    bind 127.0.0.1:{port} ssl crt {dir}/certs/\n";
    let config = config.replace("{port}", &port.to_string());
    Haproxy::new(version).config(&config).certificate("old.pem", &leaf.fullchain_and_key()).start()
}

fn a_forgotten_process_on_the_same_port_is_found(version: HaproxyVersion) {
    let front = Front::new(Haproxy::new(version));
    let names: &[&str] = &["a.test", "b.test", "c.test", "d.test"];
    let issue = || front.pki.leaf("a.test").names(names).issue();
    let (old, new) = (issue(), issue());
    front.push(&old, &[]).expect_code(0);
    let twin = twin(version, front.haproxy.https_addr().port(), &old);

    let push = front.push(&new, &["--json"]).expect_code(1).json();
    assert_eq!(push["error"]["kind"], "not-served", "{push:#}");
    let message = push["error"]["message"].as_str().unwrap();
    let pids = [front.haproxy.pid(), twin.pid()].map(|pid| format!("process {pid} ("));
    assert!(message.contains(" handshakes with 127.0.0.1:"), "{message}");
    for serial in [old.serial(), new.serial()] {
        assert!(message.contains(&format!("showed serial {serial}")), "{message}");
    }
    assert!(pids.iter().all(|pid| message.contains(pid)), "{message}");
    let cure = format!("`kill -USR1 {}`", twin.pid());
    assert!(push["error"]["hint"].as_str().unwrap().contains(&cure), "{push:#}");

    // What is served is as it should be, as far as HAProxy goes, and the certificate is not taken back.
    let status = front.run(&["status", "--json"]).expect_code(2).json();
    let certificate = &status["certificates"][0];
    assert_eq!((&certificate["serial"], &certificate["state"]), (&new.serial().into(), &"failed".into()), "{status:#}");
    assert_eq!(certificate["nodes"][0]["state"], "in-sync", "{status:#}");
    assert_eq!(certificate["nodes"][0]["verified"], "memory", "{status:#}");
    assert!(certificate["nodes"][0]["detail"].as_str().unwrap().contains(" answer there"), "{status:#}");

    signal_process(twin.pid(), Signal::USR1);
    let proved = poll(crate::support::SERVER_DEADLINE, || (front.run(&["status"]).code == Some(0)).then_some(()));
    assert!(proved.is_some(), "{:?}", front.run(&["status"]));
}

fn what_clients_notice_beside_the_new_certificate_is_told(version: HaproxyVersion) {
    let pki = Pki::new();
    let wild = pki.leaf("*.a.test").key(KeyType::Rsa2048).issue();
    let haproxy = Haproxy::new(version)
        .crt_list("{dir}/certs/wild.pem [alpn h2]\n")
        .tls("ssl crt-list {dir}/crt-list.txt alpn http/1.1")
        .certificate("wild.pem", &wild.fullchain_and_key());
    let front = Front::with(pki, haproxy);
    let list = front.haproxy.crt_list().display().to_string();
    let narrow = || front.pki.leaf("x.a.test").issue();
    let mut noticed = front.noticed(&narrow(), &["--attach", &list]);
    noticed.retain(|(kind, _)| kind != "resumption");
    let [(cipher, suite), (alpn, chosen)] = &noticed[..] else { panic!("{noticed:#?}") };
    assert_eq!((cipher.as_str(), alpn.as_str()), ("cipher", "alpn"), "{noticed:#?}");
    assert!(chosen.ends_with("chooses http/1.1 instead of h2 for x.a.test"), "{chosen}");
    assert!(suite.contains("over TLS 1.2 for x.a.test") && suite.contains("instead of TLS_ECDHE_RSA"), "{suite}");

    let warned = front.push(&front.pki.leaf("y.a.test").issue(), &["--attach", &list]).expect_code(0);
    assert!(warned.stderr.contains("warning: node "), "{warned:?}");
}

#[test]
fn a_default_certificate_that_is_another_one_is_told() {
    for version in [HaproxyVersion::V3_0, HaproxyVersion::V3_2] {
        let pki = Pki::new();
        let (first, second) = (pki.leaf("a.test").issue(), pki.leaf("b.test").issue());
        let haproxy = Haproxy::new(version)
            .crt_list("{dir}/certs/a.test.pem * a.test\n{dir}/certs/b.test.pem * b.test\n")
            .tls("ssl crt-list {dir}/crt-list.txt")
            .certificate("a.test.pem", &first.fullchain_and_key())
            .certificate("b.test.pem", &second.fullchain_and_key());
        let front = Front::with(pki, haproxy);
        let noticed = front.noticed(&front.pki.leaf("a.test").issue(), &[]);
        let told = noticed.iter().find(|(kind, _)| kind == "default-certificate");
        let (_, message) = told.unwrap_or_else(|| panic!("{noticed:#?}"));
        assert!(message.contains(&format!("shows clients that name no host serial {}", second.serial())), "{message}");
        assert!(message.contains(&format!("instead of serial {}", first.serial())), "{message}");
    }
}

fn clients_that_resume_a_session_are_told_of_where_the_version_lets_them(version: HaproxyVersion) {
    // Not strict, so that it is the default certificate too, which may change to its next generation.
    let pki = Pki::new();
    let first = pki.leaf("a.test").issue();
    let haproxy =
        Haproxy::new(version).tls("ssl crt {dir}/certs/").certificate("a.test.pem", &first.fullchain_and_key());
    let front = Front::with(pki, haproxy);
    let noticed = front.noticed(&front.pki.leaf("a.test").issue(), &[]);
    if version >= HaproxyVersion::V3_2 {
        assert_eq!(noticed, []);
        return;
    }
    let [(kind, message)] = &noticed[..] else { panic!("{noticed:#?}") };
    assert_eq!(kind, "resumption");
    assert!(message.contains("goes on showing the old certificate to clients that resume a session"), "{message}");
    let push = front.push(&front.pki.leaf("a.test").issue(), &[]).expect_code(0);
    assert!(push.stderr.contains("notice: node ") && !push.stderr.contains("warning: "), "{push:?}");
}
