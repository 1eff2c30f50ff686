//! The files by which nodes judge the certificates of clients: what is on disk is brought into memory.
//!
//! A file is read whole and passes the gate ([`ClientPem::check`]) before anything is sent; what is broken never takes the place of
//! what is served, and is told until it is mended. Nothing here waits for certificates, or holds them up: these files have
//! transactions of their own in `HAProxy`, and so they have a lock of their own.

mod disk;
mod look;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Error, Failure, POLL, Problem, Reconciler};
use crate::bundle::{ClientPem, Unfit};
use crate::config::Node;
use crate::haproxy::{CLIENT_FILES_SINCE, Failed, HeldFile, Session, TooLarge, Version};
use crate::model::{ClientFile, NodeName, Slot};
use crate::store::{self, ClientFilesLock, StagingFile};
pub use disk::FileStamp;
use look::{Found, Look};

/// How long a round waits for another process of ours, which needs but moments.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);
/// How long it waits for another program to end its transaction, between whose `set` and `commit` lie milliseconds.
const FOREIGN_DEADLINE: Duration = Duration::from_secs(2);
/// How often it starts again because something else changed the node.
const ATTEMPTS: usize = 3;

/// How the files stand on each node, and what is wrong with them.
#[derive(Debug, Clone, Default)]
pub struct ClientFiles {
    /// The files of each node that has some.
    pub nodes: BTreeMap<NodeName, Vec<FileReport>>,
    /// What only a person can cure.
    problems: Vec<Problem>,
    /// What failed on the way.
    pub failures: Vec<Failure>,
}

/// One file on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The file, on disk and in `HAProxy`.
    pub file: PathBuf,
    /// What it is.
    pub kind: ClientFile,
    /// How it stands.
    pub state: FileState,
    /// What is wrong, in words.
    pub detail: Option<String>,
}

/// How a file stands on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// `HAProxy` judges by what is in the file.
    InSync,
    /// It judges by something else, and the file can be loaded.
    Stale,
    /// The file cannot be loaded, or must not.
    Refused,
    /// The node cannot be asked.
    Unreachable,
}

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It did not pass the gate.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// It cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[from] store::Error),
    /// There is nothing to measure it against.
    #[error("it cannot be checked before ca_file can be read")]
    Unchecked,
    /// `HAProxy` knows no such file.
    #[error("HAProxy uses no {0} of this name")]
    Unused(ClientFile),
    /// This version cannot replace it and live on.
    #[error(
        "HAProxy {0} has another one in memory, and cannot replace it: later it would serve stale certificates, or die"
    )]
    Version(Version),
    /// It does not fit.
    #[error("it is too large: {0}")]
    TooLarge(TooLarge),
}

impl Refusal {
    fn hint(&self) -> String {
        match self {
            Self::Unfit(unfit) => unfit.hint().to_owned(),
            Self::Missing => "write it, or take it out of the configuration".to_owned(),
            Self::Unreadable(error) => error.hint().unwrap_or_else(|| "let hotcert read it".to_owned()),
            Self::Unchecked => "mend the files of ca_file first".to_owned(),
            Self::Unused(kind) => format!("write the path exactly as `{kind}` in HAProxy's configuration has it"),
            Self::Version(_) => format!("reload HAProxy, which then reads it, or upgrade to {CLIENT_FILES_SINCE}"),
            Self::TooLarge(limit) => limit.hint(),
        }
    }
}

impl Reconciler<'_> {
    /// Looks at the files of every node; changes nothing.
    pub async fn client_files(&self) -> ClientFiles {
        self.on_nodes(self.config.nodes.values(), false).await
    }

    /// Brings the files of every node into memory, and looks again.
    pub async fn load_client_files(&self) -> ClientFiles {
        self.on_nodes(self.config.nodes.values(), true).await
    }

    /// The same for one node.
    pub async fn load_client_files_of(&self, node: &Node) -> ClientFiles {
        self.on_nodes(std::iter::once(node), true).await
    }

    async fn on_nodes(&self, nodes: impl Iterator<Item = &Node>, load: bool) -> ClientFiles {
        let work = nodes.filter(|node| node.client_files().next().is_some()).map(|node| async move {
            let mut failures = Vec::new();
            let looks = match self.on_node(node, load, &mut failures).await {
                Ok(looks) => looks,
                Err(error) => {
                    failures.push(error);
                    Vec::new()
                }
            };
            (node, looks, failures)
        });
        let mut all = ClientFiles::default();
        for (node, looks, failures) in futures_util::future::join_all(work).await {
            all.add(node, &looks, failures);
        }
        all
    }

    async fn on_node(&self, node: &Node, load: bool, failures: &mut Vec<Error>) -> Result<Vec<Look>, Error> {
        if !load {
            return Ok(self.look_at_client_files(node).await?.looks);
        }
        let name = node.socket.to_string();
        let lock = store::until(LOCK_DEADLINE, || self.store.try_lock_client_files(&name)).await?;
        let lock = lock.ok_or_else(|| Error::Busy { node: node.name.clone(), waited: LOCK_DEADLINE })?;
        let foreign_deadline = tokio::time::Instant::now() + FOREIGN_DEADLINE;
        let mut attempt = 1;
        loop {
            let mut found = self.look_at_client_files(node).await?;
            self.tidy(node, &lock, &mut found).await?;
            if found.looks.iter().all(|look| look.pem_to_load().is_none())
                || attempt > ATTEMPTS
                || self.stop.is_cancelled()
            {
                return Ok(found.looks);
            }
            if let Some((kind, file)) = found.foreign() {
                if tokio::time::Instant::now() >= foreign_deadline {
                    let node = node.name.clone();
                    failures.push(Error::ForeignClientFile { node, kind, file, waited: FOREIGN_DEADLINE });
                    return Ok(found.looks);
                }
                tokio::time::sleep(POLL).await;
                continue;
            }
            failures.clear();
            if let Err(error) = self.load_all(node, &lock, &mut found).await {
                failures.push(error);
            }
            attempt += 1;
        }
    }

    /// Ends a transaction that a dead process of ours has left, and notes what is known now.
    async fn tidy(&self, node: &Node, lock: &ClientFilesLock, found: &mut Found) -> Result<(), Error> {
        if let Some(session) = &mut found.session {
            for (kind, file) in &found.open.stale {
                tracing::info!(node = %node.name, %file, "aborting our own transaction, left by a process that died");
                session.abort_client_file(*kind, file).await.map_err(|error| Error::node(node, error))?;
            }
        }
        let before = found.note.clone();
        found.note.staging = None;
        for look in &found.looks {
            if let Some((file, digest)) = look.confirmed() {
                found.note.known.insert(file.clone(), digest);
            }
        }
        if before != found.note || !found.is_noted {
            self.store.note_client_files(lock, &found.note)?;
        }
        Ok(())
    }

    /// Loads whatever has to be, authorities first, on the connection on which it was looked.
    async fn load_all(&self, node: &Node, lock: &ClientFilesLock, found: &mut Found) -> Result<(), Error> {
        let mut first_error = None;
        for look in &found.looks {
            let Some(pem) = look.pem_to_load() else { continue };
            let Some(session) = found.session.take() else { break };
            tracing::info!(node = %node.name, file = %look.file, "loading the {}", look.kind);
            warn_of_strangers(node, &look.file, pem);
            let marks = HeldFile::marks_of(pem);
            found.note.staging = Some(StagingFile { kind: look.kind, file: look.file.clone(), marks });
            // What is in memory is not known again before the commit has succeeded.
            found.note.known.remove(&look.file);
            self.store.note_client_files(lock, &found.note)?;
            match load(session, &look.file, pem).await {
                Ok(session) => {
                    found.session = Some(session);
                    found.note.staging = None;
                    found.note.known.insert(look.file.clone(), pem.digest());
                    self.store.note_client_files(lock, &found.note)?;
                }
                Err(failed) => {
                    let Failed { error, session } = *failed;
                    found.session = session;
                    first_error.get_or_insert(Error::node(node, error));
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }
}

async fn load(session: Session, file: &Slot, pem: &ClientPem) -> Result<Session, Box<Failed>> {
    session.stage_client_file(file, pem).await?.commit().await
}

/// `HAProxy` takes any certificate for an authority; OpenSSL then trusts it for what it has signed, if anything.
fn warn_of_strangers(node: &Node, file: &Slot, pem: &ClientPem) {
    let ClientPem::Ca(all) = pem else { return };
    for one in all.iter().filter(|one| !one.is_authority) {
        tracing::warn!(node = %node.name, %file, subject = %one.subject, "a certificate that is none of a CA stands in a ca-file");
    }
}

impl ClientFiles {
    /// What is wrong, failures included.
    #[must_use]
    pub fn all_problems(&self) -> Vec<Problem> {
        self.failures.iter().map(Problem::from).chain(self.problems.iter().cloned()).collect()
    }

    fn add(&mut self, node: &Node, looks: &[Look], errors: Vec<Error>) {
        let reports = match looks {
            [] => node
                .client_files()
                .map(|(kind, file)| FileReport {
                    file: file.as_str().into(),
                    kind,
                    state: FileState::Unreachable,
                    detail: None,
                })
                .collect(),
            looks => looks.iter().map(Look::report).collect(),
        };
        self.nodes.insert(node.name.clone(), reports);
        self.problems.extend(looks.iter().filter_map(|look| look.problem(&node.name)));
        // A node that cannot be asked is told of as a node.
        let is_told = |error: &Error| matches!(error, Error::Node { source, .. } if looks.is_empty() && source.rejection().is_none());
        let told = errors.into_iter().filter(|error| !is_told(error));
        self.failures.extend(told.map(|error| Failure {
            certificate: None,
            node: Some(node.name.clone()),
            error: error.into(),
        }));
    }
}
