//! Asking the DNS and for challenges ourselves, by the road that the authority will take, before an order is spent on it.

mod http01;
mod lookups;
mod obstacle;
mod tls_alpn;

use aws_lc_rs::rand;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use jiff::Timestamp;

pub use self::http01::ask as ask_http01;
use self::lookups::Lookups;
pub use self::obstacle::Obstacle;
pub use self::tls_alpn::ask as ask_tls_alpn;
use super::answer::Answers;
use super::choice::Choice;
use super::{Error, Renewer};
use crate::config::{Certificate, Method, Solver, Via};
use crate::model::{Identifier, Token};
use crate::probe::{self, Target};
use crate::solver;

/// Bytes of a random token; as many as Let's Encrypt uses.
const TOKEN_BYTES: usize = 32;

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
    fn or_say(self, name: &Identifier) -> bool {
        match self {
            Self::Answered => true,
            Self::Unasked(error) => {
                tracing::warn!(%name, %error, "pre-flight could not ask; the authority may see more than we do, so the order goes on");
                false
            }
        }
    }
}

/// Who orders, and where.
pub(super) struct Applicant<'a> {
    /// The issuer's name in the configuration.
    pub(super) issuer: &'a str,
    /// The domains by which records of the DNS name the authority; none where it does not tell.
    pub(super) identities: &'a [String],
    /// The account's URL, if there is one yet.
    pub(super) account: Option<&'a str>,
    pub(super) thumbprint: &'a str,
    /// The authority's time.
    pub(super) now: Timestamp,
}

impl Renewer<'_> {
    /// Looks into the DNS and tries the road of the challenge for every name; a solver whose road is wrong gives way to the next
    /// that fits.
    pub(super) async fn preflight(
        &self,
        certificate: &Certificate,
        choice: &mut Choice<'_>,
        applicant: &Applicant<'_>,
        answers: &mut Answers<'_>,
    ) -> Result<(), Error> {
        let lookups = Lookups::of(&self.resolver, &certificate.domains, choice).await;
        for name in &certificate.domains {
            while let Some(solver) = choice.of(name) {
                match self.try_road(name, solver, &lookups, applicant, answers).await {
                    Err(error) if choice.give_up(name, solver, &error) => {}
                    outcome => {
                        outcome?;
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn try_road(
        &self,
        name: &Identifier,
        solver: &Solver,
        lookups: &Lookups<'_>,
        applicant: &Applicant<'_>,
        answers: &mut Answers<'_>,
    ) -> Result<(), Error> {
        lookups.check(name, solver, applicant).await?;
        let (there, thumbprint) = (lookups.where_to_ask(name), applicant.thumbprint);
        let is_proved = match &solver.method {
            Method::Http01(_) => self.ask_http01(name, solver, there, thumbprint, answers).await?,
            Method::TlsAlpn01 { .. } => self.ask_tls_alpn(name, solver, there, thumbprint, answers).await?,
            Method::Dns01(dns) => return self.check_dns01(name, dns).await,
            Method::DnsPersist01 => return Ok(()),
        };
        if !is_proved || solver.probe.is_some() {
            lookups.tell_of_elsewhere(name);
        }
        Ok(())
    }
}

/// The lines that `HAProxy` needs for a solver, for its version where that is known; none where nothing passes through it.
#[must_use]
pub fn haproxy_lines(solver: &Solver, thumbprint: &str, version: Option<(u32, u32)>) -> String {
    match &solver.method {
        Method::Http01(via) => solver::haproxy_lines(
            match via {
                Via::Listener { listen } => solver::Via::Listener(*listen),
                Via::Stateless => solver::Via::Stateless(thumbprint),
                Via::HaproxyMap { map } => solver::Via::Map(map),
                Via::Webroot { path } => solver::Via::Webroot(path),
            },
            version,
        ),
        Method::TlsAlpn01 { listen } => solver::haproxy_tls_lines(*listen),
        Method::Dns01(_) | Method::DnsPersist01 => String::new(),
    }
}

/// Where to ask: there, unless we are told otherwise. The error has where that should have been.
pub async fn where_to_ask(solver: &Solver, there: Target) -> Result<Target, (String, String)> {
    let Some(place) = &solver.probe else { return Ok(there) };
    match tokio::net::lookup_host((place.host.as_str(), place.port)).await {
        Ok(mut addresses) => Ok(addresses.next().map_or(there, Target::Address)),
        Err(error) => Err((place.to_string(), error.to_string())),
    }
}

/// A token that nobody can know, of the form in which authorities make them.
#[must_use]
pub fn random_token() -> Token {
    let mut bytes = [0; TOKEN_BYTES];
    rand::fill(&mut bytes).expect("the system's random numbers are available");
    BASE64_URL_SAFE_NO_PAD.encode(bytes).parse().expect("base64url is a token")
}
