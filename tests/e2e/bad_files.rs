//! Certificates and names that must not get through: each is refused with its reason and cure, and changes nothing.

use crate::support::client::{Options, handshake};
use crate::support::{HaproxyVersion, Pki};
use crate::unharmed::{Bench, Expected, NAME, refused, usage};

#[test]
fn a_key_that_is_missing_encrypted_or_anothers_is_refused() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let new = bench.pki.leaf(NAME).issue();
    let other = bench.pki.leaf(NAME).issue();

    bench.refuses_pem(&new.fullchain(), refused(&[NAME, "the private key is missing"], "second file"));
    let mismatched = new.fullchain() + &other.key_pem();
    bench.refuses_pem(&mismatched, refused(&[NAME, "does not match", "CN=shop.test"], "ordered with"));
    let two = new.fullchain_and_key() + &other.key_pem();
    bench.refuses_pem(&two, refused(&[NAME, "one private key was expected, and 2"], "ordered with"));
    let encrypted = new.fullchain() + &new.key_encrypted("secret");
    bench.refuses_pem(&encrypted, refused(&[NAME, "is encrypted"], "openssl pkey"));
    // As `openssl ec -aes128` writes it (RFC 1421, section 4.6.1).
    let header = "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n";
    let legacy = new.fullchain() + &new.key_sec1().replacen("-----\n", header, 1);
    bench.refuses_pem(&legacy, refused(&[NAME, "is encrypted"], "openssl pkey"));
    let broken = new.fullchain() + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    bench.refuses_pem(&broken, refused(&[NAME, "broken"], "openssl pkey"));

    let (certificate, key) = (bench.file("cert.pem", new.fullchain()), bench.file("other.key", other.key_pem()));
    bench.refuses(refused(&[NAME, "does not match"], "ordered with"), || {
        bench.run(["push".into(), certificate.clone(), key.clone()])
    });
    // The key that fits, as a second file, is taken.
    let key = bench.file("new.key", new.key_pem());
    bench.run(["push".into(), certificate, key]).expect_code(0);
    let served = handshake(bench.haproxy.https_addr(), NAME, Options::default()).unwrap();
    assert_eq!(served.sha256, new.sha256());
}

#[test]
fn a_certificate_that_clients_could_not_use_is_refused() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let pem = |leaf: crate::support::Leaf| leaf.fullchain_and_key();
    let (pki, stranger) = (&bench.pki, Pki::new());

    let expired = pem(pki.leaf(NAME).valid_days(-10, -1).issue());
    bench.refuses_pem(&expired, refused(&[NAME, "it has expired", "now it is 20"], "--force"));
    let future = pem(pki.leaf(NAME).valid_days(1, 90).issue());
    bench.refuses_pem(&future, refused(&[NAME, "not yet valid", "it starts at 20"], "--force"));
    let older = pem(pki.leaf(NAME).valid_days(-10, 80).issue());
    bench.refuses_pem(&older, refused(&[NAME, "older than what node", "has: it starts at"], "--force"));
    let misnamed = pem(pki.leaf("other.test").issue());
    bench.refuses_pem(&misnamed, refused(&["does not cover shop.test", "it covers other.test"], "--force"));

    let leaf = pki.leaf(NAME).issue();
    bench.refuses_pem(&leaf.leaf_and_key(), refused(&[NAME, "without intermediates"], "full chain"));
    let forged = leaf.leaf_and_key() + &stranger.intermediates()[0];
    bench.refuses_pem(&forged, refused(&[NAME, "the chain is broken"], "full chain"));
    let long = Pki::with_two_intermediates();
    let gap = long.leaf(NAME).issue().leaf_and_key() + &long.intermediates()[1];
    bench.refuses_pem(&gap, refused(&[NAME, "the chain is broken", "which is not there"], "full chain"));
}

#[test]
fn a_file_that_is_no_certificate_is_refused() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let leaf = bench.pki.leaf(NAME).issue();
    let whole = leaf.fullchain_and_key();
    let cure = "PEM file with the leaf";

    for blank in ["", "\n \n"] {
        bench.refuses_pem(blank, refused(&[NAME, "it is empty"], cure));
    }
    let der = bench.file("leaf.der", leaf.der());
    bench.refuses(refused(&[NAME, "binary data"], cure), || {
        bench.run(["push".into(), der.clone(), "--name".into(), NAME.into()])
    });
    // The name of the file tells what is meant until the certificate itself does.
    bench.refuses(refused(&["leaf", "binary data"], cure), || bench.run(["push".into(), der]));
    bench.refuses_pem("<html>not found</html>\n", refused(&[NAME, "-----BEGIN"], cure));
    bench.refuses_pem(&whole[..whole.len() / 2], refused(&[NAME, "is cut off"], cure));
    bench.refuses_pem(&leaf.key_pem(), refused(&[NAME, "no certificate was found"], cure));
    let garbled = whole.replacen("MII", "M!!", 1);
    bench.refuses_pem(&garbled, refused(&[NAME, "line 1", "base64"], cure));
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned() + &leaf.key_pem();
    bench.refuses_pem(&nonsense, refused(&[NAME, "line 1", "no X.509 certificate"], cure));
    let huge = "x".repeat(10 * 1024 * 1024);
    bench.refuses_pem(&huge, refused(&[NAME, "longer than 1048576 bytes"], cure));

    let missing = Expected { code: 1, kind: "failed", says: &["/nowhere.pem", "No such file"], hint: "ls -l" };
    bench.refuses(missing, || bench.run(["push".into(), "/nowhere.pem".into()]));
    bench.refuses(missing, || {
        bench.run(["push".into(), bench.file("leaf.pem", leaf.fullchain()), "/nowhere.pem".into()])
    });
    let directory = Expected { code: 1, kind: "failed", says: &["cannot read", "directory"], hint: "ls -l" };
    bench.refuses(directory, || bench.run(["push".into(), bench.haproxy.crt_dir().into()]));
}

/// Writes a leaf in a way that a person or another tool might.
type Untidy<'a> = dyn Fn(&crate::support::Leaf) -> String + 'a;

#[test]
fn untidy_pem_is_repaired_with_a_notice_and_served() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let chain = bench.pki.intermediates()[0].clone();
    let root = bench.pki.root_pem();
    let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    let untidy: [(&str, &Untidy<'_>); 8] = [
        ("put in order", &|leaf| leaf.key_pem() + &chain + &leaf.cert_pem()),
        ("the root at the end", &|leaf| leaf.fullchain() + root + &leaf.key_pem()),
        ("blank lines", &|leaf| {
            leaf.fullchain_and_key().replace("-----END", "\n-----END").replace("-----\n", "-----\n\n")
        }),
        ("CRLF", &|leaf| leaf.fullchain_and_key().replace('\n', "\r\n")),
        ("text around", &|leaf| format!("Bag Attributes\n{}subject=CN = x\n{}", leaf.fullchain(), leaf.key_pem())),
        ("twice", &|leaf| leaf.fullchain() + &leaf.cert_pem() + &leaf.key_pem()),
        ("neither certificates nor keys", &|leaf| leaf.fullchain() + parameters + &leaf.key_sec1()),
        ("CRLF", &|leaf| format!("text\r\n\r\n{}", (leaf.key_pem() + root + &leaf.fullchain()).replace('\n', "\r\n"))),
    ];
    for (notice, text) in untidy {
        let leaf = bench.pki.leaf(NAME).issue();
        let outcome = bench.push(&text(&leaf), &[]).expect_code(0);
        let json = outcome.json();
        let notices = json["notices"].as_array().unwrap();
        assert!(notices.iter().any(|said| said.as_str().unwrap().contains(notice)), "{outcome:?}");
        assert!(outcome.stderr.contains(notice), "{outcome:?}");
        let served = handshake(bench.haproxy.https_addr(), NAME, Options::default()).unwrap();
        assert_eq!((served.sha256.as_str(), served.chain.len()), (leaf.sha256(), 2), "{notice}");
        let published = std::fs::read_to_string(bench.haproxy.crt_dir().join("shop.test.pem")).unwrap();
        assert!(!published.contains("\n\n") && !published.contains('\r'), "{published}");
    }
}

#[test]
fn a_certificate_that_haproxy_cannot_take_is_refused_before_haproxy_hears_of_it() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let mut bench = Bench::new(version);
        // Around the size at which some versions abort, and far above it.
        for size in [16_300, 16_384, 17_000, 60_000] {
            let pem = bench.pki.leaf(NAME).pem_size(size).issue().fullchain_and_key();
            let says = [NAME, "too large", "takes 16319 at most"];
            let expected = Expected { code: 1, kind: "too-large", says: &says, hint: "tune.bufsize" };
            bench.refuses_pem(&pem, expected);
            assert!(bench.haproxy.is_alive());
        }
    }
}

/// Names that could leave their directory, become a second command, or never be loaded.
const BAD_NAMES: [(&str, &str); 13] = [
    ("../shop", "path separator"),
    ("a/b", "path separator"),
    ("a\\b", "path separator"),
    ("a b", "only ASCII"),
    ("a\nb", "only ASCII"),
    ("a;b", "only ASCII"),
    ("a<<b", "only ASCII"),
    ("*shop", "leading `*`"),
    (".shop", "starts with a dot"),
    ("shop.key", "reserves the endings"),
    ("shop.ocsp", "reserves the endings"),
    ("shop.issuer", "reserves the endings"),
    ("shop.sctl", "reserves the endings"),
];

#[test]
fn a_dangerous_name_is_refused_wherever_it_is_given() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let pem = bench.pki.leaf(NAME).issue().fullchain_and_key();
    for (name, reason) in BAD_NAMES {
        let shown = format!("{name:?}");
        let says = [shown.as_str(), reason];
        bench.refuses(usage(&says, "--help"), || bench.push(&pem, &[&format!("--name={name}")]));
        bench.refuses(usage(&says, "--help"), || {
            bench.run(["issue".into(), NAME.into(), format!("--cert-name={name}").into()])
        });
        for command in ["status", "renew", "rollback"] {
            bench.refuses(usage(&says, "--help"), || bench.run([command.into(), name.into()]));
        }
        let tables = format!("[[certificate]]\nname = {}\ndomains = ['shop.test']\n", serde_json::Value::from(name));
        let config = bench.file("hotcert.toml", bench.config(&tables));
        let expected = Expected {
            code: 78,
            kind: "config",
            says: &["hotcert.toml:", shown.as_str(), reason],
            hint: "config check",
        };
        bench.refuses(expected, || bench.run_bare(["--config".into(), config, "sync".into()]));
    }
}

#[test]
fn a_domain_whose_certificate_could_not_be_named_after_it_asks_for_a_name() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let label = "a".repeat(50);
    let long = [label.as_str(); 4].join(".");
    for domain in ["shop.key", &long] {
        let pem = bench.pki.leaf(domain).issue().fullchain_and_key();
        bench.refuses(usage(&["cannot be named after", domain], "--name"), || bench.push(&pem, &[]));
        bench.refuses(usage(&["cannot be named after", domain], "--cert-name"), || {
            bench.run(["issue".into(), domain.into()])
        });
    }
}
