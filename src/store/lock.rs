//! Locks that the kernel releases, however their holder ends.
//!
//! They are advisory locks (flock) on files that are never deleted: deleting one could let two processes hold "the same" lock
//! on two files. They exclude tasks of one process as well as other processes. Nobody waits here: whoever wants to asks again.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{Error, io};
use super::{Store, accounts, atomic, staging};
use crate::model::CertName;

/// The right to change a certificate in the store; given back on drop.
#[derive(Debug)]
pub struct CertLock {
    name: CertName,
    _file: File,
}

impl CertLock {
    /// Which certificate.
    #[must_use]
    pub fn name(&self) -> &CertName {
        &self.name
    }
}

/// The right to open a transaction on a node; given back on drop.
#[derive(Debug)]
pub struct NodeLock {
    pub(super) node: String,
    _file: File,
}

/// The right to change the files by which a node judges clients; given back on drop. They have transactions of their own, so that a
/// revocation need not wait for thousands of certificates.
#[derive(Debug)]
pub struct ClientFilesLock {
    pub(super) node: String,
    _file: File,
}

/// The right to change what is noted of what was told to others; given back on drop.
#[derive(Debug)]
pub struct EventsLock {
    _file: File,
}

/// The right to register an account or to change it; given back on drop.
#[derive(Debug)]
pub struct AccountLock {
    pub(super) directory: String,
    _file: File,
}

/// The right to sign by the account at an authority, which many share, or to end that by changing or giving up its key, which is had
/// alone; given back on drop.
#[derive(Debug)]
pub struct AccountUse {
    _file: File,
}

/// The right to listen on the control socket; given back on drop.
#[derive(Debug)]
pub struct ControlLock {
    _file: File,
}

/// The right to listen at an address; given back on drop.
#[derive(Debug)]
pub struct ListenLock {
    _file: File,
}

/// The right to bring tokens to nodes and to take them away; given back on drop.
#[derive(Debug)]
pub struct AnswersLock {
    _file: File,
}

/// The right to rotate session ticket keys and to bring them to nodes; given back on drop.
#[derive(Debug)]
pub struct TicketLock {
    _file: File,
}

impl Store {
    /// Locks the session ticket keys; `None` when another holds it.
    pub fn try_lock_tickets(&self) -> Result<Option<TicketLock>, Error> {
        Ok(self.try_lock("ticket-keys")?.map(|file| TicketLock { _file: file }))
    }

    /// Locks an address at which challenges are answered; `None` when another process of ours listens there.
    pub fn try_lock_listen(&self, address: SocketAddr) -> Result<Option<ListenLock>, Error> {
        let address = address.to_string();
        let file = self.try_lock(&format!("listen-{}", super::file_id(&address, &address)))?;
        Ok(file.map(|file| ListenLock { _file: file }))
    }

    /// Locks a certificate; `None` when another holds it.
    pub fn try_lock_certificate(&self, name: &CertName) -> Result<Option<CertLock>, Error> {
        let file = self.try_lock(&format!("cert-{name}"))?;
        Ok(file.map(|file| CertLock { name: name.clone(), _file: file }))
    }

    /// Locks a node; `None` when another holds it. `node` is what tells one `HAProxy` from another, such as the address of its
    /// socket, not its name in a configuration: a command without configuration must meet the same lock.
    pub fn try_lock_node(&self, node: &str) -> Result<Option<NodeLock>, Error> {
        let file = self.try_lock(&format!("node-{}", staging::node_id(node)))?;
        Ok(file.map(|file| NodeLock { node: node.to_owned(), _file: file }))
    }

    /// Locks the files by which a node judges clients; `None` when another holds it. `node` as for [`Store::try_lock_node`].
    pub fn try_lock_client_files(&self, node: &str) -> Result<Option<ClientFilesLock>, Error> {
        let file = self.try_lock(&format!("clients-{}", staging::node_id(node)))?;
        Ok(file.map(|file| ClientFilesLock { node: node.to_owned(), _file: file }))
    }

    /// Locks the account at an authority, which is named by the URL of its directory; `None` when another holds it.
    pub fn try_lock_account(&self, directory: &str) -> Result<Option<AccountLock>, Error> {
        let file = self.try_lock(&format!("account-{}", accounts::authority_id(directory)))?;
        Ok(file.map(|file| AccountLock { directory: directory.to_owned(), _file: file }))
    }

    /// The right to sign by the account at an authority; `None` while another changes its key.
    pub fn try_use_account(&self, directory: &str) -> Result<Option<AccountUse>, Error> {
        let (file, path) = self.account_use(directory)?;
        Ok(locked(file.try_lock_shared(), &path)?.then_some(AccountUse { _file: file }))
    }

    /// The right to change or give up the key of the account at an authority; `None` while somebody signs by it.
    pub fn try_own_account(&self, directory: &str) -> Result<Option<AccountUse>, Error> {
        let (file, path) = self.account_use(directory)?;
        Ok(locked(file.try_lock(), &path)?.then_some(AccountUse { _file: file }))
    }

    /// Locks what is noted of what was told to others; `None` when another holds it.
    pub fn try_lock_events(&self) -> Result<Option<EventsLock>, Error> {
        Ok(self.try_lock("events")?.map(|file| EventsLock { _file: file }))
    }

    /// Locks the control socket; `None` when another holds it.
    pub fn try_lock_control(&self) -> Result<Option<ControlLock>, Error> {
        Ok(self.try_lock("control")?.map(|file| ControlLock { _file: file }))
    }

    /// Locks the answers on nodes; `None` when another holds it.
    pub fn try_lock_answers(&self) -> Result<Option<AnswersLock>, Error> {
        Ok(self.try_lock("answers")?.map(|file| AnswersLock { _file: file }))
    }

    /// Waits for the lock of the tokens, which is only ever held for one read and one write.
    pub(super) fn lock_tokens(&self) -> Result<File, Error> {
        let (file, path) = self.lock_file("tokens")?;
        file.lock().map_err(io("lock", &path))?;
        Ok(file)
    }

    /// Waits for the lock of what is noted about an authority, which is only ever held for one read and one write.
    pub(super) fn lock_authority(&self, directory: &str) -> Result<File, Error> {
        let (file, path) = self.lock_file(&format!("authority-{}", accounts::authority_id(directory)))?;
        file.lock().map_err(io("lock", &path))?;
        Ok(file)
    }

    fn try_lock(&self, name: &str) -> Result<Option<File>, Error> {
        let (file, path) = self.lock_file(name)?;
        Ok(locked(file.try_lock(), &path)?.then_some(file))
    }

    fn account_use(&self, directory: &str) -> Result<(File, PathBuf), Error> {
        self.lock_file(&format!("account-use-{}", accounts::authority_id(directory)))
    }

    fn lock_file(&self, name: &str) -> Result<(File, PathBuf), Error> {
        let directory = self.root.join("locks");
        self.make_directories(&directory)?;
        let path = directory.join(format!("{name}.lock"));
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io("open", &path))?;
        atomic::settle(&file, &path, self.private())?;
        Ok((file, path))
    }
}

/// Whether a lock was got.
fn locked(outcome: Result<(), TryLockError>, path: &Path) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(io("lock", path)(error)),
    }
}
