//! One order, from the journal to the gate. A crash anywhere leaves a journal by which the same order is continued.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::answer::Answers;
use super::authority::Spending;
use super::choice::Choice;
use super::outlook::Outlook;
use super::preflight::Applicant;
use super::{Error, Renewer, Why};
use crate::acme::{self, Account, Deadlines, Directory, Http, Proof, Status};
use crate::bundle::{Bundle, Gate, PrivateKey};
use crate::config::{Certificate, Issuer, Solver};
use crate::model::{ChallengeKind, DirectoryUrl, Identifier, KeyType, chain};
use crate::schedule::{Event, Purpose};
use crate::store::{CertLock, Entry, Journal, Meta, Source, Standing};

/// How long an authority may take to validate all names. Let's Encrypt takes seconds, some authorities a minute.
const VALIDATION_DEADLINE: Duration = Duration::from_mins(2);
/// How long it may take to issue.
const ISSUE_DEADLINE: Duration = Duration::from_mins(2);

/// How long one order is continued. Authorities end orders themselves, mostly within a week; a certificate of six days cannot wait for
/// that.
const ORDER_PATIENCE: SignedDuration = SignedDuration::from_hours(48);

/// So many failed attempts name what they replace; those that follow do not.
const FAILURES_WITH_REPLACES: u32 = 2;

/// What is ordered, where, and under which lock.
pub(super) struct Attempt<'a> {
    pub(super) renewer: &'a Renewer<'a>,
    pub(super) lock: &'a CertLock,
    pub(super) certificate: &'a Certificate,
    pub(super) issuer: &'a Issuer,
    pub(super) directory: &'a DirectoryUrl,
    pub(super) key_type: KeyType,
    pub(super) http: &'a Http,
    /// How the certificate stands.
    pub(super) outlook: &'a Outlook,
    /// How we stand with the authority.
    pub(super) standing: &'a Standing,
    /// What it may use of the budget.
    pub(super) purpose: Purpose,
    /// Whether nothing of it is to last: neither a journal nor what is counted.
    pub(super) is_rehearsal: bool,
}

impl Attempt<'_> {
    /// Orders the certificate and stores it; returns the number of its generation.
    pub(super) async fn renew(&self, solvers: &[Solver], why: Why) -> Result<u64, Error> {
        let Self { renewer, lock, issuer, .. } = *self;
        let mut choice = Choice::new(solvers);
        let mut is_resumed = why == Why::Unfinished;
        let (account, bundle) = loop {
            match self.run(&mut choice).await {
                // The authority may have asked while the crashed process could not answer; that says nothing about this one.
                Err(error) if std::mem::take(&mut is_resumed) && error.order_is_over() => {
                    tracing::warn!(certificate = %lock.name(), error = %chain(&error), "the interrupted order has failed; ordering anew");
                }
                // Another order is counted like any other.
                Err(error) if self.may_be_proved_otherwise(&mut choice, &error) => {
                    tracing::warn!(certificate = %lock.name(), error = %chain(&error), "ordering anew");
                    self.note_unproved(&error)?;
                }
                outcome => break outcome?,
            }
        };
        let now = renewer.listen(self.directory, self.http)?;
        let meta = Meta { source: Source::Acme, issuer: Some(issuer.name.clone()), created: now };
        let number = renewer.store.add(lock, &bundle, &meta)?;
        renewer.store.drop_journal(lock)?;
        tracing::info!(certificate = %lock.name(), generation = number, not_after = %bundle.facts().not_after, "certificate stored");
        renewer.praise(self.directory)?;
        let by_ari = if why == Why::Ari { Some(now) } else { self.outlook.renewal.by_ari };
        let renewal = self.outlook.renewal.followed_by(number, by_ari, &issuer.name, now);
        renewer.ask_about_new(lock, &account, bundle.facts(), renewal, now).await?;
        Ok(number)
    }

    /// Orders the certificate, or continues the order that is journalled for it.
    pub(super) async fn run(&self, choice: &mut Choice<'_>) -> Result<(Account, Bundle), Error> {
        let Self { renewer, certificate, issuer, directory, http, .. } = *self;
        renewer.can_have_account(directory, issuer)?;
        let journal = self.journal()?;

        let _use = renewer.use_account(directory).await?;
        let mut answers = Answers::open(renewer, &certificate.name).await?;
        let outcome = async {
            let key = renewer.account_key(directory, issuer).await?;
            let mut account = renewer.known_account(http, directory, issuer, &key).await?;
            // A record names the account, so that one is needed to say what the record has to be.
            let is_named = |name| choice.of(name).is_some_and(|solver| solver.kind() == ChallengeKind::DnsPersist01);
            if account.is_none() && certificate.domains.iter().any(is_named) {
                account = Some(renewer.account(http, directory, issuer, &key).await?);
            }
            if journal.as_ref().is_none_or(|journal| journal.entry.order_url.is_none()) {
                let identities = match &account {
                    Some(account) => account.caa_identities(),
                    None => {
                        Directory::fetch(http, directory).await.map_err(|error| self.failed(error))?.caa_identities()
                    }
                };
                let applicant = Applicant {
                    issuer: &issuer.name,
                    identities: &identities,
                    account: account.as_ref().map(Account::url),
                    thumbprint: key.thumbprint(),
                    now: self.outlook.now,
                };
                renewer.preflight(certificate, choice, &applicant, &mut answers).await?;
            }
            let account = match account {
                Some(account) => account,
                None => renewer.account(http, directory, issuer, &key).await?,
            };
            let (mut order, key, event) = self.open(&account, journal).await?;
            let chain = self.finish(&mut order, &key, choice, &mut answers).await;
            if chain.as_ref().is_err_and(Error::order_is_over)
                && let Some(event) = event
            {
                renewer.store.change_standing(directory.as_str(), |standing| standing.events.mark_failed(&event))?;
            }
            Ok::<_, Error>((account, chain?, key))
        }
        .await;
        answers.close().await;

        match outcome {
            Ok((account, chain, key)) => Ok((account, self.admit(&chain, &key)?)),
            Err(error) => {
                if error.order_is_over() {
                    self.drop_journal()?;
                }
                Err(error)
            }
        }
    }

    /// Whether each name that was not proved can be proved by another solver, which is the one from now on.
    pub(super) fn may_be_proved_otherwise(&self, choice: &mut Choice<'_>, error: &Error) -> bool {
        let unproved = error.not_proved();
        // Every one of them is given up, whatever becomes of the others.
        let others =
            unproved.iter().map(|name| choice.of(name).is_some_and(|solver| choice.give_up(name, solver, error)));
        let others: Vec<_> = others.collect();
        !others.is_empty() && others.into_iter().all(|is_there| is_there) && !self.renewer.stop.is_cancelled()
    }

    /// The journal, if it is about this very order; another one is of no use any more.
    fn journal(&self) -> Result<Option<Journal>, Error> {
        let store = self.renewer.store;
        if self.is_rehearsal {
            return Ok(None);
        }
        let Some(journal) = store.read_journal(self.lock)? else { return Ok(None) };
        let Entry { identifiers, key_type, started, .. } = &journal.entry;
        let is_here = journal.entry.is_with(&self.issuer.name, self.directory.as_str());
        let is_for_this = is_here && *identifiers == self.names() && *key_type == self.key_type;
        let is_old = self.outlook.now.duration_since(*started) > ORDER_PATIENCE;
        if is_for_this && !is_old {
            return Ok(Some(journal));
        }
        let why = if is_old { "does not end" } else { "was for something else" };
        tracing::info!(certificate = %self.certificate.name, why, "an interrupted order is given up");
        store.drop_journal(self.lock)?;
        Ok(None)
    }

    /// Ends the journal of this order; a rehearsal has none, and leaves that of another.
    fn drop_journal(&self) -> Result<(), Error> {
        if self.is_rehearsal {
            return Ok(());
        }
        Ok(self.renewer.store.drop_journal(self.lock)?)
    }

    /// The order to go on with, the key that it is for, and how it was counted.
    async fn open(
        &self,
        account: &Account,
        journal: Option<Journal>,
    ) -> Result<(acme::Order, PrivateKey, Option<Event>), Error> {
        let store = self.renewer.store;
        if self.is_rehearsal {
            let (names, profile) = (&self.certificate.domains, self.issuer.profile.as_deref());
            let order = account.new_order(names, profile, None).await.map_err(|error| self.failed(error))?;
            return Ok((order, self.new_key()?, None));
        }
        let key = match journal {
            Some(Journal { key, entry }) => {
                if let Some(order) = self.interrupted(account, entry.order_url.as_deref()).await? {
                    tracing::info!(certificate = %self.certificate.name, "continuing an interrupted order");
                    store.set_order_url(self.lock, order.url())?;
                    return Ok((order, key, None));
                }
                Some(key)
            }
            None => None,
        };
        let replaces = self.replaces();
        // A renewal in the authority's window that names what it replaces is exempt from its limits (AUTHORITIES: Let's Encrypt).
        let window = self.outlook.renewal.ari.as_ref().map(|ari| ari.window);
        let is_exempt = replaces.is_some() && window.is_some_and(|window| window.contains(self.outlook.now));
        let mut event = if is_exempt { None } else { self.spend()? };
        let key = key.map_or_else(|| self.begin(), Ok)?;
        let new_order = async |replaces| {
            account.new_order(&self.certificate.domains, self.issuer.profile.as_deref(), replaces).await
        };
        let mut created = new_order(replaces).await;
        if let (Err(acme::Error::ReplacesRefused { .. }), Some(_)) = (&created, replaces) {
            // It may be our own order, which a crash cut short.
            tracing::info!(certificate = %self.certificate.name, "ordering without naming what is replaced");
            if event.is_none() {
                event = self.spend()?;
            }
            created = new_order(None).await;
        }
        match created {
            Ok(order) => {
                store.set_order_url(self.lock, order.url())?;
                Ok((order, key, event))
            }
            Err(error) => {
                // An authority that has answered no has made no order; one that was not heard may have made one.
                if error.is_an_answer() {
                    store.drop_journal(self.lock)?;
                    if let Some(event) = event {
                        store.change_standing(self.directory.as_str(), |standing| standing.events.take_back(&event))?;
                    }
                }
                Err(self.failed(error))
            }
        }
    }

    /// Counts an order before it is made.
    fn spend(&self) -> Result<Option<Event>, Error> {
        let spent = self.renewer.spend(&Spending {
            name: &self.certificate.name,
            issuer: self.issuer,
            directory: self.directory,
            names: &self.names(),
            purpose: self.purpose,
        });
        if spent.is_err() {
            // A key without an order is of no use.
            self.renewer.store.drop_journal(self.lock)?;
        }
        spent
    }

    /// The certificate that this one follows (RFC 9773, section 5): they share a name. It is no more than a courtesy, and not
    /// worth a certificate: what failed with it is tried without.
    fn replaces(&self) -> Option<&str> {
        if self.outlook.renewal.failures(&self.issuer.name) >= FAILURES_WITH_REPLACES {
            return None;
        }
        let (facts, _) = self.outlook.current.as_ref()?;
        let shares_a_name = self.certificate.domains.iter().any(|domain| facts.names.contains(domain));
        self.outlook.renewal_id(self.issuer).filter(|_| shares_a_name)
    }

    /// The order that a crash interrupted, if the authority still knows it.
    async fn interrupted(&self, account: &Account, url: Option<&str>) -> Result<Option<acme::Order>, Error> {
        let order = match url {
            Some(url) => match account.resume(url, &self.certificate.domains).await {
                Ok(order) => Some(order),
                Err(acme::Error::OrderGone { .. }) => None,
                Err(error) => return Err(self.failed(error)),
            },
            // It may have been requested, and its URL lost.
            None => account.open_order(&self.certificate.domains).await,
        };
        Ok(order.filter(|order| order.status() != Status::Invalid))
    }

    /// Journals a new key, before an order for it is requested.
    fn begin(&self) -> Result<PrivateKey, Error> {
        let key = self.new_key()?;
        let entry = Entry {
            directory: self.directory.as_str().to_owned(),
            issuer: Some(self.issuer.name.clone()),
            identifiers: self.names(),
            key_type: self.key_type,
            order_url: None,
            started: self.outlook.now,
        };
        self.renewer.store.begin_journal(self.lock, &key, &entry)?;
        Ok(key)
    }

    fn new_key(&self) -> Result<PrivateKey, Error> {
        let failed = |source| Error::Key { name: self.certificate.name.clone(), source };
        PrivateKey::generate(self.key_type).map_err(failed)
    }

    /// Proves the names that the authority has not validated before, and waits for the certificate.
    async fn finish(
        &self,
        order: &mut acme::Order,
        key: &PrivateKey,
        choice: &Choice<'_>,
        answers: &mut Answers<'_>,
    ) -> Result<String, Error> {
        if order.status() == Status::Pending {
            let mut chosen = BTreeMap::new();
            let challenges = order.challenges(|name, offered| {
                let solver = choice.of_kinds(name, offered)?;
                chosen.insert(name.clone(), solver);
                Some(solver.kind())
            });
            let mut challenges = challenges.await.map_err(|error| self.failed(error))?;
            // Orders that wait for each other's names do so in one order, so that none waits forever.
            challenges.sort_by(|one, other| one.identifier.cmp(&other.identifier));
            for challenge in &challenges {
                if let Proof::Token { token, key_authorization } = &challenge.proof {
                    let name = &challenge.identifier;
                    answers.present(chosen[name], name, token, key_authorization).await?;
                }
            }
            answers.settle().await?;
            for challenge in &challenges {
                tracing::info!(name = %challenge.identifier, "asking the authority to validate");
                order.ready(challenge).await.map_err(|error| self.failed(error))?;
            }
            order.await_ready(VALIDATION_DEADLINE).await.map_err(|error| self.failed(error))?;
        }
        tracing::info!(certificate = %self.certificate.name, "waiting for the certificate");
        if let Some(root) = &self.issuer.preferred_chain {
            order.prefer_chain(root);
        }
        order.finalize(key).await.map_err(|error| self.failed(error))?;
        order.certificate(ISSUE_DEADLINE).await.map_err(|error| self.failed(error))
    }

    /// What was issued passes the gate like anything else. Its age does not count: what was just ordered is the newest.
    fn admit(&self, chain: &str, key: &PrivateKey) -> Result<Bundle, Error> {
        // By the machine's own clock, even one that is only minutes slow, a fresh certificate may not be valid yet.
        let told = self.http.authority_time();
        let now = self.renewer.listen(self.directory, self.http)?.max(told.unwrap_or(Timestamp::MIN));
        let gate = Gate {
            name: &self.certificate.name,
            kind: self.certificate.kind,
            now,
            trust: self.renewer.trust,
            required: &self.names(),
            rivals: &[],
            force: false,
        };
        match gate.admit(&[chain.as_bytes(), key.pem().as_bytes()]) {
            Ok(admitted) => Ok(admitted.bundle),
            Err(source) => {
                self.drop_journal()?;
                Err(Error::Issued { issuer: self.issuer.name.clone(), source: Box::new(source) })
            }
        }
    }

    fn names(&self) -> BTreeSet<Identifier> {
        self.certificate.domains.iter().cloned().collect()
    }

    fn failed(&self, source: acme::Error) -> Error {
        Error::acme(self.issuer, source)
    }
}

/// The connection to an authority.
pub(super) fn connect(issuer: &Issuer) -> Result<Http, Error> {
    connect_within(issuer, Deadlines::default())
}

/// The connection to an authority that may take only so long.
pub fn connect_within(issuer: &Issuer, deadlines: Deadlines) -> Result<Http, Error> {
    Http::new(read_roots(issuer)?.as_deref(), deadlines).map_err(|source| Error::acme(issuer, source))
}

fn read_roots(issuer: &Issuer) -> Result<Option<String>, Error> {
    let Some(path) = &issuer.root_ca else { return Ok(None) };
    std::fs::read_to_string(path).map(Some).map_err(|source| Error::RootCa { path: path.clone(), source })
}
