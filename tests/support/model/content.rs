//! What HAProxy makes of a PEM text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::super::hex;

/// A leaf, as far as HAProxy shows and uses it.
#[derive(Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Lower-case hexadecimal.
    pub serial: String,
    /// Upper-case hexadecimal.
    pub sha1: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub subject: String,
    pub issuer: String,
    /// DNS names of the subject alternative names, as they are listed.
    pub alternatives: Vec<String>,
    /// What it is served for: those names, and the common name.
    pub names: Vec<String>,
    pub algorithm: String,
    /// Subject and issuer of each certificate that follows.
    pub chain: Vec<(String, String)>,
    /// How `show ssl cert` describes it. It is asked for again and again.
    pub description: String,
    public: Vec<u8>,
}

/// A certificate in memory, or one that is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub leaf: Option<Arc<Leaf>>,
    /// The public part of its key.
    key: Option<Arc<Vec<u8>>>,
}

/// Why a PEM is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

thread_local! {
    /// The same few certificates come again and again, and reading a key takes its time.
    static READ: RefCell<HashMap<String, Result<Content, Unreadable>>> = RefCell::default();
}

impl Content {
    /// Reads the first certificate, those that follow it, and the first key.
    pub fn read(pem: &str) -> Result<Self, Unreadable> {
        if let Some(known) = READ.with_borrow(|read| read.get(pem).cloned()) {
            return known;
        }
        let content = parse(pem);
        READ.with_borrow_mut(|read| read.insert(pem.to_owned(), content.clone()));
        content
    }

    /// Takes the key of a PEM text.
    pub fn take_key(&mut self, pem: &str) -> Result<(), Unreadable> {
        self.key = Some(key(pem).ok_or(Unreadable("no start line"))?);
        Ok(())
    }

    /// Whether certificate and key are there.
    pub fn is_complete(&self) -> bool {
        self.leaf.is_some() && self.key.is_some()
    }

    /// Whether they belong together.
    pub fn is_consistent(&self) -> bool {
        matches!((&self.leaf, &self.key), (Some(leaf), Some(key)) if leaf.public == **key)
    }
}

fn parse(text: &str) -> Result<Content, Unreadable> {
    let blocks = pem::parse_many(text).map_err(|_| Unreadable("bad base64 decode"))?;
    let mut ders = blocks.iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::contents);
    let first = ders.next().ok_or(Unreadable("no start line"))?;
    let (_, leaf) = X509Certificate::from_der(first).map_err(|_| Unreadable("bad base64 decode"))?;
    let chain = ders.filter_map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some((one_line(certificate.subject()), one_line(certificate.issuer())))
    });
    let alternatives = alternatives(&leaf);
    let common = leaf.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_lowercase);
    let mut names: Vec<String> = alternatives.iter().map(|name| name.to_lowercase()).chain(common).collect();
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    let public = &leaf.public_key().subject_public_key.data;
    let instant =
        |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).expect("a year of four digits");
    let leaf = Leaf {
        serial: hex(&leaf.raw_serial()[usize::from(leaf.raw_serial().first() == Some(&0))..]),
        sha1: hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, first).as_ref())
            .to_uppercase(),
        not_before: instant(leaf.validity().not_before),
        not_after: instant(leaf.validity().not_after),
        subject: one_line(leaf.subject()),
        issuer: one_line(leaf.issuer()),
        algorithm: match public.len() {
            65 => "EC256".to_owned(),
            97 => "EC384".to_owned(),
            // The number and the modulus in DER.
            length => format!("RSA{}", (length - 14) * 8),
        },
        alternatives,
        names,
        chain: chain.collect(),
        description: String::new(),
        public: public.to_vec(),
    };
    let leaf = Leaf { description: super::show::description(&leaf), ..leaf };
    Ok(Content { leaf: Some(Arc::new(leaf)), key: key(text) })
}

fn alternatives(leaf: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in leaf.extensions() {
        if let ParsedExtension::SubjectAlternativeName(found) = extension.parsed_extension() {
            names.extend(found.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
    }
    names
}

fn key(text: &str) -> Option<Arc<Vec<u8>>> {
    let blocks = pem::parse_many(text).ok()?;
    let block = blocks.iter().find(|block| block.tag().ends_with("PRIVATE KEY"))?;
    Some(Arc::new(KeyPair::from_pem(&pem::encode(block)).ok()?.der_bytes().to_vec()))
}

/// A name as OpenSSL writes it on one line.
fn one_line(name: &x509_parser::x509::X509Name<'_>) -> String {
    let part = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
        let short = x509_parser::objects::oid2abbrev(attribute.attr_type(), x509_parser::objects::oid_registry());
        format!("/{}={}", short.unwrap_or("?"), attribute.as_str().unwrap_or("?"))
    };
    name.iter_attributes().map(part).collect()
}
