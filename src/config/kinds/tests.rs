use std::path::Path;

use super::super::{OrderFlags, Remembered, parse};
use super::*;

const TWO: &str = r#"
version = 1
[issuer.letsencrypt]
directory = "letsencrypt"
contact = ["admin@example.org"]
terms_agreed = true
[[certificate]]
name = "shop"
domains = ["shop.test"]
key = ["ecdsa-p384", "rsa-3072"]
options = "[alpn h2]"
"#;

fn config(text: &str) -> Config {
    parse::parse(Path::new("hotcert.toml"), text).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    match parse::parse(Path::new("hotcert.toml"), text) {
        Err(Error::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("no problems, but {other:?}"),
    }
}

fn name(text: &str) -> CertName {
    text.parse().unwrap()
}

/// What `issue` orders: the certificates with their key types.
fn ordered(config: &Config, keys: &[&str], named: Option<&str>) -> Result<Vec<(String, KeyType)>, String> {
    let flags = OrderFlags {
        key: keys.iter().map(|key| key.parse().unwrap()).collect(),
        cert_name: Some(name(named.unwrap_or("shop"))),
        ..OrderFlags::default()
    };
    let whole =
        config.certificate_to_issue(&["shop.test".parse().unwrap()], &flags).map_err(|error| error.to_string())?;
    let members = whole.members().unwrap();
    Ok(members.iter().map(|member| (member.file_name(), member.order.as_ref().unwrap().keys[0])).collect())
}

fn both() -> Vec<(String, KeyType)> {
    vec![("shop.pem.ecdsa".to_owned(), KeyType::EcdsaP384), ("shop.pem.rsa".to_owned(), KeyType::Rsa3072)]
}

#[test]
fn two_key_types_are_two_certificates_that_share_the_rest() {
    let config = config(TWO);
    assert_eq!(config.warnings, Vec::<String>::new());
    let names: Vec<_> = config.certificates.keys().map(CertName::as_str).collect();
    assert_eq!(names, ["shop.ecdsa", "shop.rsa"]);
    for (certificate, (file, key)) in config.certificates.values().zip(both()) {
        assert_eq!((certificate.configured_name(), certificate.file_name()), (name("shop"), file));
        assert_eq!((certificate.kind, certificate.key_kind()), (Some(key.kind()), Some(key.kind())));
        assert_eq!(certificate.order.as_ref().unwrap().keys, [key]);
        assert_eq!(certificate.options.as_deref(), Some("[alpn h2]"));
    }
    assert_eq!(config.named(&name("shop")).len(), 2);
    assert_eq!(config.named(&name("shop.rsa")), BTreeSet::from([name("shop.rsa")]));
    assert_eq!(config.named(&name("shop.pem")), BTreeSet::new());
    assert_eq!(config.configured_names(), BTreeSet::from([name("shop")]));
}

#[test]
fn key_types_that_cannot_stand_side_by_side_are_a_problem() {
    let of = |keys: &str| problems(&TWO.replace(r#"["ecdsa-p384", "rsa-3072"]"#, keys))[0].clone();
    for same in [r#"["rsa-2048", "rsa-4096"]"#, r#"["ecdsa-p256", "ecdsa-p384"]"#, r#"["rsa-2048", "rsa-2048"]"#] {
        let problem = of(same);
        assert!(
            problem.contains(":10:7: certificate[0].key: must be of two kinds, one ECDSA and one RSA"),
            "{problem}"
        );
    }
    for many in ["[]", r#"["rsa-2048", "ecdsa-p256", "ecdsa-p384"]"#] {
        assert!(of(many).contains("certificate[0].key: must be one key type, or two"));
    }
    let long = TWO.replace("\"shop\"", &format!("{:?}", "a".repeat(196)));
    assert!(problems(&long)[0].contains("certificate[0].name: cannot name both kinds"), "{:?}", problems(&long));
}

#[test]
fn a_name_that_one_of_two_kinds_has_already_is_a_problem() {
    for other in ["shop.rsa", "shop.ecdsa", "shop"] {
        let twin = format!("{TWO}[[certificate]]\nname = {other:?}\ndomains = [\"b.test\"]\n");
        let expected = format!("certificate[1].name: two certificates are named {other}: this one and that of line 7");
        assert!(problems(&twin)[0].ends_with(&expected), "{:?}", problems(&twin));
    }
    let fine = format!("{TWO}[[certificate]]\nname = \"shop.dsa\"\ndomains = [\"b.test\"]\n");
    assert_eq!(config(&fine).certificates.len(), 3);
}

#[test]
fn issue_orders_both_kinds_or_the_one_that_is_named() {
    let two = config(TWO);
    assert_eq!(ordered(&two, &[], None), Ok(both()));
    assert_eq!(ordered(&two, &["rsa-4096"], None), Ok(vec![("shop.pem.rsa".to_owned(), KeyType::Rsa4096)]));
    assert_eq!(ordered(&two, &[], Some("shop.ecdsa")), Ok(both()[..1].to_vec()));
    assert!(ordered(&two, &["rsa-2048"], Some("shop.ecdsa")).unwrap_err().contains("has an ECDSA key"));
    assert!(ordered(&two, &["rsa-2048", "rsa-4096"], None).unwrap_err().contains("must be of two kinds"));

    let flags = ["ecdsa-p384", "rsa-3072"];
    assert_eq!(ordered(&config("version = 1"), &flags, None), Ok(both()));
    let one = config(&TWO.replace(r#"["ecdsa-p384", "rsa-3072"]"#, "\"rsa-3072\""));
    assert!(ordered(&one, &flags, None).unwrap_err().contains("is configured with one key type"));
}

#[test]
fn what_is_remembered_in_one_piece_gives_way_to_two_and_the_other_way_round() {
    let remembered = |config: &Config, keys: &[&str]| -> Vec<Remembered> {
        let key = keys.iter().map(|key| key.parse().unwrap()).collect();
        let flags = OrderFlags { key, cert_name: Some(name("shop")), ..OrderFlags::default() };
        let whole = config.certificate_to_issue(&["shop.test".parse().unwrap()], &flags).unwrap();
        whole.members().unwrap().iter().map(|member| Remembered::of(config, member)).collect()
    };
    let empty = config("version = 1");
    let (one, two) = (remembered(&empty, &[]), remembered(&empty, &["rsa-2048", "ecdsa-p256"]));
    let recalled = |text: &str, remembered: Vec<Remembered>| -> Vec<String> {
        let mut config = config(text);
        config.recall(remembered);
        config.certificates.keys().map(ToString::to_string).collect()
    };
    let members = ["shop.ecdsa", "shop.rsa"];
    assert_eq!(recalled("version = 1", [one.clone(), two.clone()].concat()), members);
    assert_eq!(recalled(TWO, one.clone()), members);
    let single = TWO.replace(r#"["ecdsa-p384", "rsa-3072"]"#, "\"rsa-3072\"");
    assert_eq!(recalled(&single, two.clone()), ["shop"]);

    // One of them failed, and is ordered later.
    let mut half = config("version = 1");
    half.recall(two.into_iter().filter(|remembered| remembered.certificate.kind == Some(KeyKind::Rsa)));
    assert_eq!(ordered(&half, &[], None), Ok(vec![("shop.pem.rsa".to_owned(), KeyType::Rsa2048)]));
    assert_eq!(ordered(&half, &["ecdsa-p384", "rsa-3072"], None), Ok(both()));
}
