use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Extension};

use super::super::server::CONNECTIONS;
use super::*;
use crate::probe::{Target, tls_alpn};

/// RFC 8737, section 3.
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";

/// The alert that a client gets. It trusts nobody, so it goes on with no server.
async fn refused(address: SocketAddr, name: &str, protocols: &[&[u8]]) -> AlertDescription {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut client = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let error = TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap_err();
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => *alert,
        _ => panic!("{error}"),
    }
}

async fn responder() -> Responder {
    Responder::bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_certificate_has_the_digest_and_the_name_alone() {
    let responder = responder().await;
    let token: Token = "abc".parse().unwrap();
    let loopback = [[0; 15].as_slice(), &[1]].concat();
    for (name, expected) in [
        ("a.test", GeneralName::DNSName("a.test")),
        ("192.0.2.1", GeneralName::IPAddress(&[192, 0, 2, 1])),
        ("::1", GeneralName::IPAddress(&loopback)),
    ] {
        let name = name.parse().unwrap();
        responder.add(&name, &token, "abc.thumb").await.unwrap();
        let (_, served) = tls_alpn(&Target::Address(responder.local_addr()), &name).await.unwrap();
        assert_eq!((served.alpn.as_deref(), served.chain.len()), (Some("acme-tls/1"), 0));
        let (_, leaf) = X509Certificate::from_der(&served.leaf).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, [expected]);
        let is_acme = |extension: &&X509Extension<'_>| extension.oid.to_id_string() == ACME_IDENTIFIER;
        let extension = leaf.extensions().iter().find(is_acme).unwrap();
        assert!(extension.critical);
        assert_eq!(extension.value, [[4, 32].as_slice(), digest(&SHA256, b"abc.thumb").as_ref()].concat());
        leaf.verify_signature(None).unwrap();
        responder.remove(&token);
    }
}

#[tokio::test]
async fn everything_else_is_refused() {
    let responder = responder().await;
    let address = responder.local_addr();
    let token: Token = "abc".parse().unwrap();
    responder.add(&"a.test".parse().unwrap(), &token, "abc.thumb").await.unwrap();
    let others: [&[&[u8]]; 3] = [&[b"h2", b"http/1.1"], &[ALPN_PROTOCOL, b"h2"], &[]];
    for protocols in others {
        assert_eq!(refused(address, "a.test", protocols).await, AlertDescription::NoApplicationProtocol);
    }
    // For an address, no name is sent.
    for name in ["b.test", "127.0.0.1"] {
        assert_eq!(refused(address, name, &[ALPN_PROTOCOL]).await, AlertDescription::UnrecognisedName);
    }
    responder.remove(&token);
    assert_eq!(refused(address, "a.test", &[ALPN_PROTOCOL]).await, AlertDescription::UnrecognisedName);
}

#[tokio::test(start_paused = true)]
async fn a_second_challenge_for_a_name_waits_for_the_first() {
    let responder = responder().await;
    let name = "a.test".parse().unwrap();
    let (first, second): (Token, Token) = ("first".parse().unwrap(), "second".parse().unwrap());
    responder.add(&name, &first, "first.thumb").await.unwrap();
    let error = responder.add(&name, &second, "second.thumb").await.unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error:?}");
    // Another name is not concerned.
    responder.add(&"b.test".parse().unwrap(), &second, "second.thumb").await.unwrap();
    let added = async {
        responder.add(&name, &second, "second.thumb").await.unwrap();
        true
    };
    let removed = async {
        tokio::task::yield_now().await;
        responder.remove(&first);
    };
    assert!(tokio::join!(added, removed).0);
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out_forever() {
    let responder = responder().await;
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(TcpStream::connect(responder.local_addr()).await.unwrap());
    }
    let asked = refused(responder.local_addr(), "a.test", &[ALPN_PROTOCOL]);
    let alert = tokio::time::timeout(HELLO_TIMEOUT * 2, asked).await.unwrap();
    assert_eq!(alert, AlertDescription::UnrecognisedName);
}
