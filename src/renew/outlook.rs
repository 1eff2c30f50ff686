//! What is to be done about a certificate, as far as the disk says.

use jiff::Timestamp;

use super::{Error, Renewer};
use crate::config::{Certificate, Issuer, Order};
use crate::model::{DirectoryUrl, Facts};
use crate::schedule::{Life, Purpose};
use crate::store::{Hold, Meta, Renewal, Source, Standing};

/// Whether a certificate has to be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Its authority says that its time has come (RFC 9773).
    Ari,
    /// Little of its lifetime is left.
    Emergency,
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
            Self::Ari => "its authority says that it is due",
            Self::Emergency => "little of its lifetime is left",
            Self::Names => "it lacks a name",
            Self::Key => "the key type has changed",
            Self::Issuer => "the issuer has changed",
            Self::Unfinished => "an order was interrupted",
            Self::Forced => "it is forced",
        }
    }

    /// Whether it depends on what time it is.
    pub(super) fn is_timed(self) -> bool {
        matches!(self, Self::Age | Self::Ari | Self::Emergency)
    }
}

/// What is to be done about a certificate, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Whether it has to be ordered.
    pub due: Due,
    /// What keeps it from being ordered yet.
    pub hold: Option<Hold>,
}

/// How a certificate stands at an instant.
pub(super) struct Outlook {
    pub(super) now: Timestamp,
    pub(super) due: Due,
    pub(super) renewal: Renewal,
    pub(super) number: Option<u64>,
    /// What is current.
    pub(super) current: Option<(Facts, Meta)>,
}

impl Renewer<'_> {
    /// Says what is to be done about a certificate, as far as is known without asking its authority.
    pub fn forecast(&self, certificate: &Certificate, order: &Order) -> Result<Forecast, Error> {
        let standing = match order.issuers.first().and_then(|issuer| issuer.directory.as_ref()) {
            Some(directory) => self.store.standing(directory.as_str())?,
            None => Standing::default(),
        };
        let outlook = self.outlook(certificate, order, standing.offset.now(self.clock.now()))?;
        Ok(Forecast { due: outlook.due, hold: outlook.hold(&standing) })
    }

    /// Reads how a certificate stands, at this time of its authority.
    pub(super) fn outlook(&self, certificate: &Certificate, order: &Order, now: Timestamp) -> Result<Outlook, Error> {
        let name = &certificate.name;
        let found = self.store.current(name)?;
        let number = found.as_ref().map(|generation| generation.number);
        let current = found.map(|generation| (generation.facts, generation.meta));
        let renewal = self.store.renewal(name, number)?;
        let due = match &current {
            _ if self.store.has_journal(name)? => Due::Now(Why::Unfinished),
            None => Due::Now(Why::Missing),
            Some((facts, meta)) => due(certificate, order, facts, meta, &renewal, now),
        };
        Ok(Outlook { now, due, renewal, number, current })
    }
}

fn due(certificate: &Certificate, order: &Order, facts: &Facts, meta: &Meta, renewal: &Renewal, now: Timestamp) -> Due {
    // A name too many does no harm: some authorities add one, and one that is not wanted any more goes with the next renewal.
    if !certificate.domains.iter().all(|domain| facts.names.contains(domain)) {
        return Due::Now(Why::Names);
    }
    let is_ordered = matches!(meta.source, Source::Acme | Source::Internal);
    if is_ordered && !order.issuers.iter().any(|issuer| meta.issuer.as_deref() == Some(&issuer.name)) {
        return Due::Now(Why::Issuer);
    }
    if order.keys.first().is_some_and(|wanted| facts.key_type.is_some_and(|found| found != *wanted)) {
        return Due::Now(Why::Key);
    }
    let life = life(facts);
    let at = life.due(renewal.ari.as_ref());
    if at > now {
        return Due::NotBefore(at);
    }
    Due::Now(match &renewal.ari {
        Some(ari) if ari.due() <= now => Why::Ari,
        _ if life.emergency() <= now => Why::Emergency,
        _ => Why::Age,
    })
}

impl Outlook {
    /// Whether little of the lifetime is left.
    pub(super) fn is_emergency(&self) -> bool {
        self.emergency().is_some_and(|instant| instant <= self.now)
    }

    /// When little of the lifetime will be left.
    pub(super) fn emergency(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|(facts, _)| life(facts).emergency())
    }

    pub(super) fn hold(&self, standing: &Standing) -> Option<Hold> {
        self.renewal.hold(standing, self.now, self.is_emergency())
    }

    /// When it may be ordered, once it is due; `None` when only a person can help.
    pub(super) fn free_at(&self, standing: &Standing) -> Option<Timestamp> {
        let until = |in_emergency| {
            let hold = self.renewal.hold(standing, self.now, in_emergency);
            hold.map_or(Some(self.now), |hold| hold.until)
        };
        // The pause is cut short when the emergency begins.
        let usually = until(self.is_emergency())?;
        Some(match self.emergency().zip(until(true)) {
            Some((emergency, free)) => usually.min(emergency.max(free)),
            None => usually,
        })
    }

    /// What an order may use of the budget.
    pub(super) fn purpose(&self) -> Purpose {
        if self.current.is_none() || self.is_emergency() { Purpose::Emergency } else { Purpose::Routine }
    }

    /// By which its authority knows the current certificate; `None` when that comes from elsewhere, or has expired.
    pub(super) fn renewal_id(&self, issuer: &Issuer) -> Option<&str> {
        let (facts, meta) = self.current.as_ref()?;
        let is_theirs = meta.source == Source::Acme && meta.issuer.as_deref() == Some(&issuer.name);
        facts.renewal_id.as_deref().filter(|_| is_theirs && self.now < facts.not_after)
    }

    /// When its authority is to be asked for renewal information; `None` for never.
    pub(super) fn ask_at(&self, issuer: &Issuer) -> Option<Timestamp> {
        self.renewal_id(issuer)?;
        Some(self.renewal.ask_at.unwrap_or(self.now))
    }
}

/// The issuer that is asked, with its directory.
pub(super) fn authority_of(order: &Order) -> Option<(&Issuer, &DirectoryUrl)> {
    let issuer = order.issuers.first()?;
    Some((issuer, issuer.directory.as_ref()?))
}

pub(super) fn life(facts: &Facts) -> Life {
    Life { not_before: facts.not_before, not_after: facts.not_after }
}
