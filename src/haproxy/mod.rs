//! `HAProxy`'s runtime API: what is loaded in one worker, and changing it.
//!
//! Owns everything that is written to and read from a stats socket, or a master socket. A [`Session`] is with one worker; it reads,
//! and changes what needs no transaction. A certificate is replaced by [`Session::stage`] and [`Staged::commit`], and many of them by
//! [`Session::replace_all`].
//!
//! Invariants:
//! - One command is one command on the wire: words are validated types, payloads come from a [`Bundle`](crate::bundle::Bundle).
//! - Nothing near the size of a buffer is sent, for it can kill `HAProxy` ([`PayloadLimit`]).
//! - Only exact success texts count, and the name in an answer is compared with the name asked.
//! - Replies go neither into logs nor into errors: they are classified ([`Rejection`]).
//! - Every reply is read to its end within a deadline, or the connection is given up: a reader who stops would lock the
//!   certificate commands of `HAProxy`.
//!
//! A session is used by one task at a time. That no two sessions of hotcert change one process at once is for the caller to see to.

mod channel;
mod client_file;
mod codec;
mod command;
mod connect;
mod error;
mod greeting;
mod info;
mod limit;
mod lines;
mod listing;
mod master;
mod pipeline;
mod reply;
mod session;
mod staple;
mod tickets;
mod tls;
mod transaction;
mod wire;
mod words;

pub use client_file::{HeldCrl, HeldFile, StagedFile};
pub use command::Part;
pub use connect::{Connect, Connecting, Share, Stream, SystemConnect};
pub use error::Error;
pub use info::{CLIENT_FILES_SINCE, Capabilities, Info, Level, Process, Version};
pub use limit::{PayloadLimit, TooLarge};
pub use lines::socket_lines;
pub use listing::{Certificates, Entry, Leaf, ListKind, Loaded, Name, Sni, Status};
pub use master::OldWorker;
pub use pipeline::Progress;
pub use reply::Rejection;
pub use session::Session;
pub use tls::TlsError;
pub use transaction::{Failed, Staged};
pub use words::{Filter, Map, Options, Word};

#[cfg(test)]
mod testing;
