//! The directory of another program, read and never written: within bounds, and nothing that lies outside of it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Error;
use crate::model::printable;
use crate::store;

/// Entries of one directory that are looked at. No machine has so many certificates, and a listing must end.
const ENTRIES: usize = 100_000;

/// Longest name or path that is told, in characters.
const SHOWN: usize = 300;

/// The directory of another program.
#[derive(Debug)]
pub(super) struct Source {
    /// As it was given, for messages.
    given: PathBuf,
    /// Where it really is.
    root: PathBuf,
}

/// An entry of a directory.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Whether it is a directory, or a link to one.
    pub(super) is_directory: bool,
}

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// It is not there.
    #[error("{0} is not there")]
    Missing(String),
    /// A link leads out of the directory.
    #[error("{0} leads out of the directory: import the directory in which it lies")]
    Outside(String),
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl Source {
    /// Takes a directory that can be listed.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Directory { path: directory.to_owned(), source };
        let root = fs::canonicalize(directory).map_err(unreadable)?;
        fs::read_dir(&root).map_err(unreadable)?;
        Ok(Self { given: directory.to_owned(), root })
    }

    /// A path in it as people know it.
    pub(super) fn shown(&self, path: &str) -> String {
        // Without `.` on the way.
        let whole: PathBuf = self.given.join(path).components().collect();
        printable(&whole.display().to_string(), SHOWN)
    }

    /// Where it really is.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The entries of a directory in it, in order; none when it is not there. Names that are no UTF-8, begin with a dot, or hold
    /// characters that are not seen belong to no certificate, and are left out.
    pub(super) fn list(&self, path: &str) -> Vec<Listed> {
        let Ok(directory) = self.within(path) else { return Vec::new() };
        let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
        let mut listed: Vec<Listed> = entries
            .take(ENTRIES)
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok()?;
                let is_sane = !name.starts_with('.') && printable(&name, SHOWN) == name;
                is_sane.then(|| Listed { is_directory: entry.path().is_dir(), name })
            })
            .collect();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        listed
    }

    /// The directories among them.
    pub(super) fn directories(&self, path: &str) -> impl Iterator<Item = String> + use<> {
        self.list(path).into_iter().filter(|entry| entry.is_directory).map(|entry| entry.name)
    }

    /// Whether there is something of this name.
    pub(super) fn has(&self, path: &str) -> bool {
        self.within(path).is_ok()
    }

    /// A file with a certificate or a key.
    pub(super) fn bytes(&self, path: &str) -> Result<Zeroizing<Vec<u8>>, Unread> {
        let file = self.within(path)?;
        match store::read_file(&file) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Unread::Missing(self.shown(path))),
            Err(error) => Err(Unread::Unreadable(told(&error))),
        }
    }

    /// A file of settings; what is no UTF-8 in it is replaced, for no setting that counts has any.
    pub(super) fn text(&self, path: &str) -> Result<Zeroizing<String>, Unread> {
        let bytes = self.bytes(path)?;
        Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A file with JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Unread> {
        // What the parser stumbles over may be a part of a key, so it is not repeated.
        serde_json::from_slice(&self.bytes(path)?)
            .map_err(|_| Unread::Unreadable(format!("{} is not the JSON that it should be", self.shown(path))))
    }

    /// Where something really is, if that is within the directory.
    fn within(&self, path: &str) -> Result<PathBuf, Unread> {
        let real = match fs::canonicalize(self.root.join(path)) {
            Ok(real) => real,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Unread::Missing(self.shown(path))),
            Err(error) => return Err(Unread::Unreadable(format!("{} cannot be read: {error}", self.shown(path)))),
        };
        if real.starts_with(&self.root) { Ok(real) } else { Err(Unread::Outside(self.shown(path))) }
    }
}

/// An error with its cause, in one line.
fn told(error: &store::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    printable(&format!("{error}{cause}"), SHOWN)
}
