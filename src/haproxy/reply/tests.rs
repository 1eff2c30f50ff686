use super::*;

#[test]
fn every_known_failure_is_told_apart() {
    for (reply, expected) in [
        ("Operations on certificates are currently locked!", Rejection::Locked),
        ("Can't commit F!\nOperations on certificates are currently locked!\nCan't commit F!", Rejection::Locked),
        ("Permission denied", Rejection::Permission),
        ("Can't allocate memory!", Rejection::Permission),
        (
            "Unknown command: 'show', but maybe one of the following ones is a better match:\n  x",
            Rejection::UnknownCommand,
        ),
        ("Certificate 'F' already exists!", Rejection::Exists),
        (
            "Can't replace a certificate which is not referenced by the configuration!\nCan't update F!",
            Rejection::NoSlot,
        ),
        ("Can't display the certificate: Not found or the certificate is a bundle!", Rejection::NoSlot),
        (
            "The ongoing transaction is about 'A' but you are trying to set 'F'\nCan't update F!",
            Rejection::OtherTransaction { open: "A".to_owned() },
        ),
        (
            "The ongoing transaction is about 'A' but you are trying to abort a transaction for 'F'",
            Rejection::OtherTransaction { open: "A".to_owned() },
        ),
        ("No ongoing transaction! !\nCan't commit F!", Rejection::NoTransaction),
        ("No ongoing transaction!", Rejection::NoTransaction),
        ("unable to load certificate from file 'F'.\nCan't load the payload\nCan't update F!", Rejection::Unreadable),
        (
            "unable to load certificate from file 'F': no start line.\nCan't load the payload\nCan't update F!",
            Rejection::Unreadable,
        ),
        ("inconsistencies between private key and certificate loaded 'F'.\nCan't commit F!", Rejection::KeyMismatch),
        (
            "The transaction must contain at least a certificate and a private key!\nCan't commit F!",
            Rejection::Incomplete,
        ),
        (
            "Committing F\nunable to load SSL private key into SSL Context 'F': passed a null parameter.\nFailed!",
            Rejection::Incomplete,
        ),
        ("Committing F.\nsomething\nFailed!", Rejection::Failed),
        ("Can't remove the certificate: certificate 'F' in use, can't be deleted!", Rejection::InUse),
        ("Can't remove the certificate: certificate 'F' doesn't exist!", Rejection::NoSlot),
        ("Can't remove the certificate: ongoing transaction for the certificate 'F'", Rejection::InUse),
        ("Can't edit the crt-list: crt-list 'L' does not exist!", Rejection::NoList),
        ("Can't edit the crt-list: certificate 'F' does not exist!", Rejection::NoSlot),
        ("Can't edit the crt-list: certificate 'F' is empty!", Rejection::Empty),
        ("Can't edit the crt-list: file already exists in this directory!", Rejection::Attached),
        ("Can't edit the crt-list: parsing [CLI:1]: unknown ssl keyword bogus", Rejection::BadEntry),
        ("Can't edit the crt-list: only one line of payload is supported!", Rejection::BadEntry),
        (
            "Can't edit the crt-list: 'L' is a directory, certificate path 'F' must contain the directory path",
            Rejection::OutsideDirectory,
        ),
        ("Can't delete the entry: certificate 'F' can't be found in crt-list 'L'!", Rejection::NoEntry),
        (
            "Can't delete the entry: found the certificate 'F' in several entries, please specify a line number preceded by colons (3, 4, 5)!",
            Rejection::NoEntry,
        ),
        (
            "Can't delete the entry: certificate 'F' cannot be deleted, it is used as default certificate by the following frontends:\n\t- FILE:LINE",
            Rejection::DefaultCertificate,
        ),
        ("didn't find the specified filename", Rejection::NoList),
        ("Unknown map identifier. Please use #<id> or <file>.", Rejection::NoMap),
        ("", Rejection::Other(String::new())),
        ("\nsomething\tnew\nsecond line", Rejection::Other("somethingnew".to_owned())),
    ] {
        assert_eq!(Rejection::of(reply), expected, "{reply}");
    }
}

#[test]
fn only_exact_texts_are_a_success() {
    let set = |reply| SetReply::of(reply);
    assert_eq!(set("Transaction created for certificate F!"), SetReply::Created("F"));
    assert_eq!(set("Transaction updated for certificate A!"), SetReply::Updated("A"));
    assert!(matches!(set("Transaction created for certificate F!\nmore!"), SetReply::Rejected(_)));
    assert_eq!(set("Operations on certificates are currently locked!"), SetReply::Rejected(Rejection::Locked));

    assert!(succeeded("Committing F.\nSuccess!", "Committing F").is_ok());
    assert!(succeeded("Committing F\nSuccess!", "Committing F").is_ok());
    assert!(
        succeeded(
            "Committing F...\nLoading: OCSP single response: x. Content will be ignored.\nSuccess!",
            "Committing F"
        )
        .is_ok()
    );
    for bad in [
        "",
        "Success!",
        "Committing F.\nFailed!",
        "Committing F.\nSuccess!\nFailed!",
        "Committing F.\nSuccess! not",
        "Committing G.\nSuccess!",
    ] {
        assert!(succeeded(bad, "Committing F").is_err(), "{bad:?}");
    }
    assert!(exactly("Certificate 'F' deleted!", "Certificate 'F' deleted!").is_ok());
    assert!(exactly("Certificate 'F' deleted! really", "Certificate 'F' deleted!").is_err());
}

#[test]
fn an_unknown_answer_shows_nothing_that_could_be_a_key() {
    let line = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg";
    for secret in [format!("Strange: '{line}'"), format!("{line}\nrest"), "-----BEGIN EC PRIVATE KEY-----".to_owned()] {
        let shown = Rejection::of(&secret).to_string();
        assert!(!shown.contains("MIGH") && !shown.contains("BEGIN"), "{shown}");
    }
    assert_eq!(sanitised(&"word ".repeat(100)).len(), SHOWN);
    assert_eq!(sanitised("\x1b[31mred\0 é"), "[31mred ");
}
