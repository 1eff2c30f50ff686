//! What people do with an account: look at it, register it, tell other contacts, change its key, give it up.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::account::read_key;
use super::order::connect;
use super::{Error, Renewer};
use crate::acme::{Account, AccountKey, Registration};
use crate::config::Issuer;
use crate::model::DirectoryUrl;
use crate::store::{self, AccountRecord, AccountUse};

/// How long orders that are under way may keep the key of their account from being changed: validation and issuance have two minutes
/// each.
const ORDERS_DEADLINE: Duration = Duration::from_mins(5);

/// An account as it stands.
#[derive(Debug)]
pub struct Standing {
    /// What is stored of it; `None` when none is registered.
    pub record: Option<AccountRecord>,
    /// The thumbprint of its key; `None` when there is none.
    pub thumbprint: Option<String>,
    /// Where the key is.
    pub key_file: PathBuf,
    /// The domains by which records of the DNS name the authority, as far as it says.
    pub authorities: Vec<String>,
    /// What the authority says; `None` when there is nothing to ask about.
    pub asked: Option<Result<Registration, Error>>,
}

/// What became of a wish to change an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is done.
    Done,
    /// It was so already.
    Nothing,
    /// It was begun before, and is finished now.
    Finished,
}

impl Renewer<'_> {
    /// Looks at the account, and asks the authority how it stands.
    pub async fn account_standing(&self, issuer: &Issuer) -> Result<Standing, Error> {
        let directory = directory(issuer)?;
        let mut standing = Standing {
            record: self.recorded(directory)?,
            thumbprint: None,
            key_file: self.store.account_key_file(directory.as_str()),
            authorities: Vec::new(),
            asked: None,
        };
        let asked = async {
            let _use = self.use_account(directory).await?;
            let key = self.stored_key(directory, issuer).await?;
            standing.thumbprint = key.as_ref().map(|key| key.thumbprint().to_owned());
            let Some((record, key)) = standing.record.as_ref().zip(key) else { return Ok(None) };
            if record.deactivated_at.is_some() {
                return Ok(None);
            }
            let account = self.restore(issuer, directory, &key, record).await?;
            standing.authorities = account.caa_identities();
            account.registration().await.map(Some).map_err(|source| Error::asking(issuer, source))
        };
        standing.asked = asked.await.transpose();
        Ok(standing)
    }

    /// Registers the account if there is none that counts, and tells the authority the contacts. One that was deactivated, or that
    /// the authority does not know any more, is followed by another.
    pub async fn register_account(&self, issuer: &Issuer) -> Result<Change, Error> {
        let directory = directory(issuer)?;
        let _own = self.own_account(directory).await?;
        if self.recorded(directory)?.is_some_and(|record| record.deactivated_at.is_some()) {
            can_register(issuer)?;
            let lock = self.lock_account(directory).await?;
            let aside = self.store.retire_account(&lock)?;
            tracing::info!(issuer = issuer.name, aside = %aside.display(), "the deactivated account is put aside");
        }
        let key = self.account_key(directory, issuer).await?;
        if let Some(record) = self.recorded(directory)? {
            let failed = |source| Error::asking(issuer, source);
            if Account::find(&connect(issuer)?, directory, &key).await.map_err(failed)?.is_some() {
                let is_told = issuer.contact.is_empty() || record.contact == issuer.contact;
                return if is_told { Ok(Change::Nothing) } else { self.tell_contacts(issuer, directory).await };
            }
            tracing::warn!(issuer = issuer.name, url = record.url, "the authority does not know this account any more");
        }
        can_register(issuer)?;
        let lock = self.lock_account(directory).await?;
        self.create(&lock, &connect(issuer)?, directory, issuer, &key).await?;
        Ok(Change::Done)
    }

    /// Tells the authority the contacts of the configuration.
    pub async fn update_contacts(&self, issuer: &Issuer) -> Result<Change, Error> {
        let directory = directory(issuer)?;
        if issuer.contact.is_empty() {
            return Err(Error::ContactMissing { issuer: issuer.name.clone() });
        }
        let _use = self.use_account(directory).await?;
        self.tell_contacts(issuer, directory).await
    }

    /// Gives the account another key. It is saved before the authority hears of it; whoever comes after a crash asks the authority
    /// which of the two counts. Waits for orders that are under way, for their challenges are answered by the old one.
    pub async fn roll_over_account(&self, issuer: &Issuer) -> Result<Change, Error> {
        let directory = directory(issuer)?;
        let failed = |source| Error::asking(issuer, source);
        let _own = self.own_account(directory).await?;
        let begun = self.store.account(directory.as_str())?.and_then(|stored| stored.next);
        let (record, key) = self.active(issuer, directory).await?;
        if begun.as_ref().is_some_and(|next| next.pem.as_str() == key.pem()) {
            return Ok(Change::Finished);
        }
        let lock = self.lock_account(directory).await?;
        let stored = self.store.account(directory.as_str())?;
        let next = if let Some(next) = stored.and_then(|stored| stored.next) {
            // The authority may still take the one that it was told of before.
            read_key(next.pem.as_str(), issuer)?
        } else {
            let next = AccountKey::generate().map_err(failed)?;
            self.store.save_next_account_key(&lock, next.pem())?;
            next
        };
        let account = self.restore(issuer, directory, &key, &record).await?;
        if let Err(error) = account.roll_over(&next).await {
            // It may have been done nevertheless, by this request or by one before.
            match Account::find(&connect(issuer)?, directory, &next).await {
                Ok(Some(_)) => {}
                Ok(None) if error.is_an_answer() && begun.is_none() => {
                    self.store.drop_next_account_key(&lock)?;
                    return Err(failed(error));
                }
                _ => return Err(failed(error)),
            }
        }
        self.store.take_next_account_key(&lock)?;
        tracing::info!(issuer = issuer.name, "the account has another key");
        Ok(Change::Done)
    }

    /// Ends the account, which cannot be undone. Its record is kept.
    pub async fn deactivate_account(&self, issuer: &Issuer) -> Result<Change, Error> {
        let directory = directory(issuer)?;
        let _own = self.own_account(directory).await?;
        let (mut record, key) = match self.active(issuer, directory).await {
            Err(Error::AccountDeactivated { .. }) => return Ok(Change::Nothing),
            active => active?,
        };
        let account = self.restore(issuer, directory, &key, &record).await?;
        let change = match account.deactivate().await {
            Ok(_) => Change::Done,
            Err(error) if error.says_account_is_over() => Change::Nothing,
            Err(error) => return Err(Error::asking(issuer, error)),
        };
        record.deactivated_at = Some(self.clock.now());
        let lock = self.lock_account(directory).await?;
        self.store.save_account_record(&lock, &record)?;
        Ok(change)
    }

    async fn tell_contacts(&self, issuer: &Issuer, directory: &DirectoryUrl) -> Result<Change, Error> {
        let (record, key) = self.active(issuer, directory).await?;
        let account = self.restore(issuer, directory, &key, &record).await?;
        account.set_contacts(&issuer.contact).await.map_err(|source| Error::asking(issuer, source))?;
        let lock = self.lock_account(directory).await?;
        self.store.save_account_record(&lock, &AccountRecord { contact: issuer.contact.clone(), ..record })?;
        Ok(Change::Done)
    }

    /// The account that there is, with its key.
    pub(super) async fn active(
        &self,
        issuer: &Issuer,
        directory: &DirectoryUrl,
    ) -> Result<(AccountRecord, AccountKey), Error> {
        let none = || Error::NoAccount { issuer: issuer.name.clone() };
        let record = self.recorded(directory)?.ok_or_else(none)?;
        if let Some(at) = record.deactivated_at {
            return Err(Error::AccountDeactivated { issuer: issuer.name.clone(), at });
        }
        let key = self.stored_key(directory, issuer).await?.ok_or_else(none)?;
        Ok((record, key))
    }

    pub(super) async fn restore(
        &self,
        issuer: &Issuer,
        directory: &DirectoryUrl,
        key: &AccountKey,
        record: &AccountRecord,
    ) -> Result<Account, Error> {
        let restored = Account::restore(&connect(issuer)?, directory, key, &record.url).await;
        restored.map_err(|source| Error::asking(issuer, source))
    }

    /// Waits until no order uses the account, and keeps others from beginning.
    async fn own_account(&self, directory: &DirectoryUrl) -> Result<AccountUse, Error> {
        if let Some(own) = self.store.try_own_account(directory.as_str())? {
            return Ok(own);
        }
        tracing::info!("waiting for the orders of the account that are under way");
        store::until(ORDERS_DEADLINE, || self.store.try_own_account(directory.as_str()))
            .await?
            .ok_or(Error::AccountBusy { waited: ORDERS_DEADLINE })
    }
}

impl Standing {
    /// When it was deactivated.
    #[must_use]
    pub fn deactivated_at(&self) -> Option<Timestamp> {
        self.record.as_ref()?.deactivated_at
    }
}

pub(super) fn directory(issuer: &Issuer) -> Result<&DirectoryUrl, Error> {
    issuer.directory.as_ref().ok_or_else(|| Error::InternalIssuer { issuer: issuer.name.clone() })
}

/// Whether the operator gave what a new account needs. Some authorities want no contact, and say so if they do.
fn can_register(issuer: &Issuer) -> Result<(), Error> {
    if issuer.terms_agreed { Ok(()) } else { Err(Error::TermsNotAgreed { issuer: issuer.name.clone() }) }
}
