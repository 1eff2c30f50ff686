use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::model::{CertName, Identifier, KeyKind};

/// A certificate with its key, and how to sign with it.
struct Party {
    pem: String,
    key: KeyPair,
    params: CertificateParams,
}

impl Party {
    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

fn params(common_name: &str, names: &[&str], authority: bool) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let now = SystemTime::now();
    params.not_before = (now - Duration::from_hours(1)).into();
    params.not_after = (now + Duration::from_hours(90 * 24)).into();
    params
}

fn self_signed(params: CertificateParams) -> Party {
    let key = KeyPair::generate().unwrap();
    Party { pem: params.self_signed(&key).unwrap().pem(), key, params }
}

fn signed(params: CertificateParams, by: &Party) -> Party {
    let key = KeyPair::generate().unwrap();
    Party { pem: params.signed_by(&key, &by.issuer()).unwrap().pem(), key, params }
}

struct Pki {
    root: Party,
    inter: Party,
    leaf: Party,
}

fn pki_with(leaf: CertificateParams) -> Pki {
    let root = self_signed(params("Root", &[], true));
    let inter = signed(params("Intermediate", &[], true), &root);
    let leaf = signed(leaf, &inter);
    Pki { root, inter, leaf }
}

fn pki() -> Pki {
    pki_with(params("leaf", &["a.test", "b.test"], false))
}

/// The gate with nothing that an input could be measured against, for a test to add to.
struct Given {
    name: CertName,
    trust: Trust,
    required: BTreeSet<Identifier>,
    rivals: Vec<Rival>,
    kind: Option<KeyKind>,
    force: bool,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            name: "a.test".parse().unwrap(),
            trust: Trust::default(),
            required: BTreeSet::new(),
            rivals: Vec::new(),
            kind: None,
            force: false,
        }
    }
}

impl Given {
    fn admit(&self, inputs: &[&str]) -> Result<Admitted, Check> {
        let inputs: Vec<_> = inputs.iter().map(|input| input.as_bytes()).collect();
        Gate {
            kind: self.kind,
            name: &self.name,
            now: Timestamp::now(),
            trust: &self.trust,
            required: &self.required,
            rivals: &self.rivals,
            force: self.force,
        }
        .admit(&inputs)
        .map_err(|refusal| refusal.check)
    }
}

fn admit(inputs: &[&str]) -> Result<Admitted, Check> {
    Given::default().admit(inputs)
}

fn trust_in(root: &Party) -> Trust {
    Trust::new(vec![params_der(&root.pem)])
}

fn params_der(pem: &str) -> CertificateDer<'static> {
    let scan = pem::blocks(pem.as_bytes()).unwrap();
    CertificateDer::from(scan.blocks[0].der.to_vec())
}

#[test]
fn a_full_chain_with_its_key_passes_without_a_notice() {
    let Pki { inter, leaf, .. } = pki();
    let combined = [leaf.pem.as_str(), &inter.pem, &leaf.key_pem()].concat();
    let admitted = admit(&[&combined]).unwrap();
    assert_eq!(admitted.notices, []);
    assert_eq!(admitted.bundle.chain().len(), 1);
    assert_eq!(admitted.bundle.facts().names.len(), 2);
    assert_eq!(admitted.bundle.combined_pem(), combined.replace('\r', ""));
}

#[test]
fn a_key_of_the_other_kind_is_refused_where_the_kind_matters_even_by_force() {
    let Pki { inter, leaf, .. } = pki();
    let combined = [leaf.pem.as_str(), &inter.pem, &leaf.key_pem()].concat();
    assert!(Given { kind: Some(KeyKind::Ecdsa), ..Given::default() }.admit(&[&combined]).is_ok());
    let refused = Given { kind: Some(KeyKind::Rsa), force: true, ..Given::default() }.admit(&[&combined]).unwrap_err();
    assert_eq!(refused.to_string(), "its key must be of the kind RSA, and it has one of type ecdsa-p256");
    assert!(!refused.can_be_forced());
}

#[test]
fn a_key_in_a_second_file_is_no_repair() {
    let Pki { inter, leaf, .. } = pki();
    let chain = [leaf.pem.as_str(), &inter.pem].concat();
    assert_eq!(admit(&[&chain, &leaf.key_pem()]).unwrap().notices, []);
}

#[test]
fn what_can_be_repaired_is_repaired_with_a_notice() {
    let Pki { root, inter, leaf } = pki();
    let (l, i, r, k) = (&leaf.pem, &inter.pem, &root.pem, &leaf.key_pem());
    for (input, notice) in [
        (format!("{i}{l}{k}"), Notice::Reordered),
        (format!("{k}{l}{i}"), Notice::Reordered),
        (format!("{l}{i}{r}{k}"), Notice::RootDropped),
        (format!("{l}{i}{i}{k}"), Notice::DuplicateDropped),
        (format!("{l}\n\n{i}\n{k}"), Notice::BlankLines),
        (format!("{l}{i}{k}").replace('\n', "\r\n"), Notice::CarriageReturns),
        (format!("subject=CN = a\n{l}{i}key:\n{k}"), Notice::TextAround),
        (
            format!("{l}{i}-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{k}"),
            Notice::OtherBlocks,
        ),
    ] {
        let admitted = admit(&[&input]).unwrap();
        assert_eq!(admitted.notices, [notice]);
        assert_eq!(admitted.bundle.combined_pem(), format!("{l}{i}{k}").replace('\r', ""));
    }
}

#[test]
fn what_cannot_be_parsed_says_where() {
    let Pki { inter, leaf, .. } = pki();
    let (l, i, k) = (&leaf.pem, &inter.pem, &leaf.key_pem());
    assert_eq!(admit(&[""]).unwrap_err(), Check::Pem(pem::Malformed::Empty));
    assert_eq!(admit(&["hello"]).unwrap_err(), Check::Pem(pem::Malformed::NoBlock));
    assert_eq!(admit(&["a\0b"]).unwrap_err(), Check::Pem(pem::Malformed::Binary));
    assert!(matches!(admit(&[&l[..l.len() / 2]]), Err(Check::Pem(pem::Malformed::CutOff { line: 1, .. }))));
    let broken = format!("{l}{}{k}", i.replacen("MII", "M!I", 1));
    assert!(matches!(admit(&[&broken]), Err(Check::Pem(pem::Malformed::Base64 { .. }))));
    let short = format!("{l}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{k}");
    assert!(matches!(admit(&[&short]), Err(Check::NotX509 { .. })));
    let long = "x".repeat(pem::MAX_INPUT + 1);
    assert!(matches!(admit(&[&long]), Err(Check::Pem(pem::Malformed::TooLong { .. }))));
    assert!(matches!(admit(&[k]), Err(Check::NoCertificate { .. })));
}

#[test]
fn a_key_that_is_missing_encrypted_wrong_or_not_the_only_one_is_refused() {
    let Pki { inter, leaf, .. } = pki();
    let chain = [leaf.pem.as_str(), &inter.pem].concat();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert_eq!(admit(&[&chain]).unwrap_err(), Check::KeyMissing);
    assert!(matches!(admit(&[&chain, encrypted]), Err(Check::KeyEncrypted { line: 1 })));
    assert!(matches!(admit(&[&chain, legacy]), Err(Check::KeyEncrypted { line: 1 })));
    assert!(matches!(admit(&[&chain, &other]), Err(Check::KeyMismatch { .. })));
    assert!(matches!(admit(&[&chain, &leaf.key_pem(), &other]), Err(Check::SeveralKeys { found: 2 })));
    let unusable = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(matches!(admit(&[&chain, unusable]), Err(Check::KeyUnusable { line: 1 })));
}

#[test]
fn a_chain_whose_links_do_not_sign_each_other_is_refused() {
    let Pki { root, leaf, .. } = pki();
    let impostor = signed(params("Intermediate", &[], true), &root);
    let stranger = signed(params("Other", &[], true), &root);
    let k = &leaf.key_pem();
    assert!(matches!(admit(&[&leaf.pem, &impostor.pem, k]), Err(Check::Forged { .. })));
    assert!(matches!(admit(&[&leaf.pem, &stranger.pem, k]), Err(Check::Gap { .. })));
}

#[test]
fn a_leaf_without_intermediates_needs_a_known_root() {
    let Pki { leaf, .. } = pki();
    let k = &leaf.key_pem();
    assert!(matches!(admit(&[&leaf.pem, k]), Err(Check::Chainless { .. })));
    let placeholder = self_signed(params("a.test", &["a.test"], false));
    assert!(matches!(admit(&[&placeholder.pem, &placeholder.key_pem()]), Err(Check::Chainless { .. })));

    let root = self_signed(params("Private", &[], true));
    let direct = signed(params("leaf", &["a.test"], false), &root);
    let trusting = Given { trust: trust_in(&root), ..Given::default() };
    let admitted = trusting.admit(&[&direct.pem, &root.pem, &direct.key_pem()]).unwrap();
    assert_eq!((admitted.bundle.chain().len(), admitted.notices), (0, vec![Notice::RootDropped]));
    // A root that nobody configured stays in the file: it is all that shows the chain to be whole.
    let kept = admit(&[&direct.pem, &root.pem, &direct.key_pem()]).unwrap();
    assert_eq!(kept.bundle.chain().len(), 1);
}

/// An input, what it is measured against, and the check that must fail.
type Case = (CertificateParams, Given, fn(&Check) -> bool);

#[test]
fn validity_names_and_age_are_refused_and_can_be_forced() {
    let hour = Duration::from_hours(1);
    let now = SystemTime::now();
    let mut late = params("leaf", &["a.test"], false);
    late.not_before = (now + hour).into();
    let mut old = params("leaf", &["a.test"], false);
    old.not_after = (now - hour).into();
    old.not_before = (now - 2 * hour).into();

    let cases: [Case; 5] = [
        (late, Given::default(), |check| matches!(check, Check::NotYetValid { .. })),
        (old, Given::default(), |check| matches!(check, Check::Expired { .. })),
        (
            params("leaf", &["a.test"], false),
            Given { required: BTreeSet::from(["b.test".parse().unwrap()]), ..Given::default() },
            |check| matches!(check, Check::NameLost { missing, place, .. } if missing == "b.test" && place == "the configuration"),
        ),
        (
            params("leaf", &["a.test"], false),
            Given { rivals: vec![rival(None, &["c.test"])], ..Given::default() },
            |check| matches!(check, Check::NameLost { place, .. } if place == "node edge"),
        ),
        (
            params("leaf", &["a.test"], false),
            Given { rivals: vec![rival(Some(Timestamp::now()), &["a.test"])], ..Given::default() },
            |check| matches!(check, Check::Older { .. }),
        ),
    ];
    for (leaf, mut given, expected) in cases {
        let Pki { inter, leaf, .. } = pki_with(leaf);
        let input = [leaf.pem.as_str(), &inter.pem, &leaf.key_pem()].concat();
        let check = given.admit(&[&input]).unwrap_err();
        assert!(expected(&check), "{check}");
        assert!(check.can_be_forced());
        given.force = true;
        given.admit(&[&input]).unwrap();
    }
}

fn rival(not_before: Option<Timestamp>, names: &[&str]) -> Rival {
    Rival {
        place: "node edge".to_owned(),
        sha1: crate::model::Sha1::of(b"another"),
        not_before,
        names: names.iter().map(|name| name.parse().unwrap()).collect(),
    }
}

#[test]
fn force_passes_over_nothing_else() {
    let Pki { leaf, .. } = pki();
    let given = Given { force: true, ..Given::default() };
    assert!(matches!(given.admit(&[&leaf.pem, &leaf.key_pem()]), Err(Check::Chainless { .. })));
    assert!(matches!(given.admit(&[&leaf.pem]), Err(Check::KeyMissing)));
}

#[test]
fn a_placeholder_that_is_served_has_no_age() {
    let Pki { inter, leaf, .. } = pki();
    let given = Given { rivals: vec![rival(None, &["a.test"])], ..Given::default() };
    given.admit(&[&leaf.pem, &inter.pem, &leaf.key_pem()]).unwrap();
}

#[test]
fn every_key_type_is_generated_and_matches_its_certificate() {
    let Pki { inter, .. } = pki();
    // RSA-4096 takes seconds of computing and differs in nothing but its size.
    for kind in [crate::model::KeyType::EcdsaP256, crate::model::KeyType::EcdsaP384, crate::model::KeyType::Rsa2048] {
        let key = PrivateKey::generate(kind).unwrap();
        let pair = KeyPair::from_pem(key.pem()).unwrap();
        let leaf = params("leaf", &["a.test"], false).signed_by(&pair, &inter.issuer()).unwrap().pem();
        let admitted = admit(&[&leaf, &inter.pem, key.pem()]).unwrap();
        assert_eq!(admitted.bundle.facts().key_type, Some(kind));
        assert_eq!(PrivateKey::from_pem(key.pem()).unwrap(), key);
        assert_eq!(format!("{key:?}"), "PrivateKey(redacted)");
    }
}

proptest! {
    #[test]
    fn the_gate_survives_any_bytes(input in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let text = String::from_utf8_lossy(&input);
        let _ = admit(&[&text]);
        let _ = pem::blocks(&input);
    }

    #[test]
    fn no_blank_line_ever_leaves_a_bundle(noise in "[ \r\n\ta-z]{0,40}") {
        let Pki { inter, leaf, .. } = pki();
        let input = [&noise, "\n", &leaf.pem, &noise, "\n", &inter.pem, "\n", &leaf.key_pem(), &noise].concat();
        let bundle = admit(&[&input]).unwrap().bundle;
        let pem = bundle.combined_pem();
        prop_assert!(!pem.contains("\n\n") && !pem.contains('\r') && pem.ends_with("-----\n"));
    }
}

#[test]
fn only_the_certificate_of_the_issuer_is_taken_for_it() {
    let pki = pki_with(params("a.test", &["a.test"], false));
    let leaf = Facts::read_pem(pki.leaf.pem.as_bytes()).unwrap();
    let issuer = OcspIssuer::read(pki.inter.pem.as_bytes(), &leaf).unwrap();
    assert_eq!(issuer.pem(), pki.inter.pem.replace("\r\n", "\n"));
    let refused = |pem: &str| OcspIssuer::read(pem.as_bytes(), &leaf).unwrap_err();
    assert!(matches!(refused(&pki.root.pem), OcspFlaw::NotTheIssuer { .. }));
    for bad in ["", "garbage", &pki.leaf.key_pem()] {
        assert_eq!(refused(bad), OcspFlaw::NoCertificate);
    }
}

#[test]
fn a_bundle_is_read_back_by_its_seal_as_it_was_and_by_no_other() {
    let Pki { inter, leaf, .. } = pki();
    let bundle = admit(&[&leaf.pem, &inter.pem, &leaf.key_pem()]).unwrap().bundle;
    let certificates = bundle.leaf_pem() + &bundle.chain_pem();
    let seal = crate::model::Sha256::of(bundle.combined_pem().as_bytes());
    let unsealed =
        |certificates: &str, key: &str| Bundle::unseal(bundle.facts(), seal, certificates.as_bytes(), key.as_bytes());
    let again = unsealed(&certificates, bundle.key().pem()).unwrap();
    assert_eq!((again.leaf(), again.chain(), again.facts()), (bundle.leaf(), bundle.chain(), bundle.facts()));
    assert_eq!((again.key(), again.combined_pem()), (bundle.key(), bundle.combined_pem()));
    assert!(unsealed(&bundle.leaf_pem(), bundle.key().pem()).is_none());
    assert!(unsealed(&certificates, &bundle.key().pem().replacen('M', "N", 1)).is_none());
}
