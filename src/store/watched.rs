//! What was last taken from a watched directory, so that a file is a new wish only once it has changed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{CertLock, Error, Store, read};
use crate::model::{CertName, Sha256};

/// The contents of a watched file when a certificate was last taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The file with the certificate.
    pub file: PathBuf,
    /// A digest of its contents, and of those of its key file.
    pub contents: Sha256,
    /// The fingerprint of the leaf in it.
    pub leaf: Sha256,
    /// How many intermediates follow it.
    pub chain_length: usize,
}

impl Store {
    /// Notes what was taken. Without it, a certificate that was rolled back would come back from its file.
    pub fn note_taken(&self, lock: &CertLock, taken: &Taken) -> Result<(), Error> {
        if self.taken(lock.name()).is_ok_and(|noted| noted.as_ref() == Some(taken)) {
            return Ok(());
        }
        self.write_json(&self.taken_path(lock.name()), taken)?;
        tracing::trace!(target: "hotcert::step", "store: what was taken is noted");
        Ok(())
    }

    /// What was last taken for a certificate.
    pub fn taken(&self, name: &CertName) -> Result<Option<Taken>, Error> {
        read::json(&self.taken_path(name))
    }

    fn taken_path(&self, name: &CertName) -> PathBuf {
        self.certificate(name).join("watched.json")
    }
}
