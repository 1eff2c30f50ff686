//! The files by which `HAProxy` judges the certificates of clients: their parsing, and the gate that they pass.
//!
//! `HAProxy` accepts anything that parses, and a wrong file locks every client out: OpenSSL refuses them all when a list has expired
//! or is missing. So a [`ClientPem`] has been read to its end, and [`ClientPem::check`] says whether it may replace what is served.

mod unfit;

use jiff::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::X509Name;

use super::facts::{shown, timestamp};
use super::pem;
use crate::model::{ClientFile, Serial, Sha1, Sha256};
pub use unfit::Unfit;

/// The contents of a file.
#[derive(Debug, Clone)]
pub enum ClientPem {
    /// Of a `ca-file`.
    Ca(Vec<CaCertificate>),
    /// Of a `crl-file`.
    Crl(Vec<Crl>),
}

/// The certificate of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaCertificate {
    der: Vec<u8>,
    /// SHA-1 fingerprint, which `HAProxy` shows.
    pub sha1: Sha1,
    /// Its name.
    pub subject: DistinguishedName,
    /// Whether it says that it belongs to an authority (RFC 5280, section 4.2.1.9).
    pub is_authority: bool,
}

/// A revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    /// Who made it.
    pub issuer: DistinguishedName,
    /// When it was made.
    pub this_update: Timestamp,
    /// When there should be a later one; OpenSSL refuses every client from then on.
    pub next_update: Timestamp,
    /// What is revoked.
    pub revoked: Vec<Serial>,
}

/// A name, to be recognised where `HAProxy` shows one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DistinguishedName {
    raw: Vec<u8>,
    /// What HAProxy shows of it; `None` where some part is of a type that is no text here.
    values: Option<Vec<String>>,
    text: String,
}

/// A revocation list as `HAProxy` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Who made it, OpenSSL style: `/CN=Example CA`.
    pub issuer: String,
    /// When it was made.
    pub this_update: Option<Timestamp>,
}

impl DistinguishedName {
    fn of(name: &X509Name<'_>) -> Self {
        let values: Result<_, _> = name.iter_attributes().map(|value| value.as_str().map(str::to_owned)).collect();
        Self { raw: name.as_raw().to_vec(), values: values.ok(), text: shown(name) }
    }

    /// Whether this is the name that `HAProxy` shows (`/C=DE/CN=Example CA`); `None` when that cannot be told. It writes the values
    /// as they are, so that they are found, in their order, whatever the short names before them.
    #[must_use]
    pub fn is_shown_as(&self, shown: &str) -> Option<bool> {
        let mut rest = shown;
        let is_next = |value: &String| {
            let after = rest.split_once(&format!("={value}")).map(|(_, after)| after);
            rest = after.unwrap_or_default();
            after.is_some_and(|after| after.is_empty() || after.starts_with('/'))
        };
        let all = self.values.as_ref()?.iter().all(is_next);
        Some(all && rest.is_empty())
    }
}

impl std::fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl ClientPem {
    /// Reads a whole file. What stands there twice is taken once, as `HAProxy` does.
    pub fn parse(kind: ClientFile, input: &[u8]) -> Result<Self, Unfit> {
        let (wanted, what) = match kind {
            ClientFile::CaFile => ("CERTIFICATE", "certificate"),
            ClientFile::CrlFile => ("X509 CRL", "revocation list"),
        };
        let (mut authorities, mut lists) = (Vec::new(), Vec::new());
        for block in pem::blocks(input)?.blocks {
            let line = block.line;
            if block.label != wanted {
                return Err(Unfit::Stray { line, label: block.label.clone(), kind, wanted });
            }
            let damaged = Unfit::Damaged { line, wanted: what };
            match kind {
                ClientFile::CaFile => authorities.push(CaCertificate::read(&block.der).ok_or(damaged)?),
                ClientFile::CrlFile => lists.push(Crl::read(&block.der, line, damaged)?),
            }
        }
        authorities = unique(authorities);
        lists = unique(lists);
        Ok(if kind == ClientFile::CaFile { Self::Ca(authorities) } else { Self::Crl(lists) })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> ClientFile {
        match self {
            Self::Ca(_) => ClientFile::CaFile,
            Self::Crl(_) => ClientFile::CrlFile,
        }
    }

    /// Its blocks, one by one. PEM only, LF, no blank line, so that nothing in it can end a payload of the runtime API early.
    #[must_use]
    pub fn blocks(&self) -> Vec<String> {
        match self {
            Self::Ca(all) => all.iter().map(|one| pem::certificate(&one.der)).collect(),
            Self::Crl(all) => all.iter().map(|one| pem::encode("X509 CRL", &one.der)).collect(),
        }
    }

    /// A digest of everything in it.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.blocks().concat().as_bytes())
    }

    /// Whether the revocation lists in it may take the place of those that are `served`: each is made by one of the `authorities`,
    /// holds now, and is no step back.
    pub fn check(&self, authorities: &[CaCertificate], served: &[Served], now: Timestamp) -> Result<(), Unfit> {
        let Self::Crl(lists) = self else { return Ok(()) };
        for list in lists {
            let issuer = || list.issuer.to_string();
            list.verify(authorities)?;
            if list.this_update > now {
                return Err(Unfit::Early { issuer: issuer(), from: list.this_update });
            }
            if list.next_update <= now {
                return Err(Unfit::Expired { issuer: issuer(), since: list.next_update });
            }
        }
        for known in served {
            let newest = lists
                .iter()
                .filter(|list| list.issuer.is_shown_as(&known.issuer) == Some(true))
                .max_by_key(|list| list.this_update);
            match (newest, known.this_update) {
                (Some(list), Some(served)) if list.this_update < served => {
                    let issuer = list.issuer.to_string();
                    return Err(Unfit::Older { issuer, found: list.this_update, served });
                }
                (None, _) => {
                    // One whose CA goes goes with it.
                    if let Some(authority) =
                        authorities.iter().find(|ca| ca.subject.is_shown_as(&known.issuer) == Some(true))
                    {
                        return Err(Unfit::Lost { issuer: authority.subject.to_string() });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl CaCertificate {
    fn read(der: &[u8]) -> Option<Self> {
        let cert = complete(X509Certificate::from_der(der).ok()?)?;
        let constraints = cert.basic_constraints().ok().flatten();
        Some(Self {
            der: der.to_vec(),
            sha1: Sha1::of(der),
            subject: DistinguishedName::of(cert.subject()),
            is_authority: constraints.is_some_and(|found| found.value.ca),
        })
    }
}

impl Crl {
    fn read(der: &[u8], line: usize, damaged: Unfit) -> Result<Self, Unfit> {
        let Some(list) = CertificateRevocationList::from_der(der).ok().and_then(complete) else { return Err(damaged) };
        let issuer = DistinguishedName::of(list.issuer());
        let Some(next_update) = list.next_update() else {
            return Err(Unfit::Endless { line, issuer: issuer.to_string() });
        };
        Ok(Self {
            der: der.to_vec(),
            issuer,
            this_update: timestamp(list.last_update().timestamp()),
            next_update: timestamp(next_update.timestamp()),
            revoked: list.iter_revoked_certificates().map(|one| Serial::from_bytes(one.raw_serial())).collect(),
        })
    }

    /// Whether one of the authorities made it.
    fn verify(&self, authorities: &[CaCertificate]) -> Result<(), Unfit> {
        let issuer = || self.issuer.to_string();
        let mut named = authorities.iter().filter(|ca| ca.subject.raw == self.issuer.raw).peekable();
        if named.peek().is_none() {
            return Err(Unfit::Foreign { issuer: issuer() });
        }
        let list = CertificateRevocationList::from_der(&self.der).ok().and_then(complete);
        let is_signed = |ca: &CaCertificate| {
            let (Some(list), Ok((_, cert))) = (&list, X509Certificate::from_der(&ca.der)) else { return false };
            // A kind of signature that cannot be checked here is left to OpenSSL, which has the last word.
            matches!(list.verify_signature(cert.public_key()), Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm))
        };
        if named.any(is_signed) { Ok(()) } else { Err(Unfit::Forged { issuer: issuer() }) }
    }
}

/// What was read, when it was read to its end.
fn complete<T>((rest, value): (&[u8], T)) -> Option<T> {
    rest.is_empty().then_some(value)
}

fn unique<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut unique = Vec::with_capacity(all.len());
    for one in all {
        if !unique.contains(&one) {
            unique.push(one);
        }
    }
    unique
}

#[cfg(test)]
mod tests;
