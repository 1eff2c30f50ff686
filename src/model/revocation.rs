//! Why a certificate is revoked.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, serde_as_text};

/// The reasons that a subscriber may give (RFC 5280, section 5.3.1; CA/Browser Forum Baseline Requirements, section 7.2.2), by
/// the names that they have there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RevocationReason {
    /// None of the others.
    #[default]
    Unspecified,
    /// Somebody else has, or may have, the key.
    KeyCompromise,
    /// Something about the subject has changed.
    AffiliationChanged,
    /// Another certificate has taken its place.
    Superseded,
    /// The names are not used any more.
    CessationOfOperation,
}

impl RevocationReason {
    const ALL: [(Self, &'static str, u8); 5] = [
        (Self::Unspecified, "unspecified", 0),
        (Self::KeyCompromise, "keyCompromise", 1),
        (Self::AffiliationChanged, "affiliationChanged", 3),
        (Self::Superseded, "superseded", 4),
        (Self::CessationOfOperation, "cessationOfOperation", 5),
    ];

    /// The number that stands for it.
    #[must_use]
    pub fn code(self) -> u8 {
        self.entry().2
    }

    fn entry(self) -> (Self, &'static str, u8) {
        Self::ALL.into_iter().find(|(reason, ..)| *reason == self).unwrap_or(Self::ALL[0])
    }
}

impl FromStr for RevocationReason {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let found = Self::ALL.into_iter().find(|(_, name, _)| *name == text).map(|(reason, ..)| reason);
        found.ok_or_else(|| {
            Invalid::new(
                "reason of a revocation",
                text,
                "it is unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation",
            )
        })
    }
}

impl fmt::Display for RevocationReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.entry().1)
    }
}

serde_as_text!(RevocationReason);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_known_by_the_name_that_it_has_in_rfc_5280() {
        for (reason, name, code) in RevocationReason::ALL {
            assert_eq!((name.parse(), reason.to_string().as_str(), reason.code()), (Ok(reason), name, code));
        }
        assert!("certificateHold".parse::<RevocationReason>().is_err());
    }
}
