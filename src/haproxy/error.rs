//! What can go wrong with a node, what cures it, and when to try again.

use std::io;

use super::command::Command;
use super::info::{Level, Version};
use super::limit::TooLarge;
use super::reply::Rejection;
use super::tls::TlsError;
use crate::model::{Address, Slot};
use crate::schedule::Retry;

/// A node did not do, or could not be asked, what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket of that name.
    #[error("there is no socket {address}")]
    NoSocket {
        /// What was tried.
        address: Address,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Nobody listens.
    #[error("nobody listens on {address}")]
    Refused {
        /// What was tried.
        address: Address,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// The socket may not be opened.
    #[error("no permission to open {address}")]
    NoPermission {
        /// What was tried.
        address: Address,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// TLS does not come about.
    #[error("no TLS with {address}: {why}")]
    Tls {
        /// What was tried.
        address: Address,
        /// Why not.
        why: Box<TlsError>,
    },
    /// Connecting failed otherwise.
    #[error("cannot connect to {address}")]
    Connect {
        /// What was tried.
        address: Address,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// Connecting took too long.
    #[error("cannot connect to {address} within {seconds} s")]
    ConnectTimeout {
        /// What was tried.
        address: Address,
        /// The deadline.
        seconds: u64,
    },
    /// It was not asked, because it did not answer a moment ago.
    #[error("{address} did not answer a moment ago")]
    Away {
        /// Where it would be asked.
        address: Address,
    },
    /// What answers does not speak the runtime API.
    #[error("what listens on {address} is not HAProxy's runtime API")]
    NotHaproxy {
        /// What was tried.
        address: Address,
    },
    /// It is too old.
    #[error("HAProxy {version} at {address} is too old: hotcert needs {}.{} or newer", Version::OLDEST.0, Version::OLDEST.1)]
    TooOld {
        /// What was tried.
        address: Address,
        /// What it is.
        version: Version,
    },
    /// It is the master's socket.
    #[error("{address} is a master socket")]
    MasterSocket {
        /// What was tried.
        address: Address,
    },
    /// The socket may not change certificates.
    #[error("the level of {address} is {level}, and admin is needed")]
    Level {
        /// What was tried.
        address: Address,
        /// What it has.
        level: Level,
    },
    /// No answer came in time. Whether the command was carried out is unknown.
    #[error("no answer to `{command}` within {seconds} s")]
    Silent {
        /// First words of the command.
        command: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// The connection ended before the answer. Whether the command was carried out is unknown.
    #[error("the connection was closed during `{command}`")]
    Closed {
        /// First words of the command.
        command: &'static str,
        /// What the operating system says, where it says something.
        #[source]
        source: Option<io::Error>,
    },
    /// The worker has ended, or never was, as its master says.
    #[error("{address} has no such worker any more")]
    WorkerGone {
        /// The master.
        address: Address,
    },
    /// The answer has no end.
    #[error("the answer to `{command}` is too long")]
    Endless {
        /// First words of the command.
        command: &'static str,
    },
    /// The command is too long for the node. Nothing was sent.
    #[error("`{command}` of {subject} is too long")]
    TooLarge {
        /// First words of the command.
        command: &'static str,
        /// What it is about.
        subject: String,
        /// Size, limit and cure.
        #[source]
        source: TooLarge,
    },
    /// The transaction is not, or no longer, the one that was staged: another program works on the same process. It was
    /// aborted and nothing is changed.
    #[error("another program changes certificates at the same time as {slot}")]
    ForeignTransaction {
        /// The slot that was to be staged.
        slot: Slot,
    },
    /// The command was answered, but not by success.
    #[error("`{command}` of {subject} failed")]
    Rejected {
        /// First words of the command.
        command: &'static str,
        /// What it is about.
        subject: String,
        /// Why.
        #[source]
        rejection: Rejection,
    },
}

impl Error {
    /// A command is longer than the worker takes.
    pub(super) fn too_large(command: &Command<'_>, source: TooLarge) -> Self {
        Self::TooLarge { command: command.name(), subject: command.subject(), source }
    }

    /// Why a command was refused, where it was.
    #[must_use]
    pub fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Rejected { rejection, .. } => Some(rejection),
            _ => None,
        }
    }

    /// Whether no process is there, so that no client and no authority meets one either.
    #[must_use]
    pub fn nobody_listens(&self) -> bool {
        matches!(self, Self::NoSocket { .. } | Self::Refused { .. })
    }

    /// Whether the answer was awaited in vain.
    #[must_use]
    pub fn let_us_wait(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::ConnectTimeout { .. } | Self::Endless { .. } | Self::Away { .. } => true,
            Self::Tls { why, .. } => matches!(**why, TlsError::Slow { .. }),
            _ => false,
        }
    }

    /// When it may be tried again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Rejected { rejection, .. } => match rejection {
                Rejection::Locked => Retry::Now,
                Rejection::OtherTransaction { .. } | Rejection::NoTransaction | Rejection::Failed => Retry::Backoff,
                _ => Retry::Never,
            },
            Self::Tls { why, .. } => why.retry(),
            Self::NotHaproxy { .. }
            | Self::TooOld { .. }
            | Self::MasterSocket { .. }
            | Self::Level { .. }
            | Self::TooLarge { .. } => Retry::Never,
            _ => Retry::Backoff,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoSocket { address: Address::Master(socket), .. } => {
                return Some(format!("start HAProxy with a master socket: `haproxy -W -S {socket}`"));
            }
            Self::NotHaproxy { address: Address::Tls(_) } => {
                "let that frontend lead to a stats socket: `hotcert config haproxy` prints the lines"
            }
            Self::NotHaproxy { address: Address::Master(_) } => "give the address of `haproxy -S`",
            Self::Level { address: Address::Master(_), .. } => "take `level` off the address of `haproxy -S`",
            Self::WorkerGone { .. } => "look whether HAProxy has reloaded, and its log",
            Self::NoSocket { address, .. } => {
                return Some(format!(
                    "add `stats socket {address} mode 660 level admin` to the global section of HAProxy's configuration, and start it"
                ));
            }
            Self::Refused { address: Address::Tcp(_) | Address::Tls(_), .. } => {
                "start HAProxy, or correct the address: no bind line listens there"
            }
            Self::Refused { .. } => "start HAProxy: the socket is left over from one that has ended",
            Self::NoPermission { .. } => {
                "run as a member of the socket's group, and put `mode 660 group GROUP` on its `stats socket` line"
            }
            Self::Connect { .. } | Self::ConnectTimeout { .. } => "look whether the address is right and HAProxy runs",
            Self::Tls { why, .. } => why.hint(),
            Self::NotHaproxy { .. } | Self::Endless { .. } => "give the address of a `stats socket` line",
            Self::TooOld { .. } => "upgrade HAProxy: before 2.2, certificates cannot be added while it runs",
            Self::MasterSocket { address } => {
                return Some(format!(
                    "write `master = \"{address}\"` into the node's table of the configuration, or `--socket master@{address}`"
                ));
            }
            Self::Level { .. } => "add `level admin` to the `stats socket` line",
            Self::Silent { .. } | Self::Away { .. } => {
                "HAProxy hangs, or all connections of `stats maxconn` (10 by default) are taken"
            }
            Self::TooLarge { source, .. } => return Some(source.hint()),
            Self::ForeignTransaction { .. } => "let only one program load certificates into this HAProxy",
            Self::Rejected { rejection, .. } => match rejection {
                Rejection::Permission => "add `level admin` to the `stats socket` line",
                Rejection::OtherTransaction { .. } => {
                    "let the other program end its transaction, or end it by `abort ssl cert`"
                }
                Rejection::NoList => "name a crt-list or directory of a `bind` line; a single file cannot be added to",
                Rejection::OutsideDirectory => "choose a slot that is a path right below the directory",
                Rejection::BadEntry => {
                    "correct `options` and `filters`: HAProxy's manual tells what a crt-list line may have in this version"
                }
                Rejection::NoMap => "name the map in HAProxy's configuration; its file must exist at start",
                _ => return None,
            },
            Self::Closed { .. } => {
                "look into HAProxy's log whether it stopped; if it runs, is this the address of a `stats socket` line?"
            }
        };
        Some(text.to_owned())
    }
}
