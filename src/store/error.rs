//! What can go wrong on disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::bundle::Refusal;
use crate::model::{CertName, Invalid};
use crate::schedule::Retry;

/// An operation on disk failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused an operation for a reason that has no variant of its own.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The disk is full, or a quota is used up.
    #[error("cannot {operation} {}: {}", path.display(), full(*kind))]
    Full {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Which sort of room there is none of; the system has no more to say.
        kind: io::ErrorKind,
    },
    /// We lack the right, or the file system is read-only.
    #[error("not allowed to {operation} {}", path.display())]
    Denied {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The state directory is open to others.
    #[error("the state directory {} has mode {mode:04o}, so others could reach the private keys in it", path.display())]
    StateOpenToOthers {
        /// The state directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something else stands where a directory has to be.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// Something else stands where a regular file has to be.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Where.
        path: PathBuf,
    },
    /// A file is larger than anything that belongs there.
    #[error("{} is larger than {limit} bytes, the most that is read", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound in bytes.
        limit: usize,
    },
    /// The contents of a file are not what was written there.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The link to the current generation leads nowhere.
    #[error("the current generation of certificate {name} cannot be found: {} {reason}", path.display())]
    CurrentBroken {
        /// The certificate.
        name: CertName,
        /// The link.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no such generation.
    #[error("certificate {name} has no generation {number}")]
    NoGeneration {
        /// The certificate.
        name: CertName,
        /// The generation that was asked for.
        number: u64,
    },
    /// The files of a generation do not form a bundle any more.
    #[error("generation {number} of certificate {name} is damaged")]
    GenerationDamaged {
        /// The certificate.
        name: CertName,
        /// The generation.
        number: u64,
        /// The check that it failed.
        #[source]
        source: Box<Refusal>,
    },
    /// An order would overwrite the journal of another one.
    #[error("an order for certificate {name} is in the journal already")]
    JournalInUse {
        /// The certificate.
        name: CertName,
    },
    /// There is no order to write to.
    #[error("no order for certificate {name} is in the journal")]
    JournalMissing {
        /// The certificate.
        name: CertName,
    },
    /// A text cannot become a file name.
    #[error("the file name was refused")]
    FileName {
        /// Why.
        #[source]
        source: Invalid,
    },
    /// Everybody could put files into a directory that `HAProxy` loads.
    #[error("the directory {} has mode {mode:04o}: everybody could put certificates into it", path.display())]
    WorldWritable {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The mode for a published file would open its key to others.
    #[error("mode {mode:04o} would open the private key in {} to others", path.display())]
    ModeTooWide {
        /// The file.
        path: PathBuf,
        /// The mode that was asked for.
        mode: u32,
    },
    /// A user or group does not exist.
    #[error("{what} {name:?} is not in {database}")]
    UnknownOwner {
        /// `user` or `group`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The file that was searched.
        database: &'static str,
    },
    /// The crt-list does not follow the syntax, so it is not edited.
    #[error("{}:{line}: {reason}", path.display())]
    CrtListUnreadable {
        /// The crt-list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A slot, option or filter cannot stand in a crt-list.
    #[error("the entry cannot be written to {}", path.display())]
    CrtListEntry {
        /// The crt-list.
        path: PathBuf,
        /// Which part, and why not.
        #[source]
        source: Invalid,
    },
}

impl Error {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Full { path, .. } => {
                format!(
                    "make room on the file system of {}, then try again: nothing that was there is lost",
                    path.display()
                )
            }
            Self::Denied { path, operation: "change the owner of", .. } => format!(
                "set `owner`, `group` and `mode` to what HAProxy can read and this user may give (it cannot keep those of {})",
                path.display()
            ),
            Self::Denied { path, .. } => format!(
                "look at the owner and mode by `namei -l {}`, and run as the user that owns it; under systemd, also at ReadWritePaths=",
                path.display()
            ),
            Self::StateOpenToOthers { path, .. } => format!("chmod 700 {}", path.display()),
            Self::NotADirectory { path } | Self::NotAFile { path } | Self::TooLong { path, .. } => {
                format!("look at it by `ls -ld {0}`, then move it away or correct the configuration", path.display())
            }
            Self::Damaged { path, .. } => {
                format!("move {} away, or put it back from a backup; it is written anew when needed", path.display())
            }
            Self::CurrentBroken { name, .. } => {
                format!("choose a generation by `hotcert rollback {name} --to GENERATION`, or issue or push it again")
            }
            Self::NoGeneration { .. } => "leave the number out, or name a generation that is stored".to_owned(),
            Self::GenerationDamaged { name, .. } => {
                format!("go back by `hotcert rollback {name}`, or issue or push it again")
            }
            Self::WorldWritable { path, .. } => format!("chmod o-w {}", path.display()),
            Self::ModeTooWide { .. } => {
                "use mode 0640 or less, with the group that HAProxy runs in as `group`".to_owned()
            }
            Self::UnknownOwner { .. } => "correct the name, or give its number".to_owned(),
            Self::CrtListUnreadable { path, .. } => {
                format!("mend the line, then check it by `haproxy -c`; {} was left alone", path.display())
            }
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::NotFound => {
                format!("make it, or correct the path; `namei -l {}` shows what is there", path.display())
            }
            Self::Io { path, .. } => format!("look at it by `namei -l {}`, and at the kernel's log", path.display()),
            Self::JournalInUse { .. }
            | Self::JournalMissing { .. }
            | Self::FileName { .. }
            | Self::CrtListEntry { .. } => return None,
        })
    }

    /// When it is worth trying again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Io { .. } | Self::Full { .. } => Retry::Backoff,
            _ => Retry::Never,
        }
    }
}

/// Gives an I/O error its operation and path.
pub(super) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| {
        let path = path.to_owned();
        match source.kind() {
            kind @ (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Error::Full { operation, path, kind },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::Denied { operation, path, source }
            }
            _ => Error::Io { operation, path, source },
        }
    }
}

fn full(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::QuotaExceeded { "the quota is used up" } else { "no space is left" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_missing_right_are_told_apart_and_explained() {
        let error = |kind: io::ErrorKind| io("write", Path::new("/state/x"))(kind.into());
        for full in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(matches!(error(full), Error::Full { .. }));
        }
        for denied in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
            assert!(matches!(error(denied), Error::Denied { .. }));
            assert!(error(denied).hint().unwrap().contains("/state/x"));
        }
        assert_eq!(error(io::ErrorKind::StorageFull).to_string(), "cannot write /state/x: no space is left");
        assert_eq!(error(io::ErrorKind::QuotaExceeded).to_string(), "cannot write /state/x: the quota is used up");
        assert_eq!(error(io::ErrorKind::StorageFull).retry(), Retry::Backoff);
    }
}
