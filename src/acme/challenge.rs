//! What an authority wants to see before it believes that a name is ours (RFC 8555, section 8).

use instant_acme::ChallengeType;

use crate::model::{ChallengeKind, Identifier, Token};

/// One challenge to answer, then to declare [`ready`](super::Order::ready).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The name to validate.
    pub identifier: Identifier,
    /// Its kind.
    pub kind: ChallengeKind,
    /// What is to be shown.
    pub proof: Proof,
    /// Where it is declared ready.
    pub(super) url: String,
    /// Whether it was declared ready before, as after a crash.
    pub(super) begun: bool,
}

/// What an authority wants to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// That we know the token that it chose, and have the account's key (RFC 8555, section 8.1).
    Token {
        /// The token.
        token: Token,
        /// The token with the thumbprint of the account's key.
        key_authorization: String,
    },
    /// A record that stays, which names the account and the authority by one of these domains (draft-ietf-acme-dns-persist).
    Persistent {
        /// The domains by which the authority is named there.
        authorities: Vec<String>,
    },
}

pub(super) fn to_library(kind: ChallengeKind) -> ChallengeType {
    match kind {
        ChallengeKind::Http01 => ChallengeType::Http01,
        ChallengeKind::TlsAlpn01 => ChallengeType::TlsAlpn01,
        ChallengeKind::Dns01 => ChallengeType::Dns01,
        ChallengeKind::DnsPersist01 => ChallengeType::Unknown(kind.as_str().to_owned()),
    }
}

/// The kind, where we know it.
pub(super) fn from_library(kind: &ChallengeType) -> Option<ChallengeKind> {
    ChallengeKind::ALL.into_iter().find(|known| to_library(*known) == *kind)
}
