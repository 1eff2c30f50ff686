//! The order in progress, so that a crash at any point resumes it: one order per renewal, never a certificate without its key.
//!
//! The key is written first, `order.json` second and removed first: a journal exists exactly when `order.json` does, and then
//! the key does too. What cannot be understood is moved aside as `journal.broken-<n>`, for the key in it may be all there is.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::io;
use super::{CertLock, Error, Store, atomic, read, remove};
use crate::bundle::PrivateKey;
use crate::model::{CertName, Identifier, KeyType, chain};

/// An order and the key of the certificate to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// The key.
    pub key: PrivateKey,
    /// The order.
    pub entry: Entry,
}

/// An order, as far as it got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The URL of the authority's directory.
    pub directory: String,
    /// The name of the issuer in the configuration: there may be several at one authority.
    #[serde(default)]
    pub issuer: Option<String>,
    /// What the certificate is to cover.
    pub identifiers: BTreeSet<Identifier>,
    /// The type of the key.
    pub key_type: KeyType,
    /// The order's URL (RFC 8555, section 7.1.3); `None` before the authority has answered.
    pub order_url: Option<String>,
    /// When it began.
    pub started: Timestamp,
}

impl Entry {
    /// Whether it was begun with an issuer of this name, at this directory.
    #[must_use]
    pub fn is_with(&self, issuer: &str, directory: &str) -> bool {
        self.directory == directory && self.issuer.as_ref().is_none_or(|name| name == issuer)
    }
}

impl Store {
    /// Opens a journal, before the authority hears of the order. There must be none: [`Store::drop_journal`] first.
    pub fn begin_journal(&self, lock: &CertLock, key: &PrivateKey, entry: &Entry) -> Result<(), Error> {
        let place = self.journal(lock.name());
        if self.has_journal(lock.name())? {
            return Err(Error::JournalInUse { name: lock.name().clone() });
        }
        self.write(&place.join(KEY), key.pem().as_bytes())?;
        tracing::trace!(target: "hotcert::step", "store: journal key saved");
        self.write_json(&place.join(ORDER), entry)?;
        tracing::trace!(target: "hotcert::step", "store: journal begun");
        Ok(())
    }

    /// Notes where the order is found.
    pub fn set_order_url(&self, lock: &CertLock, url: &str) -> Result<(), Error> {
        let path = self.journal(lock.name()).join(ORDER);
        let Some(mut entry) = read::json::<Entry>(&path)? else {
            return Err(Error::JournalMissing { name: lock.name().clone() });
        };
        entry.order_url = Some(url.to_owned());
        self.write_json(&path, &entry)?;
        tracing::trace!(target: "hotcert::step", "store: order url journalled");
        Ok(())
    }

    /// Whether an order is in progress, or was when hotcert crashed.
    pub fn has_journal(&self, name: &CertName) -> Result<bool, Error> {
        let path = self.journal(name).join(ORDER);
        path.try_exists().map_err(io("open", &path))
    }

    /// Where an order is in progress, as far as that can be read.
    pub fn journal_entry(&self, name: &CertName) -> Result<Option<Entry>, Error> {
        match read::json(&self.journal(name).join(ORDER)) {
            // Whoever goes on with it moves it aside.
            Err(Error::Damaged { .. } | Error::NotAFile { .. } | Error::TooLong { .. }) => Ok(None),
            found => found,
        }
    }

    /// The order in progress. A journal that cannot be understood is moved aside with a warning, and is none.
    pub fn read_journal(&self, lock: &CertLock) -> Result<Option<Journal>, Error> {
        let place = self.journal(lock.name());
        match read_both(&place) {
            Ok(None) => {
                // A key alone is what a crash left before the order was placed, or after it was over.
                remove(&place.join(KEY))?;
                Ok(None)
            }
            Ok(journal) => Ok(journal),
            Err(error @ (Error::Damaged { .. } | Error::NotAFile { .. } | Error::TooLong { .. })) => {
                let aside = self.move_aside(lock.name(), &place)?;
                tracing::warn!(cert = %lock.name(), error = %chain(&error), moved_to = %aside.display(), "the journal of an order was unreadable");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the journal, when its certificate is stored or its order given up. None is fine.
    pub fn drop_journal(&self, lock: &CertLock) -> Result<(), Error> {
        let place = self.journal(lock.name());
        remove(&place.join(ORDER))?;
        tracing::trace!(target: "hotcert::step", "store: journal closed");
        remove(&place.join(KEY))?;
        tracing::trace!(target: "hotcert::step", "store: journal dropped");
        Ok(())
    }

    fn journal(&self, name: &CertName) -> PathBuf {
        self.certificate(name).join("journal")
    }

    fn move_aside(&self, name: &CertName, place: &Path) -> Result<PathBuf, Error> {
        let mut number = 1_u32;
        loop {
            let aside = self.certificate(name).join(format!("journal.broken-{number}"));
            if fs::symlink_metadata(&aside).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                fs::rename(place, &aside).map_err(io("move aside", place))?;
                atomic::sync_directory(&self.certificate(name))?;
                tracing::trace!(target: "hotcert::step", "store: broken journal moved aside");
                return Ok(aside);
            }
            number += 1;
        }
    }
}

const KEY: &str = "privkey.pem";
const ORDER: &str = "order.json";

fn read_both(place: &Path) -> Result<Option<Journal>, Error> {
    let Some(entry) = read::json::<Entry>(&place.join(ORDER))? else { return Ok(None) };
    let path = place.join(KEY);
    let Some(text) = read::text(&path)? else {
        return Err(Error::Damaged { path, source: "the key of the order is missing".into() });
    };
    match PrivateKey::from_pem(&text) {
        Ok(key) => Ok(Some(Journal { key, entry })),
        Err(error) => Err(Error::Damaged { path, source: Box::new(error) }),
    }
}
