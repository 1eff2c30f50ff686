//! One order, from the journal to the gate. A crash anywhere leaves a journal by which the same order is continued.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answer::Answers;
use super::{Error, Renewer};
use crate::acme::{self, Account, ChallengeKind, Deadlines, Http, Status};
use crate::bundle::{Bundle, Gate, PrivateKey};
use crate::config::{Certificate, Issuer, Solver};
use crate::model::{DirectoryUrl, Identifier, KeyType};
use crate::store::{CertLock, Entry, Journal};

/// How long an authority may take to validate all names. Let's Encrypt takes seconds, some authorities a minute.
const VALIDATION_DEADLINE: Duration = Duration::from_mins(2);
/// How long it may take to issue.
const ISSUE_DEADLINE: Duration = Duration::from_mins(2);

/// What is ordered, where, and under which lock.
pub(super) struct Attempt<'a> {
    pub(super) renewer: &'a Renewer<'a>,
    pub(super) lock: &'a CertLock,
    pub(super) certificate: &'a Certificate,
    pub(super) issuer: &'a Issuer,
    pub(super) directory: &'a DirectoryUrl,
    pub(super) key_type: KeyType,
}

impl Attempt<'_> {
    /// Orders the certificate, or continues the order that is journalled for it.
    pub(super) async fn run(&self, solver: &Solver) -> Result<Bundle, Error> {
        let Self { renewer, certificate, issuer, directory, .. } = *self;
        renewer.can_have_account(directory, issuer)?;
        let http =
            Http::new(read_roots(issuer)?.as_deref(), Deadlines::default()).map_err(|error| self.failed(error))?;
        let journal = self.journal()?;

        let mut answers = Answers::open(renewer, &certificate.name, solver).await?;
        let outcome = async {
            let key = renewer.account_key(directory, issuer).await?;
            if journal.as_ref().is_none_or(|journal| journal.entry.order_url.is_none()) {
                renewer.preflight(certificate, solver, key.thumbprint(), &mut answers).await?;
            }
            let account = renewer.account(&http, directory, issuer, &key).await?;
            let (mut order, key) = self.open(&account, journal).await?;
            self.finish(&mut order, &key, &mut answers).await.map(|chain| (chain, key))
        }
        .await;
        drop(answers);

        match outcome {
            Ok((chain, key)) => self.admit(&chain, &key),
            Err(error) => {
                if error.order_is_over() {
                    renewer.store.drop_journal(self.lock)?;
                }
                Err(error)
            }
        }
    }

    /// The journal, if it is about this very order; another one is of no use any more.
    fn journal(&self) -> Result<Option<Journal>, Error> {
        let store = self.renewer.store;
        let Some(journal) = store.read_journal(self.lock)? else { return Ok(None) };
        let Entry { directory, identifiers, key_type, .. } = &journal.entry;
        if directory == self.directory.as_str() && *identifiers == self.names() && *key_type == self.key_type {
            return Ok(Some(journal));
        }
        tracing::info!(certificate = %self.certificate.name, "an interrupted order was for something else, and is given up");
        store.drop_journal(self.lock)?;
        Ok(None)
    }

    /// The order to go on with, and the key that it is for.
    async fn open(&self, account: &Account, journal: Option<Journal>) -> Result<(acme::Order, PrivateKey), Error> {
        let store = self.renewer.store;
        let key = match journal {
            Some(Journal { key, entry }) => {
                if let Some(order) = self.interrupted(account, entry.order_url.as_deref()).await? {
                    tracing::info!(certificate = %self.certificate.name, "continuing an interrupted order");
                    store.set_order_url(self.lock, order.url())?;
                    return Ok((order, key));
                }
                key
            }
            None => self.begin()?,
        };
        match account.new_order(&self.certificate.domains, self.issuer.profile.as_deref()).await {
            Ok(order) => {
                store.set_order_url(self.lock, order.url())?;
                Ok((order, key))
            }
            Err(error) => {
                // An authority that has answered no has made no order; one that was not heard may have made one.
                if error.is_an_answer() {
                    store.drop_journal(self.lock)?;
                }
                Err(self.failed(error))
            }
        }
    }

    /// The order that a crash interrupted, if the authority still knows it.
    async fn interrupted(&self, account: &Account, url: Option<&str>) -> Result<Option<acme::Order>, Error> {
        let order = match url {
            Some(url) => match account.resume(url).await {
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
        let key = PrivateKey::generate(self.key_type)
            .map_err(|source| Error::Key { name: self.certificate.name.clone(), source })?;
        let entry = Entry {
            directory: self.directory.as_str().to_owned(),
            identifiers: self.names(),
            key_type: self.key_type,
            order_url: None,
            started: self.renewer.clock.now(),
        };
        self.renewer.store.begin_journal(self.lock, &key, &entry)?;
        Ok(key)
    }

    /// Proves the names that the authority has not validated before, and waits for the certificate.
    async fn finish(
        &self,
        order: &mut acme::Order,
        key: &PrivateKey,
        answers: &mut Answers<'_>,
    ) -> Result<String, Error> {
        if order.status() == Status::Pending {
            let challenges = order.challenges(ChallengeKind::Http01).await.map_err(|error| self.failed(error))?;
            for challenge in &challenges {
                answers.present(&challenge.token, &challenge.key_authorization).await?;
            }
            for challenge in &challenges {
                tracing::info!(name = %challenge.identifier, "asking the authority to validate");
                order.ready(challenge).await.map_err(|error| self.failed(error))?;
            }
            order.await_ready(VALIDATION_DEADLINE).await.map_err(|error| self.failed(error))?;
        }
        tracing::info!(certificate = %self.certificate.name, "waiting for the certificate");
        order.finalize(key).await.map_err(|error| self.failed(error))?;
        order.certificate(ISSUE_DEADLINE).await.map_err(|error| self.failed(error))
    }

    /// What was issued passes the gate like anything else. Its age does not count: what was just ordered is the newest.
    fn admit(&self, chain: &str, key: &PrivateKey) -> Result<Bundle, Error> {
        let gate = Gate {
            name: &self.certificate.name,
            now: self.renewer.clock.now(),
            trust: self.renewer.trust,
            required: &self.names(),
            rivals: &[],
            force: false,
        };
        match gate.admit(&[chain.as_bytes(), key.pem().as_bytes()]) {
            Ok(admitted) => Ok(admitted.bundle),
            Err(source) => {
                self.renewer.store.drop_journal(self.lock)?;
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

fn read_roots(issuer: &Issuer) -> Result<Option<String>, Error> {
    let Some(path) = &issuer.root_ca else { return Ok(None) };
    std::fs::read_to_string(path).map(Some).map_err(|source| Error::RootCa { path: path.clone(), source })
}
