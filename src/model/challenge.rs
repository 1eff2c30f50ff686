//! Kinds of challenges.

use std::fmt;
use std::str::FromStr;

use super::{Identifier, Invalid};

/// The application protocol of the handshakes of tls-alpn-01 (RFC 8737, section 4).
pub const ALPN_PROTOCOL: &[u8] = b"acme-tls/1";

/// What an authority wants to see before it believes that a name is ours (RFC 8555, section 8). Kinds that are not here are passed
/// over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChallengeKind {
    /// A file under `/.well-known/acme-challenge/`, asked for on port 80 (RFC 8555, section 8.3).
    Http01,
    /// A handshake on port 443 with a protocol of its own (RFC 8737).
    TlsAlpn01,
    /// A TXT record under `_acme-challenge` (RFC 8555, section 8.4).
    Dns01,
    /// A TXT record under `_validation-persist` that stays (draft-ietf-acme-dns-persist).
    DnsPersist01,
}

impl ChallengeKind {
    /// All that are known.
    pub const ALL: [Self; 4] = [Self::Http01, Self::TlsAlpn01, Self::Dns01, Self::DnsPersist01];

    /// Its name in the protocol and in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
            Self::DnsPersist01 => "dns-persist-01",
        }
    }

    /// Whether it can prove a name: a wildcard is proved through the DNS, and an address is not (RFC 8555, section 7.1.3;
    /// RFC 8738, section 7).
    #[must_use]
    pub fn can_prove(self, name: &Identifier) -> bool {
        let is_by_dns = matches!(self, Self::Dns01 | Self::DnsPersist01);
        match name {
            Identifier::Ip(_) => !is_by_dns,
            Identifier::Dns(_) => is_by_dns || !name.is_wildcard(),
        }
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChallengeKind {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| {
            Invalid::new("kind of challenge", text, "it is none of http-01, tls-alpn-01, dns-01 and dns-persist-01")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_proved_through_the_dns_and_addresses_are_not() {
        let proving = |name: &str| -> Vec<_> {
            let name = name.parse().unwrap();
            ChallengeKind::ALL.into_iter().filter(|kind| kind.can_prove(&name)).map(ChallengeKind::as_str).collect()
        };
        assert_eq!(proving("a.test").len(), 4);
        assert_eq!(proving("*.a.test"), ["dns-01", "dns-persist-01"]);
        assert_eq!(proving("2001:db8::1"), ["http-01", "tls-alpn-01"]);
    }
}
