//! Why a file in a watched directory is not taken.

use std::io;
use std::path::PathBuf;

use crate::bundle::{Check, Refusal};
use crate::model::{CertName, Invalid};
use crate::store;

/// A watched directory or file does not give a certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory is not there.
    #[error("the watched directory is not there; what is served stays in place")]
    Missing,
    /// The directory cannot be looked at.
    #[error("the directory cannot be listed")]
    List(#[source] io::Error),
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[source] store::Error),
    /// It changed while it was read.
    #[error("it is still being written")]
    Changing,
    /// It did not pass the gate.
    #[error("it is not taken")]
    Refused(#[from] Refusal),
    /// A certificate cannot have the name that the file gives it.
    #[error("its file name cannot name a certificate")]
    Unnamed(#[source] Invalid),
    /// Two files give one certificate, and do not agree.
    #[error("certificate {name} is also in {}, and the two differ", other.display())]
    Conflict {
        /// The certificate.
        name: CertName,
        /// The other file.
        other: PathBuf,
    },
    /// hotcert orders the certificate itself.
    #[error("certificate {name} is ordered by hotcert itself ({origin}), and the file holds another one")]
    Ordered {
        /// The certificate.
        name: CertName,
        /// Where that is said.
        origin: &'static str,
    },
    /// The file was taken once, and is not there any more.
    #[error("it was removed; what is served stays in place")]
    Removed,
    /// Another process is at work on the certificate.
    #[error("another hotcert is at work on certificate {name}")]
    Busy {
        /// The certificate.
        name: CertName,
    },
    /// The certificate could not be stored.
    #[error("certificate {name} cannot be stored")]
    Store {
        /// The certificate.
        name: CertName,
        /// Why not.
        #[source]
        source: store::Error,
    },
}

impl Error {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing => "make the directory, or take its [[watch]] out of the configuration".to_owned(),
            Self::List(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                "let the user that runs hotcert read and enter the directory, and those above it".to_owned()
            }
            Self::Read(source) | Self::Store { source, .. } => return source.hint(),
            Self::Refused(Refusal { name, check }) if check.can_be_forced() => {
                format!("if that is what you want, load it by `hotcert push --force --name {name} FILE`")
            }
            Self::Refused(Refusal { check: Check::KeyMissing, .. }) => {
                "put the key beside it, as NAME.key or privkey.pem, or into the same file".to_owned()
            }
            Self::Refused(Refusal { check, .. }) => check.hint().to_owned(),
            Self::Unnamed(_) => "rename it, or load it by `hotcert push --name NAME FILE`".to_owned(),
            Self::Conflict { .. } => "keep one of them, or make both the same".to_owned(),
            Self::Ordered { name, .. } => {
                format!("give the file another name, or have hotcert no longer order {name}")
            }
            Self::Removed => "put it back, or forget the certificate by `hotcert delete NAME`".to_owned(),
            Self::List(_) | Self::Changing | Self::Busy { .. } => return None,
        })
    }

    /// Whether it may be a moment between two writes: a file of which half is there, a key that comes after its certificate.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(Refusal { check, .. }) => !check.can_be_forced(),
            Self::Missing | Self::Changing | Self::Conflict { .. } | Self::Removed | Self::Busy { .. } => true,
            // Renamed away between the listing and the reading.
            Self::Read(store::Error::Io { source, .. }) => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}
