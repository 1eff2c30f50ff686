//! Authorizations (RFC 8555, section 7.1.4): whether a name is validated, and what would validate it.

use instant_acme::{AuthorizationStatus, ChallengeStatus, ChallengeType};

use super::problem::{Problem, sanitised};
use super::{Challenge, ChallengeKind, Error};
use crate::model::{Identifier, Token};

/// What an authorization says, free of instant-acme's borrows.
pub(super) struct Authorization {
    identifier: Identifier,
    pub(super) status: AuthorizationStatus,
    challenges: Vec<Offered>,
}

struct Offered {
    kind: ChallengeType,
    url: String,
    token: String,
    status: ChallengeStatus,
    problem: Option<Problem>,
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
                    status: challenge.status,
                    problem: challenge.error.as_ref().map(Problem::from_library),
                })
                .collect(),
        })
    }

    /// The challenge of a kind, fit to be answered.
    pub(super) fn challenge(self, kind: ChallengeKind, thumbprint: &str) -> Result<Challenge, Error> {
        let identifier = self.identifier;
        let Some(found) = self.challenges.iter().find(|challenge| challenge.kind == kind.to_library()) else {
            let offered = self.challenges.iter().map(|challenge| kind_name(&challenge.kind)).collect();
            return Err(Error::NoChallenge { identifier, kind, offered });
        };
        match found.token.parse::<Token>() {
            Ok(token) => Ok(Challenge {
                identifier,
                kind,
                key_authorization: token.key_authorization(thumbprint),
                token,
                url: found.url.clone(),
                begun: found.status != ChallengeStatus::Pending,
            }),
            Err(source) => Err(Error::BadToken { identifier, source }),
        }
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
    match kind {
        ChallengeType::Http01 => "http-01".to_owned(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
        ChallengeType::Unknown(name) => sanitised(name),
        _ => "others".to_owned(),
    }
}
