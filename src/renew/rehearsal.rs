//! A rehearsal: the whole order, from the pre-flight to the gate, at an authority's staging environment.
//!
//! Nothing of it lasts but the account there: what is issued is dropped with its key, no journal is kept, nothing is counted, and a
//! failure holds up no order. An order that was interrupted is left as it is.

use jiff::Timestamp;

use super::choice::Choice;
use super::order::{Attempt, connect};
use super::{Error, Renewer, check};
use crate::bundle::Bundle;
use crate::config::{Certificate, Issuer, Solver};
use crate::model::{DirectoryUrl, chain};
use crate::schedule::Purpose;
use crate::store::Standing;

/// What a rehearsal came to: every name was proved, and a certificate was issued that passed the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The staging environment, by a name for people.
    pub issuer: String,
    /// Its directory.
    pub directory: DirectoryUrl,
    /// How long what it issued is valid.
    pub not_after: Timestamp,
}

impl Renewer<'_> {
    /// Orders a certificate from the staging environment of the first of its issuers that has one, and keeps nothing.
    pub async fn rehearse(&self, certificate: &Certificate) -> Result<Rehearsal, Error> {
        let name = &certificate.name;
        let not_ordered = || Error::NotOrdered { name: name.clone() };
        let order = certificate.order.as_ref().ok_or_else(not_ordered)?;
        let (&key_type, first) = order.keys.first().zip(order.issuers.first()).ok_or_else(not_ordered)?;
        check(certificate)?;
        let issuer = order.issuers.iter().find_map(Issuer::at_staging);
        let issuer = issuer.ok_or_else(|| Error::NoStaging { issuer: first.name.clone() })?;
        let Some(directory) = &issuer.directory else { return Err(Error::NoStaging { issuer: issuer.name }) };
        // As for an order: only one is at work on a certificate.
        let (_turn, lock) = self.lock_to_order(certificate).await?;
        tracing::info!(certificate = %name, issuer = issuer.name, "rehearsing the order");
        let attempt = Attempt {
            renewer: self,
            lock: &lock,
            certificate,
            issuer: &issuer,
            directory,
            key_type,
            http: &connect(&issuer)?,
            outlook: &self.outlook(certificate, order)?,
            standing: &Standing::default(),
            purpose: Purpose::Emergency,
            is_rehearsal: true,
        };
        // On the heap, for it is large.
        let bundle = Box::pin(attempt.rehearse(&order.solvers)).await?;
        let not_after = bundle.facts().not_after;
        Ok(Rehearsal { issuer: issuer.name.clone(), directory: directory.clone(), not_after })
    }
}

impl Attempt<'_> {
    /// As far as the gate.
    async fn rehearse(&self, solvers: &[Solver]) -> Result<Bundle, Error> {
        let mut choice = Choice::new(solvers);
        loop {
            match self.run(&mut choice).await {
                Err(error) if self.may_be_proved_otherwise(&mut choice, &error) => {
                    tracing::warn!(certificate = %self.lock.name(), error = %chain(&error), "rehearsing anew");
                }
                outcome => return outcome.map(|(_, bundle)| bundle),
            }
        }
    }
}
