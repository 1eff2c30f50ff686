//! What a certificate covers.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{Invalid, serde_as_text};

/// A DNS name or an IP address (RFC 8555, section 9.7.7; RFC 8738).
///
/// DNS names are kept as lower-case A-labels; a wildcard keeps its leading `*.`. [`Display`](fmt::Display) is that form, and
/// [`Identifier::human`] the one with accents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identifier {
    /// A DNS name, possibly a wildcard.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
}

impl Identifier {
    const WHAT: &'static str = "domain name or IP address";

    /// Whether it is a wildcard, `*.example.org`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.starts_with("*."))
    }

    /// The form that people read: U-labels instead of A-labels.
    #[must_use]
    pub fn human(&self) -> String {
        match self {
            Self::Dns(name) => idna::domain_to_unicode(name).0,
            Self::Ip(address) => address.to_string(),
        }
    }

    /// The name by which it is asked for in a handshake of tls-alpn-01 (RFC 8737, section 3): for an address, that of its reverse
    /// mapping, in lower case (RFC 8738, section 6).
    #[must_use]
    pub fn handshake_name(&self) -> String {
        match self {
            Self::Dns(name) => name.clone(),
            Self::Ip(IpAddr::V4(address)) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            Self::Ip(IpAddr::V6(address)) => {
                let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
                nibbles.map(|nibble| format!("{nibble:x}.")).chain(["ip6.arpa".to_owned()]).collect()
            }
        }
    }

    /// Whether a certificate for `self` is valid for `name`; a wildcard covers exactly one label (RFC 6125, section 6.4.3).
    #[must_use]
    pub fn covers(&self, name: &Self) -> bool {
        if self == name {
            return true;
        }
        match (self, name) {
            (Self::Dns(pattern), Self::Dns(name)) => pattern
                .strip_prefix("*.")
                .is_some_and(|base| name.split_once('.').is_some_and(|(label, rest)| label != "*" && rest == base)),
            _ => false,
        }
    }
}

impl FromStr for Identifier {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new(Self::WHAT, text, reason));
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        let (wildcard, base) = match text.strip_prefix("*.") {
            Some(base) => (true, base),
            None => (false, text),
        };
        let base = base.strip_suffix('.').unwrap_or(base);
        if base.contains('*') {
            return refuse("a wildcard is a single `*` as the first label, as in `*.example.org`");
        }
        if base.is_empty() {
            return refuse("it is empty");
        }
        let Ok(ascii) = idna::domain_to_ascii(base) else {
            return refuse("it is no valid internationalised domain name (UTS #46)");
        };
        let room = if wildcard { 251 } else { 253 };
        if ascii.len() > room {
            return refuse("it is longer than 253 bytes");
        }
        if !ascii.split('.').all(label_is_valid) {
            return refuse("each part between dots has 1 to 63 letters, digits and inner dashes");
        }
        if ascii.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
            return refuse("its last part has digits only, and it is no IP address");
        }
        Ok(Self::Dns(if wildcard { format!("*.{ascii}") } else { ascii }))
    }
}

fn label_is_valid(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

serde_as_text!(Identifier);

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Identifier {
        text.parse().unwrap()
    }

    #[test]
    fn accents_become_a_labels_and_are_shown_as_typed() {
        assert_eq!(id("Bücher.Example").to_string(), "xn--bcher-kva.example");
        assert_eq!(id("bücher.example").human(), "bücher.example");
        assert_eq!(id("example.org."), id("EXAMPLE.org"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", ".", "a..b", "-a.test", "a b", "a/b", "a*.test", "*", "*.*.test", "a;b", "1.2.3", "a\nb"] {
            assert!(bad.parse::<Identifier>().is_err(), "{bad:?}");
        }
        assert!(format!("{}.test", "a".repeat(64)).parse::<Identifier>().is_err());
    }

    #[test]
    fn an_address_is_asked_for_by_its_reverse_name() {
        assert_eq!(id("a.test").handshake_name(), "a.test");
        assert_eq!(id("192.0.2.1").handshake_name(), "1.2.0.192.in-addr.arpa");
        let zeros = "0.".repeat(20);
        assert_eq!(id("2001:db8::ab").handshake_name(), format!("b.a.0.0.{zeros}8.b.d.0.1.0.0.2.ip6.arpa"));
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        assert!(id("*.a.test").covers(&id("b.a.test")));
        assert!(id("*.a.test").covers(&id("*.a.test")));
        assert!(!id("*.a.test").covers(&id("a.test")));
        assert!(!id("*.a.test").covers(&id("c.b.a.test")));
        assert!(!id("b.a.test").covers(&id("*.a.test")));
        assert!(id("::1").covers(&id("0:0::1")));
    }
}
