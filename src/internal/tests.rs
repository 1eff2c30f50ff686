use std::collections::BTreeSet;

use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use super::*;
use crate::bundle::{Gate, Trust};
use crate::model::{Identifier, KeyType};

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn root() -> Root {
    Root::generate("local", "devbox", now()).unwrap()
}

#[test]
fn a_root_says_where_it_comes_from_and_signs_leaves_alone() {
    let root = root();
    let (_, parsed) = X509Certificate::from_der(root.certificate()).unwrap();
    assert_eq!(
        parsed.subject().to_string(),
        "O=hotcert on devbox, OU=hotcert private root, created 2026-11-23, CN=hotcert local on devbox, 2026-11-23"
    );
    let constraints = parsed.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    assert!(parsed.key_usage().unwrap().unwrap().value.key_cert_sign());
    let days = (parsed.validity().not_after.timestamp() - now().as_second()) / 86_400;
    assert_eq!(days, 3650);
    assert_ne!(Root::generate("local", "devbox", now()).unwrap().certificate(), root.certificate());
    // Names come from a configuration and from a machine.
    let odd = Root::generate("\u{1b}[31m", &"x".repeat(300), now()).unwrap();
    let (_, odd) = X509Certificate::from_der(odd.certificate()).unwrap();
    assert!(odd.subject().iter_common_name().all(|name| name.as_str().unwrap().chars().count() <= 64));
    assert!(!odd.subject().to_string().contains('\u{1b}'));
}

#[test]
fn leaves_of_all_kinds_pass_the_gate_with_the_root_alone() {
    let root = Root::from_pem(&root().pem()).unwrap();
    let trust = Trust::new(vec![root.certificate().clone()]);
    let names = ["a.test", "*.a.test", "bücher.test", "192.0.2.1", "2001:db8::1"];
    let names: Vec<Identifier> = names.iter().map(|name| name.parse().unwrap()).collect();
    let required: BTreeSet<_> = names.iter().cloned().collect();
    for key_type in [KeyType::EcdsaP256, KeyType::EcdsaP384, KeyType::Rsa2048] {
        let (leaf, key) = root.issue(&names, key_type, now()).unwrap();
        let name = "a.test".parse().unwrap();
        let (rivals, kind, force) = (&[], Some(key_type.kind()), false);
        let gate = Gate { name: &name, kind, now: now(), trust: &trust, required: &required, rivals, force };
        let bundle = gate.admit(&[leaf.as_bytes(), key.pem().as_bytes()]).unwrap().bundle;
        let facts = bundle.facts();
        assert_eq!((facts.not_before, facts.not_after), (now() - BACKDATED, now() + LIFETIME));
        let (_, parsed) = X509Certificate::from_der(bundle.leaf()).unwrap();
        assert!(!parsed.is_ca());
        assert!(parsed.extended_key_usage().unwrap().unwrap().value.server_auth);
        let has = |wanted: fn(&ParsedExtension<'_>) -> bool| {
            parsed.extensions().iter().any(|extension| wanted(extension.parsed_extension()))
        };
        assert!(has(|extension| matches!(extension, ParsedExtension::AuthorityKeyIdentifier(_))));
        assert!(has(|extension| matches!(extension, ParsedExtension::SubjectKeyIdentifier(_))));
        let other = Trust::new(vec![self::root().certificate().clone()]);
        assert!(Gate { trust: &other, ..gate }.admit(&[leaf.as_bytes(), key.pem().as_bytes()]).is_err());
    }
}

#[test]
fn a_root_signs_nothing_that_outlives_it() {
    let root = root();
    let names = ["a.test".parse().unwrap()];
    let late = now() + SignedDuration::from_hours(24 * (3650 - 2));
    let (leaf, _) = root.issue(&names, KeyType::EcdsaP256, late).unwrap();
    let (_, der) = x509_parser::pem::parse_x509_pem(leaf.as_bytes()).unwrap();
    let left = der.parse_x509().unwrap().validity().not_after.timestamp() - late.as_second();
    assert_eq!(left, 2 * 86_400);
    let over = root.issue(&names, KeyType::EcdsaP256, late + LIFETIME).unwrap_err();
    assert!(matches!(over, Error::RootNotValid { .. }) && over.hint().unwrap().contains("clock"), "{over}");
}

#[test]
fn a_damaged_root_is_told_and_shows_nothing() {
    let (text, other) = (root().pem(), root().pem());
    let at = text.find("-----BEGIN PRIVATE KEY").unwrap();
    let other_at = other.find("-----BEGIN PRIVATE KEY").unwrap();
    let (leaf, key) = root().issue(&["a.test".parse().unwrap()], KeyType::EcdsaP256, now()).unwrap();
    for (damaged, word) in [
        (String::new(), "no key"),
        (text[..at].to_owned(), "no key"),
        (text[at..].to_owned(), "no certificate"),
        (format!("{}{}", &text[..at], &other[other_at..]), "belongs to another"),
        (format!("{leaf}{}", key.pem()), "no root"),
        (text[..text.len() - 60].to_owned(), "key is broken"),
    ] {
        let error = Root::from_pem(&damaged).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.hint().unwrap().contains("backup"));
    }
    assert_eq!(format!("{:?}", root()), "Root(key redacted)");
}
