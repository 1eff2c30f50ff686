//! What could not be found out about a machine, and what cures it.

use std::io;
use std::path::{Path, PathBuf};

use super::configuration::Place;
use crate::model::printable;

/// Characters of a name in a message.
const SHOWN: usize = 300;

/// Something of `HAProxy` that could not be read or understood. It ends nothing: what is told without it may be incomplete.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Problem {
    /// A file or a directory cannot be read.
    #[error("cannot read {}: {}", shown(path), describe(*kind))]
    Unreadable {
        /// Which, as `HAProxy` names it.
        path: PathBuf,
        /// Why not.
        kind: io::ErrorKind,
    },
    /// A file is larger, or there are more of them, than anybody writes.
    #[error("{} is left out: {limit} is the most that is read", shown(path))]
    TooMuch {
        /// Which.
        path: PathBuf,
        /// The bound, in words.
        limit: &'static str,
    },
    /// A relative name leads nobody knows where.
    #[error("{} is relative, and the directory of process {pid} is hidden from this user", shown(path))]
    Relative {
        /// The name.
        path: PathBuf,
        /// Whose it is.
        pid: u32,
    },
    /// A line is not understood; `HAProxy` would refuse it too.
    #[error("{place}: {reason}")]
    Line {
        /// Where.
        place: Place,
        /// Why not.
        reason: &'static str,
    },
    /// A process names no configuration.
    #[error("process {pid} names no configuration file")]
    NoFile {
        /// Which process.
        pid: u32,
    },
}

impl Problem {
    /// Whether somebody with more rights would see more.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        matches!(self, Self::Unreadable { kind: io::ErrorKind::PermissionDenied, .. } | Self::Relative { .. })
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            hidden if hidden.is_hidden() => Some("run this command as root".to_owned()),
            Self::Unreadable { kind: io::ErrorKind::NotFound, .. } => {
                Some("it was there when HAProxy started: has it been moved?".to_owned())
            }
            Self::Line { .. } => Some("`haproxy -c -f FILE` shows what HAProxy says to it".to_owned()),
            _ => None,
        }
    }
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string(), SHOWN)
}

fn describe(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        kind => kind.to_string(),
    }
}
