//! Looks from outside: what a client of `HAProxy` is served, and what a validating authority would be answered.
//!
//! Nothing here trusts or changes anything; every look is bounded in time and size.

mod handshake;
mod http01;

use std::net::SocketAddr;
use std::time::Duration;

pub use handshake::{Served, handshake};
pub use http01::{Answer, Target, http01};

use crate::model::Identifier;
use crate::schedule::Retry;

/// How long one look may take as a whole: what it looks at is near, or no authority will wait for it either.
const DEADLINE: Duration = Duration::from_secs(5);

/// A look saw nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resolver knows no address for the name.
    #[error("{name} has no address")]
    Unresolvable {
        /// The name.
        name: Identifier,
        /// What the resolver says, where it says anything.
        #[source]
        source: Option<std::io::Error>,
    },
    /// No connection.
    #[error("{address} cannot be reached")]
    Unreachable {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Too slow.
    #[error("no answer from {place} within {after:?}")]
    TimedOut {
        /// The address, or the name that could not be resolved in time.
        place: String,
        /// How long was waited.
        after: Duration,
    },
    /// Something else is spoken there, or the server ended the conversation.
    #[error("{address} does not speak {protocol}")]
    Protocol {
        /// The address.
        address: SocketAddr,
        /// What was tried.
        protocol: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether it makes sense to look again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Backoff
    }
}
