//! Everything that hotcert writes to disk: what should be served, what is being ordered, and the files of `HAProxy`.
//!
//! ```text
//! <state>/                                             0700, as every directory below; files 0600
//!   accounts/<authority>/key.pem, account.json         accounts.rs
//!   accounts/<authority>/next-key.pem                  while the key is changed
//!   internal/<issuer>/root.pem                         internal.rs
//!   certs/<name>/current -> generations/<n>            certs.rs
//!   certs/<name>/accepted -> generations/<n>           accepted.rs
//!   certs/<name>/generations/<n>/cert.pem, chain.pem, fullchain.pem, privkey.pem, meta.json
//!   certs/<name>/settings.json                         certs.rs
//!   certs/<name>/watched.json                          watched.rs
//!   certs/<name>/journal/privkey.pem, order.json       journal.rs
//!   certs/, certs/<name>/                              their times of change: stamp.rs
//!   certs/<name>/renewal.json                          renewal.rs
//!   authorities/<authority>.json                       budget.rs
//!   nodes/<node>.json                                  staging.rs
//!   attached/<node>/<name>.json                        attached.rs
//!   clients/<node>.json                                client_files.rs
//!   tokens/<token>.json                                tokens.rs
//!   scratch/<token>/                                   scratch.rs
//!   ticket-keys                                        tickets.rs
//!   told.json                                          told.rs
//!   locks/*.lock                                       lock.rs
//!   control.sock                                       socket.rs
//! <crt_dir>/<name>.pem                                 publish.rs
//! <crt_list>                                           crt_list.rs
//! the configuration file                               config_file.rs
//! ```
//!
//! Every write is crash-safe (`atomic.rs`): after a kill or a power cut there is the old or the new state, and doing it again is
//! harmless. What must not run twice at a time takes a lock that the kernel releases ([`CertLock`], [`NodeLock`],
//! [`AccountLock`], [`ControlLock`]); the functions that change something cannot be called without one. Readers need none.
//!
//! The calls block, for as long as the disk takes to sync a few small files; only [`until`] waits. When root runs hotcert on the state of another
//! user, what it writes belongs to that user, so that the daemon can still read it.

mod accepted;
mod accounts;
mod atomic;
mod attached;
mod budget;
mod certs;
mod client_files;
mod config_file;
pub mod crt_list;
mod error;
mod forget;
mod internal;
mod journal;
mod lock;
mod mark;
mod parallel;
pub mod publish;
mod read;
mod renewal;
mod revoked;
mod scratch;
mod socket;
mod staging;
mod stamp;
mod tickets;
mod tokens;
mod told;
mod wait;
mod watched;

pub use accounts::{AccountRecord, KeyPem, NextKey, StoredAccount};
pub use attached::Attached;
pub use budget::Standing;
pub use certs::{Generation, Meta, Source};
pub use client_files::{ClientNote, StagingFile};
pub use config_file::write_config;
pub use error::Error;
pub use journal::{Entry, Journal};
pub use lock::{
    AccountLock, AccountUse, AnswersLock, CertLock, ClientFilesLock, ControlLock, EventsLock, ListenLock, NodeLock,
    TicketLock,
};
pub use mark::Mark;
pub use parallel::in_parallel;
pub use read::bytes as read_file;
pub use renewal::{Hold, Renewal, Trouble};
pub use revoked::Revocation;
pub use scratch::Scratch;
pub use socket::{CONTROL_SOCKET, ControlSocket, within};
pub use staging::Staging;
pub use stamp::{Changed, Stamp};
pub use tickets::Tickets;
pub use tokens::{Hindrance, Place, Token};
pub use told::{Letter, Seen, Told};
pub use wait::until;
pub use watched::Taken;

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model::Sha256;
use atomic::{Access, PERMISSIONS};
use error::io;

/// The state directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    /// Whom new files are given to, when that is not who we are.
    owner: Option<(u32, u32)>,
}

impl Store {
    /// Opens the state directory. Where there is none, the first that is written there makes it.
    ///
    /// One that others can read or write is refused: there are private keys in it.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let found = match fs::metadata(root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::to_look_at(root)),
            found => found.map_err(io("open", root))?,
        };
        if !found.is_dir() {
            return Err(Error::NotADirectory { path: root.to_owned() });
        }
        let mode = found.mode() & PERMISSIONS;
        if mode & 0o077 != 0 {
            return Err(Error::StateOpenToOthers { path: root.to_owned(), mode });
        }
        fs::read_dir(root).map_err(io("open", root))?;
        let for_another = rustix::process::geteuid().is_root() && found.uid() != 0;
        Ok(Self { root: root.to_owned(), owner: for_another.then(|| (found.uid(), found.gid())) })
    }

    /// The state directory for somebody who only looks: nothing is made, and whatever is wrong with it is for them to find out.
    #[must_use]
    pub fn to_look_at(root: &Path) -> Self {
        Self { root: root.to_owned(), owner: None }
    }

    /// The access of every file below the state directory.
    fn private(&self) -> Access {
        Access { mode: 0o600, uid: self.owner.map(|(uid, _)| uid), gid: self.owner.map(|(_, gid)| gid) }
    }

    /// Makes the root or a directory below it, with those between.
    fn make_directories(&self, path: &Path) -> Result<(), Error> {
        if path.is_dir() {
            return Ok(());
        }
        match path.parent() {
            Some(parent) if path != self.root => {
                self.make_directories(parent)?;
                atomic::make_directory(path, self.owner)
            }
            _ => {
                DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create", path))?;
                atomic::sync_directory(atomic::directory_of(path))
            }
        }
    }

    /// Writes a file below the root.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        self.make_directories(atomic::directory_of(path))?;
        atomic::replace(path, bytes, self.private())
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), Error> {
        self.write(path, &to_json(path, value)?)
    }
}

fn to_json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut json = serde_json::to_vec_pretty(value).map_err(|error| Error::Io {
        operation: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    json.push(b'\n');
    Ok(json)
}

/// Removes a file below the root and makes that last; one that is not there is fine.
fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Ok(()) => atomic::sync_directory(atomic::directory_of(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("remove", path)(error)),
    }
}

/// A file name for something that is named by a URL or an address: a readable part, and a digest that tells it from others.
fn file_id(readable: &str, whole: &str) -> String {
    /// Characters of the readable part; a file name may have 255 bytes.
    const READABLE: usize = 100;
    /// Hexadecimal digits of the digest: 64 bits, enough to tell apart what one machine ever talks to.
    const DIGEST: usize = 16;
    let plain: String = readable
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || char == '.' { char } else { '-' })
        .take(READABLE)
        .collect();
    let plain = plain.trim_start_matches(['.', '-']);
    let digest = Sha256::of(whole.as_bytes()).to_string();
    format!("{plain}-{}", &digest[..DIGEST])
}

#[cfg(test)]
mod tests;
