//! Asking the DNS and for challenges ourselves, by the road that the authority will take, before an order is spent on it.

mod http01;
mod lookups;
mod obstacle;
mod tls_alpn;
mod trial;

use jiff::Timestamp;

use self::lookups::Lookups;
pub use self::obstacle::Obstacle;
pub use self::trial::{Asked, Misrouted, Trial, where_to_ask};
use super::answer::Answers;
use super::choice::Choice;
use super::{Error, Renewer};
use crate::config::{Certificate, Method, Solver, Via};
use crate::model::Identifier;
use crate::solver;

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
        let is_proved = match &solver.method {
            Method::Http01(_) | Method::TlsAlpn01 { .. } => {
                let trial = Trial::new(name, solver, applicant.thumbprint);
                answers.present(solver, name, &trial.token, &trial.expected()).await?;
                let asked = trial.ask(lookups.where_to_ask(name)).await;
                answers.withdraw(&solver.name, &trial.token)?;
                asked?.or_say(name)
            }
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
