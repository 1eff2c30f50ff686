//! Validated values that every other module speaks in.
//!
//! Owns the syntax of names: certificates ([`CertName`]), what a certificate covers ([`Identifier`]) and other names of the DNS ([`DnsName`]), how `HAProxy` calls a
//! certificate ([`Slot`]), nodes ([`NodeName`], [`Address`], [`Endpoint`]), key types ([`KeyType`]), fingerprints ([`Sha1`], [`Sha256`]), authorities
//! ([`DirectoryUrl`]), challenges ([`ChallengeKind`], [`Token`]), their records ([`Record`], [`DnsProvider`]) and revocations
//! ([`RevocationReason`]); and what a leaf says, in these words ([`Facts`]).
//! Parsing is the only way to get one, so a value that exists is safe to put into a path or on `HAProxy`'s command line. What is
//! only told to people passes [`printable`].

mod address;
mod causes;
mod challenge;
mod client_file;
mod directory;
mod distrust;
mod dns_name;
mod endpoint;
mod facts;
mod fingerprint;
mod hosted;
mod identifier;
mod issue_value;
mod key_type;
mod name;
mod quoting;
mod record;
mod revocation;
mod slot;
mod staple;
mod text;
mod ticket_file;
mod token;

pub use address::{Address, Authority};
pub use causes::{causes, chain};
pub use challenge::{ALPN_PROTOCOL, ChallengeKind};
pub use client_file::ClientFile;
pub use directory::DirectoryUrl;
pub use distrust::distrust;
pub use dns_name::DnsName;
pub use endpoint::{ClientTls, Endpoint};
pub use facts::Facts;
pub use fingerprint::{Fingerprint, Serial, Sha1, Sha256};
pub use hosted::{Credential, HOSTED};
pub use identifier::Identifier;
pub use issue_value::IssueValue;
pub use key_type::{KeyKind, KeyType};
pub use name::{CertName, NodeName};
pub use quoting::{quoted_argument, quoted_word};
pub use record::{DnsProvider, Record, RecordValue, TsigAlgorithm, TsigKey};
pub use revocation::RevocationReason;
pub use slot::Slot;
pub use staple::Staple;
pub use text::printable;
pub(crate) use text::{is_plain, sanitised};
pub use ticket_file::TicketFile;
pub use token::Token;

/// Text that is not the value it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is not a {what}: {reason}")]
pub struct Invalid {
    /// The kind of value that was expected, such as `certificate name`.
    pub what: &'static str,
    /// What was given, cut to a length that fits a message.
    pub input: String,
    /// Why it was refused.
    pub reason: &'static str,
}

impl Invalid {
    /// Longest part of a refused input that a message repeats, in characters.
    const SHOWN: usize = 80;

    pub(crate) fn new(what: &'static str, input: &str, reason: &'static str) -> Self {
        let mut shown: String = input.chars().take(Self::SHOWN).collect();
        if input.chars().count() > Self::SHOWN {
            shown.push('…');
        }
        Self { what, input: shown, reason }
    }
}

/// Implements serde for a type through its `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
use serde_as_text;
