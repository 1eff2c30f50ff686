//! A directory for one test, removed with it unless the test failed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary directory of mode 0700. If the test panics it stays, and its path is printed.
#[derive(Debug)]
pub struct Scratch {
    dir: Option<TempDir>,
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory with a short path, so that Unix sockets fit below it (`sun_path` has 108 bytes).
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("hotcert-").tempdir().expect("a temporary directory can be made");
        let path = dir.path().to_path_buf();
        Self { dir: Some(dir), path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, existing or not.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a directory below this one, with its parents.
    pub fn dir(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        path
    }

    /// Writes a file, with its parent directories.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        self.dir(path.parent().expect("a file below the directory has a parent"));
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        path
    }

    /// Reads a file as text.
    pub fn read(&self, name: impl AsRef<Path>) -> String {
        let path = self.join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
    }

    /// Sets the permission bits of an entry; the empty name is the directory itself.
    pub fn chmod(&self, name: impl AsRef<Path>, mode: u32) {
        let path = self.join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .unwrap_or_else(|error| panic!("chmod {}: {error}", path.display()));
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(dir) = self.dir.take()
        {
            eprintln!("kept for inspection: {}", dir.keep().display());
        }
    }
}
