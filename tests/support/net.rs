//! Ports that stay ours from the moment they are picked.
//!
//! A port that is picked, released and bound again by a server can be lost in between; worse, HAProxy binds with
//! `SO_REUSEPORT`, so two of them could share one without an error. A [`Port`] therefore stays bound, with `SO_REUSEADDR` and
//! without listening: the operating system gives it to nobody else, while a server that names it (HAProxy, Go and tokio
//! all set `SO_REUSEADDR`) can bind and listen, again after a restart too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

/// A TCP port of 127.0.0.1, reserved until dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: OwnedFd,
}

impl Port {
    /// Reserves a port that the operating system picks.
    pub fn reserve() -> Self {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .expect("a socket can be made");
        sockopt::set_socket_reuseaddr(&socket, true).expect("a fresh socket takes the option");
        bind(&socket, &SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)).expect("a port is free");
        let bound = SocketAddr::try_from(getsockname(&socket).expect("a bound socket has a name"))
            .expect("an internet socket has an internet address");
        Self { number: bound.port(), _reservation: socket }
    }

    /// Reserves a port whose UDP twin was free when it was picked.
    pub fn reserve_with_udp() -> Self {
        loop {
            let port = Self::reserve();
            if UdpSocket::bind(port.addr()).is_ok() {
                return port;
            }
        }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its address on the loopback interface.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.number)
    }
}
