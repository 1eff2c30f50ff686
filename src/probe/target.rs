//! Whom to ask as an authority would: where the DNS says that a name is, or where we are told to.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{DEADLINE, Error};
use crate::model::Identifier;

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The authority's port of where the system's resolver says that the name is.
    Resolved,
    /// The authority's port of these addresses, where a name is.
    At(Vec<IpAddr>),
    /// This address, whatever the name.
    Address(SocketAddr),
}

impl Target {
    /// Connects. Of several addresses the first that can be connected to is taken, IPv6 before IPv4 as Let's Encrypt does.
    pub(super) async fn connect(&self, host: &Identifier, port: u16) -> Result<(SocketAddr, TcpStream), Error> {
        let addresses = match (self, host) {
            (Self::Address(address), _) => vec![*address],
            (Self::At(addresses), _) => addresses.iter().map(|address| SocketAddr::new(*address, port)).collect(),
            (Self::Resolved, Identifier::Ip(address)) => vec![SocketAddr::new(*address, port)],
            (Self::Resolved, Identifier::Dns(name)) => resolve(name.clone(), port)
                .await
                .map_err(|source| Error::Unresolvable { name: host.clone(), source: Some(source) })?,
        };
        let mut failure = Error::Unresolvable { name: host.clone(), source: None };
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok((address, stream)),
                Err(source) => failure = Error::Unreachable { address, source },
            }
        }
        Err(failure)
    }

    /// Gives a look the time that one has.
    pub(super) async fn within<T>(
        &self,
        host: &Identifier,
        look: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let place = || match self {
            Self::Resolved | Self::At(_) => host.to_string(),
            Self::Address(address) => address.to_string(),
        };
        let seen = tokio::time::timeout(DEADLINE, look).await;
        seen.unwrap_or_else(|_| Err(Error::TimedOut { place: place(), after: DEADLINE }))
    }
}

/// The resolver of the C library may hang for long, and cannot be stopped. On a thread of its own it holds up nobody: neither us
/// nor, as one of tokio's blocking threads would, the end of the process.
async fn resolve(name: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(|addresses| {
            let mut addresses: Vec<_> = addresses.collect();
            addresses.sort_by_key(SocketAddr::is_ipv4);
            addresses
        });
        // Nobody waits any more after the deadline.
        let _ = answer.send(found);
    })?;
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the resolver's thread ended without an answer")))
}
