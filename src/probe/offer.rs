//! What a client offers in a handshake: a version of TLS, and the keys whose signatures it accepts.
//!
//! Whatever it is shown it accepts, and remembers.

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::model::KeyKind;

/// What browsers offer (RFC 7301; RFC 9113, section 3.1).
const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

/// What a client offers; by default everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Offer {
    /// The only version of TLS.
    pub version: Option<Version>,
    /// The only kind of key that it can check a signature of: in TLS 1.3 that is said by signature algorithms (RFC 8446, section
    /// 4.2.3), in TLS 1.2 by cipher suites too (RFC 5246, section 7.4.2).
    pub kind: Option<KeyKind>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Version {
    /// Those that are still to be used (RFC 8996).
    pub const ALL: [Self; 2] = [Self::Tls12, Self::Tls13];
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// As in "over TLS 1.2 with ECDSA alone"; nothing where everything is offered.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(version) = self.version {
            write!(f, " over {version}")?;
        }
        match self.kind {
            Some(KeyKind::Ecdsa) => f.write_str(" with ECDSA alone"),
            Some(KeyKind::Rsa) => f.write_str(" with RSA alone"),
            None => Ok(()),
        }
    }
}

impl Offer {
    /// A client that offers this, and a note of what it is shown. With `remembering` it keeps what it needs to resume a session;
    /// a resumed session shows no certificate.
    pub(super) fn client(self, remembering: bool) -> (ClientConfig, Arc<Shown>) {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| self.has(*suite));
        let schemes = provider.signature_verification_algorithms.supported_schemes();
        let shown = Arc::new(Shown {
            schemes: schemes.into_iter().filter(|scheme| self.accepts(*scheme)).collect(),
            certificates: Mutex::default(),
        });
        let mut client = self.build(provider, Arc::clone(&shown));
        client.alpn_protocols = PROTOCOLS.iter().map(|name| name.as_bytes().to_vec()).collect();
        if !remembering {
            client.resumption = Resumption::disabled();
        }
        (client, shown)
    }

    fn build(self, provider: CryptoProvider, verifier: Arc<Shown>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = match self.version {
            None => builder.with_safe_default_protocol_versions(),
            Some(Version::Tls12) => builder.with_protocol_versions(&[&rustls::version::TLS12]),
            Some(Version::Tls13) => builder.with_protocol_versions(&[&rustls::version::TLS13]),
        };
        let builder = builder.expect("the provider has suites of both kinds for both versions");
        builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
    }

    /// Suites of TLS 1.3 are for every kind of key.
    fn has(self, suite: SupportedCipherSuite) -> bool {
        let name = name(suite.suite());
        match self.kind {
            Some(KeyKind::Ecdsa) => !name.contains("_RSA_"),
            Some(KeyKind::Rsa) => !name.contains("_ECDSA_"),
            None => true,
        }
    }

    fn accepts(self, scheme: SignatureScheme) -> bool {
        let name = scheme.as_str().unwrap_or_default();
        match self.kind {
            Some(KeyKind::Ecdsa) => name.starts_with("ECDSA"),
            Some(KeyKind::Rsa) => name.starts_with("RSA"),
            None => true,
        }
    }
}

pub(super) fn name(suite: CipherSuite) -> String {
    format!("{suite:?}")
}

/// Accepts whatever it is shown, and remembers that.
#[derive(Debug)]
pub(super) struct Shown {
    schemes: Vec<SignatureScheme>,
    certificates: Mutex<Noted>,
}

#[derive(Debug, Default)]
struct Noted {
    /// The leaf first.
    chain: Vec<CertificateDer<'static>>,
    /// Whether a signature came with them.
    signed: bool,
}

impl Shown {
    /// What a server showed that signed with its key, even if it then ended the conversation.
    pub(super) fn signed(&self) -> Option<Vec<CertificateDer<'static>>> {
        let noted = self.noted();
        noted.signed.then(|| noted.chain.clone())
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.certificates.lock().expect("nobody panics while holding it")
    }

    fn sign(&self) -> HandshakeSignatureValid {
        self.noted().signed = true;
        HandshakeSignatureValid::assertion()
    }
}

impl ServerCertVerifier for Shown {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = [leaf].into_iter().chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.noted() = Noted { chain, signed: false };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.sign())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.sign())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
