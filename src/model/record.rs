//! A record that proves a name through the DNS, and who keeps it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Authority, DnsName, Identifier, Invalid, serde_as_text};

/// What stands in the record: the SHA-256 digest of a key authorization in base64url (RFC 8555, section 8.4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordValue(String);

impl RecordValue {
    /// Characters of 32 bytes in base64url.
    const LENGTH: usize = 43;

    /// The value for a key authorization.
    #[must_use]
    pub fn of(key_authorization: &str) -> Self {
        Self(BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, key_authorization.as_bytes())))
    }

    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RecordValue {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() != Self::LENGTH || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            return Err(Invalid::new("value of a challenge", text, "it has 43 letters, digits, `-` and `_`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RecordValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(RecordValue);

/// One TXT record, which may have others beside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// Where it stands, after delegation.
    pub name: DnsName,
    /// What stands there.
    pub value: RecordValue,
}

impl Record {
    /// Where a name is proved (RFC 8555, section 8.4), before any delegation: a wildcard at the same place as what it stands for.
    /// `None` for what has no such place: an address, or a name that leaves no room for it.
    #[must_use]
    pub fn place(name: &Identifier) -> Option<DnsName> {
        DnsName::of(name)?.below("_acme-challenge").ok()
    }
}

/// Who keeps the records. It has paths of secrets, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsProvider {
    /// A server that takes dynamic updates (RFC 2136).
    Rfc2136 {
        /// The primary server of the zone.
        server: Authority,
        /// The key that it knows us by.
        tsig: TsigKey,
    },
    /// A hosted provider with a programming interface of its own.
    Hosted {
        /// Its name, one of [`HOSTED`](super::HOSTED).
        service: String,
        /// What it asks for: a value, or the path of a file with it where the name ends in `_file`.
        credentials: BTreeMap<String, String>,
    },
    /// A program.
    Exec {
        /// Its path.
        program: PathBuf,
    },
    /// A script of acme.sh.
    AcmeSh {
        /// Its name, such as `dns_cf`.
        api: String,
        /// The directory with `acme.sh` and `dnsapi`.
        home: PathBuf,
        /// Lines `NAME=value` for its environment.
        environment_file: Option<PathBuf>,
    },
}

impl DnsProvider {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Rfc2136 { .. } => "rfc2136",
            Self::Hosted { service, .. } => service,
            Self::Exec { .. } => "exec",
            Self::AcmeSh { .. } => "acme.sh",
        }
    }

    /// Whether it has to be told the zone, and cannot find it by itself.
    #[must_use]
    pub fn needs_zone(&self) -> bool {
        matches!(self, Self::Hosted { .. })
    }
}

/// A key by which a server knows who sends an update (RFC 8945).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TsigKey {
    /// What `tsig-keygen` prints, or the secret alone, in base64.
    pub key_file: PathBuf,
    /// Its name, where the file has the secret alone.
    pub name: Option<DnsName>,
    /// Its algorithm, where the file has the secret alone.
    pub algorithm: Option<TsigAlgorithm>,
}

/// How a message is authenticated (RFC 8945, section 6): those that have to be implemented or are recommended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TsigAlgorithm {
    /// `hmac-sha256`, which every server knows.
    HmacSha256,
    /// `hmac-sha384`.
    HmacSha384,
    /// `hmac-sha512`.
    HmacSha512,
}

impl FromStr for TsigAlgorithm {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.to_ascii_lowercase().as_str() {
            "hmac-sha256" => Ok(Self::HmacSha256),
            "hmac-sha384" => Ok(Self::HmacSha384),
            "hmac-sha512" => Ok(Self::HmacSha512),
            _ => Err(Invalid::new("TSIG algorithm", text, "it is none of hmac-sha256, hmac-sha384 and hmac-sha512")),
        }
    }
}

impl fmt::Display for TsigAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        })
    }
}

serde_as_text!(TsigAlgorithm);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_proved_where_its_base_is() {
        let at = |text: &str| Record::place(&text.parse().unwrap()).map(|name| name.to_string());
        assert_eq!(at("*.a.test").as_deref(), Some("_acme-challenge.a.test"));
        assert_eq!(at("bücher.test").as_deref(), Some("_acme-challenge.xn--bcher-kva.test"));
        assert_eq!(at("192.0.2.1"), None);
    }

    #[test]
    fn the_value_is_that_of_the_standard() {
        // Digested by `openssl dgst -sha256 -binary | basenc --base64url`.
        let value = RecordValue::of("LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0.9jg46WB3rR");
        assert_eq!(value.as_str(), "bfMPyZVFzFMr4OkFvVqCE4ugL-nKimACQ7kODrNhYnA");
        assert_eq!(value.as_str().parse(), Ok(value.clone()));
        assert!("x".repeat(42).parse::<RecordValue>().is_err() && "ä".repeat(43).parse::<RecordValue>().is_err());
    }
}
