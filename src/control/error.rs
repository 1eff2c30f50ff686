//! What can go wrong between a client and a server.

use std::io;
use std::path::PathBuf;

use crate::store;

/// A client and a server did not come together, or were parted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a socket, and it cannot be used.
    #[error("cannot connect to the control socket in {}", directory.display())]
    Connect {
        /// The state directory.
        directory: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The other end is somebody who has no business here.
    #[error("the other end of the control socket is user {uid}, who is not trusted")]
    Stranger {
        /// Its user id.
        uid: u32,
    },
    /// The server does not want to talk, or could not make sense of what it got.
    #[error("the daemon refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// The server is of another version.
    #[error("the daemon, process {pid}, is hotcert {theirs}, and this is {ours}")]
    Version {
        /// Its process id.
        pid: u32,
        /// Its version.
        theirs: String,
        /// Our version.
        ours: &'static str,
    },
    /// The other end went away, or something is wrong with the connection.
    #[error("the connection to the daemon broke")]
    Broken(#[source] io::Error),
    /// The other end says nothing, or takes nothing.
    #[error("nothing came through the control socket in time")]
    Silent,
    /// The request did not begin its way: it is too long, or has a path that is no UTF-8.
    #[error("the request cannot be sent to the daemon")]
    Unsent(#[source] Box<Self>),
    /// A message that is longer than any may be.
    #[error("a message of {length} bytes is longer than the {limit} that are allowed")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A message that makes no sense. What it says is not repeated: there may be a key in it.
    #[error("a message makes no sense")]
    Nonsense,
    /// Something on disk.
    #[error(transparent)]
    Store(#[from] store::Error),
}
