//! Forgetting a certificate: its generations, its settings, its order, and how its renewal stands.
//!
//! Its directory is hidden by one rename, so that it is never seen half deleted; then its files go. What a crash left of that
//! is removed by whoever forgets something next.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::io;
use super::{CertLock, Error, Store, atomic, remove};

/// Beginning of the name of a directory that is being deleted.
const FORGOTTEN: &str = ".forgotten-";

impl Store {
    /// Forgets everything about a certificate, its keys included.
    pub fn forget(&self, lock: &CertLock) -> Result<(), Error> {
        self.clear_forgotten()?;
        let name = lock.name();
        let (place, certs) = (self.certificate(name), self.root.join("certs"));
        // First, for there is no second try once it is forgotten.
        self.forget_attached(lock)?;
        match fs::rename(&place, certs.join(format!("{FORGOTTEN}{name}"))) {
            Ok(()) => atomic::sync_directory(&certs)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io("remove", &place)(error)),
        }
        tracing::trace!(target: "hotcert::step", "store: certificate forgotten");
        self.touch(name);
        self.clear_forgotten()?;
        tracing::trace!(target: "hotcert::step", "store: forgotten certificate deleted");
        Ok(())
    }

    /// Forgets which entries of crt-lists were made for a certificate: there are none any more.
    pub fn forget_attached(&self, lock: &CertLock) -> Result<(), Error> {
        let nodes = entries(&self.root.join("attached"))?;
        nodes.iter().try_for_each(|node| remove(&node.join(format!("{}.json", lock.name()))))
    }

    /// Removes what a crash left of a certificate that was being forgotten.
    pub fn clear_forgotten(&self) -> Result<(), Error> {
        let is_forgotten = |path: &&PathBuf| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(FORGOTTEN))
        };
        for path in entries(&self.root.join("certs"))?.iter().filter(is_forgotten) {
            match fs::remove_dir_all(path) {
                // Another process does the same.
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove", path)(error)),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What is in a directory; nothing when there is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(directory) {
        Ok(found) => found.map(|entry| Ok(entry.map_err(io("list", directory))?.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io("list", directory)(error)),
    }
}
