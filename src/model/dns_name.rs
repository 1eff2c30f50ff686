//! Where something is in the DNS.

use std::fmt;
use std::str::FromStr;

use super::{Identifier, Invalid, serde_as_text};

/// A name of the DNS that is no wildcard: a host, a zone, or where a record is, such as `_acme-challenge.example.org`.
///
/// It is kept as lower-case A-labels of letters, digits, dashes and underscores, without the last dot; the root is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    const WHAT: &'static str = "name of the DNS";

    /// The name to be proved, without its `*.`; `None` for an address.
    #[must_use]
    pub fn of(name: &Identifier) -> Option<Self> {
        match name {
            Identifier::Dns(name) => Some(Self(name.strip_prefix("*.").unwrap_or(name).to_owned())),
            Identifier::Ip(_) => None,
        }
    }

    /// The name below this one, such as `_acme-challenge.example.org`.
    pub fn below(&self, label: &str) -> Result<Self, Invalid> {
        format!("{label}.{self}").parse()
    }

    /// The name above this one; `None` where that is the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.to_owned()))
    }

    /// Whether it is this zone's name, or below it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        self.0.strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The name without its last dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.parse() {
            Ok(Identifier::Dns(name)) if !name.starts_with("*.") => Ok(Self(name)),
            Ok(Identifier::Dns(_)) => Err(Invalid::new(Self::WHAT, text, "it is a wildcard")),
            Ok(Identifier::Ip(_)) => Err(Invalid::new(Self::WHAT, text, "it is an IP address")),
            Err(Invalid { reason, .. }) => Err(Invalid::new(Self::WHAT, text, reason)),
        }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(DnsName);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    #[test]
    fn a_record_is_below_the_name_that_it_proves() {
        let wildcard = DnsName::of(&"*.A.test".parse().unwrap()).unwrap();
        assert_eq!(wildcard.below("_acme-challenge").unwrap().as_str(), "_acme-challenge.a.test");
        assert!(name(&format!("{}.test", ["a".repeat(60).as_str(); 4].join("."))).below("_acme-challenge").is_err());
        assert_eq!(DnsName::of(&"::1".parse().unwrap()), None);
    }

    #[test]
    fn a_name_is_within_its_zone() {
        assert_eq!(name("a.b.test").parent(), Some(name("b.test")));
        assert_eq!(name("test.").parent(), None);
        assert!(name("a.b.test").is_within(&name("b.test")) && name("b.test").is_within(&name("b.test")));
        assert!(!name("xb.test").is_within(&name("b.test")) && !name("test").is_within(&name("b.test")));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", ".", "*.a.test", "127.0.0.1", "a\\032b.test", "a;b", "$(id).test"] {
            assert!(bad.parse::<DnsName>().is_err(), "{bad:?}");
        }
    }
}
