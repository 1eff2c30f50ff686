//! Accounts at authorities: a key that is never overwritten, and what the authority said about it.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::atomic::{self, Temporary};
use super::{AccountLock, Error, Store, file_id, read};

/// What is stored of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAccount {
    /// The account's private key in PEM.
    pub key_pem: KeyPem,
    /// What the authority said; `None` when we do not know whether it ever got the key (RFC 8555, section 7.3.1 finds out).
    pub record: Option<AccountRecord>,
}

/// An account key in PEM; not shown by `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPem(Zeroizing<String>);

/// An account as its authority knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// The account's URL.
    pub url: String,
    /// The URL of the authority's directory.
    pub directory: String,
    /// Contact URLs, as they were last sent.
    pub contact: Vec<String>,
    /// When the terms of service were agreed to.
    pub terms_agreed_at: Option<Timestamp>,
}

impl Store {
    /// The account at an authority, if there is one.
    pub fn account(&self, directory: &str) -> Result<Option<StoredAccount>, Error> {
        let place = self.account_directory(directory);
        let Some(key_pem) = read::text(&place.join("key.pem"))? else { return Ok(None) };
        Ok(Some(StoredAccount { key_pem: KeyPem(key_pem), record: read::json(&place.join("account.json"))? }))
    }

    /// Stores the key of a new account, before the authority learns of it. One that is there already stays: whatever is
    /// returned is the key to use.
    pub fn save_account_key(&self, lock: &AccountLock, pem: &str) -> Result<KeyPem, Error> {
        let place = self.account_directory(&lock.directory);
        let path = place.join("key.pem");
        self.make_directories(&place)?;
        atomic::sweep(&place)?;
        if Temporary::create(&path, pem.as_bytes(), self.private())?.link()? {
            atomic::sync_directory(&place)?;
            tracing::trace!(target: "hotcert::step", "store: account key saved");
        }
        let stored = read::text(&path)?;
        Ok(KeyPem(stored.unwrap_or_else(|| Zeroizing::new(pem.to_owned()))))
    }

    /// Stores what the authority said about the account.
    pub fn save_account_record(&self, lock: &AccountLock, record: &AccountRecord) -> Result<(), Error> {
        self.write_json(&self.account_directory(&lock.directory).join("account.json"), record)?;
        tracing::trace!(target: "hotcert::step", "store: account recorded");
        Ok(())
    }

    fn account_directory(&self, directory: &str) -> PathBuf {
        self.root.join("accounts").join(authority_id(directory))
    }
}

impl KeyPem {
    /// The key as one PEM block. Whoever asks is responsible for where it goes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyPem(redacted)")
    }
}

/// The host, for people, and a digest of the whole URL: one host may have several directories, each with its own accounts.
pub(super) fn authority_id(directory: &str) -> String {
    let rest = directory.split_once("://").map_or(directory, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    file_id(host, directory)
}
