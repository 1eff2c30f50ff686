//! Shaking hands for a tls-alpn-01 challenge ourselves.

use std::net::SocketAddr;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::der_parser::oid;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::trial::Reply;
use crate::model::{ALPN_PROTOCOL, Identifier};
use crate::probe::{self, Served, Target};

/// Shakes hands for a challenge whose key authorization should be `expected`.
pub(super) async fn ask(name: &Identifier, expected: &str, target: &Target) -> Reply {
    let asked = |address: SocketAddr| format!("acme-tls/1 for {} at {address}", name.handshake_name());
    match probe::tls_alpn(target, name).await {
        Ok((address, served)) => match judge(&served, expected) {
            None => Reply::Right(address),
            Some(meaning) => Reply::Wrong(asked(address), describe(&served), meaning),
        },
        Err(error @ probe::Error::Refused { address, .. }) => {
            let meaning =
                "something else ends TLS there: HAProxy itself, which must pass acme-tls/1 on, or another hotcert";
            Reply::Wrong(asked(address), error.to_string(), meaning)
        }
        Err(error @ probe::Error::Protocol { address, .. }) => {
            let meaning = if error.is_hang_up() {
                "HAProxy passes acme-tls/1 on, and cannot reach hotcert: look at the address of the `server` line"
            } else {
                "what listens there speaks no TLS"
            };
            Reply::Wrong(asked(address), error.to_string(), meaning)
        }
        Err(error) => Reply::Silence(error),
    }
}

fn judge(served: &Served, expected: &str) -> Option<&'static str> {
    if served.alpn.as_deref().map(str::as_bytes) != Some(ALPN_PROTOCOL) {
        return Some("HAProxy ends TLS itself there: connections that ask for acme-tls/1 must be passed on before");
    }
    match acme_identifier(served) {
        Some(found) if found == digest(&SHA256, expected.as_bytes()).as_ref() => None,
        Some(_) => Some("another program answers challenges: look at the address of the `server` line"),
        None => Some("what speaks acme-tls/1 there shows no certificate of a challenge"),
    }
}

/// The digest of the key authorization that a certificate shows (RFC 8737, section 3).
fn acme_identifier(served: &Served) -> Option<Vec<u8>> {
    let (_, leaf) = X509Certificate::from_der(&served.leaf).ok()?;
    let extension = leaf.get_extension_unique(&oid!(1.3.6.1.5.5.7.1.31)).ok()??;
    // An OCTET STRING of 32 bytes.
    extension.value.strip_prefix(&[4, 32]).map(<[u8]>::to_vec)
}

fn describe(served: &Served) -> String {
    match &served.alpn {
        Some(protocol) => format!("a certificate with the protocol {protocol:?}"),
        None => "a certificate without that protocol".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::solver::Responder;

    #[tokio::test]
    async fn only_the_certificate_of_the_challenge_passes() {
        let responder = Responder::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let name = "a.test".parse().unwrap();
        responder.add(&name, &"t".parse().unwrap(), "t.thumb").await.unwrap();
        let (_, mut served) = probe::tls_alpn(&Target::Address(responder.local_addr()), &name).await.unwrap();
        assert_eq!(judge(&served, "t.thumb"), None);
        assert!(judge(&served, "t.other").unwrap().contains("another program"));
        served.alpn = None;
        assert!(judge(&served, "t.thumb").unwrap().contains("ends TLS itself"));
        served.alpn = Some("acme-tls/1".to_owned());
        served.leaf = Vec::new().into();
        assert!(judge(&served, "t.thumb").unwrap().contains("no certificate of a challenge"));
    }
}
