//! Going back to what was stored before a push that no node took.

use std::fs;

use super::certs::CURRENT;
use super::error::Error;
use super::{CertLock, Store, remove};
use crate::model::CertName;

/// What was stored of a certificate at some instant ([`Store::mark`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    current: Option<u64>,
    /// Whether there was never a current one, so that all there is was left by a push that died.
    is_new: bool,
    generations: Vec<u64>,
    is_remembered: bool,
}

impl Store {
    /// What is stored of a certificate, to go back to it.
    pub fn mark(&self, name: &CertName) -> Result<Mark, Error> {
        let current = self.current_number(name);
        Ok(Mark {
            is_new: matches!(current, Ok(None)),
            current: current.unwrap_or_default(),
            generations: self.generations(name)?,
            is_remembered: self.remembers(name),
        })
    }

    /// Makes a certificate what it was when the mark was set, as far as nothing was pruned since.
    pub fn go_back(&self, lock: &CertLock, mark: &Mark) -> Result<(), Error> {
        let name = lock.name();
        if let Some(number) = mark.current {
            self.select(lock, number)?;
        } else {
            // Several generations without a link would be taken for a damaged store, should we die before they are gone.
            let current = self.current_number(name).unwrap_or_default();
            let never_was = |number: &u64| mark.is_new && current.is_some_and(|current| *number != current);
            if self.accepted(name).is_some_and(|number| !mark.generations.contains(&number)) {
                // Another generation will have its number.
                self.accept(name, None)?;
            }
            for number in self.generations(name)?.into_iter().filter(never_was) {
                self.delete_generation(name, number)?;
            }
            remove(&self.certificate(name).join(CURRENT))?;
        }
        for number in self.generations(name)?.iter().filter(|number| !mark.generations.contains(number)) {
            self.delete_generation(name, *number)?;
        }
        if !mark.is_remembered {
            remove(&self.settings_path(name))?;
        }
        if mark.current.is_none() && mark.generations.is_empty() {
            // Directories in which there is something after all, such as the journal of an order, stay.
            let _ = fs::remove_dir(self.generations_of(name)).and_then(|()| fs::remove_dir(self.certificate(name)));
        }
        tracing::trace!(target: "hotcert::step", "store: went back to the mark");
        self.touch(name);
        Ok(())
    }
}
