use super::*;

fn name(values: &[&str]) -> DistinguishedName {
    DistinguishedName {
        raw: Vec::new(),
        values: Some(values.iter().map(|&value| value.to_owned()).collect()),
        text: String::new(),
    }
}

#[test]
fn a_name_is_recognised_as_haproxy_shows_it() {
    for (values, shown) in [
        (&["Example CA"][..], "/CN=Example CA"),
        (&["DE", "A/B, C & Co", "Example CA"], "/C=DE/O=A/B, C & Co/CN=Example CA"),
        (&["x", "x"], "/O=x/CN=x"),
    ] {
        assert_eq!(name(values).is_shown_as(shown), Some(true), "{shown}");
    }
    for (values, shown) in [
        (&["Example CA"][..], "/CN=Example CA 2"),
        (&["Example CA"], "/O=Example/CN=Example CA/OU=x"),
        (&["x", "y"], "/O=xa/CN=y"),
        (&["x", "y"], "/CN=y/O=x"),
        (&["x"], ""),
    ] {
        assert_eq!(name(values).is_shown_as(shown), Some(false), "{values:?} {shown}");
    }
    assert_eq!(DistinguishedName { values: None, ..name(&[]) }.is_shown_as("/CN=x"), None);
}

#[test]
fn what_stands_twice_is_taken_once_and_comments_are_left_out() {
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let text = format!("# comment\r\n\r\n{pem}\n\nsubject=x\n{pem}");
    let parsed = ClientPem::parse(ClientFile::CaFile, text.as_bytes()).unwrap();
    let blocks = parsed.blocks();
    assert_eq!((blocks.len(), parsed.kind()), (1, ClientFile::CaFile));
    assert!(blocks[0].starts_with("-----BEGIN CERTIFICATE-----\n") && !blocks[0].contains("\n\n"));
    let ClientPem::Ca(all) = &parsed else { panic!("{parsed:?}") };
    assert!(!all[0].is_authority);
    assert!(matches!(
        ClientPem::parse(ClientFile::CaFile, (pem + &key.serialize_pem()).as_bytes()),
        Err(Unfit::Stray { ref label, .. }) if label == "PRIVATE KEY"
    ));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes: Vec<u8>, label in "CERTIFICATE|X509 CRL") {
        let pem = pem::encode(&label, &bytes);
        for kind in [ClientFile::CaFile, ClientFile::CrlFile] {
            let _ = ClientPem::parse(kind, &bytes);
            let _ = ClientPem::parse(kind, pem.as_bytes());
        }
    }
}
