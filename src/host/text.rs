//! Small text files below a root that need not be ours, such as that of a container.

use std::fs;
use std::path::{Path, PathBuf};

use super::view::read;

/// The longest file that is read, in bytes: what people write by hand is shorter.
const LONGEST: usize = 256 * 1024;
/// The most entries of a directory that are looked at.
const ENTRIES: usize = 10_000;

/// What a file says; nothing, when it is longer, no file, or may not be read.
pub(super) fn of(root: &Path, file: &Path) -> Option<String> {
    let bytes = read(&followed(root, file)?, LONGEST).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The entries of a directory, in order; none when it is not there.
pub(super) fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().take(ENTRIES).map(|entry| entry.path()).collect();
    entries.sort();
    entries
}

/// A path as it is called on the machine whose root that is.
pub(super) fn shown(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).map_or_else(|_| path.to_owned(), |rest| Path::new("/").join(rest))
}

/// A file behind one link, which means what it says below the root.
pub(super) fn followed(root: &Path, file: &Path) -> Option<PathBuf> {
    match fs::read_link(file) {
        Ok(target) => match target.strip_prefix("/") {
            Ok(inside) => Some(root.join(inside)),
            Err(_) => Some(file.parent()?.join(target)),
        },
        Err(_) => Some(file.to_owned()),
    }
}
