//! Directories for programs that write where they like, for as long as they run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::io;
use super::{Error, Store};
use crate::model::{Token, chain};

/// An empty private directory. Dropped, it is removed with all that was written there.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Store {
    /// Makes a directory for work at a token, of which there is never more than one piece at a time: whoever works at it has the lock of its
    /// certificate. What a crash left of the last time is removed first.
    pub fn scratch(&self, token: &Token) -> Result<Scratch, Error> {
        // A token has no dot and no slash.
        let path = self.root.join("scratch").join(token.as_str());
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove", &path)(error)),
            _ => {}
        }
        self.make_directories(&path)?;
        Ok(Scratch { path })
    }
}

impl Scratch {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %chain(&error), "what a program wrote was left behind");
        }
    }
}
