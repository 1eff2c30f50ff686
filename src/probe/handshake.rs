//! A TLS handshake that looks at the certificate and believes nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{DEADLINE, Error};
use crate::model::{Identifier, KeyKind};

/// What a server showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The leaf in DER.
    pub leaf: CertificateDer<'static>,
    /// What it sent after the leaf, in its order.
    pub chain: Vec<CertificateDer<'static>>,
    /// Protocol version, such as `TLSv1_3`.
    pub protocol: String,
    /// Cipher suite, such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
}

/// Shakes hands and hangs up. Any certificate is accepted, because it is only looked at. Sessions are never resumed, because a
/// resumed one would show no certificate.
///
/// The name is sent as SNI; a wildcard stands for some name below it; without a name, and for IP addresses (RFC 6066, section
/// 3), none is sent. A client that can use keys of one `kind` alone offers no signatures of others (RFC 8446, section 4.2.3).
pub async fn handshake(
    address: SocketAddr,
    server_name: Option<&Identifier>,
    kind: Option<KeyKind>,
) -> Result<Served, Error> {
    let shake = async {
        let stream = TcpStream::connect(address).await.map_err(|source| Error::Unreachable { address, source })?;
        let protocol =
            |source: Box<dyn std::error::Error + Send + Sync>| Error::Protocol { address, protocol: "TLS", source };
        let name = sni(address, server_name).map_err(|error| protocol(error.into()))?;
        let connector = TlsConnector::from(Arc::new(config(kind)));
        let stream = connector.connect(name, stream).await.map_err(|error| protocol(error.into()))?;
        let (_, tls) = stream.get_ref();
        let shown = tls.peer_certificates().unwrap_or_default();
        let Some((leaf, chain)) = shown.split_first() else {
            return Err(protocol("the server showed no certificate".into()));
        };
        Ok(Served {
            leaf: leaf.clone().into_owned(),
            chain: chain.iter().map(|der| der.clone().into_owned()).collect(),
            protocol: tls.protocol_version().map_or_else(String::new, |version| format!("{version:?}")),
            cipher: tls.negotiated_cipher_suite().map_or_else(String::new, |suite| format!("{:?}", suite.suite())),
        })
    };
    match tokio::time::timeout(DEADLINE, shake).await {
        Ok(served) => served,
        Err(_) => Err(Error::TimedOut { place: address.to_string(), after: DEADLINE }),
    }
}

fn sni(
    address: SocketAddr,
    name: Option<&Identifier>,
) -> Result<ServerName<'static>, rustls_pki_types::InvalidDnsNameError> {
    match name {
        Some(Identifier::Dns(name)) => name.replacen('*', "hotcert-probe", 1).try_into(),
        Some(Identifier::Ip(address)) => Ok(ServerName::from(*address)),
        // rustls sends no SNI for an address.
        None => Ok(ServerName::from(address.ip())),
    }
}

fn config(kind: Option<KeyKind>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let schemes = schemes.into_iter().filter(|scheme| kind.is_none_or(|kind| is_of(*scheme, kind))).collect();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(LookOnly(schemes)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

/// Whether a signature is made by such a key.
fn is_of(scheme: SignatureScheme, kind: KeyKind) -> bool {
    let name = scheme.as_str().unwrap_or_default();
    match kind {
        KeyKind::Ecdsa => name.starts_with("ECDSA_"),
        KeyKind::Rsa => name.starts_with("RSA_"),
    }
}

/// Accepts whatever it is shown, and offers these signatures.
#[derive(Debug)]
struct LookOnly(Vec<SignatureScheme>);

impl ServerCertVerifier for LookOnly {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[tokio::test]
    async fn a_certificate_that_nobody_trusts_is_seen() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["other.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let der = certificate.der().clone();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let names = tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(Arc::new(config));
            let mut names = Vec::new();
            for _ in 0..3 {
                let stream = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
                names.push(stream.get_ref().1.server_name().map(str::to_owned));
            }
            names
        });
        for name in [None, Some("192.0.2.1".parse().unwrap()), Some("*.a.test".parse().unwrap())] {
            let served = handshake(address, name.as_ref(), None).await.unwrap();
            assert_eq!((served.leaf, served.chain), (der.clone(), vec![]));
            assert_eq!(served.protocol, "TLSv1_3");
        }
        assert_eq!(names.await.unwrap(), [None, None, Some("hotcert-probe.a.test".to_owned())]);
    }

    #[tokio::test]
    async fn what_is_no_tls_has_its_own_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            listener.accept().await.unwrap().0.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        assert!(matches!(handshake(address, None, None).await, Err(Error::Protocol { .. })));
        server.await.unwrap();
        assert!(matches!(handshake(address, None, None).await, Err(Error::Unreachable { .. })));
    }
}
