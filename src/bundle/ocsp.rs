//! OCSP responses and their issuers, as far as somebody has to read them who staples them (RFC 6960, section 4.2).
//!
//! `HAProxy` staples a response that it is given without looking at its signature, and so does this: a client checks it. What
//! is read here is which certificate a response is about, what it says, and for how long.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::time::ASN1Time;

use super::facts::shown;
use super::pem;
use crate::model::{Facts, Serial, Staple};

/// SHA-1 (RFC 3279, section 2.2.1), in DER. `HAProxy` knows a response by a certificate ID that it makes with this.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// How far the clock of whoever signed a response may be ahead, as for `HAProxy`.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A successful OCSP response about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspResponse {
    der: Vec<u8>,
    serial: Serial,
    status: Status,
    named_by_sha1: bool,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Good,
    Revoked,
    Unknown,
}

/// The certificate of whoever issued a leaf, which `HAProxy` needs beside a chain without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspIssuer(CertificateDer<'static>);

/// Why a response, or an issuer, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OcspFlaw {
    /// It is something else.
    #[error("it is not an OCSP response in DER")]
    Malformed,
    /// The responder said that it has no answer.
    #[error("the responder did not answer: {0}")]
    Unsuccessful(&'static str),
    /// It is about no or several certificates.
    #[error("it is about {found} certificates; HAProxy takes it only if it is about one")]
    Several {
        /// About how many.
        found: usize,
    },
    /// Its certificate ID cannot be compared.
    #[error("it names the certificate by another digest than SHA-1, and HAProxy takes no other")]
    Digest,
    /// The certificate must not be used any more.
    #[error("it says that the certificate is revoked")]
    Revoked,
    /// The responder does not know the certificate.
    #[error("it says that the certificate is unknown to the responder")]
    Unknown,
    /// It has no end.
    #[error("it does not say until when it is valid, and HAProxy takes it only if it does")]
    NoEnd,
    /// It comes from the future.
    #[error("it is valid from {0} on")]
    NotYetValid(Timestamp),
    /// It is too old.
    #[error("it was valid until {0}")]
    Expired(Timestamp),
    /// There is no certificate in what should be an issuer.
    #[error("it is not a certificate in PEM")]
    NoCertificate,
    /// It is a certificate of somebody else.
    #[error("it is the certificate of {found}, which did not issue the leaf: {expected} did")]
    NotTheIssuer {
        /// Its subject.
        found: String,
        /// The issuer of the leaf.
        expected: String,
    },
}

impl OcspResponse {
    /// Reads a response in DER.
    pub fn read(der: &[u8]) -> Result<Self, OcspFlaw> {
        let mut response = Reader(der).sequence().ok_or(OcspFlaw::Malformed)?;
        let status = response.tagged(Class::Universal, Tag::Enumerated.0).ok_or(OcspFlaw::Malformed)?;
        if status != [0] {
            return Err(OcspFlaw::Unsuccessful(match status {
                [1] => "the request was malformed",
                [2] => "it has an internal error",
                [3] => "it asks to try later",
                [5] => "it wants signed requests",
                [6] => "it does not answer for this certificate",
                _ => "for a reason that is not known",
            }));
        }
        let singles = singles(&mut response).ok_or(OcspFlaw::Malformed)?;
        let [single] = singles.as_slice() else { return Err(OcspFlaw::Several { found: singles.len() }) };
        Self::of(der, Reader(single)).ok_or(OcspFlaw::Malformed)
    }

    /// `SingleResponse`.
    fn of(der: &[u8], mut single: Reader<'_>) -> Option<Self> {
        let mut id = single.sequence()?;
        let digest = id.sequence()?.tagged(Class::Universal, Tag::Oid.0)?;
        id.next()?;
        id.next()?;
        let serial = id.tagged(Class::Universal, Tag::Integer.0)?;
        let status = match single.next()?.header.tag().0 {
            0 => Status::Good,
            1 => Status::Revoked,
            _ => Status::Unknown,
        };
        let this_update = single.time()?;
        let next_update = match single.tagged(Class::ContextSpecific, 0) {
            Some(time) => Some(Reader(time).time()?),
            None => None,
        };
        let serial = Serial::from_bytes(serial);
        Some(Self { der: der.to_vec(), serial, status, named_by_sha1: digest == SHA1, this_update, next_update })
    }

    /// Whether it is about the certificate with this serial number.
    #[must_use]
    pub fn is_about(&self, serial: &Serial) -> bool {
        self.serial == *serial
    }

    /// The serial number of the certificate that it is about.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// When it is true, where `HAProxy` would staple it at `now` and a client would be glad of it.
    pub fn usable(&self, now: Timestamp) -> Result<Staple, OcspFlaw> {
        let Self { this_update, .. } = *self;
        match self.status {
            Status::Good => {}
            Status::Revoked => return Err(OcspFlaw::Revoked),
            Status::Unknown => return Err(OcspFlaw::Unknown),
        }
        if !self.named_by_sha1 {
            return Err(OcspFlaw::Digest);
        }
        let next_update = self.next_update.ok_or(OcspFlaw::NoEnd)?;
        if this_update > now + SKEW {
            return Err(OcspFlaw::NotYetValid(this_update));
        }
        if next_update <= now {
            return Err(OcspFlaw::Expired(next_update));
        }
        Ok(Staple { this_update, next_update })
    }

    /// The response in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }
}

impl OcspIssuer {
    /// Reads the first certificate of a PEM file, which must be that of the issuer of a leaf, by its name and, where both tell,
    /// by the identifier of its key (RFC 5280, section 4.2.1.1), as `HAProxy` compares them.
    pub fn read(input: &[u8], leaf: &Facts) -> Result<Self, OcspFlaw> {
        let blocks = pem::blocks(input).map_err(|_| OcspFlaw::NoCertificate)?.blocks;
        let first = blocks.iter().find(|block| block.label == "CERTIFICATE").ok_or(OcspFlaw::NoCertificate)?;
        let (_, issuer) = X509Certificate::from_der(&first.der).map_err(|_| OcspFlaw::NoCertificate)?;
        let own_key = issuer.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(key) => Some(BASE64_URL_SAFE_NO_PAD.encode(key.0)),
            _ => None,
        });
        let named_key = leaf.renewal_id.as_ref().and_then(|id| id.split_once('.')).map(|(key, _)| key);
        let has_other_key = own_key.as_deref().zip(named_key).is_some_and(|(own, named)| own != named);
        let found = shown(issuer.subject());
        if found != leaf.issuer || has_other_key {
            return Err(OcspFlaw::NotTheIssuer { found, expected: leaf.issuer.clone() });
        }
        Ok(Self(CertificateDer::from(first.der.to_vec())))
    }

    /// The certificate as one PEM block.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::certificate(&self.0)
    }
}

/// The `SingleResponse`s of the rest of an `OCSPResponse`, after its status.
fn singles<'a>(response: &mut Reader<'a>) -> Option<Vec<&'a [u8]>> {
    let mut bytes = Reader(response.tagged(Class::ContextSpecific, 0)?).sequence()?;
    // Which kind of response it is; there is but one that anybody uses.
    bytes.next()?;
    let mut basic = Reader(bytes.tagged(Class::Universal, Tag::OctetString.0)?).sequence()?;
    let mut data = basic.sequence()?;
    // The version is there only when it is another than the first.
    data.tagged(Class::ContextSpecific, 0);
    data.next()?;
    data.time()?;
    let mut singles = data.sequence()?;
    let mut found = Vec::new();
    while !singles.0.is_empty() {
        found.push(singles.sequence()?.0);
    }
    Some(found)
}

/// Reads DER, value by value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Any<'a>> {
        let (rest, value) = Any::from_der(self.0).ok()?;
        self.0 = rest;
        Some(value)
    }

    /// The contents of the next value, if it has this tag; otherwise it stays the next one.
    fn tagged(&mut self, class: Class, tag: u32) -> Option<&'a [u8]> {
        let (rest, value) = Any::from_der(self.0).ok()?;
        if value.header.class() != class || value.header.tag().0 != tag {
            return None;
        }
        self.0 = rest;
        Some(value.data)
    }

    fn sequence(&mut self) -> Option<Self> {
        self.tagged(Class::Universal, Tag::Sequence.0).map(Self)
    }

    fn time(&mut self) -> Option<Timestamp> {
        let (rest, time) = ASN1Time::from_der(self.0).ok()?;
        self.0 = rest;
        Timestamp::from_second(time.timestamp()).ok()
    }
}

#[cfg(test)]
mod tests;
