//! The name by which `HAProxy` knows a certificate.

use std::fmt;
use std::str::FromStr;

use super::{CertName, Invalid, serde_as_text};

/// A name that `set ssl cert` accepts: a path, or an alias such as `@store/name`. `HAProxy` compares it byte by byte.
///
/// It contains no blank, separator, escape or control character, so it is always one word of one command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(String);

impl Slot {
    /// Longest name accepted, in bytes; a path cannot be longer either (`PATH_MAX` is 4096, and a command must fit a buffer).
    const MAX: usize = 1024;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of the path, without the directory.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl FromStr for Slot {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new("HAProxy certificate slot", text, reason));
        if text.is_empty() {
            return refuse("it is empty");
        }
        if text.len() > Self::MAX {
            return refuse("it is longer than 1024 bytes");
        }
        if text.starts_with('*') {
            return refuse("HAProxy takes a leading `*` for its open transaction");
        }
        if text.contains("<<") {
            return refuse("`<<` starts a payload on HAProxy's command line");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b";\\\"'".contains(&byte)) {
            return refuse("blanks, quotes, `;`, `\\`, control and non-ASCII characters are not allowed");
        }
        if CertName::COMPANION_ENDINGS.iter().any(|ending| text.ends_with(ending)) {
            return refuse(
                "HAProxy reserves the endings .key, .ocsp, .issuer and .sctl for the parts of a certificate",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Slot);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_always_one_word_of_one_command() {
        for bad in ["", "*x", "a b", "a;b", "a\\b", "a\nb", "a<<b", "x.key", "x\0", "ü", "a\"b"] {
            assert!(bad.parse::<Slot>().is_err(), "{bad:?}");
        }
        for good in ["/etc/haproxy/certs/a.pem", "@store/site1", "certs/a.pem", "a<b"] {
            assert_eq!(good.parse::<Slot>().unwrap().as_str(), good);
        }
    }
}
