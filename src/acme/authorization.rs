//! Authorizations (RFC 8555, section 7.1.4): whether a name is validated, and what would validate it.

use bytes::Bytes;
use http::Response;
use instant_acme::{AuthorizationStatus, ChallengeStatus, ChallengeType};
use serde::Deserialize;

use super::challenge::{Proof, from_library};
use super::http::is_usable;
use super::problem::{Problem, sanitised};
use super::{Challenge, Error};
use crate::model::{ChallengeKind, DnsName, Identifier, Token};

/// Domains by which an authority may name itself in one challenge (draft-ietf-acme-dns-persist, section 3.1: at most ten).
const AUTHORITIES: usize = 10;

/// What an authorization says, free of instant-acme's borrows.
pub(super) struct Authorization {
    pub(super) identifier: Identifier,
    pub(super) status: AuthorizationStatus,
    challenges: Vec<Offered>,
}

struct Offered {
    kind: ChallengeType,
    url: String,
    token: String,
    /// By which domains a record that stays may name the authority.
    authorities: Vec<String>,
    status: ChallengeStatus,
    problem: Option<Problem>,
}

/// The fields of an authorization's object that instant-acme drops.
#[derive(Default, Deserialize)]
struct Dropped {
    #[serde(default)]
    challenges: Vec<DroppedChallenge>,
}

#[derive(Deserialize)]
struct DroppedChallenge {
    #[serde(default)]
    url: String,
    #[serde(default, rename = "issuer-domain-names")]
    authorities: Vec<String>,
}

impl Authorization {
    pub(super) fn of(found: &instant_acme::AuthorizationState) -> Result<Self, instant_acme::Error> {
        let identifier = found.identifier().to_string();
        Ok(Self {
            identifier: identifier
                .parse()
                .map_err(|_| instant_acme::Error::Str("an authorization for no valid name"))?,
            status: found.status,
            challenges: found
                .challenges
                .iter()
                .map(|challenge| Offered {
                    kind: challenge.r#type.clone(),
                    url: challenge.url.clone(),
                    token: challenge.token.clone(),
                    authorities: Vec::new(),
                    status: challenge.status,
                    problem: challenge.error.as_ref().map(Problem::from_library),
                })
                .collect(),
        })
    }

    /// Takes over what the answer says beyond what instant-acme keeps of it.
    pub(super) fn complete(&mut self, answer: Option<&Response<Bytes>>) {
        let Some(dropped) = answer.and_then(|answer| serde_json::from_slice::<Dropped>(answer.body()).ok()) else {
            return;
        };
        for found in dropped.challenges {
            if let Some(challenge) = self.challenges.iter_mut().find(|challenge| challenge.url == found.url) {
                // Domains of hosts and nothing else, for people are told to write one into a zone.
                let is_name = |domain: &String| domain.parse::<DnsName>().is_ok();
                challenge.authorities = found.authorities.into_iter().filter(is_name).take(AUTHORITIES).collect();
            }
        }
    }

    /// What is wrong with it, in an order for these names. Whoever proves another name than it wants, proves it to whoever asks.
    pub(super) fn flaw(&self, names: &[Identifier]) -> Option<String> {
        let is_of = |name: &Identifier| match (name, &self.identifier) {
            // Not every authority tells by the authorization that it is for a wildcard.
            (Identifier::Dns(name), Identifier::Dns(own)) => name == own || name.strip_prefix("*.") == Some(own),
            (name, own) => name == own,
        };
        if !names.iter().any(is_of) {
            return Some(format!("it has an authorization for {}", self.identifier));
        }
        let bad = self.challenges.iter().find(|challenge| !is_usable(&challenge.url))?;
        Some(format!("it has a challenge at a URL that is not https: {}", bad.url))
    }

    /// The kinds of challenge that are offered, as far as we know them.
    pub(super) fn kinds(&self) -> Vec<ChallengeKind> {
        self.challenges.iter().filter_map(|challenge| from_library(&challenge.kind)).collect()
    }

    /// The challenge of the chosen kind, fit to be answered.
    pub(super) fn challenge(self, chosen: Option<ChallengeKind>, thumbprint: &str) -> Result<Challenge, Error> {
        let identifier = self.identifier;
        let of_kind = |kind| self.challenges.iter().find(|challenge| from_library(&challenge.kind) == Some(kind));
        let found = chosen.and_then(|kind| Some((of_kind(kind)?, kind)));
        let Some((found, kind)) = found else {
            let offered = self.challenges.iter().map(|challenge| kind_name(&challenge.kind)).collect();
            return Err(Error::NoChallenge { identifier, offered });
        };
        let proof = if kind == ChallengeKind::DnsPersist01 {
            Proof::Persistent { authorities: found.authorities.clone() }
        } else {
            match found.token.parse::<Token>() {
                Ok(token) => Proof::Token { key_authorization: token.key_authorization(thumbprint), token },
                Err(source) => return Err(Error::BadToken { identifier, source }),
            }
        };
        let begun = found.status != ChallengeStatus::Pending;
        Ok(Challenge { identifier, kind, proof, url: found.url.clone(), begun })
    }

    /// The name, and why it is not validated.
    pub(super) fn failure(&self) -> (Identifier, String) {
        let problems: Vec<_> = self
            .challenges
            .iter()
            .filter_map(|challenge| challenge.problem.as_ref())
            .map(ToString::to_string)
            .collect();
        let reason = match problems.as_slice() {
            [] => format!("its authorization is {:?}", self.status).to_lowercase(),
            problems => problems.join("; "),
        };
        (self.identifier.clone(), reason)
    }
}

fn kind_name(kind: &ChallengeType) -> String {
    match (from_library(kind), kind) {
        (Some(known), _) => known.to_string(),
        (None, ChallengeType::Unknown(name)) => sanitised(name),
        _ => "others".to_owned(),
    }
}
