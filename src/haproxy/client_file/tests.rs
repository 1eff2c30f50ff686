use std::collections::BTreeSet;

use super::super::testing::{Peer, slot};
use super::*;

const FILE: &str = "/etc/haproxy/ca.pem";

fn authorities(count: usize) -> ClientPem {
    let pem = |_| {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(["ca.test".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    };
    ClientPem::parse(ClientFile::CaFile, (0..count).map(pem).collect::<String>().as_bytes()).unwrap()
}

fn shown(pem: &ClientPem) -> String {
    let ClientPem::Ca(all) = pem else { unreachable!() };
    let prints = all.iter().map(|one| format!("SHA1 FingerPrint: {}\n", one.sha1.to_string().to_uppercase()));
    format!("Filename: *{FILE}\nStatus: Unused\n{}", prints.collect::<String>())
}

#[tokio::test]
async fn a_file_goes_in_parts_where_it_is_long_and_is_looked_at_before_the_commit() {
    let pem = authorities(40);
    let mut peer = Peer::new("2.8.25").on("set ssl ca-file", &format!("transaction created for CA {FILE}!"));
    for _ in 0..3 {
        peer = peer.on("add ssl ca-file", &format!("transaction updated for CA {FILE}!"));
    }
    let peer = peer
        .on("show ssl ca-file *", &shown(&pem))
        .on("show ssl ca-file *", &shown(&pem))
        .on("commit ssl ca-file", &format!("Committing {FILE}..\nSuccess!"));
    let session = peer.open().await.unwrap();
    let parts = session.info().parts(&slot(FILE), &pem).unwrap();
    assert!(parts.len() > 1 && parts.concat() == pem.blocks().concat());
    let staged = session.stage_client_file(&slot(FILE), &pem).await.unwrap();
    staged.commit().await.unwrap();
    assert!(peer.seen.lock().unwrap().iter().all(|command| command.len() < 16384 - 64));
}

#[tokio::test]
async fn nothing_of_others_is_committed() {
    let pem = authorities(1);
    let other = authorities(1);
    let (set, abort) = ("set ssl ca-file", "abort ssl ca-file");
    let created = format!("transaction created for CA {FILE}!");
    let aborted = format!("Transaction aborted for certificate '{FILE}'!");
    // It went into one that was open; another one was put into ours.
    for peer in [
        Peer::new("3.2.26").on(set, &created.replace("created", "updated")).on(abort, &aborted),
        Peer::new("3.2.26").on(set, &created).on("show ssl ca-file *", &shown(&other)).on(abort, &aborted),
    ] {
        let session = peer.open().await.unwrap();
        let failed = session.stage_client_file(&slot(FILE), &pem).await.unwrap_err();
        assert!(matches!(failed.error, Error::ForeignTransaction { .. }), "{failed:?}");
        assert!(failed.session.is_some() && peer.commands().last().unwrap().starts_with(abort));
    }
    let refusal =
        format!("The ongoing transaction is about '/x' but you are trying to set '{FILE}'\nCan't update {FILE}!");
    let peer = Peer::new("3.2.26").on(set, &refusal);
    let failed = peer.open().await.unwrap().stage_client_file(&slot(FILE), &pem).await.unwrap_err();
    assert!(matches!(failed.error.rejection(), Some(Rejection::OtherTransaction { .. })));
    assert!(!peer.commands().iter().any(|command| command.starts_with(abort)), "it is not ours to end");
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_the_setting_that_cures_it() {
    let pem = authorities(40);
    let session = Peer::new("2.6.12").open().await.unwrap();
    let refused = session.info().parts(&slot(FILE), &pem).unwrap_err();
    assert_eq!((refused.setting, refused.suggested), ("tune.bufsize", 32768));
}

#[test]
fn a_list_is_read_as_every_version_shows_it() {
    let reply = "Filename: /etc/haproxy/crl.pem\nStatus: Used\n \nCertificate Revocation List #1:\nVersion 2\n\
                 Signature Algorithm: ecdsa-with-SHA256\nIssuer: /CN=Test ca1\nLast Update: Nov 22 23:59:10 2026 GMT\n\
                 Next Update: Dec  2 23:59:10 2026 GMT\nRevoked Certificates:\n    Serial Number: 16FF209E\n        \
                 Revocation Date: Nov 22 23:57:30 2026 GMT\n";
    let list = HeldCrl::parse(reply, 16384).unwrap();
    assert_eq!((list.issuer.as_str(), list.cut), ("/CN=Test ca1", false));
    assert_eq!(list.next_update.unwrap().to_string(), "2026-12-02T23:59:10Z");
    assert_eq!(list.revoked, BTreeSet::from(["16ff209e".parse().unwrap()]));
    assert!(HeldCrl::parse(reply, 500).unwrap().cut);
    assert_eq!(HeldCrl::parse("Filename: /etc/haproxy/crl.pem\nStatus: Used\n", 16384), None);
}

#[tokio::test]
async fn an_open_transaction_is_found_in_either_listing() {
    let peer = Peer::new("3.2.26")
        .on(
            "show ssl ca-file",
            &format!("# transaction\n*{FILE} - 2 certificate(s)\n# filename\n{FILE} - 1 certificate(s)"),
        )
        .on("show ssl crl-file", "# transaction\n*/crl.pem\n# filename\n/crl.pem")
        .on("show ssl crl-file", "# filename\n/crl.pem");
    let mut session = peer.open().await.unwrap();
    assert_eq!(session.client_file_transaction(ClientFile::CaFile).await.unwrap().as_deref(), Some(FILE));
    assert_eq!(session.client_file_transaction(ClientFile::CrlFile).await.unwrap().as_deref(), Some("/crl.pem"));
    assert_eq!(session.client_file_transaction(ClientFile::CrlFile).await.unwrap(), None);
}
