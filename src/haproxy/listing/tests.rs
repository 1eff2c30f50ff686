use super::super::testing::{bundle, described, slot};
use super::*;

const DETAIL: &str = "\
Filename: F
Crt filename: F
OCSP filename: F.ocsp
Status: Used
Serial: 0868447A0E09F76CB3130233A115BA1C175BF4CB
notBefore: Nov  1 14:59:03 2026 GMT
notAfter: Feb 20 14:59:03 2027 GMT
Subject Alternative Name: DNS:c.test, DNS:*.d.test, , DNS:not a name
Algorithm: EC256
SHA1 FingerPrint: C3B8B2E50196AE70E3DFE70E405286DCADC0AA7D
Subject: /CN=c.test
Issuer: /CN=Inter CA
Chain Subject: /CN=Inter CA
Chain Issuer: /CN=Root CA
Chain Subject: /CN=Root CA
Chain Issuer: /CN=Root CA
OCSP Response Key: ";

fn described_as(reply: &str) -> Option<Loaded> {
    Loaded::parse(reply, 16384)
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_description_is_read_in_full() {
    let loaded = described_as(DETAIL).unwrap();
    let leaf = loaded.leaf.unwrap();
    assert_eq!(loaded.status, Status::Used);
    assert_eq!(leaf.serial.to_string(), "0868447a0e09f76cb3130233a115ba1c175bf4cb");
    assert_eq!(leaf.sha1.unwrap().to_string(), "c3b8b2e50196ae70e3dfe70e405286dcadc0aa7d");
    assert_eq!(leaf.not_before, Some(instant("2026-11-01T14:59:03Z")));
    assert_eq!(leaf.not_after, Some(instant("2027-02-20T14:59:03Z")));
    assert_eq!(leaf.kind, Some(KeyKind::Ecdsa));
    // What HAProxy has no word for shares its line with what follows.
    for (algorithm, kind) in [("RSA2048", Some(KeyKind::Rsa)), ("OCSP Response Key: ", None), ("", None)] {
        assert_eq!(described_as(&DETAIL.replace("EC256", algorithm)).unwrap().leaf.unwrap().kind, kind);
    }
    assert_eq!(leaf.names, ["*.d.test", "c.test"].map(|name| name.parse().unwrap()).into());
    assert_eq!((leaf.subject.as_str(), leaf.issuer.as_str()), ("/CN=c.test", "/CN=Inter CA"));
    assert_eq!(loaded.chain.len(), 2);
    assert_eq!(loaded.chain[0], ("/CN=Inter CA".to_owned(), "/CN=Root CA".to_owned()));
}

#[test]
fn an_empty_slot_and_a_cut_description_are_read_too() {
    let empty = described_as("Filename: F\nStatus: Empty\nOCSP Response Key: ").unwrap();
    assert_eq!((empty.status, empty.leaf), (Status::Empty, None));
    let cut = Loaded::parse(DETAIL, DETAIL.len() + 500).unwrap();
    assert_eq!((cut.leaf.unwrap().sha1, cut.chain), (None, vec![]));
    for (text, status) in [("Unused", Status::Unused), ("Uncommitted", Status::Uncommitted), ("New", Status::Unknown)] {
        assert_eq!(described_as(&DETAIL.replace("Used", text)).unwrap().status, status);
    }
    assert_eq!(described_as("Can't display the certificate: Not found or the certificate is a bundle!"), None);
}

#[test]
fn a_common_name_counts_where_there_are_no_alternative_names_and_a_foreign_chain_does_not_count() {
    let bare = DETAIL.replace("Subject Alternative Name: DNS:c.test, DNS:*.d.test, , DNS:not a name\n", "");
    assert_eq!(described_as(&bare).unwrap().leaf.unwrap().names, ["c.test"].map(|name| name.parse().unwrap()).into());
    let foreign = DETAIL.replace("Chain Subject: /CN=Inter", "Chain Filename: /i.pem\nChain Subject: /CN=Inter");
    assert_eq!(described_as(&foreign).unwrap().chain, []);
}

#[test]
fn a_loaded_certificate_is_recognised_by_its_facts() {
    let (ours, other) = (bundle("a.test", 0), bundle("a.test", 0));
    let loaded = described_as(&described("F", "Used", &ours)).unwrap();
    assert!(loaded.is(ours.facts()));
    assert!(!loaded.is(other.facts()));
    assert!(!Loaded { chain: vec![(String::new(), String::new())], ..loaded }.is(ours.facts()));
}

#[test]
fn names_and_the_open_transaction_are_listed() {
    let all = Certificates::parse("# transaction\n*/c/b.pem\n# filename\n/c/a.pem\n/c/b.pem\nwith blank.pem");
    assert_eq!(all.open, Some(Name::Slot(slot("/c/b.pem"))));
    assert!(all.contains(&slot("/c/a.pem")) && !all.contains(&slot("/c/c.pem")));
    assert!(all.names.contains(&Name::Foreign("with blank.pem".to_owned())));
    assert_eq!(Certificates::parse(""), Certificates::default());
}

#[test]
fn entries_are_read_with_their_line_options_and_filters() {
    let entries = Entry::parse_all(
        "# L\n/c/a.pem:0\n/c/b.pem:1 [alpn h2,http/1.1\0 verify none] a.test *.b.test !c.b.test\n@s/x:7 []\n/c/d.pem:9 d.test",
    );
    let entry = |name: &str, line, options: &str, filters: &[&str]| Entry {
        name: Name::Slot(slot(name)),
        line,
        options: options.to_owned(),
        filters: filters.iter().map(|&filter| filter.to_owned()).collect(),
    };
    assert_eq!(
        entries,
        [
            entry("/c/a.pem", 0, "", &[]),
            entry("/c/b.pem", 1, "alpn h2,http/1.1 verify none", &["a.test", "*.b.test", "!c.b.test"]),
            entry("@s/x", 7, "", &[]),
            entry("/c/d.pem", 9, "", &["d.test"]),
        ]
    );
}

#[test]
fn a_list_is_a_directory_or_a_file_as_far_as_it_shows() {
    let kind = |list: &str, entries: &str| ListKind::of(&list.parse().unwrap(), &Entry::parse_all(entries));
    assert_eq!(kind("/c", "/c/a.pem:0\n/c/b.pem:1"), ListKind::Directory);
    assert_eq!(kind("/c", "/c/b.pem:1"), ListKind::Unknown);
    assert_eq!(kind("/c", ""), ListKind::Unknown);
    assert_eq!(kind("/list.txt", "/c/b.pem:1"), ListKind::File);
    assert_eq!(kind("/c", "/c/b.pem:1 a.test"), ListKind::File);
    assert_eq!(kind("@g", "/c/b.pem:0"), ListKind::Frontend);
}

#[test]
fn sni_lines_and_map_lines_are_read_in_order() {
    let sni = Sni::parse_all(
        "# Frontend/Bind\tSNI\tNegative Filter\tType\tFilename\tNotAfter\tNotBefore\nf//h.cfg:12\t*.x.test\t!no.x.test \tecdsa\t/c/a.pem\tDec\tNov\nf//h.cfg:12\t*\t-\trsa\t/c/b.pem\tDec\tNov",
    );
    assert_eq!(sni.len(), 2);
    assert_eq!(
        (sni[0].bind.as_str(), sni[0].sni.as_str(), &sni[0].name),
        ("f//h.cfg:12", "*.x.test", &Name::Slot(slot("/c/a.pem")))
    );
    assert_eq!([sni[0].kind, sni[1].kind], [Some(KeyKind::Ecdsa), Some(KeyKind::Rsa)]);
    assert_eq!(
        map_entries("0x5555 k v w\n0x1 l x\n0x2 none"),
        [("k".to_owned(), "v w".to_owned()), ("l".to_owned(), "x".to_owned())]
    );
}
