//! The generation that the nodes of a certificate have accepted together.
//!
//! A certificate that several nodes serve is staged on all of them before it is committed on any. What came through that is
//! accepted: to that each single node is brought back, whatever was stored since and waits, or was refused by one of them.

use std::fs;
use std::path::PathBuf;

use super::atomic::sync_directory;
use super::certs::number_in;
use super::{Error, Store, remove};
use crate::model::CertName;

/// The link to it, beside the one to the current generation.
const ACCEPTED: &str = "accepted";

impl Store {
    /// The generation that all nodes have accepted that could be reached at the time; `None` when there is none, or it is not
    /// kept any more.
    #[must_use]
    pub fn accepted(&self, name: &CertName) -> Option<u64> {
        let target = fs::read_link(self.certificate(name).join(ACCEPTED)).ok()?;
        let number = number_in(target.to_str()?.strip_prefix("generations/")?)?;
        self.generations_of(name).join(number.to_string()).is_dir().then_some(number)
    }

    /// Notes that a generation was accepted, or that none is. Whoever calls it holds the locks of the nodes.
    pub fn accept(&self, name: &CertName, number: Option<u64>) -> Result<(), Error> {
        if self.accepted(name) == number {
            return Ok(());
        }
        let Some(number) = number else {
            remove(&self.certificate(name).join(ACCEPTED))?;
            self.noted_as_accepted(name);
            return Ok(());
        };
        match self.accept_soon(name, number)? {
            Some(place) => sync_directory(&place),
            None => Ok(()),
        }
    }

    /// Notes that a generation was accepted. That lasts only when the directory that is returned was synced, if there is one; in a batch
    /// that is done once for all. Until then a power cut may take the note back, and the next round makes it again.
    pub fn accept_soon(&self, name: &CertName, number: u64) -> Result<Option<PathBuf>, Error> {
        if self.accepted(name) == Some(number) {
            return Ok(None);
        }
        self.point(name, ACCEPTED, number)?;
        self.noted_as_accepted(name);
        Ok(Some(self.certificate(name)))
    }

    fn noted_as_accepted(&self, name: &CertName) {
        tracing::trace!(target: "hotcert::step", "store: generation accepted");
        self.touch(name);
    }
}
