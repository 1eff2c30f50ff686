//! The files by which `HAProxy` judges the certificates of clients.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What such a file has in it (configuration manual, section 5.1, `ca-file` and `crl-file`). In the order in which they are loaded: a
/// list is measured against the authorities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientFile {
    /// The authorities whose clients are let in.
    CaFile,
    /// Their revocation lists (RFC 5280, section 5).
    CrlFile,
}

impl ClientFile {
    /// The keyword of `HAProxy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CaFile => "ca-file",
            Self::CrlFile => "crl-file",
        }
    }
}

impl fmt::Display for ClientFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
