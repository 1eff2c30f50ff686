//! What is to be done about a certificate, as far as the disk says.

use jiff::Timestamp;

use super::turn::{Standings, Turn};
use super::{Error, Manner, Renewer};
use crate::config::{Certificate, Issuer, Order};
use crate::model::Facts;
use crate::schedule::{Life, Purpose};
use crate::store::{Entry, Hold, Meta, Renewal, Source, Standing};

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
    /// It was revoked, and somebody asks for it.
    Revoked,
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
            Self::Revoked => "it was revoked",
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
    /// What keeps it from being ordered yet, from whichever issuer.
    pub hold: Option<Hold>,
    /// The issuer that would be asked now; `None` while it is held.
    pub issuer: Option<String>,
}

/// How a certificate stands at an instant.
pub(super) struct Outlook {
    pub(super) now: Timestamp,
    pub(super) due: Due,
    pub(super) renewal: Renewal,
    pub(super) number: Option<u64>,
    /// Whether what is current was revoked.
    pub(super) is_revoked: bool,
    has_journal: bool,
    /// Where an order is in progress, as far as that can be read.
    pub(super) unfinished: Option<Entry>,
    /// What is current.
    pub(super) current: Option<(Facts, Meta)>,
}

impl Renewer<'_> {
    /// Says what is to be done about a certificate, as far as is known without asking its authority; `None` for one that is not
    /// ordered.
    pub fn forecast(&self, certificate: &Certificate) -> Result<Option<Forecast>, Error> {
        let Some(turn) = Turn::of(certificate) else { return Ok(None) };
        let look = self.look_at(&turn, Manner::Scheduled, &mut Standings::read_only(self))?;
        let issuer = look.next.map(|issuer| issuer.name.clone());
        Ok(Some(Forecast { due: look.outlook.due, hold: look.hold, issuer }))
    }

    /// Reads how a certificate stands, by the machine's clock.
    pub(super) fn outlook(&self, certificate: &Certificate, order: &Order) -> Result<Outlook, Error> {
        let name = &certificate.name;
        let found = self.store.current(name)?;
        let number = found.as_ref().map(|generation| generation.number);
        let is_revoked = found.as_ref().is_some_and(|generation| generation.revoked.is_some());
        let current = found.map(|generation| (generation.facts, generation.meta));
        let renewal = self.store.renewal(name, number)?;
        let (has_journal, unfinished) = (self.store.has_journal(name)?, self.store.journal_entry(name)?);
        let due = Due::Now(Why::Missing);
        let now = self.clock.now();
        let mut outlook = Outlook { now, due, renewal, number, is_revoked, has_journal, unfinished, current };
        outlook.set_time(certificate, order, now);
        Ok(outlook)
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
    /// Looks at the same at another time: authorities need not agree on that.
    pub(super) fn set_time(&mut self, certificate: &Certificate, order: &Order, now: Timestamp) {
        self.now = now;
        self.due = match &self.current {
            _ if self.has_journal => Due::Now(Why::Unfinished),
            None => Due::Now(Why::Missing),
            Some((facts, meta)) => due(certificate, order, facts, meta, &self.renewal, now),
        };
    }

    /// The issuer of what is current, if that is an authority that can be asked.
    pub(super) fn author<'c>(&self, order: &'c Order) -> Option<&'c Issuer> {
        let is_theirs = |issuer: &&Issuer| issuer.directory.is_some() && self.is_of(issuer);
        order.issuers.iter().find(is_theirs)
    }

    fn is_of(&self, issuer: &Issuer) -> bool {
        // What was imported is known to its authority as well.
        let is_theirs = |source| matches!(source, Source::Acme | Source::Import);
        let theirs = |meta: &Meta| is_theirs(meta.source) && meta.issuer.as_deref() == Some(&issuer.name);
        self.current.as_ref().is_some_and(|(_, meta)| theirs(meta))
    }

    /// Whether little of the lifetime is left.
    pub(super) fn is_emergency(&self) -> bool {
        self.emergency().is_some_and(|instant| instant <= self.now)
    }

    /// When little of the lifetime will be left.
    pub(super) fn emergency(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|(facts, _)| life(facts).emergency())
    }

    pub(super) fn hold(&self, issuer: &Issuer, standing: &Standing) -> Option<Hold> {
        self.renewal.hold(&issuer.name, standing, self.now, self.is_emergency())
    }

    /// When an issuer may be asked for it, once it is due; `None` when only a person can help.
    pub(super) fn free_at(&self, issuer: &Issuer, standing: &Standing) -> Option<Timestamp> {
        let until = |in_emergency| {
            let hold = self.renewal.hold(&issuer.name, standing, self.now, in_emergency);
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
        let (facts, _) = self.current.as_ref()?;
        facts.renewal_id.as_deref().filter(|_| self.is_of(issuer) && self.now < facts.not_after)
    }

    /// When its authority is to be asked for renewal information; `None` for never.
    pub(super) fn ask_at(&self, issuer: &Issuer) -> Option<Timestamp> {
        self.renewal_id(issuer)?;
        Some(self.renewal.ask_at.unwrap_or(self.now))
    }
}

pub(super) fn life(facts: &Facts) -> Life {
    Life { not_before: facts.not_before, not_after: facts.not_after }
}
