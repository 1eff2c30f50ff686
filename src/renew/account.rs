//! Accounts at authorities: created once, and kept.

use std::time::Duration;

use super::order::connect;
use super::{Error, Renewer};
use crate::acme::{Account, AccountKey, ExternalAccount, Http};
use crate::config::Issuer;
use crate::model::DirectoryUrl;
use crate::store::{self, AccountLock, AccountRecord, AccountUse, NextKey};

/// How long another process may take to register the account, or to change it.
const LOCK_DEADLINE: Duration = Duration::from_mins(1);

/// How long a request that was sent may go on without whoever sent it: far longer than anything between here and an authority keeps
/// one. Only then, that the authority does not know a key means that it never will.
const REQUEST_IS_OVER: Duration = Duration::from_mins(10);

impl Renewer<'_> {
    /// The key of the account, which is made and saved before the authority hears of it.
    pub async fn account_key(&self, directory: &DirectoryUrl, issuer: &Issuer) -> Result<AccountKey, Error> {
        if let Some(key) = self.stored_key(directory, issuer).await? {
            return Ok(key);
        }
        let lock = self.lock_account(directory).await?;
        let new = AccountKey::generate().map_err(|source| Error::acme(issuer, source))?;
        let saved = self.store.save_account_key(&lock, new.pem())?;
        read_key(saved.as_str(), issuer)
    }

    /// The key of the account, if there is one. Where a change of keys was interrupted, the authority is asked which one counts.
    pub(super) async fn stored_key(
        &self,
        directory: &DirectoryUrl,
        issuer: &Issuer,
    ) -> Result<Option<AccountKey>, Error> {
        let Some(mut stored) = self.store.account(directory.as_str())? else { return Ok(None) };
        if stored.next.is_some() {
            let lock = self.lock_account(directory).await?;
            // Another process may just have ended the change.
            stored = match self.store.account(directory.as_str())? {
                Some(stored) => stored,
                None => return Ok(None),
            };
            if let Some(next) = &stored.next
                && self.settle(&lock, next, directory, issuer).await?
            {
                return read_key(next.pem.as_str(), issuer).map(Some);
            }
        }
        read_key(stored.key_pem.as_str(), issuer).map(Some)
    }

    /// Finds out whether a key has taken the place of the account's, and if so puts it there. One that has not is kept for as long as
    /// the authority may still take it.
    async fn settle(
        &self,
        lock: &AccountLock,
        next: &NextKey,
        directory: &DirectoryUrl,
        issuer: &Issuer,
    ) -> Result<bool, Error> {
        let key = read_key(next.pem.as_str(), issuer)?;
        let found =
            Account::find(&connect(issuer)?, directory, &key).await.map_err(|source| Error::asking(issuer, source))?;
        if found.is_some() {
            self.store.take_next_account_key(lock)?;
            tracing::info!(issuer = issuer.name, "an interrupted change of the account's key is finished");
        } else if next.age > REQUEST_IS_OVER {
            self.store.drop_next_account_key(lock)?;
        } else {
            tracing::info!(issuer = issuer.name, "a change of the account's key was interrupted; the old key counts");
        }
        Ok(found.is_some())
    }

    /// Whether there is an account, or the operator gave what one needs.
    pub fn can_have_account(&self, directory: &DirectoryUrl, issuer: &Issuer) -> Result<(), Error> {
        if let Some(record) = self.recorded(directory)? {
            return match record.deactivated_at {
                Some(at) => Err(Error::AccountDeactivated { issuer: issuer.name.clone(), at }),
                None => Ok(()),
            };
        }
        if issuer.contact.is_empty() {
            return Err(Error::ContactMissing { issuer: issuer.name.clone() });
        }
        if !issuer.terms_agreed {
            return Err(Error::TermsNotAgreed { issuer: issuer.name.clone() });
        }
        external(issuer).map(drop)
    }

    /// The account, if there is one.
    pub(super) async fn known_account(
        &self,
        http: &Http,
        directory: &DirectoryUrl,
        issuer: &Issuer,
        key: &AccountKey,
    ) -> Result<Option<Account>, Error> {
        let Some(record) = self.recorded(directory)? else { return Ok(None) };
        let restored = Account::restore(http, directory, key, &record.url).await;
        restored.map(Some).map_err(|source| Error::acme(issuer, source))
    }

    /// The account: restored, or registered.
    pub(super) async fn account(
        &self,
        http: &Http,
        directory: &DirectoryUrl,
        issuer: &Issuer,
        key: &AccountKey,
    ) -> Result<Account, Error> {
        if let Some(account) = self.known_account(http, directory, issuer, key).await? {
            return Ok(account);
        }
        let lock = self.lock_account(directory).await?;
        if let Some(account) = self.known_account(http, directory, issuer, key).await? {
            return Ok(account);
        }
        self.create(&lock, http, directory, issuer, key).await
    }

    /// Registers an account, and notes it.
    pub(super) async fn create(
        &self,
        lock: &AccountLock,
        http: &Http,
        directory: &DirectoryUrl,
        issuer: &Issuer,
        key: &AccountKey,
    ) -> Result<Account, Error> {
        tracing::info!(issuer = issuer.name, "registering an account");
        let external = external(issuer)?;
        let account = Account::register(http, directory, key, &issuer.contact, issuer.terms_agreed, external.as_ref())
            .await
            .map_err(|source| Error::acme(issuer, source))?;
        let record = AccountRecord {
            url: account.url().to_owned(),
            directory: directory.as_str().to_owned(),
            contact: issuer.contact.clone(),
            terms_agreed_at: Some(self.clock.now()),
            deactivated_at: None,
        };
        self.store.save_account_record(lock, &record)?;
        Ok(account)
    }

    pub(super) fn recorded(&self, directory: &DirectoryUrl) -> Result<Option<AccountRecord>, Error> {
        Ok(self.store.account(directory.as_str())?.and_then(|stored| stored.record))
    }

    pub(super) async fn lock_account(&self, directory: &DirectoryUrl) -> Result<AccountLock, Error> {
        store::until(LOCK_DEADLINE, || self.store.try_lock_account(directory.as_str()))
            .await?
            .ok_or(Error::AccountBusy { waited: LOCK_DEADLINE })
    }

    /// Keeps the account's key what it is, for as long as what is returned is held.
    pub(super) async fn use_account(&self, directory: &DirectoryUrl) -> Result<AccountUse, Error> {
        store::until(LOCK_DEADLINE, || self.store.try_use_account(directory.as_str()))
            .await?
            .ok_or(Error::AccountBusy { waited: LOCK_DEADLINE })
    }
}

pub(super) fn read_key(pem: &str, issuer: &Issuer) -> Result<AccountKey, Error> {
    AccountKey::from_pem(pem).map_err(|source| Error::acme(issuer, source))
}

/// What vouches for us where an authority knows its customers otherwise.
fn external(issuer: &Issuer) -> Result<Option<ExternalAccount>, Error> {
    let Some(eab) = &issuer.eab else { return Ok(None) };
    let key = store::read_file(&eab.hmac_key_file)?
        .ok_or_else(|| Error::ExternalKeyMissing { issuer: issuer.name.clone(), path: eab.hmac_key_file.clone() })?;
    ExternalAccount::new(&eab.kid, &key).map(Some).map_err(|source| Error::acme(issuer, source))
}
