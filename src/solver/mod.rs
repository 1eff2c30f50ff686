//! Answers challenges: one file per way, and a directory for records of the DNS ([`dns`]).
//!
//! Owns the table or the directory in which answers are placed. Where `HAProxy` itself answers from a map, the answer is
//! desired state that is brought to every node, so that way has no file here but only its lines of configuration
//! ([`haproxy_lines`]). Records that prove a name for good are not placed either: a person sets them ([`persist_record`]).

pub mod dns;
mod haproxy;
mod haproxy_tls;
mod listener;
mod persist;
mod server;
mod tls_alpn;
mod webroot;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use haproxy::{Via, haproxy_lines};
pub use haproxy_tls::{TLS_BIND, haproxy_tls_lines};
pub use listener::Listener;
pub use persist::{PERSIST_LABEL, persist_record, persists, txt_line};
pub use tls_alpn::Responder;
pub use webroot::Webroot;

use crate::model::{Identifier, Token};
use crate::schedule::Retry;

/// A way to answer http-01 challenges that needs nothing but this process.
#[derive(Debug)]
pub enum Solver {
    /// hotcert answers; `HAProxy` forwards.
    Listener(Arc<Listener>),
    /// Another web server answers from a directory.
    Webroot(Webroot),
    /// `HAProxy` answers on its own, from the account's thumbprint: there is nothing to place.
    Stateless,
}

impl Solver {
    /// Makes the answer available.
    pub fn present(&self, token: &Token, key_authorization: &str) -> Result<(), Error> {
        match self {
            Self::Listener(listener) => listener.add(token, key_authorization),
            Self::Webroot(webroot) => webroot.add(token, key_authorization)?,
            Self::Stateless => {}
        }
        Ok(())
    }

    /// Takes the answer away; that it is gone already is fine.
    pub fn withdraw(&self, token: &Token) -> Result<(), Error> {
        match self {
            Self::Listener(listener) => listener.remove(token),
            Self::Webroot(webroot) => webroot.remove(token)?,
            Self::Stateless => {}
        }
        Ok(())
    }
}

/// A challenge cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listener's address cannot be used.
    #[error("cannot listen on {address} for challenges")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate that answers could not be made.
    #[error("cannot make the certificate that answers for {name}")]
    Certificate {
        /// Whose challenge it is.
        name: Identifier,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another order has a challenge for the same name.
    #[error("another challenge for {name} is answered, for more than {waited:?}")]
    Taken {
        /// Whose challenge it is.
        name: Identifier,
        /// How long was waited.
        waited: Duration,
    },
    /// A token could not be placed in the webroot.
    #[error("cannot write the challenge {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A token could not be removed from the webroot.
    #[error("cannot remove the challenge {}", path.display())]
    Remove {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Whether it makes sense to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Backoff
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let (Self::Listen { source, .. } | Self::Write { source, .. } | Self::Remove { source, .. }) = self else {
            return matches!(self, Self::Taken { .. })
                .then(|| "look by `ps` for another hotcert that orders for the same name".to_owned());
        };
        match (self, source.kind()) {
            (Self::Listen { address, .. }, std::io::ErrorKind::AddrInUse) => {
                let port = address.port();
                Some(format!(
                    "find out who uses it by `ss -ltnp 'sport = :{port}'`: another hotcert? Or choose another port"
                ))
            }
            (Self::Listen { .. }, std::io::ErrorKind::PermissionDenied) => {
                Some("ports below 1024 need a privilege: choose one above, HAProxy forwards to it".to_owned())
            }
            (Self::Listen { .. }, std::io::ErrorKind::AddrNotAvailable) => {
                Some("the address is none of this machine's".to_owned())
            }
            (_, std::io::ErrorKind::PermissionDenied) => {
                Some("hotcert's user needs the right to write below the webroot".to_owned())
            }
            (_, std::io::ErrorKind::NotADirectory) => {
                Some(".well-known and acme-challenge are directories, and no symbolic links".to_owned())
            }
            (Self::Write { .. }, std::io::ErrorKind::NotFound) => {
                Some("make the directory, or correct the path of the webroot: only what is below it is made".to_owned())
            }
            (Self::Write { path, .. } | Self::Remove { path, .. }, _) => {
                Some(format!("look at it by `namei -l {0}` and `df -h {0}`", path.parent().unwrap_or(path).display()))
            }
            _ => None,
        }
    }
}
