//! What a challenge is named by.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, serde_as_text};

/// The token of a challenge (RFC 8555, section 8.1): base64url without padding.
///
/// An authority chooses it, and it becomes part of a path, of a URL and of a command for `HAProxy`; hence no other
/// character is let in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// Longest token accepted, in bytes. Authorities send 22 to 43; a file name may have 255.
    const MAX: usize = 128;

    /// The path under which a validating authority asks for it (RFC 8555, section 8.3), without the token itself.
    pub const PATH: &'static str = "/.well-known/acme-challenge/";

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path under which a validating authority asks for it (RFC 8555, section 8.3).
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}{self}", Self::PATH)
    }

    /// What a holder of the account answers: the key authorization (RFC 8555, section 8.1), given the account key's
    /// thumbprint (RFC 7638).
    #[must_use]
    pub fn key_authorization(&self, thumbprint: &str) -> String {
        format!("{self}.{thumbprint}")
    }
}

impl FromStr for Token {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !(1..=Self::MAX).contains(&text.len()) {
            return Err(Invalid::new("challenge token", text, "it has 1 to 128 characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(Invalid::new("challenge token", text, "it has letters, digits, `-` and `_` only"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Token);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_leave_its_directory_or_its_command() {
        for bad in ["", ".", "..", "../x", "a/b", "a b", "a;b", "a\n", "a=", "ä", &"a".repeat(129)] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?}");
        }
        let token: Token = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0".parse().unwrap();
        assert_eq!(token.path(), "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0");
        assert_eq!(token.key_authorization("t"), "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.t");
    }
}
