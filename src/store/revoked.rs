//! Generations that are revoked: nobody goes back to one, and one that was taken out of service is not brought back.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::certs::META;
use super::{CertLock, Error, Store, read};
use crate::model::{CertName, RevocationReason, Sha256};

/// That, when and why a generation was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When its authority was told.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// Whether it was taken out of service, so that nothing is loaded until there is another generation.
    #[serde(default)]
    pub detached: bool,
}

impl Store {
    /// Whether a leaf is that of a generation that is revoked, among those that are kept.
    pub fn revocation(&self, name: &CertName, leaf: Sha256) -> Result<Option<Revocation>, Error> {
        for number in self.generations(name)? {
            // One that cannot be read is not what is asked about.
            let known = self.generation(name, number).ok().filter(|generation| generation.facts.sha256 == leaf);
            if let Some(revocation) = known.and_then(|generation| generation.revoked) {
                return Ok(Some(revocation));
            }
        }
        Ok(None)
    }

    /// Notes that a generation is revoked. It is the one thing that changes about a generation.
    pub fn note_revoked(&self, lock: &CertLock, number: u64, revocation: &Revocation) -> Result<(), Error> {
        let path = self.generation_directory(lock.name(), number).join(META);
        let missing = || Error::NoGeneration { name: lock.name().clone(), number };
        // Whatever else stands there stays as it is.
        let mut meta: serde_json::Map<String, serde_json::Value> = read::json(&path)?.ok_or_else(missing)?;
        meta.insert("revoked".to_owned(), to_value(&path, revocation)?);
        self.write_json(&path, &meta)?;
        tracing::trace!(target: "hotcert::step", "store: revocation noted");
        self.touch(lock.name());
        Ok(())
    }
}

fn to_value(path: &Path, revocation: &Revocation) -> Result<serde_json::Value, Error> {
    serde_json::to_value(revocation).map_err(|error| Error::Io {
        operation: "write",
        path: path.to_owned(),
        source: error.into(),
    })
}
