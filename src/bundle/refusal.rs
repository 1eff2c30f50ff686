//! What the gate says: what was repaired, and which check was not passed.

use std::fmt;

use jiff::Timestamp;

use super::pem;
use crate::model::{CertName, KeyKind};

/// Something in the input that was repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// Leaf, intermediates and key stood in another order.
    Reordered,
    /// A root stood at the end.
    RootDropped,
    /// A certificate stood there twice.
    DuplicateDropped,
    /// Lines without contents, at which `HAProxy` would have stopped reading.
    BlankLines,
    /// CRLF line ends.
    CarriageReturns,
    /// Text outside of PEM blocks.
    TextAround,
    /// PEM blocks that are neither certificates nor keys, such as parameters.
    OtherBlocks,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reordered => "the blocks were put in order: leaf, intermediates, key",
            Self::RootDropped => "the root at the end was left out: clients have it, or do not trust it",
            Self::DuplicateDropped => "a certificate that stood there twice was left out",
            Self::BlankLines => "blank lines were removed: HAProxy stops reading at one",
            Self::CarriageReturns => "CRLF line ends were replaced",
            Self::TextAround => "text around the PEM blocks was removed",
            Self::OtherBlocks => "PEM blocks that are neither certificates nor keys were left out",
        })
    }
}

/// A certificate did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("certificate {name} is refused: {check}")]
pub struct Refusal {
    /// Which certificate.
    pub name: CertName,
    /// Which check, what was expected and what was found.
    pub check: Check,
}

/// The check that failed, with what was expected and found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Check {
    /// The text is not PEM.
    #[error("its PEM cannot be read: {0}")]
    Pem(pem::Malformed),
    /// There is no certificate in it.
    #[error("no certificate was found in the PEM, only: {found}")]
    NoCertificate {
        /// The labels that were there.
        found: String,
    },
    /// A certificate block has other contents.
    #[error("the block of line {line} is no X.509 certificate")]
    NotX509 {
        /// The line of the block, from 1.
        line: usize,
    },
    /// More certificates than any chain has.
    #[error("it has {found} certificates, and no chain has more than {most}")]
    TooMany {
        /// How many.
        found: usize,
        /// The bound.
        most: usize,
    },
    /// There is no key.
    #[error("the private key is missing")]
    KeyMissing,
    /// The key needs a pass phrase.
    #[error("the private key of line {line} is encrypted, and nobody is there to type the pass phrase")]
    KeyEncrypted {
        /// The line of the block, from 1.
        line: usize,
    },
    /// The key cannot be used.
    #[error("the private key of line {line} is broken, or neither RSA, ECDSA nor Ed25519")]
    KeyUnusable {
        /// The line of the block, from 1.
        line: usize,
    },
    /// There are several different keys.
    #[error("one private key was expected, and {found} different ones were found")]
    SeveralKeys {
        /// How many.
        found: usize,
    },
    /// The key belongs to another certificate.
    #[error("the private key does not match: it belongs to none of the certificates ({found})")]
    KeyMismatch {
        /// The subjects of the certificates.
        found: String,
    },
    /// The key is of the kind that stands beside this one, or of none that can stand there.
    #[error("its key must be of the kind {expected}, and it has one of type {found}")]
    WrongKind {
        /// The kind that the place is for.
        expected: KeyKind,
        /// The key type that was found.
        found: String,
    },
    /// The time of validity has not come.
    #[error("it is not yet valid: it starts at {not_before}, and now it is {now:.0}")]
    NotYetValid {
        /// Start of validity.
        not_before: Timestamp,
        /// The present instant.
        now: Timestamp,
    },
    /// The time of validity is over.
    #[error("it has expired: it ended at {not_after}, and now it is {now:.0}")]
    Expired {
        /// End of validity.
        not_after: Timestamp,
        /// The present instant.
        now: Timestamp,
    },
    /// An issuer with the right name did not sign.
    #[error(
        "the chain is broken: `{subject}` is not signed by `{issuer}` (line {line}), although it names it as its issuer"
    )]
    Forged {
        /// The certificate whose signature does not fit.
        subject: String,
        /// The alleged issuer.
        issuer: String,
        /// The line of the issuer's block, from 1.
        line: usize,
    },
    /// A link is missing.
    #[error(
        "the chain is broken: `{subject}` was issued by `{issuer}`, which is not there; `{stray}` (line {line}) does not belong"
    )]
    Gap {
        /// The last certificate that is linked.
        subject: String,
        /// The issuer that it names.
        issuer: String,
        /// A certificate that is not linked.
        stray: String,
        /// The line of its block, from 1.
        line: usize,
    },
    /// There are no intermediates, and clients could not build the chain.
    #[error("it comes without intermediates, and its issuer `{issuer}` is no known root: clients could not verify it")]
    Chainless {
        /// The issuer of the leaf.
        issuer: String,
    },
    /// A name would not be served any more.
    #[error("it does not cover {missing}, which {place} needs; it covers {found}")]
    NameLost {
        /// The names that would be lost.
        missing: String,
        /// Who needs them: the configuration, or what is served.
        place: String,
        /// The names that it covers.
        found: String,
    },
    /// It is older than what it would replace.
    #[error("it is older than what {place} has: it starts at {found}, that one at {expected}")]
    Older {
        /// Where the newer one is.
        place: String,
        /// Start of the newer one.
        expected: Timestamp,
        /// Start of this one.
        found: Timestamp,
    },
}

impl Check {
    /// Whether `--force` passes over it.
    #[must_use]
    pub const fn can_be_forced(&self) -> bool {
        matches!(self, Self::NotYetValid { .. } | Self::Expired { .. } | Self::NameLost { .. } | Self::Older { .. })
    }

    /// What to do about it, for people.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Pem(_) | Self::NoCertificate { .. } | Self::NotX509 { .. } | Self::TooMany { .. } => {
                "give a PEM file with the leaf, its intermediates and the key"
            }
            Self::KeyMissing => "give the key as a second file, or put it into the PEM file",
            Self::KeyEncrypted { .. } => "decrypt it by `openssl pkey -in KEY -out PLAIN`, and keep the result 0600",
            Self::KeyUnusable { .. } => "look at it by `openssl pkey -in KEY -noout -text`",
            Self::WrongKind { .. } => {
                "one certificate of each kind is served under this name: give the one with the right key, or name another by --name"
            }
            Self::SeveralKeys { .. } | Self::KeyMismatch { .. } => "give the key that the certificate was ordered with",
            Self::Forged { .. } | Self::Gap { .. } | Self::Chainless { .. } => {
                "give the full chain (often named fullchain.pem); for a private authority that signs leaves itself, set `trust` in the configuration to its root"
            }
            Self::NotYetValid { .. } | Self::Expired { .. } | Self::NameLost { .. } | Self::Older { .. } => {
                "if that is what you want, use --force"
            }
        }
    }
}
