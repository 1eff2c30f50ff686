//! Everything that a round reads from the store.

use std::collections::{BTreeMap, BTreeSet};

use super::{Error, Failure, Reconciler};
use crate::config::Certificate;
use crate::model::CertName;
use crate::store::{self, Generation, Stamp, in_parallel};

/// Everything that was read from disk for a round.
#[derive(Default)]
pub(crate) struct Stored {
    /// What the store was stamped with before anything was read.
    stamp: Stamp,
    /// What should be served.
    pub(super) generations: BTreeMap<CertName, Generation>,
    /// What is current, and left alone for now: its nodes have not accepted it, and not all of them are at hand in this round.
    pub(super) waiting: BTreeMap<CertName, Generation>,
    /// What is current, and was taken out of service when it was revoked.
    pub(super) withdrawn: BTreeMap<CertName, Generation>,
    pub(super) failures: Vec<Failure>,
}

/// What is stored of one certificate: see [`Stored`].
#[derive(Default)]
struct Found {
    generation: Option<Generation>,
    waiting: Option<Generation>,
    withdrawn: Option<Generation>,
}

impl Stored {
    /// The same with no more than these certificates.
    pub(super) fn only(&self, names: &BTreeSet<CertName>) -> Self {
        let of = |all: &BTreeMap<CertName, Generation>| {
            names.iter().filter_map(|name| Some((name.clone(), all.get(name)?.clone()))).collect()
        };
        let (generations, waiting, withdrawn) = (of(&self.generations), of(&self.waiting), of(&self.withdrawn));
        Self { stamp: self.stamp, generations, waiting, withdrawn, failures: Vec::new() }
    }
}

impl Reconciler<'_> {
    /// Reads the generation of every certificate that should be served.
    pub(super) fn read_store(&self) -> Stored {
        // What is stored while this reads is read again by whoever compares.
        let mut stored = Stored { stamp: self.store.stamp(), ..Stored::default() };
        let certificates: Vec<_> = self.config.certificates.values().collect();
        for (certificate, found) in certificates.iter().zip(in_parallel(&certificates, |it| self.read_one(it))) {
            match found {
                Ok(Found { generation, waiting, withdrawn }) => {
                    let with_name = |generation| (certificate.name.clone(), generation);
                    stored.generations.extend(generation.map(with_name));
                    stored.waiting.extend(waiting.map(with_name));
                    stored.withdrawn.extend(withdrawn.map(with_name));
                }
                Err(error) => stored.failures.push(Failure::of(&certificate.name, None, Error::Store(error))),
            }
        }
        stored
    }

    /// The same, or what was read before where nothing was stored since.
    pub(super) fn read_store_again(&self, before: Option<Stored>) -> Stored {
        before.filter(|stored| self.is_current(stored)).unwrap_or_else(|| self.read_store())
    }

    /// Whether nothing was stored since this was read.
    pub(super) fn is_current(&self, stored: &Stored) -> bool {
        stored.stamp == self.store.stamp() && stored.failures.is_empty()
    }

    fn read_one(&self, certificate: &Certificate) -> Result<Found, store::Error> {
        let name = &certificate.name;
        let Some(current) = self.store.current(name)? else { return Ok(Found::default()) };
        if current.is_withdrawn() {
            return Ok(Found { withdrawn: Some(current), ..Found::default() });
        }
        if self.has_all_nodes_of(certificate) {
            return Ok(Found { generation: Some(current), ..Found::default() });
        }
        let accepted = self.store.accepted(name);
        if accepted == Some(current.number) {
            return Ok(Found { generation: Some(current), ..Found::default() });
        }
        let generation = accepted.map(|number| self.store.generation(name, number)).transpose()?;
        Ok(Found { generation, waiting: Some(current), withdrawn: None })
    }
}
