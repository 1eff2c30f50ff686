//! Which issuer is asked for a certificate, and which one when that cannot issue.
//!
//! A certificate may name several issuers in order of preference.
//!
//! - The first one that is *free* is asked. One is not while its authority as a whole is in trouble, or has asked us to wait, and
//!   while this certificate has failed with it a moment ago for reasons that lie with that issuer: a limit, a refusal of its names
//!   or of the profile, an account that cannot be had. Such a failure is noted for that issuer alone.
//! - What fails for such a reason is tried with the next issuer at once. What would fail everywhere (a name that cannot be proved,
//!   a disk that is full) is not. When no issuer is left, the certificate is held until the first of them is free.
//! - Each renewal begins with the first issuer again; that it works again makes nothing due. A certificate is ordered anew because
//!   of its issuer only when that is in the list no more.
//! - Whether a certificate is due is judged by the time of the issuer that would be asked. The one that *issued* it is asked when to
//!   renew, by its own time, and it alone is told what a new one replaces.
//! - An order that was interrupted is continued with the issuer with which it began; while that one is not free, it is given up for
//!   another one.
//! - While something is under way no issuer is asked twice for the same certificate, whatever could be noted: a [`Turn`] knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::outlook::{Due, Outlook};
use super::{Error, Manner, Renewer};
use crate::config::{Certificate, Issuer, Order};
use crate::model::{DirectoryUrl, chain};
use crate::schedule::Retry;
use crate::store::{Hold, Standing};

/// What tells one authority from another: its directory with the roots of its HTTPS, or the name of a private one.
pub(super) type Key<'c> = (Option<&'c DirectoryUrl>, Option<&'c Path>, Option<&'c str>);

pub(super) fn key(issuer: &Issuer) -> Key<'_> {
    match &issuer.directory {
        Some(directory) => (Some(directory), issuer.root_ca.as_deref(), None),
        None => (None, None, Some(&issuer.name)),
    }
}

/// A certificate on its way through its issuers.
pub(super) struct Turn<'c> {
    pub(super) certificate: &'c Certificate,
    pub(super) order: &'c Order,
    /// The issuers that were asked in vain, by name.
    tried: BTreeSet<&'c str>,
    /// What they said.
    pub(super) failures: Vec<Error>,
    /// Whether an authority was asked about its right time, and is not asked again.
    pub(super) is_asked: bool,
    /// Whether nothing more is done about it.
    pub(super) is_over: bool,
}

/// How a certificate stands, and who would be asked for it.
pub(super) struct Look<'c> {
    /// At the time of the next issuer; of the first one when all are held.
    pub(super) outlook: Outlook,
    /// The standing by which it was looked at.
    pub(super) standing: Arc<Standing>,
    /// The issuer that is asked; `None` when all are held, or were asked in vain.
    pub(super) next: Option<&'c Issuer>,
    /// What keeps it from all issuers.
    pub(super) hold: Option<Hold>,
    /// When the first issuer is free, by the machine's clock; `None` when only a person can help.
    free_at: Option<Timestamp>,
    pub(super) question: Option<Question<'c>>,
}

/// That the issuer of what is current is to be asked when to renew.
pub(super) struct Question<'c> {
    pub(super) issuer: &'c Issuer,
    standing: Arc<Standing>,
    /// Its time.
    pub(super) now: Timestamp,
    /// When it is to be asked.
    pub(super) at: Timestamp,
}

/// How we stand with authorities, each of which is looked at once.
pub(super) struct Standings<'r> {
    renewer: &'r Renewer<'r>,
    known: BTreeMap<String, Arc<Standing>>,
    /// Whether it is noted how the clock stood.
    notes: bool,
}

impl<'c> Turn<'c> {
    /// `None` for what is not ordered.
    pub(super) fn of(certificate: &'c Certificate) -> Option<Self> {
        let order = certificate.order.as_ref()?;
        let (tried, failures) = (BTreeSet::new(), Vec::new());
        Some(Self { certificate, order, tried, failures, is_asked: false, is_over: false })
    }

    /// Goes on to the next issuer, after this one was asked in vain; what it said may have been told before.
    pub(super) fn give_up(&mut self, issuer: &'c Issuer, error: Option<Error>) {
        self.tried.insert(&issuer.name);
        let next = self.order.issuers.iter().find(|issuer| !self.tried.contains(issuer.name.as_str()));
        if let Some(error) = &error
            && let Some(next) = next
        {
            tracing::warn!(
                certificate = %self.certificate.name, issuer = issuer.name, next = next.name,
                error = chain(&error), "an issuer cannot issue now; another one is asked, if one is free"
            );
        }
        self.failures.extend(error);
    }

    /// Ends it, whatever failed before.
    pub(super) fn end(&mut self, error: Option<Error>) {
        self.is_over = true;
        self.failures = error.into_iter().collect();
    }

    /// The failure that counts: the first that time cures, or else the first.
    pub(super) fn failure(&mut self) -> Option<Error> {
        let counting = self.failures.iter().position(|error| error.retry() != Retry::Never).unwrap_or(0);
        (!self.failures.is_empty()).then(|| self.failures.swap_remove(counting))
    }
}

impl<'r> Standings<'r> {
    pub(super) fn new(renewer: &'r Renewer<'r>) -> Self {
        Self { renewer, known: BTreeMap::new(), notes: true }
    }

    /// For somebody who changes nothing.
    pub(super) fn read_only(renewer: &'r Renewer<'r>) -> Self {
        Self { notes: false, ..Self::new(renewer) }
    }

    /// A private authority of our own has no trouble, and the machine's time.
    fn with(&mut self, issuer: &Issuer) -> Result<Arc<Standing>, Error> {
        let Some(directory) = &issuer.directory else { return Ok(Arc::default()) };
        if let Some(known) = self.known.get(directory.as_str()) {
            return Ok(Arc::clone(known));
        }
        let standing =
            if self.notes { self.renewer.look(directory)? } else { self.renewer.store.standing(directory.as_str())? };
        let standing = Arc::new(standing);
        self.known.insert(directory.as_str().to_owned(), Arc::clone(&standing));
        Ok(standing)
    }
}

impl Renewer<'_> {
    /// Looks at a certificate, and finds the issuer that is to be asked for it.
    pub(super) fn look_at<'c>(
        &self,
        turn: &Turn<'c>,
        manner: Manner,
        standings: &mut Standings<'_>,
    ) -> Result<Look<'c>, Error> {
        let Turn { certificate, order, .. } = *turn;
        let wall = self.clock.now();
        let mut outlook = self.outlook(certificate, order)?;
        let begun = outlook.unfinished.clone();
        let is_begun = |issuer: &Issuer| {
            let directory = issuer.directory.as_ref();
            directory.is_some_and(|url| begun.as_ref().is_some_and(|entry| entry.is_with(&issuer.name, url.as_str())))
        };
        let mut question = None;
        if let Some(issuer) = outlook.author(order) {
            let standing = standings.with(issuer)?;
            let now = standing.offset.now(wall);
            outlook.set_time(certificate, order, now);
            question = outlook.ask_at(issuer).map(|at| Question { issuer, standing, now, at });
        }
        let (mut holds, mut first, mut free_at) = (Vec::new(), None, None);
        for issuer in order.issuers_after(is_begun) {
            let standing = standings.with(issuer)?;
            outlook.set_time(certificate, order, standing.offset.now(wall));
            let hold = outlook.hold(issuer, &standing).filter(|hold| manner.respects(hold));
            if hold.is_none() && !turn.tried.contains(issuer.name.as_str()) {
                let next = Some(issuer);
                return Ok(Look { outlook, standing, next, hold: None, free_at: Some(wall), question });
            }
            let free = outlook.free_at(issuer, &standing).map(|at| standing.offset.wall(at));
            free_at = [free_at, free].into_iter().flatten().min();
            holds.extend(hold);
            first.get_or_insert(standing);
        }
        let standing = first.unwrap_or_default();
        outlook.set_time(certificate, order, standing.offset.now(wall));
        Ok(Look { outlook, standing, next: None, hold: Hold::of_all(holds), free_at, question })
    }
}

impl<'c> Look<'c> {
    /// Whether it has to be ordered.
    pub(super) fn is_due(&self, manner: Manner) -> bool {
        manner == Manner::Forced || matches!(self.outlook.due, Due::Now(_))
    }

    /// The issuer at which there is something to do now: to ask when to renew, to order, or to ask what time it is.
    pub(super) fn wanted(&self, turn: &Turn<'_>, manner: Manner) -> Option<&'c Issuer> {
        let is_left_alone = |standing: &Standing, now| {
            let until = standing.trouble.as_ref().map(|trouble| trouble.until(self.outlook.is_emergency()));
            manner != Manner::Forced && until.is_some_and(|until| until > now)
        };
        match &self.question {
            _ if turn.is_over => None,
            Some(Question { issuer, standing, now, at })
                if !turn.is_asked && at <= now && !is_left_alone(standing, *now) =>
            {
                Some(issuer)
            }
            _ if self.is_due(manner) => self.next,
            _ if !turn.is_asked && self.standing.offset.is_doubtful() => {
                self.next.filter(|_| !is_left_alone(&self.standing, self.outlook.now))
            }
            _ => None,
        }
    }

    /// When there is something to do again, by the machine's clock.
    pub(super) fn wakes_at(&self) -> Option<Timestamp> {
        let ordered = match self.outlook.due {
            Due::NotBefore(at) => Some(self.standing.offset.wall(at)),
            Due::Now(_) => self.free_at,
        };
        let asked = self.question.as_ref().map(|Question { standing, at, .. }| {
            let left_alone = standing.trouble.as_ref().map_or(Timestamp::MIN, |trouble| trouble.until(false));
            standing.offset.wall(left_alone.max(*at))
        });
        [ordered, asked].into_iter().flatten().min()
    }
}
