//! The configuration file, where hotcert writes one itself. There is no secret in it.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::Error;
use super::atomic::{self, Access, Temporary};
use super::error::io;

/// Everybody may read what is configured.
const MODE: u32 = 0o644;
/// The mode of its directory, where that has to be made.
const DIRECTORY_MODE: u32 = 0o755;

/// Writes the file as a whole, with its directory; `false` when there is one already, which is left as it is unless `overwrite`.
pub fn write_config(path: &Path, text: &str, overwrite: bool) -> Result<bool, Error> {
    let directory = atomic::directory_of(path);
    if matches!(fs::metadata(directory), Err(error) if error.kind() == ErrorKind::NotFound) {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .and_then(|()| fs::File::open(atomic::directory_of(directory))?.sync_all())
            .map_err(io("create", directory))?;
    }
    let temporary = Temporary::create(path, text.as_bytes(), Access { mode: MODE, uid: None, gid: None })?;
    let is_written = if overwrite { temporary.rename().map(|()| true)? } else { temporary.link()? };
    if is_written {
        atomic::sync_directory(directory)?;
        tracing::trace!(target: "hotcert::step", "store: configuration written");
    }
    Ok(is_written)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_is_there_stays_unless_it_is_to_be_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("etc/hotcert/hotcert.toml");
        assert!(write_config(&path, "a", false).unwrap());
        assert!(!write_config(&path, "b", false).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a");
        assert!(write_config(&path, "b", true).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "b");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
