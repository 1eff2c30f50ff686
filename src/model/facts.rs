//! What a leaf says about itself, once it has been read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Identifier, KeyKind, KeyType, Serial, Sha1, Sha256};

/// The facts of a leaf that decide and report; no PEM and no key, so they may stay in memory and go into JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Serial number.
    pub serial: Serial,
    /// SHA-1 fingerprint, which `HAProxy` shows.
    pub sha1: Sha1,
    /// SHA-256 fingerprint.
    pub sha256: Sha256,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// DNS names and IP addresses of the subject alternative names; the common name where there are none.
    pub names: BTreeSet<Identifier>,
    /// Name of the issuer, RFC 4514 style.
    pub issuer: String,
    /// How many intermediates follow the leaf.
    pub chain_length: usize,
    /// Algorithm and size of its key; `None` for one that hotcert would not generate.
    #[serde(default)]
    pub key_type: Option<KeyType>,
    /// By which its authority knows it (RFC 9773, section 4.1); `None` for one that does not name its authority's key.
    #[serde(default)]
    pub renewal_id: Option<String>,
}

impl Facts {
    /// Algorithm of its key; `None` for one that hotcert would not generate.
    #[must_use]
    pub fn kind(&self) -> Option<KeyKind> {
        self.key_type.map(KeyType::kind)
    }

    /// Whether the leaf is valid for a name.
    #[must_use]
    pub fn covers(&self, name: &Identifier) -> bool {
        self.names.iter().any(|own| own.covers(name))
    }
}
