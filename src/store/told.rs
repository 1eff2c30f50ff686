//! What was told of, to whom it is still to be told, and what was seen last: so that nothing is told twice.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, EventsLock, Store, read};
use crate::model::{CertName, NodeName, Sha256, chain};

/// The most that is read: some hundred bytes for each of a hundred thousand certificates.
const LIMIT: usize = 64 * 1024 * 1024;

/// What was told of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// What was seen of each certificate.
    pub certificates: BTreeMap<CertName, Seen>,
    /// What is wrong, by what it is about.
    pub troubles: BTreeMap<String, String>,
    /// What somebody has to be told yet, in the order in which it happened.
    pub letters: Vec<Letter>,
}

/// What was last seen of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// The highest number of a generation.
    pub generation: u64,
    /// The serial number that each node serves.
    pub loaded: BTreeMap<NodeName, String>,
    /// The end of the lifetime that is running out, and how many thresholds it has passed.
    pub expiring: Option<(Timestamp, usize)>,
}

/// Something that somebody has to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Who: a digest of the address, which may be a secret.
    pub to: Sha256,
    /// What tells it from others.
    pub id: String,
    /// What is told.
    pub event: serde_json::Value,
    /// How often it was tried.
    pub attempts: u32,
    /// Not before then is it tried, again.
    pub at: Timestamp,
}

impl Store {
    /// What was told; `None` when there was never anybody to be told.
    pub fn told(&self) -> Result<Option<Told>, Error> {
        let path = self.told_path();
        let Some(bytes) = read::up_to(LIMIT, &path)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(told) => Ok(Some(told)),
            Err(error) => {
                tracing::warn!(error = %chain(&error), path = %path.display(), "what was told of is unreadable, and is begun anew");
                Ok(None)
            }
        }
    }

    /// Notes what was told.
    pub fn put_told(&self, _lock: &EventsLock, told: &Told) -> Result<(), Error> {
        self.write_json(&self.told_path(), told)?;
        tracing::trace!(target: "hotcert::step", "store: what was told of is noted");
        Ok(())
    }

    fn told_path(&self) -> PathBuf {
        self.root.join("told.json")
    }
}
