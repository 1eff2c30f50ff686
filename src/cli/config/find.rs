//! Which `HAProxy` of this machine a node is.

use std::fs;

use crate::host::{Bind, Configuration, Host, Instance, Listen};
use crate::model::{Address, Authority};

/// The port of HTTPS, whose certificates are looked at first.
pub(super) const HTTPS: u16 = 443;

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
    match (instance.address(own), socket) {
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

/// The `bind` lines that speak TLS, those on port 443 before others; new certificates go to the first that takes them.
pub(super) fn tls_binds(configuration: &Configuration) -> Vec<Bind<'_>> {
    let mut binds: Vec<_> = configuration.binds().into_iter().filter(|bind| bind.has_tls).collect();
    binds.sort_by_key(|bind| !bind.listen.iter().any(|listen| listen.has_port(HTTPS)));
    binds
}
