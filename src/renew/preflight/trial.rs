//! Asking for a challenge ourselves, as an authority would.

use std::net::SocketAddr;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::super::Error;
use super::{haproxy_lines, http01, tls_alpn};
use crate::config::Solver;
use crate::model::{ChallengeKind, Identifier, Token, chain};
use crate::probe::{self, Target};

/// Bytes of a random token; as many as Let's Encrypt uses.
const TOKEN_BYTES: usize = 32;

/// A challenge of our own, for a solver that answers over HTTP or TLS.
pub struct Trial<'a> {
    /// The name that is asked.
    pub name: &'a Identifier,
    /// Who should answer.
    pub solver: &'a Solver,
    /// What is asked for; nobody can know it before.
    pub token: Token,
    /// Of the account's key, or what stands for it where there is no account.
    pub thumbprint: &'a str,
}

/// What came of asking for a challenge that somebody should answer.
#[derive(Debug)]
pub enum Asked {
    /// It was answered.
    Answered,
    /// Nobody could be asked, so that nothing is known.
    Unasked(probe::Error),
}

impl Asked {
    /// Whether it was answered; that nobody could be asked is only said, for the authority may see more than we do.
    pub(super) fn or_say(self, name: &Identifier) -> bool {
        match self {
            Self::Answered => true,
            Self::Unasked(error) => {
                tracing::warn!(%name, error = %chain(&error), "pre-flight could not ask; the authority may see more than we do, so the order goes on");
                false
            }
        }
    }
}

/// A challenge would not be answered: what was asked, what came back, and what cures it.
#[derive(Debug, thiserror::Error)]
#[error("challenges for {name} would not reach hotcert: asked {asked}, got {got}")]
pub struct Misrouted {
    /// The name.
    pub name: String,
    /// What was asked, and where.
    pub asked: String,
    /// What came back.
    pub got: String,
    /// What is wrong, in words.
    pub meaning: &'static str,
    /// The lines that `HAProxy` needs.
    pub lines: String,
}

impl Misrouted {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> String {
        format!("{}; no order was spent. HAProxy needs:\n\n{}", self.meaning, self.lines)
    }
}

/// What somebody said who was asked.
pub(super) enum Reply {
    /// The answer.
    Right(SocketAddr),
    /// Something else: what was asked and where, what came back, and what that means.
    Wrong(String, String, &'static str),
    /// Nothing.
    Silence(probe::Error),
}

impl<'a> Trial<'a> {
    /// A challenge that nobody has seen.
    #[must_use]
    pub fn new(name: &'a Identifier, solver: &'a Solver, thumbprint: &'a str) -> Self {
        Self { name, solver, token: random_token(), thumbprint }
    }

    /// The answer, which has the form of a key authorization (RFC 8555, section 8.1), so that `HAProxy` can give it without us.
    #[must_use]
    pub fn expected(&self) -> String {
        self.token.key_authorization(self.thumbprint)
    }

    /// Asks there, unless the solver says where. What is answered wrongly is an error.
    pub async fn ask(&self, there: Target) -> Result<Asked, Error> {
        let Self { name, solver, token, .. } = self;
        let target = match where_to_ask(solver, there).await {
            Ok(target) => target,
            Err((place, error)) => return Err(self.misrouted(place, error, "the probe address has no address")),
        };
        let reply = if solver.kind() == ChallengeKind::TlsAlpn01 {
            tls_alpn::ask(name, &self.expected(), &target).await
        } else {
            http01::ask(name, token, &self.expected(), &target).await
        };
        match reply {
            Reply::Right(address) => {
                tracing::debug!(%name, %address, "pre-flight passed");
                Ok(Asked::Answered)
            }
            Reply::Wrong(asked, got, meaning) => Err(self.misrouted(asked, got, meaning)),
            Reply::Silence(error) => match &solver.probe {
                Some(place) => {
                    let meaning = "nothing answers where the pre-flight was told to ask";
                    let (place, why) = (place.to_string(), chain(&error));
                    let why = why.strip_prefix(&place).map_or(&*why, str::trim_start);
                    Err(self.misrouted(place, format!("no answer ({why})"), meaning))
                }
                None => Ok(Asked::Unasked(error)),
            },
        }
    }

    fn misrouted(&self, asked: String, got: String, meaning: &'static str) -> Error {
        let lines = haproxy_lines(self.solver, self.thumbprint, None);
        Error::Misrouted(Box::new(Misrouted { name: self.name.human(), asked, got, meaning, lines }))
    }
}

/// Where to ask: there, unless the solver says where. The error has where that should have been.
pub async fn where_to_ask(solver: &Solver, there: Target) -> Result<Target, (String, String)> {
    let Some(place) = &solver.probe else { return Ok(there) };
    match tokio::net::lookup_host((place.host.as_str(), place.port)).await {
        Ok(mut addresses) => Ok(addresses.next().map_or(there, Target::Address)),
        Err(error) => Err((place.to_string(), error.to_string())),
    }
}

/// A token that nobody can know, of the form in which authorities make them.
fn random_token() -> Token {
    let mut bytes = [0; TOKEN_BYTES];
    rand::fill(&mut bytes).expect("the system's random numbers are available");
    BASE64_URL_SAFE_NO_PAD.encode(bytes).parse().expect("base64url is a token")
}
