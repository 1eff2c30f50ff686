//! The generation that the nodes of a certificate have accepted together.
//!
//! A certificate that several nodes serve is staged on all of them before it is committed on any. What came through that is
//! accepted: to that each single node is brought back, whatever was stored since and waits, or was refused by one of them.

use std::fs;

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
        match number {
            Some(number) => self.lead(name, ACCEPTED, number)?,
            None => remove(&self.certificate(name).join(ACCEPTED))?,
        }
        tracing::trace!(target: "hotcert::step", "store: generation accepted");
        self.touch();
        Ok(())
    }
}
