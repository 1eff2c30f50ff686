//! Looks from outside: what a client of `HAProxy` is served, and what a validating authority would be answered,
//! over the network ([`http01`]) and by the DNS ([`dns`]).
//!
//! Nothing here trusts or changes anything; every look is bounded in time and size.

pub mod dns;
mod handshake;
mod http01;
mod listeners;
mod offer;
mod target;
mod tls_alpn;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

pub use handshake::{Served, Session, begin, handshake};
pub use http01::{Answer, http01};
pub use listeners::{Listener, listeners};
pub use offer::{Offer, Version};
pub use target::Target;
pub use tls_alpn::tls_alpn;

use rustix::io::Errno;

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
    /// The server wants no handshake with this client: it speaks another version of TLS, has no certificate of a kind that the client
    /// can use, or knows no such host.
    #[error("{address} refuses the handshake: {alert}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The alert by its name in the registry of TLS, such as `ProtocolVersion`.
        alert: String,
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

/// Whether this process has no network at all: as a service with `RestrictAddressFamilies=AF_UNIX`, where there are no such sockets
/// (`socket(2)`, `EAFNOSUPPORT`), or in a network of its own without interfaces, where even the loopback is out of reach.
#[must_use]
pub fn has_no_network() -> bool {
    // Connecting a datagram socket looks for a way, and sends nothing.
    let way = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| socket.connect((Ipv4Addr::LOCALHOST, 9)));
    way.is_err_and(|error| {
        let found = Errno::from_io_error(&error);
        found.is_some_and(|found| [Errno::AFNOSUPPORT, Errno::ACCESS, Errno::PERM, Errno::NETUNREACH].contains(&found))
    })
}

/// Whether this machine has an address: only then can something listen there.
#[must_use]
pub fn is_of_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

impl Error {
    /// Whether the server accepted the connection and ended it without a word.
    #[must_use]
    pub fn is_hang_up(&self) -> bool {
        let Self::Protocol { source, .. } = self else { return false };
        let kind = source.downcast_ref().map(std::io::Error::kind);
        kind.is_some_and(|kind| [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset].contains(&kind))
    }

    /// Whether it makes sense to look again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Backoff
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Also what the next test runs in a network of its own.
    #[test]
    fn a_process_has_a_network_unless_it_was_taken_away() {
        assert_eq!(has_no_network(), std::env::var_os("HOTCERT_TEST_CUT_OFF").is_some());
    }

    #[test]
    fn a_process_without_interfaces_has_no_network() {
        let output = Command::new("unshare")
            .args(["--net", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "probe::tests::a_process_has_a_network_unless_it_was_taken_away"])
            .env("HOTCERT_TEST_CUT_OFF", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
