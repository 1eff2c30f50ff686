//! The roots of private authorities of our own: each is made once, and never overwritten.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::atomic::{self, Temporary};
use super::{Error, Store, file_id, read};

impl Store {
    /// The file with the root of an issuer: its certificate and its key.
    #[must_use]
    pub fn internal_root_file(&self, issuer: &str) -> PathBuf {
        self.root.join("internal").join(file_id(issuer, issuer)).join("root.pem")
    }

    /// The text of an issuer's root, if there is one.
    pub fn internal_root(&self, issuer: &str) -> Result<Option<Zeroizing<String>>, Error> {
        read::text(&self.internal_root_file(issuer))
    }

    /// Stores the root of an issuer. One that is there already stays, also one that another process has just made: whatever is
    /// returned is the root to use.
    pub fn save_internal_root(&self, issuer: &str, pem: &str) -> Result<Zeroizing<String>, Error> {
        let path = self.internal_root_file(issuer);
        let place = atomic::directory_of(&path);
        self.make_directories(place)?;
        atomic::sweep(place)?;
        if Temporary::create(&path, pem.as_bytes(), self.private())?.link()? {
            atomic::sync_directory(place)?;
            tracing::trace!(target: "hotcert::step", "store: root of a private authority saved");
        }
        Ok(read::text(&path)?.unwrap_or_else(|| Zeroizing::new(pem.to_owned())))
    }
}
