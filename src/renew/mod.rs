//! Deciding what is due, ordering it, and storing the generation.
//!
//! Owns the road from a configured certificate to a stored generation: the pre-flight, the account, the order with its
//! journal, the challenges, the gate. It never talks to `HAProxy`: what it stores is brought there by
//! [`reconcile`](crate::reconcile), tokens for `HAProxy`'s maps included.
//!
//! One process at a time orders a certificate: it holds the certificate's lock, and looks again once it has it.

mod account;
mod answer;
mod error;
mod order;
mod preflight;

use std::time::Duration;

use jiff::Timestamp;

pub use error::Error;
use order::Attempt;
pub use preflight::{Misrouted, lines_via};

use crate::bundle::Trust;
use crate::clock::Clock;
use crate::config::{Certificate, Order};
use crate::model::CertName;
use crate::schedule;
use crate::store::{self, CertLock, Generation, Meta, Source, Store};

/// How long another process may take to order the same certificate before we give up waiting for it.
const LOCK_DEADLINE: Duration = Duration::from_mins(5);

/// Gets certificates from authorities into the store.
pub struct Renewer<'a> {
    /// Where they are stored.
    pub store: &'a Store,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Roots that may end a chain.
    pub trust: &'a Trust,
}

/// Whether a certificate has to be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// It is good until then.
    NotBefore(Timestamp),
    /// It has to be ordered, for this reason.
    Now(Why),
}

/// Why a certificate has to be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    Missing,
    /// Its time has come.
    Age,
    /// It lacks a name.
    Names,
    /// The key type has changed.
    Key,
    /// It comes from another issuer.
    Issuer,
    /// An order for it is in progress.
    Unfinished,
    /// Somebody said so.
    Forced,
}

impl Why {
    /// The reason in words.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "there is none yet",
            Self::Age => "it is due",
            Self::Names => "it lacks a name",
            Self::Key => "the key type has changed",
            Self::Issuer => "the issuer has changed",
            Self::Unfinished => "an order was interrupted",
            Self::Forced => "it is forced",
        }
    }
}

/// What [`Renewer::obtain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obtained {
    /// Nothing: the stored generation is good.
    Kept(u64),
    /// It ordered, and stored this generation.
    Ordered(u64),
}

impl Renewer<'_> {
    /// Says whether a certificate has to be ordered.
    pub fn due(&self, certificate: &Certificate, order: &Order) -> Result<Due, Error> {
        if self.store.has_journal(&certificate.name)? {
            return Ok(Due::Now(Why::Unfinished));
        }
        let Some(Generation { facts, meta, .. }) = self.store.current(&certificate.name)? else {
            return Ok(Due::Now(Why::Missing));
        };
        // A name too many does no harm: some authorities add one, and one that is not wanted any more goes with the next renewal.
        if !certificate.domains.iter().all(|domain| facts.names.contains(domain)) {
            return Ok(Due::Now(Why::Names));
        }
        if meta.source == Source::Acme
            && !order.issuers.iter().any(|issuer| meta.issuer.as_deref() == Some(&issuer.name))
        {
            return Ok(Due::Now(Why::Issuer));
        }
        if order.keys.first().is_some_and(|wanted| facts.key_type.is_some_and(|found| found != *wanted)) {
            return Ok(Due::Now(Why::Key));
        }
        let at = schedule::renew_at(facts.not_before, facts.not_after);
        Ok(if at <= self.clock.now() { Due::Now(Why::Age) } else { Due::NotBefore(at) })
    }

    /// Orders a certificate if it is due, and stores it.
    pub async fn obtain(&self, certificate: &Certificate, force: bool) -> Result<Obtained, Error> {
        let name = &certificate.name;
        let Some(order) = &certificate.order else { return Err(Error::NotOrdered { name: name.clone() }) };
        check(certificate)?;
        let lock = self.lock(name).await?;
        // Looked at under the lock: another process may just have ordered it.
        let due = self.due(certificate, order)?;
        let why = match due {
            Due::Now(why) => why,
            Due::NotBefore(_) if force => Why::Forced,
            Due::NotBefore(at) => {
                tracing::info!(certificate = %name, due = %at, "the stored certificate is good");
                // A crash may have closed the journal and left the key of an order that is over.
                self.store.drop_journal(&lock)?;
                let number = self.store.current(name)?.map_or(0, |generation| generation.number);
                return Ok(Obtained::Kept(number));
            }
        };
        let [issuer, ..] = order.issuers.as_slice() else { return Err(Error::NotOrdered { name: name.clone() }) };
        let [key_type] = order.keys.as_slice() else { return Err(Error::SecondKeyKind { name: name.clone() }) };
        tracing::info!(certificate = %name, issuer = issuer.name, reason = why.as_str(), "ordering the certificate");
        let Some(directory) = &issuer.directory else {
            return Err(Error::InternalIssuer { issuer: issuer.name.clone() });
        };
        let attempt = Attempt { renewer: self, lock: &lock, certificate, issuer, directory, key_type: *key_type };
        let bundle = match attempt.run(&order.solver).await {
            // The authority may have asked while the crashed process could not answer; that says nothing about this one.
            Err(error) if why == Why::Unfinished && error.order_is_over() => {
                tracing::warn!(certificate = %name, %error, "the interrupted order has failed; ordering anew");
                attempt.run(&order.solver).await?
            }
            outcome => outcome?,
        };

        let meta = Meta { source: Source::Acme, issuer: Some(issuer.name.clone()), created: self.clock.now() };
        let number = self.store.add(&lock, &bundle, &meta)?;
        self.store.drop_journal(&lock)?;
        tracing::info!(certificate = %name, generation = number, not_after = %bundle.facts().not_after, "certificate stored");
        Ok(Obtained::Ordered(number))
    }

    /// Takes the lock of a certificate, waiting for another process that has it.
    pub async fn lock(&self, name: &CertName) -> Result<CertLock, Error> {
        if let Some(lock) = self.store.try_lock_certificate(name)? {
            return Ok(lock);
        }
        tracing::info!(certificate = %name, "another hotcert is at work on it; waiting");
        store::until(LOCK_DEADLINE, || self.store.try_lock_certificate(name))
            .await?
            .ok_or_else(|| Error::Busy { name: name.clone(), waited: LOCK_DEADLINE })
    }
}

/// Checks what can be known before anything is asked: wildcards are validated through the DNS only (RFC 8555, section 8.3 has no
/// way for http-01).
pub fn check(certificate: &Certificate) -> Result<(), Error> {
    match certificate.domains.iter().find(|domain| domain.is_wildcard()) {
        Some(domain) => Err(Error::Wildcard { domain: domain.clone() }),
        None => Ok(()),
    }
}
