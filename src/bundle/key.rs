//! Private keys: never printed, wiped when dropped.

use std::fmt;

use rcgen::KeyPair;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::pem;
use crate::model::KeyType;

/// A private key in PEM: PKCS#8, PKCS#1 or SEC1, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey {
    pem: Zeroizing<String>,
    /// `SubjectPublicKeyInfo` in DER, to match the key with certificates.
    public: Vec<u8>,
}

/// A private key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not one PEM block with a key.
    #[error("it is not one PEM block with a private key")]
    NotOneKey,
    /// It needs a pass phrase.
    #[error("it is encrypted")]
    Encrypted,
    /// The contents are broken, or of a kind that is not supported.
    #[error("it is broken, or neither RSA, ECDSA nor Ed25519")]
    Unusable,
    /// The key could not be generated.
    #[error("a {0} key could not be generated")]
    Generate(KeyType),
}

impl PrivateKey {
    /// Generates a new key. RSA takes from a tenth of a second (2048 bits) to seconds (4096 bits) of computing.
    pub fn generate(kind: KeyType) -> Result<Self, KeyError> {
        let pair = match kind {
            KeyType::EcdsaP256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::EcdsaP384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
            KeyType::Rsa3072 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_3072),
            KeyType::Rsa4096 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096),
        }
        .map_err(|_| KeyError::Generate(kind))?;
        let der = Zeroizing::new(pair.serialize_der());
        Self::from_der("PRIVATE KEY", &der)
    }

    /// Reads a key that hotcert wrote itself.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let scan = pem::blocks(text.as_bytes()).map_err(|_| KeyError::NotOneKey)?;
        match scan.blocks.as_slice() {
            [block] if block.encrypted => Err(KeyError::Encrypted),
            [block] => Self::from_der(&block.label, &block.der),
            _ => Err(KeyError::NotOneKey),
        }
    }

    /// Takes the contents of a PEM block with the given label.
    pub(super) fn from_der(label: &str, der: &[u8]) -> Result<Self, KeyError> {
        let typed = match label {
            "PRIVATE KEY" => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
            "RSA PRIVATE KEY" => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
            "EC PRIVATE KEY" => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
            _ => return Err(KeyError::NotOneKey),
        };
        let public = any_supported_type(&typed)
            .ok()
            .and_then(|key| key.public_key().map(|spki| spki.to_vec()))
            .ok_or(KeyError::Unusable)?;
        Ok(Self { pem: Zeroizing::new(pem::encode(label, der)), public })
    }

    /// A key in PEM that is known to belong to a leaf.
    pub(super) fn known(pem: &str, leaf: &[u8]) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        Some(Self { pem: Zeroizing::new(pem.to_owned()), public: leaf.public_key().raw.to_vec() })
    }

    /// The key as one PEM block. Whoever asks is responsible for where it goes.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its public half: `SubjectPublicKeyInfo` in DER (RFC 5280, section 4.1.2.7).
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.public
    }

    /// Whether it is the key of a certificate, given its `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn matches(&self, spki: &[u8]) -> bool {
        self.public == spki
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}
