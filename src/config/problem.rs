//! What can be wrong with a configuration.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong, and where. Prints as `file:line:column: key: what is wrong`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The character within the line, from 1.
    pub column: usize,
    /// The key, as in `haproxy.edge.socket`; empty when the file is no TOML.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has mistakes, all of which are listed.
    #[error("the configuration has {}", match .0.len() { 1 => "a problem".to_owned(), count => format!("{count} problems") })]
    Problems(Vec<Problem>),
    /// A command needs something that neither the file nor a flag gives.
    #[error("{what}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to give it.
        hint: String,
    },
}

impl Error {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some("name another file by --config, or have this one written by `hotcert config init`".to_owned())
            }
            Self::Read { path, .. } => Some(format!(
                "look at it by `ls -ld {}`: it must be a file that this user may read; or name another one by --config",
                path.display()
            )),
            Self::Problems(_) => Some("correct the file, then look at it again by `hotcert config check`".to_owned()),
            Self::Missing { hint, .. } => Some(hint.clone()),
        }
    }
}
