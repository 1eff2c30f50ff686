//! Addresses on `bind`, `stats socket` and `server` lines (configuration manual, section 11).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::model::printable;

/// Characters of an address that is shown and not understood.
const SHOWN: usize = 200;

/// Where somebody listens, or is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An IP address.
    Ip {
        /// The address; unspecified for all of the machine.
        address: IpAddr,
        /// The first port; 0 where none is given.
        first: u16,
        /// The last port, mostly the same.
        last: u16,
        /// Whether it is TCP; else QUIC or UDP.
        is_tcp: bool,
    },
    /// A socket in the file system.
    Unix(PathBuf),
    /// Anything else, as it is written: an abstract socket, an inherited one, the name of a host.
    Other(String),
}

impl Listen {
    /// Reads all addresses of a word, which are separated by commas.
    #[must_use]
    pub fn parse_all(word: &str) -> Vec<Self> {
        word.split(',').map(Self::parse).collect()
    }

    /// Reads one address.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let other = || Self::Other(text.to_owned());
        let path = text.strip_prefix("unix@").or_else(|| text.starts_with('/').then_some(text));
        if let Some(path) = path {
            return Self::Unix(PathBuf::from(path));
        }
        let (family, rest) = match text.split_once('@') {
            Some((family, rest)) => (family, rest),
            None => ("", text),
        };
        let (is_tcp, any) = match family {
            "" | "ipv4" | "tcp" | "tcp4" | "mptcp" | "mptcp4" => (true, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            "ipv6" | "tcp6" | "mptcp6" => (true, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
            "udp" | "udp4" | "quic4" => (false, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
            "udp6" | "quic6" => (false, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
            _ => return other(),
        };
        // The last colon comes before the port, also in an IPv6 address without brackets.
        let (host, ports) = match rest.rsplit_once(':') {
            Some((host, ports)) if !ports.contains(']') => (host, ports),
            _ => (rest, ""),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address = match bare {
            "" | "*" => any,
            bare => match bare.parse() {
                Ok(address) => address,
                Err(_) => return other(),
            },
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) => Self::Ip { address, first, last, is_tcp },
            _ if ports.is_empty() => Self::Ip { address, first: 0, last: 0, is_tcp },
            _ => other(),
        }
    }

    /// Whether a port is among those of TCP.
    #[must_use]
    pub fn has_port(&self, port: u16) -> bool {
        matches!(self, Self::Ip { first, last, is_tcp: true, .. } if (*first..=*last).contains(&port))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip { address, first, last, .. } => {
                match address {
                    IpAddr::V4(address) => write!(f, "{address}:{first}")?,
                    IpAddr::V6(address) => write!(f, "[{address}]:{first}")?,
                }
                if first == last { Ok(()) } else { write!(f, "-{last}") }
            }
            Self::Unix(path) => f.write_str(&printable(&path.display().to_string(), SHOWN)),
            Self::Other(text) => f.write_str(&printable(text, SHOWN)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_haproxy_does() {
        for (text, shown) in [
            (":443", "0.0.0.0:443"),
            ("*:443", "0.0.0.0:443"),
            ("10.1.2.3:80-82", "10.1.2.3:80-82"),
            ("[::]:443", "[::]:443"),
            (":::443", "[::]:443"),
            ("ipv6@:443", "[::]:443"),
            ("ipv6@::1:443", "[::1]:443"),
            ("ipv4@127.0.0.1:9999", "127.0.0.1:9999"),
            ("127.0.0.1", "127.0.0.1:0"),
        ] {
            let listen = Listen::parse(text);
            assert!(matches!(listen, Listen::Ip { is_tcp: true, .. }), "{text}");
            assert_eq!(listen.to_string(), shown, "{text}");
        }
        assert!(matches!(Listen::parse("quic4@:443"), Listen::Ip { is_tcp: false, .. }));
        assert!(!Listen::parse("quic4@:443").has_port(443) && Listen::parse(":80-90").has_port(85));
        for (text, path) in [("/run/x", "/run/x"), ("unix@run/x", "run/x")] {
            assert_eq!(Listen::parse(text), Listen::Unix(path.into()));
        }
        for other in ["abns@x", "fd@3", "localhost:80", "sockpair@4", "::x:80", ":http"] {
            assert_eq!(Listen::parse(other), Listen::Other(other.to_owned()));
        }
        assert_eq!(Listen::parse_all(":80,[::]:80").len(), 2);
    }
}
