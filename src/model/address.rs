//! Where a node's runtime API is reached.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::{Invalid, serde_as_text};

/// What tells a master's socket from a worker's.
const MASTER: &str = "master@";

/// The address of a stats socket (`HAProxy` management guide, section 9.3): a path, `tcp://host:port` or `tls://host:port`; or one
/// of these after `master@`, for the worker behind a master socket (section 9.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP socket, in plain text: for loopback.
    Tcp(Authority),
    /// A TLS frontend that leads to a stats socket.
    Tls(Authority),
    /// The current worker, through the socket of its master.
    Master(Box<Self>),
}

/// Host and port of an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Address {
    /// Whether what is sent there cannot leave the machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Master(socket) => socket.is_local(),
            Self::Tcp(Authority { host, .. }) | Self::Tls(Authority { host, .. }) => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl FromStr for Authority {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new("host and port", text, reason));
        let Some((host, port)) = text.rsplit_once(':') else {
            return refuse("use host:port, as in 127.0.0.1:443");
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return refuse("what stands in brackets is no IPv6 address"),
            None if host.contains(':') => return refuse("write an IPv6 address in brackets, as in [::1]:443"),
            None => host,
        };
        let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
        if host.is_empty() || !plain {
            return refuse("the host is neither a name nor an IP address");
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self { host: host.to_owned(), port }),
            _ => refuse("the port is no number from 1 to 65535"),
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new("HAProxy socket address", text, reason));
        if let Some(rest) = text.strip_prefix(MASTER) {
            return match rest.parse()? {
                Self::Master(_) | Self::Tls(_) => refuse("the socket of a master is a path or tcp://host:port"),
                socket => Ok(Self::Master(Box::new(socket))),
            };
        }
        if let Some(rest) = text.strip_prefix("tcp://") {
            return rest.parse().map(Self::Tcp);
        }
        if let Some(rest) = text.strip_prefix("tls://") {
            return rest.parse().map(Self::Tls);
        }
        if text.contains("://") {
            return refuse("use a path, tcp://host:port or tls://host:port");
        }
        let path = text.strip_prefix("unix@").unwrap_or(text);
        if path.is_empty() || path.contains('\0') {
            return refuse("it is empty");
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
            Self::Tls(authority) => write!(f, "tls://{authority}"),
            Self::Master(socket) => write!(f, "{MASTER}{socket}"),
        }
    }
}

serde_as_text!(Authority);
serde_as_text!(Address);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_what_it_prints() {
        for text in [
            "/run/haproxy/admin.sock",
            "tcp://127.0.0.1:9999",
            "tcp://[::1]:9999",
            "tls://edge.example:9443",
            "master@/run/haproxy-master.sock",
            "master@tcp://127.0.0.1:9998",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("unix@/x".parse::<Address>().unwrap(), Address::Unix("/x".into()));
        for bad in [
            "",
            "http://a:1",
            "master@",
            "master@master@/x",
            "master@tls://a.test:1",
            "tcp://a",
            "tcp://a:0",
            "tcp://a:99999",
            "tcp://::1:80",
            "tcp://a b:1",
            "tcp://[x]:1",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_paths_and_loopback_are_local() {
        let local = |text: &str| text.parse::<Address>().unwrap().is_local();
        assert!(
            local("/x")
                && local("tcp://localhost:1")
                && local("tcp://127.8.8.8:1")
                && local("tcp://[::1]:1")
                && local("master@/x")
        );
        assert!(!local("tcp://10.0.0.1:1") && !local("tcp://localhost.example:1") && !local("master@tcp://10.0.0.1:1"));
    }
}
