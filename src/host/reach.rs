//! How what a `HAProxy` listens on is reached from here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Instance, Listen};
use crate::model::{Address, Authority};

impl Instance {
    /// The address of one of its sockets, for commands; `None` when it cannot be reached.
    #[must_use]
    pub fn address(&self, listen: &Listen) -> Option<Address> {
        match listen {
            Listen::Unix(path) => self.view().lasting(path).map(Address::Unix),
            _ => self.authority(listen).filter(|at| Address::Tcp(at.clone()).is_local()).map(Address::Tcp),
        }
    }

    /// Host and port of a TCP address in our network.
    #[must_use]
    pub fn authority(&self, listen: &Listen) -> Option<Authority> {
        let Listen::Ip { address, first, is_tcp: true, .. } = listen else { return None };
        let is_elsewhere = self.main().is_some_and(|process| process.has_own_network == Some(true));
        if is_elsewhere || *first == 0 {
            return None;
        }
        let host = match address {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.to_string(),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.to_string(),
            address => address.to_string(),
        };
        Some(Authority { host, port: *first })
    }
}
