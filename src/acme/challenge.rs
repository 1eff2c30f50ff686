//! What an authority wants to see before it believes that a name is ours (RFC 8555, section 8).

use std::fmt;

use instant_acme::ChallengeType;

use crate::model::{Identifier, Token};

/// A kind of challenge. Kinds that we do not know are passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// A file under `/.well-known/acme-challenge/`, asked for on port 80 (RFC 8555, section 8.3).
    Http01,
}

impl ChallengeKind {
    pub(super) fn to_library(self) -> ChallengeType {
        match self {
            Self::Http01 => ChallengeType::Http01,
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
        })
    }
}

/// One challenge to answer, then to declare [`ready`](super::Order::ready).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The name to validate.
    pub identifier: Identifier,
    /// Its kind.
    pub kind: ChallengeKind,
    /// The token, which the authority chose.
    pub token: Token,
    /// What to answer (RFC 8555, section 8.1).
    pub key_authorization: String,
    /// Where it is declared ready.
    pub(super) url: String,
    /// Whether it was declared ready before, as after a crash.
    pub(super) begun: bool,
}
