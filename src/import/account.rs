//! Accounts of other programs, so that the first renewal needs no new one.

use std::time::Duration;

use serde::Deserialize;

use super::lineage::ForeignAccount;
use super::source::Unread;
use super::{Importer, https};
use crate::acme::{AccountKey, ForeignKey};
use crate::store::{self, AccountRecord};

/// How long another process may take with the account at the same authority.
const LOCK_DEADLINE: Duration = Duration::from_secs(30);
/// Longest URL of an account that is kept, in bytes.
const URL: usize = 2000;

/// What certbot and lego keep of a registration.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Registration {
    pub(super) body: AccountObject,
    pub(super) uri: Option<String>,
}

/// What an authority said of an account (RFC 8555, section 7.1.2), as far as it is used.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountObject {
    contact: Vec<String>,
}

/// What became of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountFate {
    /// hotcert uses it from now on, or would.
    Adopted,
    /// hotcert uses it already.
    Present,
    /// It is not used.
    Skipped(Why),
}

/// Why an account is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// Its key is none that we sign by.
    #[error(transparent)]
    Key(#[from] ForeignKey),
    /// Its authority is not known.
    #[error("the files do not say at which authority it is")]
    NoDirectory,
    /// Its URL is not known, or is none.
    #[error("the files do not say its URL, by which the authority knows it")]
    NoUrl,
    /// There is one already.
    #[error("hotcert has another account there")]
    Another,
    /// Another process is at work on it.
    #[error("another hotcert is at work on the account there")]
    Busy,
}

impl Importer<'_> {
    /// Takes over an account, where there is none yet. Its authority is not asked: whether it still knows the account, shows with the
    /// first order.
    pub async fn account(&self, account: &ForeignAccount) -> Result<AccountFate, store::Error> {
        let skipped = |why: Why| Ok(AccountFate::Skipped(why));
        let key = match &account.key {
            Ok(key) => key,
            Err(why) => return skipped(why.clone().into()),
        };
        let Some(directory) = &account.directory else { return skipped(Why::NoDirectory) };
        let url = account.url.as_deref().filter(|url| url.len() <= URL && https(url).is_some());
        let Some(url) = url else { return skipped(Why::NoUrl) };

        if let Some(stored) = self.store.account(directory.as_str())? {
            let is_same = is_key(stored.key_pem.as_str(), key);
            match stored.record {
                Some(record) if is_same && record.deactivated_at.is_none() => return Ok(AccountFate::Present),
                None if is_same => {}
                _ => return skipped(Why::Another),
            }
        }
        if self.dry_run {
            return Ok(AccountFate::Adopted);
        }
        let lock = store::until(LOCK_DEADLINE, || self.store.try_lock_account(directory.as_str())).await?;
        let Some(lock) = lock else { return skipped(Why::Busy) };
        let saved = self.store.save_account_key(&lock, key.pem())?;
        let is_taken =
            || Ok::<_, store::Error>(self.store.account(directory.as_str())?.is_some_and(|it| it.record.is_some()));
        if !is_key(saved.as_str(), key) || is_taken()? {
            // Registered since we looked.
            return skipped(Why::Another);
        }
        let record = AccountRecord {
            url: url.to_owned(),
            directory: directory.as_str().to_owned(),
            contact: account.contact.clone(),
            // The other program was told so, and does not say when.
            terms_agreed_at: None,
            deactivated_at: None,
        };
        self.store.save_account_record(&lock, &record)?;
        Ok(AccountFate::Adopted)
    }
}

impl AccountObject {
    /// Where its owner can be reached, as URLs.
    pub(super) fn contact(&self) -> impl Iterator<Item = &str> {
        self.contact.iter().map(String::as_str)
    }
}

impl From<Unread> for ForeignKey {
    fn from(unread: Unread) -> Self {
        Self::Unreadable(unread.to_string())
    }
}

fn is_key(stored: &str, key: &AccountKey) -> bool {
    AccountKey::from_pem(stored).is_ok_and(|stored| stored.thumbprint() == key.thumbprint())
}
