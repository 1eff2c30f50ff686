//! Accounts at authorities: a key that is never overwritten but by the one that takes its place, and what the authority said.
//!
//! A key that is to take its place lies beside it from before the authority hears of it until the authority is known to have taken
//! it, so that whichever of the two counts is there after a crash.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::atomic::{self, Temporary};
use super::error::io;
use super::{AccountLock, Error, Store, file_id, read, remove};

const KEY: &str = "key.pem";
const NEXT_KEY: &str = "next-key.pem";
const RECORD: &str = "account.json";

/// What is stored of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAccount {
    /// The account's private key in PEM.
    pub key_pem: KeyPem,
    /// What the authority said; `None` when we do not know whether it ever got the key (RFC 8555, section 7.3.1 finds out).
    pub record: Option<AccountRecord>,
    /// A key that is to take the place of the other, or has already, at the authority.
    pub next: Option<NextKey>,
}

/// The other half of a change of keys that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextKey {
    /// The key in PEM.
    pub pem: KeyPem,
    /// How long it has been there.
    pub age: Duration,
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
    /// When it was deactivated, which cannot be undone; such a record is kept until another account takes its place.
    #[serde(default)]
    pub deactivated_at: Option<Timestamp>,
}

impl Store {
    /// The account at an authority, if there is one.
    pub fn account(&self, directory: &str) -> Result<Option<StoredAccount>, Error> {
        let place = self.account_directory(directory);
        let Some(key_pem) = read::text(&place.join(KEY))? else { return Ok(None) };
        let next = next_key(&place.join(NEXT_KEY))?;
        Ok(Some(StoredAccount { key_pem: KeyPem(key_pem), record: read::json(&place.join(RECORD))?, next }))
    }

    /// Where the key of the account at an authority is, or would be.
    #[must_use]
    pub fn account_key_file(&self, directory: &str) -> PathBuf {
        self.account_directory(directory).join(KEY)
    }

    /// Stores the key of a new account, before the authority learns of it. One that is there already stays: whatever is
    /// returned is the key to use.
    pub fn save_account_key(&self, lock: &AccountLock, pem: &str) -> Result<KeyPem, Error> {
        let place = self.account_directory(&lock.directory);
        let path = place.join(KEY);
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
        self.write_json(&self.account_directory(&lock.directory).join(RECORD), record)?;
        tracing::trace!(target: "hotcert::step", "store: account recorded");
        Ok(())
    }

    /// Stores the key that is to take the place of the account's, before the authority learns of it.
    pub fn save_next_account_key(&self, lock: &AccountLock, pem: &str) -> Result<(), Error> {
        self.write(&self.account_directory(&lock.directory).join(NEXT_KEY), pem.as_bytes())?;
        tracing::trace!(target: "hotcert::step", "store: next account key saved");
        Ok(())
    }

    /// Puts that key in the place of the account's, which is worth nothing any more: the authority has taken it.
    pub fn take_next_account_key(&self, lock: &AccountLock) -> Result<(), Error> {
        let place = self.account_directory(&lock.directory);
        let target = place.join(KEY);
        fs::rename(place.join(NEXT_KEY), &target).map_err(io("replace", &target))?;
        atomic::sync_directory(&place)?;
        tracing::trace!(target: "hotcert::step", "store: account key replaced");
        Ok(())
    }

    /// Removes that key: the authority has not taken it, and will not.
    pub fn drop_next_account_key(&self, lock: &AccountLock) -> Result<(), Error> {
        remove(&self.account_directory(&lock.directory).join(NEXT_KEY))?;
        tracing::trace!(target: "hotcert::step", "store: next account key dropped");
        Ok(())
    }

    /// Puts an account that is over aside, with its key and its record, so that there is room for another one.
    pub fn retire_account(&self, lock: &AccountLock) -> Result<PathBuf, Error> {
        let place = self.account_directory(&lock.directory);
        let aside = |number: u32| PathBuf::from(format!("{}.retired-{number}", place.display()));
        let mut number = 1;
        while aside(number).exists() {
            number += 1;
        }
        let target = aside(number);
        fs::rename(&place, &target).map_err(io("replace", &target))?;
        atomic::sync_directory(atomic::directory_of(&place))?;
        tracing::trace!(target: "hotcert::step", "store: account retired");
        Ok(target)
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

fn next_key(path: &Path) -> Result<Option<NextKey>, Error> {
    let Some(pem) = read::text(path)? else { return Ok(None) };
    let changed = fs::metadata(path).and_then(|found| found.modified()).map_err(io("read", path))?;
    // One from the future is as good as new.
    Ok(Some(NextKey { pem: KeyPem(pem), age: changed.elapsed().unwrap_or_default() }))
}

/// The host, for people, and a digest of the whole URL: one host may have several directories, each with its own accounts.
pub(super) fn authority_id(directory: &str) -> String {
    let rest = directory.split_once("://").map_or(directory, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    file_id(host, directory)
}
