//! A note about the files by which a `HAProxy` judges clients: what one process of it is known to hold, and what is being staged.
//!
//! `HAProxy` shows but the beginning of a long revocation list, and dies when it shows certain ones. So what it was given is noted, and
//! it is asked only where it is known that it can be. A transaction that was left open by a crash is recognised by the note, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ClientFilesLock, Error, Store, read, staging};
use crate::model::{ClientFile, Sha256, Slot};

/// What is known about one process of `HAProxy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientNote {
    /// The process id of the worker.
    pub haproxy_pid: u32,
    /// When it started, to the second.
    pub started_at: Timestamp,
    /// A digest of what it holds under each name.
    pub known: BTreeMap<Slot, Sha256>,
    /// What is about to be staged.
    pub staging: Option<StagingFile>,
}

/// A file that is about to be staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagingFile {
    /// What it is.
    pub kind: ClientFile,
    /// Its name.
    pub file: Slot,
    /// By which its parts are recognised in `HAProxy`; a transaction that is open may have only some of them.
    pub marks: BTreeSet<String>,
}

impl ClientNote {
    /// Nothing is known of a process.
    #[must_use]
    pub fn new(haproxy_pid: u32, started_at: Timestamp) -> Self {
        Self { haproxy_pid, started_at, known: BTreeMap::new(), staging: None }
    }
}

impl Store {
    /// Notes what is known; before the first `set`, and after each `commit`.
    pub fn note_client_files(&self, lock: &ClientFilesLock, note: &ClientNote) -> Result<(), Error> {
        self.write_json(&self.client_note_path(&lock.node), note)?;
        tracing::trace!(target: "hotcert::step", "store: client files noted");
        Ok(())
    }

    /// The note about a node.
    pub fn client_note(&self, node: &str) -> Result<Option<ClientNote>, Error> {
        read::json(&self.client_note_path(node))
    }

    fn client_note_path(&self, node: &str) -> PathBuf {
        self.root.join("clients").join(format!("{}.json", staging::node_id(node)))
    }
}
