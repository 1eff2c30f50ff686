//! A certificate that is fit to be served: leaf, intermediates and private key, after the gate.
//!
//! Owns PEM parsing ([`pem`]), private keys ([`PrivateKey`]), session ticket keys ([`TicketRing`]), the facts of a leaf ([`Facts`])
//! and the checks ([`Gate`]); and the files by which `HAProxy` judges clients ([`ClientPem`]), which have a gate of their own.
//! [`Bundle`] has no constructor but the gate, so whoever holds one need not check it again. Nothing here does I/O or asks
//! for the time: both are given.

mod assemble;
mod chain;
mod client_pem;
mod facts;
mod gate;
mod key;
mod ocsp;
pub mod pem;
mod refusal;
mod ticket;

pub use chain::Trust;
pub use client_pem::{CaCertificate, ClientPem, Crl, DistinguishedName, Served, Unfit};
pub use gate::{Admitted, Gate, Rival};
pub use key::{KeyError, PrivateKey};
pub use ocsp::{OcspFlaw, OcspIssuer, OcspResponse};
pub use refusal::{Check, Notice, Refusal};
pub use ticket::{BadTicketFile, TicketKey, TicketRing};

use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::model::{Facts, Identifier};

/// Leaf, intermediates and private key, checked and in order. The only form in which key material travels.
#[derive(Debug, Clone)]
pub struct Bundle {
    leaf: CertificateDer<'static>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKey,
    facts: Facts,
    /// All of it as it is written.
    pem: Zeroizing<String>,
}

impl Bundle {
    fn new(leaf: CertificateDer<'static>, chain: Vec<CertificateDer<'static>>, key: PrivateKey, facts: Facts) -> Self {
        let certificates: String = std::iter::once(&leaf).chain(&chain).map(|der| pem::certificate(der)).collect();
        let pem = joined(&certificates, key.pem());
        Self { leaf, chain, key, facts, pem }
    }

    /// What the leaf says about itself.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The first DNS name of the leaf, in its own order, by which it is named when nobody names it.
    #[must_use]
    pub fn first_name(&self) -> Option<Identifier> {
        facts::first_name(&self.leaf)
    }

    /// All names of the leaf, the first one first.
    #[must_use]
    pub fn names(&self) -> Vec<Identifier> {
        let first = self.first_name();
        let rest = self.facts.names.iter().filter(|name| Some(*name) != first.as_ref()).cloned();
        first.iter().cloned().chain(rest).collect()
    }

    /// The leaf in DER.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    /// The intermediates in DER, each signed by the next.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key of the leaf.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The leaf as one PEM block.
    #[must_use]
    pub fn leaf_pem(&self) -> String {
        pem::certificate(&self.leaf)
    }

    /// The intermediates as PEM blocks; empty when there are none.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| pem::certificate(der)).collect()
    }

    /// Leaf, intermediates, key: what `HAProxy` loads and what is published. PEM blocks only, LF, no blank line, so that
    /// nothing in it can end a payload of the runtime API early.
    #[must_use]
    pub fn combined_pem(&self) -> &str {
        &self.pem
    }
}

/// One text of two, of which the second one is a key.
fn joined(certificates: &str, key: &str) -> Zeroizing<String> {
    // One allocation of the final size: growing would leave copies of the key behind in freed memory.
    let mut pem = Zeroizing::new(String::with_capacity(certificates.len() + key.len()));
    pem.push_str(certificates);
    pem.push_str(key);
    pem
}

#[cfg(test)]
mod tests;
