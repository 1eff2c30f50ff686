//! The file of session ticket keys, as a bind line names it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{Invalid, serde_as_text};

/// The path after `tls-ticket-keys` on a bind line (configuration manual, section 5.1). `HAProxy` compares it byte by byte.
///
/// It is absolute, and always one word of one command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketFile(String);

impl TicketFile {
    /// Longest path accepted, in bytes: with a key it must fit a buffer of `HAProxy`, of any size that is in use.
    const MAX: usize = 1024;

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl FromStr for TicketFile {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |reason| Err(Invalid::new("ticket key file", text, reason));
        if !text.starts_with('/') || text.ends_with('/') {
            return refuse("it is not the absolute path of a file");
        }
        if text.len() > Self::MAX {
            return refuse("it is longer than 1024 bytes");
        }
        if text.contains("<<") {
            return refuse("`<<` starts a payload on HAProxy's command line");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b";\\\"'".contains(&byte)) {
            return refuse("blanks, quotes, `;`, `\\`, control and non-ASCII characters are not allowed");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TicketFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(TicketFile);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_absolute_path_of_one_word_is_refused() {
        assert_eq!(
            "/etc/haproxy/tickets.key".parse::<TicketFile>().unwrap().path(),
            Path::new("/etc/haproxy/tickets.key")
        );
        for bad in ["", "tickets", "/etc/", "/a b", "/a;b", "/a\nb", "/a<<", "/é", "#0"] {
            assert!(bad.parse::<TicketFile>().is_err(), "{bad:?}");
        }
    }
}
