//! Certificates that are other than what was asked for.

use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};

use super::bench::Case;
use crate::support::authority::Good;
use crate::support::{Leaf, Pki};

/// The name of the order, which the certificate has.
fn name(good: &Good<'_>) -> String {
    let leaf = pem::parse_many(&good.body).unwrap().remove(0);
    hotcert::model::Facts::read(leaf.contents(), 0).unwrap().names.first().unwrap().to_string()
}

fn leaf_of<'a>(good: &'a Good<'_>) -> &'a str {
    good.body.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap()
}

fn chain_of<'a>(good: &'a Good<'_>) -> &'a str {
    &good.body[leaf_of(good).len()..]
}

/// Somebody else's authority.
fn stranger() -> &'static Pki {
    static STRANGER: OnceLock<Pki> = OnceLock::new();
    STRANGER.get_or_init(Pki::new)
}

fn case(what: &str, body: impl Fn(&Good<'_>) -> String + Send + Sync + 'static) -> Case {
    Case::new(format!("certificate: {what}"), "/cert/", move |good| good.body(body(good)))
}

/// A certificate for the key of the order.
fn reissued(
    what: &str,
    describe: impl for<'a> Fn(crate::support::pki::LeafBuilder<'a>, &str) -> crate::support::pki::LeafBuilder<'a>
    + Send
    + Sync
    + 'static,
) -> Case {
    case(what, move |good| {
        let name = name(good);
        describe(good.pki.leaf(&name), &name).issue_for(&good.key)
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let now = Timestamp::now();
    let day = SignedDuration::from_hours(24);
    let other_key = |good: &Good<'_>| -> Leaf { good.pki.leaf(&name(good)).issue() };
    vec![
        case("for another key", move |good| other_key(good).fullchain()),
        case("for another order", |good| good.pki.leaf("other.test").issue().fullchain()),
        case("of another authority for another key", |good| stranger().leaf(&name(good)).issue().fullchain()),
        reissued("for another name", |leaf, _| leaf.names(&["other.test"])),
        reissued("for a name that only looks like it", |leaf, name| leaf.names(&[&format!("{name}.evil.test")])),
        reissued("for an address", |leaf, _| leaf.names(&["192.0.2.1"])),
        reissued("expired", move |leaf, _| leaf.not_before(now - day * 90).not_after(now - day)),
        reissued("not yet valid", move |leaf, _| leaf.not_before(now + day).not_after(now + day * 90)),
        case("without its chain", |good| leaf_of(good).to_owned()),
        case("with another authority's chain", |good| {
            format!("{}{}", leaf_of(good), stranger().intermediates().concat())
        }),
        case("with a stray certificate in the chain", |good| {
            format!("{}{}", good.body, stranger().intermediates().concat())
        }),
        case("the chain alone", |good| chain_of(good).to_owned()),
        case("with a private key in it", move |good| format!("{}{}", good.body, other_key(good).key_pem())),
        case("with a broken private key in it", |good| {
            format!("{}-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", good.body)
        }),
        case("with an encrypted private key in it", |good| {
            format!("{}-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", good.body)
        }),
        case("1,000 times the same", |good| good.body.repeat(1000)),
        case("900 certificates", |good| format!("{}{}", leaf_of(good), chain_of(good).repeat(900))),
        case("nothing", |_| String::new()),
        case("blanks", |_| " \r\n\t\n".to_owned()),
        case("a text that drives a terminal", |_| "\u{1b}[2J\u{202e}evil".to_owned()),
        case("blocks whose labels drive a terminal", |_| {
            let label = "\u{1b}[2J\u{202e}EVIL";
            format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
        }),
        case("a block that does not end", |good| good.body.replace("-----END CERTIFICATE-----", "")),
        case("a block that is not base64", |good| good.body.replace("MII", "!!!")),
        case("a block that is no certificate", |_| {
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()
        }),
        case("a block without contents", |_| "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned()),
        case("a label of 10,000 characters", |_| {
            let label = "X".repeat(10_000);
            format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
        }),
        case("a zero byte", |good| format!("{}\0", good.body)),
        case("the root of the authority", |good| good.pki.root_pem().to_owned()),
        Case::new("certificate: DER", "/cert/", |good| {
            good.body(pem::parse_many(&good.body).unwrap().remove(0).into_contents())
        }),
        case("names that drive a terminal", |good| {
            let mut params = rcgen::CertificateParams::new([name(good)]).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, "\u{1b}[2J\u{202e}evil");
            params.self_signed(&crate::support::KeyType::EcdsaP256.generate()).unwrap().pem()
        }),
        case("JSON", |_| "{\"status\":\"valid\"}".to_owned()),
    ]
}
