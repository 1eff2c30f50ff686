//! From the blocks of one or more files to a bundle: which is the leaf, does the key fit, do the links sign each other.

use std::collections::BTreeSet;

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use zeroize::Zeroizing;

use super::chain::{self, Broken, Found};
use super::key::KeyError;
use super::refusal::{Check, Notice, Refusal};
use super::{Bundle, Facts, PrivateKey, Trust, joined, pem};
use crate::model::{CertName, Sha256, printable};

/// Longest list of labels that is told, in characters.
const LABELS_SHOWN: usize = 200;

/// Certificates in one bundle. Chains have two to five; each pair may cost a signature to check.
const MAX_CERTIFICATES: usize = 32;

impl Bundle {
    /// Reads back a bundle that passed the gate before and was stored since. Time, names and age are not judged again:
    /// what was good enough to be stored must stay loadable.
    pub fn reopen(name: &CertName, inputs: &[&[u8]]) -> Result<Self, Refusal> {
        assemble(inputs, &Trust::default())
            .map(|assembled| assembled.bundle)
            .map_err(|check| Refusal { name: name.clone(), check })
    }

    /// Reads back a bundle from the very texts of which it was written when it had passed the gate: `seal` is the fingerprint of
    /// [`Bundle::combined_pem`] then, and `facts` what it said of itself, so nothing has to be judged again. `None` where the texts are
    /// others; those are for [`Bundle::reopen`].
    #[must_use]
    pub fn unseal(facts: &Facts, seal: Sha256, certificates: &[u8], key: &[u8]) -> Option<Self> {
        let (certificates, key) = (std::str::from_utf8(certificates).ok()?, std::str::from_utf8(key).ok()?);
        let pem = joined(certificates, key);
        if Sha256::of(pem.as_bytes()) != seal {
            return None;
        }
        let blocks = pem::blocks(certificates.as_bytes()).ok()?.blocks;
        let mut ders = blocks.iter().map(|block| CertificateDer::from(block.der.to_vec()));
        let leaf = ders.next()?;
        let chain = ders.collect();
        let key = PrivateKey::known(key, &leaf)?;
        Some(Self { leaf, chain, key, facts: facts.clone(), pem })
    }
}

/// A bundle that hangs together.
pub(super) struct Assembled {
    pub(super) bundle: Bundle,
    pub(super) notices: Vec<Notice>,
    /// Whether clients could verify it: with intermediates, or straight from a known root.
    pub(super) complete: bool,
}

/// The checks that need nothing but the input: it parses, the key fits, the links sign each other.
pub(super) fn assemble(inputs: &[&[u8]], trust: &Trust) -> Result<Assembled, Check> {
    let mut notices = BTreeSet::new();
    let mut blocks = Vec::new();
    for input in inputs {
        let scan = pem::blocks(input).map_err(Check::Pem)?;
        for (seen, notice) in [
            (scan.blank_lines, Notice::BlankLines),
            (scan.carriage_returns, Notice::CarriageReturns),
            (scan.text_around, Notice::TextAround),
        ] {
            if seen {
                notices.insert(notice);
            }
        }
        blocks.extend(scan.blocks);
    }

    let mut keys: Vec<PrivateKey> = Vec::new();
    let mut ders: Vec<(usize, &Zeroizing<Vec<u8>>)> = Vec::new();
    for block in &blocks {
        if block.label == "CERTIFICATE" || block.label == "X509 CERTIFICATE" {
            ders.push((block.line, &block.der));
        } else if block.label.ends_with("PRIVATE KEY") {
            if block.encrypted {
                return Err(Check::KeyEncrypted { line: block.line });
            }
            let key = PrivateKey::from_der(&block.label, &block.der).map_err(|error| match error {
                KeyError::Encrypted => Check::KeyEncrypted { line: block.line },
                _ => Check::KeyUnusable { line: block.line },
            })?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        } else {
            notices.insert(Notice::OtherBlocks);
        }
    }
    if ders.is_empty() {
        let labels: BTreeSet<_> = blocks.iter().map(|block| block.label.as_str()).collect();
        return Err(Check::NoCertificate {
            found: printable(&labels.into_iter().collect::<Vec<_>>().join(", "), LABELS_SHOWN),
        });
    }
    if ders.len() > MAX_CERTIFICATES {
        return Err(Check::TooMany { found: ders.len(), most: MAX_CERTIFICATES });
    }
    let found = ders
        .iter()
        .map(|&(line, der)| match X509Certificate::from_der(der) {
            Ok(([], cert)) => Ok(Found { cert, der, line }),
            _ => Err(Check::NotX509 { line }),
        })
        .collect::<Result<Vec<_>, _>>()?;

    let key = match keys.len() {
        0 => return Err(Check::KeyMissing),
        1 => keys.remove(0),
        found => return Err(Check::SeveralKeys { found }),
    };
    let leaf = found
        .iter()
        .position(|cert| key.matches(cert.cert.public_key().raw))
        .ok_or_else(|| Check::KeyMismatch { found: found.iter().map(Found::subject).collect::<Vec<_>>().join("; ") })?;
    let ordered = chain::order(&found, leaf, trust).map_err(|broken| match broken {
        Broken::Forged { subject, issuer, line } => Check::Forged { subject, issuer, line },
        Broken::Gap { subject, issuer, stray, line } => Check::Gap { subject, issuer, stray, line },
    })?;

    let key_first = blocks
        .iter()
        .position(|block| block.label.ends_with("PRIVATE KEY"))
        .is_some_and(|at| blocks[at..].iter().any(|block| block.label.ends_with("CERTIFICATE")));
    let in_order = leaf == 0 && ordered.intermediates.is_sorted();
    if !in_order || (key_first && inputs.len() == 1) {
        notices.insert(Notice::Reordered);
    }
    if ordered.root_dropped {
        notices.insert(Notice::RootDropped);
    }
    if found.len() > 1 + ordered.intermediates.len() + usize::from(ordered.root_dropped) {
        notices.insert(Notice::DuplicateDropped);
    }

    let own = |index: usize| CertificateDer::from(found[index].der.to_vec());
    let facts = Facts::of(&found[leaf].cert, found[leaf].der, ordered.intermediates.len());
    Ok(Assembled {
        complete: ordered.complete,
        bundle: Bundle::new(own(leaf), ordered.intermediates.iter().map(|&index| own(index)).collect(), key, facts),
        notices: notices.into_iter().collect(),
    })
}
