//! Which `HAProxy` of this machine a node is, and how its sockets are reached from here.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::host::{Host, Instance, Listen};
use crate::model::{Address, Authority};

/// How something that a `HAProxy` listens on is reached from here; `None` when it is not.
pub(super) fn address(listen: &Listen, instance: &Instance) -> Option<Address> {
    match listen {
        Listen::Unix(path) => instance.view().lasting(path).map(Address::Unix),
        _ => authority(listen, instance).filter(|at| Address::Tcp(at.clone()).is_local()).map(Address::Tcp),
    }
}

/// Host and port of a TCP address in our network.
pub(super) fn authority(listen: &Listen, instance: &Instance) -> Option<Authority> {
    let Listen::Ip { address, first, is_tcp: true, .. } = listen else { return None };
    let is_elsewhere = instance.main().is_some_and(|process| process.has_own_network == Some(true));
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

/// The `HAProxy` that listens on a socket; one that runs before one that is only configured.
pub(super) fn instance<'a>(host: &'a Host, socket: &Address) -> Option<&'a Instance> {
    let mut found: Vec<&Instance> = host.instances.iter().filter(|instance| listens(instance, socket)).collect();
    found.sort_by_key(|instance| instance.processes.is_empty());
    found.first().copied()
}

/// Whether a socket is one of its stats sockets, or its master's.
fn listens(instance: &Instance, socket: &Address) -> bool {
    match socket {
        Address::Master(socket) => instance.master_socket().is_some_and(|own| is_same(&own, socket, instance)),
        socket => {
            instance.configuration.global().stats_sockets.iter().any(|own| is_same(&own.listen, socket, instance))
        }
    }
}

/// Whether something that a `HAProxy` listens on is this address.
pub(super) fn is_same(own: &Listen, socket: &Address, instance: &Instance) -> bool {
    match (address(own, instance), socket) {
        (Some(Address::Unix(own)), Address::Unix(other)) => {
            // Whatever way leads there.
            own == *other
                || matches!((fs::canonicalize(own), fs::canonicalize(other)), (Ok(own), Ok(other)) if own == other)
        }
        (Some(Address::Tcp(own)), Address::Tcp(other)) => {
            let host = |authority: &Authority| authority.host.replace("localhost", "127.0.0.1");
            own.port == other.port && host(&own) == host(other)
        }
        _ => false,
    }
}
