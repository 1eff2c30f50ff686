//! Which entries of crt-lists are ours.
//!
//! A crt-list may have several lines for one certificate, and most of them were written by people. Without this note, one that
//! hotcert has made could not be told from theirs, which must not be touched. It is written before the entry is made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::renewal::lenient;
use super::{Error, NodeLock, Store, remove, staging};
use crate::model::{CertName, Slot};
use crate::plan::Attachment;

/// An entry that hotcert has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// The slot that it makes serve.
    pub slot: Slot,
    /// The entry, as it was wanted.
    pub to: Attachment,
    /// How `HAProxy` lists its options, where that is not as they were written.
    #[serde(default)]
    pub listed_as: Option<String>,
}

impl Attached {
    /// Whether it is the entry of its list that has these options, without brackets, and filters.
    #[must_use]
    pub fn is_listed_as(&self, options: &str, filters: &[String]) -> bool {
        self.to.is_listed_as(options, filters)
            || (self.to.filters == filters && self.listed_as.as_deref() == Some(options))
    }
}

impl Store {
    /// The entries of a certificate on a node, which is named as for [`Store::try_lock_node`].
    pub fn attached(&self, node: &str, name: &CertName) -> Result<Vec<Attached>, Error> {
        lenient(&self.attached_path(node, name))
    }

    /// Notes them; called before the first of them is made, and after the last is taken away.
    pub fn note_attached(&self, lock: &NodeLock, name: &CertName, entries: &[Attached]) -> Result<(), Error> {
        let path = self.attached_path(&lock.node, name);
        if self.attached(&lock.node, name)? == entries {
            return Ok(());
        }
        if entries.is_empty() {
            remove(&path)?;
        } else {
            self.write_json(&path, &entries)?;
        }
        tracing::trace!(target: "hotcert::step", "store: entries of crt-lists noted");
        Ok(())
    }

    fn attached_path(&self, node: &str, name: &CertName) -> PathBuf {
        self.root.join("attached").join(staging::node_id(node)).join(format!("{name}.json"))
    }
}
