//! Reads what a leaf says about itself.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::pem;
use crate::model::{Facts, Identifier, KeyType, Serial, Sha1, Sha256, printable};

/// Longest subject or issuer that is told, in characters.
const NAME_SHOWN: usize = 300;

impl Facts {
    /// Reads a leaf in DER; `None` when it is not a certificate.
    #[must_use]
    pub fn read(der: &[u8], chain_length: usize) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(der).ok()?;
        Some(Self::of(&cert, der, chain_length))
    }

    /// Reads the first certificate of a PEM file, without its chain and without any check.
    #[must_use]
    pub fn read_pem(input: &[u8]) -> Option<Self> {
        let blocks = pem::blocks(input).ok()?.blocks;
        let first = blocks.iter().find(|block| block.label == "CERTIFICATE")?;
        Self::read(&first.der, 0)
    }

    /// Whether the first certificate of a PEM file belongs to an authority (RFC 5280, section 4.2.1.9).
    #[must_use]
    pub fn is_authority(input: &[u8]) -> bool {
        let Ok(scan) = pem::blocks(input) else { return false };
        let first = scan.blocks.iter().find(|block| block.label == "CERTIFICATE");
        first.is_some_and(|block| {
            X509Certificate::from_der(&block.der).is_ok_and(|(_, cert)| {
                cert.basic_constraints().is_ok_and(|found| found.is_some_and(|found| found.value.ca))
            })
        })
    }

    pub(super) fn of(cert: &X509Certificate<'_>, der: &[u8], chain_length: usize) -> Self {
        Self {
            serial: Serial::from_bytes(cert.raw_serial()),
            sha1: Sha1::of(der),
            sha256: Sha256::of(der),
            not_before: timestamp(cert.validity().not_before.timestamp()),
            not_after: timestamp(cert.validity().not_after.timestamp()),
            names: names(cert).into_iter().collect(),
            issuer: shown(cert.issuer()),
            chain_length,
            key_type: key_type(cert),
            renewal_id: renewal_id(cert),
        }
    }
}

/// A subject or issuer for people and logs: whoever signed it may have written anything.
pub(super) fn shown(name: &X509Name<'_>) -> String {
    printable(&name.to_string(), NAME_SHOWN)
}

/// Dates beyond the range of [`Timestamp`] (year 9999) stand for its end.
pub(super) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// The first DNS name of a leaf, or its first name of another kind.
pub(super) fn first_name(der: &[u8]) -> Option<Identifier> {
    let (_, cert) = X509Certificate::from_der(der).ok()?;
    let names = names(&cert);
    names.iter().find(|name| matches!(name, Identifier::Dns(_))).or(names.first()).cloned()
}

/// In the order of the certificate.
fn names(cert: &X509Certificate<'_>) -> Vec<Identifier> {
    let from_extension: Vec<_> = cert
        .subject_alternative_name()
        .ok()
        .flatten()
        .into_iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => name.parse().ok(),
            GeneralName::IPAddress(bytes) => ip(bytes),
            _ => None,
        })
        .collect();
    if !from_extension.is_empty() {
        return from_extension;
    }
    cert.subject().iter_common_name().filter_map(|name| name.as_str().ok()?.parse().ok()).collect()
}

fn key_type(cert: &X509Certificate<'_>) -> Option<KeyType> {
    let key = cert.public_key().parsed().ok()?;
    match (&key, key.key_size()) {
        (PublicKey::EC(_), 256) => Some(KeyType::EcdsaP256),
        (PublicKey::EC(_), 384) => Some(KeyType::EcdsaP384),
        (PublicKey::RSA(_), 2048) => Some(KeyType::Rsa2048),
        (PublicKey::RSA(_), 3072) => Some(KeyType::Rsa3072),
        (PublicKey::RSA(_), 4096) => Some(KeyType::Rsa4096),
        _ => None,
    }
}

/// Authority key identifier and serial number as they are encoded, in base64url, with a dot between them (RFC 9773, section 4.1).
fn renewal_id(cert: &X509Certificate<'_>) -> Option<String> {
    let authority = cert.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(authority) => authority.key_identifier.as_ref(),
        _ => None,
    })?;
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Some(format!("{}.{}", encode(authority.0), encode(cert.raw_serial())))
}

fn ip(bytes: &[u8]) -> Option<Identifier> {
    let address = <[u8; 4]>::try_from(bytes)
        .map(std::net::IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from))
        .ok()?;
    Some(Identifier::Ip(address))
}
