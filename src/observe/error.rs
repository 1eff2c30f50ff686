//! What can go wrong before anything is shown.

use std::net::SocketAddr;

use crate::probe;

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened at.
    #[error("metrics cannot be served at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let Self::Listen { address, source } = self;
        match source.kind() {
            std::io::ErrorKind::AddrInUse => Some(format!(
                "find out who uses it by `ss -ltnp 'sport = :{}'`, or choose another port for `listen` under [observe]",
                address.port()
            )),
            std::io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need privileges: choose a higher one for `listen` under [observe]".to_owned())
            }
            std::io::ErrorKind::AddrNotAvailable => {
                Some("this machine has no such address: choose another one for `listen` under [observe]".to_owned())
            }
            _ if probe::has_no_network() => Some(
                "this process has no network, as the loader under systemd: let the agent serve them, or use the example loader-loopback.conf"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
