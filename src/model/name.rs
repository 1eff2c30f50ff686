//! Names of certificates and nodes.

use std::fmt;
use std::str::FromStr;

use super::{Identifier, Invalid, serde_as_text};

/// The name of a managed certificate: a file name without its ending, the same on disk, in `HAProxy` and on the command line.
///
/// ASCII letters, digits, `-`, `_` and `.`; so it can be neither a path nor a second command. A wildcard `*.example.org` is
/// named `_.example.org`, and a name with accents by its A-label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertName(String);

impl CertName {
    const WHAT: &'static str = "certificate name";
    /// A file name may have 255 bytes; the rest is left for a leading dot, `.pem.ecdsa` and the random part of a temporary name.
    const MAX: usize = 200;
    /// Endings by which `HAProxy` addresses a part of a certificate instead of the certificate (`set ssl cert`, management
    /// guide, section 9.3), so that a slot of this name could never be loaded.
    pub(super) const COMPANION_ENDINGS: [&'static str; 4] = [".key", ".ocsp", ".issuer", ".sctl"];

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes what a person typed: a certificate name, or a domain, which names its certificate.
    pub fn from_user(text: &str) -> Result<Self, Invalid> {
        let by_name = text.parse();
        if by_name.is_err()
            && (text.starts_with("*.") || text.contains(':') || !text.is_ascii())
            && let Ok(identifier) = text.parse::<Identifier>()
        {
            return Self::of(&identifier);
        }
        by_name
    }

    /// The name that a certificate has when nobody chose one: that of its first identifier. A domain may be too long for a file
    /// name, or end like a part of a certificate (`shop.key`).
    pub fn of(identifier: &Identifier) -> Result<Self, Invalid> {
        match identifier {
            Identifier::Dns(name) => match name.strip_prefix("*.") {
                Some(base) => format!("_.{base}").parse(),
                None => name.parse(),
            },
            // A colon would end the path part of a `HAProxy` address, and is no part of a portable file name.
            Identifier::Ip(address) => {
                let name = address.to_string().replace(':', "-");
                // `::1` is `0::1`: a name does not begin with a dash.
                if name.starts_with('-') { format!("0{name}").parse() } else { name.parse() }
            }
        }
    }
}

impl FromStr for CertName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new(Self::WHAT, text, reason));
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > Self::MAX {
            return refuse("it is longer than 200 bytes");
        }
        if text.contains(['/', '\\']) {
            return refuse("it contains a path separator");
        }
        if text.starts_with('*') {
            return refuse("HAProxy takes a leading `*` for its open transaction; a wildcard is named `_.example.org`");
        }
        if text.starts_with(['.', '-']) {
            return refuse("it starts with a dot or a dash; HAProxy ignores dotfiles");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return refuse("only ASCII letters, digits, `-`, `_` and `.` are allowed");
        }
        if Self::COMPANION_ENDINGS.iter().any(|ending| text.ends_with(ending)) {
            return refuse(
                "HAProxy reserves the endings .key, .ocsp, .issuer and .sctl for the parts of a certificate",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(CertName);

/// The name of one `HAProxy` instance in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if text.is_empty() || text.len() > 64 || !plain || text.starts_with('.') {
            return Err(Invalid::new("node name", text, "use 1 to 64 ASCII letters, digits, `-`, `_` and `.`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(NodeName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_leave_its_folder_or_its_command_is_refused() {
        for bad in [
            "", "a/b", "..", ".hidden", "*a", "a b", "a\nb", "a;b", "a<<b", "a\\b", "x.key", "x.ocsp", "x.issuer",
            "x.sctl", "-x", "ü",
        ] {
            assert!(bad.parse::<CertName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(201).parse::<CertName>().is_err());
        for good in ["example.org", "_.example.org", "shop_1", "a-b.c"] {
            assert_eq!(good.parse::<CertName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn a_certificate_is_named_after_its_first_identifier() {
        let name = |text: &str| CertName::of(&text.parse().unwrap()).unwrap().to_string();
        assert_eq!(name("*.example.org"), "_.example.org");
        assert_eq!(name("Bücher.example"), "xn--bcher-kva.example");
        assert_eq!(name("2001:db8::1"), "2001-db8--1");
        assert_eq!(name("::1"), "0--1");
        for unfit in ["shop.key".to_owned(), ["a".repeat(50).as_str(); 4].join(".")] {
            assert!(CertName::of(&unfit.parse().unwrap()).is_err(), "{unfit}");
        }
    }

    #[test]
    fn a_person_may_type_a_domain_for_a_name() {
        assert_eq!(CertName::from_user("*.a.test").unwrap().as_str(), "_.a.test");
        assert_eq!(CertName::from_user("bücher.example").unwrap().as_str(), "xn--bcher-kva.example");
        assert_eq!(CertName::from_user("2001:db8::1").unwrap().as_str(), "2001-db8--1");
        assert!(CertName::from_user("a/b").is_err() && CertName::from_user("a:b").is_err());
    }
}
