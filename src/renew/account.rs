//! Accounts at authorities: created once, and kept.

use std::time::Duration;

use super::{Error, Renewer};
use crate::acme::{Account, AccountKey, Http};
use crate::config::Issuer;
use crate::model::DirectoryUrl;
use crate::store::{self, AccountLock, AccountRecord};

/// How long another process may take to register the account.
const LOCK_DEADLINE: Duration = Duration::from_mins(1);

impl Renewer<'_> {
    /// The key of the account, which is made and saved before the authority hears of it.
    pub async fn account_key(&self, directory: &DirectoryUrl, issuer: &Issuer) -> Result<AccountKey, Error> {
        let failed = |source| Error::acme(issuer, source);
        if let Some(stored) = self.store.account(directory.as_str())? {
            return AccountKey::from_pem(stored.key_pem.as_str()).map_err(failed);
        }
        let lock = self.lock_account(directory).await?;
        let new = AccountKey::generate().map_err(failed)?;
        let saved = self.store.save_account_key(&lock, new.pem())?;
        AccountKey::from_pem(saved.as_str()).map_err(failed)
    }

    /// Whether there is an account, or the operator gave what one needs.
    pub(super) fn can_have_account(&self, directory: &DirectoryUrl, issuer: &Issuer) -> Result<(), Error> {
        if self.recorded(directory)?.is_some() {
            return Ok(());
        }
        if issuer.contact.is_empty() {
            return Err(Error::ContactMissing { issuer: issuer.name.clone() });
        }
        if !issuer.terms_agreed {
            return Err(Error::TermsNotAgreed { issuer: issuer.name.clone() });
        }
        Ok(())
    }

    /// The account: restored, or registered.
    pub(super) async fn account(
        &self,
        http: &Http,
        directory: &DirectoryUrl,
        issuer: &Issuer,
        key: &AccountKey,
    ) -> Result<Account, Error> {
        let failed = |source| Error::acme(issuer, source);
        if let Some(record) = self.recorded(directory)? {
            return Account::restore(http, directory, key, &record.url).await.map_err(failed);
        }
        let lock = self.lock_account(directory).await?;
        if let Some(record) = self.recorded(directory)? {
            return Account::restore(http, directory, key, &record.url).await.map_err(failed);
        }
        tracing::info!(issuer = issuer.name, "registering an account");
        let account =
            Account::register(http, directory, key, &issuer.contact, issuer.terms_agreed).await.map_err(failed)?;
        let record = AccountRecord {
            url: account.url().to_owned(),
            directory: directory.as_str().to_owned(),
            contact: issuer.contact.clone(),
            terms_agreed_at: Some(self.clock.now()),
        };
        self.store.save_account_record(&lock, &record)?;
        Ok(account)
    }

    fn recorded(&self, directory: &DirectoryUrl) -> Result<Option<AccountRecord>, Error> {
        Ok(self.store.account(directory.as_str())?.and_then(|stored| stored.record))
    }

    async fn lock_account(&self, directory: &DirectoryUrl) -> Result<AccountLock, Error> {
        store::until(LOCK_DEADLINE, || self.store.try_lock_account(directory.as_str()))
            .await?
            .ok_or(Error::AccountBusy { waited: LOCK_DEADLINE })
    }
}
