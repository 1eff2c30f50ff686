//! A note for whoever comes after a crash: the transaction that is open in a `HAProxy` may be ours.
//!
//! `HAProxy` has one certificate transaction per process, which has no owner and outlives connections. Without this note, one
//! that we left behind could not be told from one of another tool, which must not be aborted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Error, NodeLock, Store, file_id, read, remove};
use crate::model::{Sha1, Slot};

/// What is about to be staged on a node; one note covers a whole batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staging {
    /// The process id of the worker; in another worker there is no transaction of ours.
    pub haproxy_pid: u32,
    /// When it began.
    pub since: Timestamp,
    /// The slots, each with the SHA-1 fingerprint of the leaf that it is to get.
    pub slots: BTreeMap<Slot, Sha1>,
}

impl Store {
    /// Notes what will be staged; called before the first `set ssl cert` is sent.
    pub fn note_staging(&self, lock: &NodeLock, staging: &Staging) -> Result<(), Error> {
        self.write_json(&self.staging_path(&lock.node), staging)?;
        tracing::trace!(target: "hotcert::step", "store: staging noted");
        Ok(())
    }

    /// The note of a node, if it was not cleared.
    pub fn staging(&self, node: &str) -> Result<Option<Staging>, Error> {
        read::json(&self.staging_path(node))
    }

    /// Clears the note, when no transaction of ours is open any more.
    pub fn clear_staging(&self, lock: &NodeLock) -> Result<(), Error> {
        remove(&self.staging_path(&lock.node))?;
        tracing::trace!(target: "hotcert::step", "store: staging note cleared");
        Ok(())
    }

    fn staging_path(&self, node: &str) -> PathBuf {
        self.root.join("nodes").join(format!("{}.json", node_id(node)))
    }
}

pub(super) fn node_id(node: &str) -> String {
    file_id(node, node)
}
