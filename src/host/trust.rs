//! Whether what a process says may be acted upon without asking.
//!
//! Any user can start a program of the name `haproxy` with a configuration of their own. Whoever believed it would hand private keys to
//! their socket, or write as root where they want.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Instance, Listen};

/// Bits of a file's mode by which others than its owner could change it.
const WRITABLE: u32 = 0o022;

impl Instance {
    /// Whether root or we ourselves run it, or have at least written its configuration and opened its stats sockets.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        let Some(main) = self.main() else { return true };
        if is_ours(main.uid) {
            return true;
        }
        // Started by root, it has become somebody else since. What is root's in its own world need not be so in ours.
        let files = &self.configuration.files;
        main.view.through.is_none()
            && !files.is_empty()
            && files.iter().all(|file| is_protected(file))
            && self.configuration.global().stats_sockets.iter().all(|socket| match &socket.listen {
                Listen::Unix(path) => fs::symlink_metadata(path).is_ok_and(|found| is_ours(found.uid())),
                _ => false,
            })
    }
}

/// Whether nobody but root and we could have changed a file: it, and every directory on the way to it.
pub(super) fn is_protected(path: &Path) -> bool {
    let Ok(path) = fs::canonicalize(path) else { return false };
    path.ancestors().all(|part| {
        fs::metadata(part).is_ok_and(|found| {
            // In a directory with the sticky bit, nobody touches what belongs to another.
            is_ours(found.uid()) && (found.mode() & WRITABLE == 0 || (found.is_dir() && found.mode() & 0o1000 != 0))
        })
    })
}

fn is_ours(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_could_have_changed_is_not_protected() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("haproxy");
        fs::write(&file, "").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(&file, 0o755);
        assert!(is_protected(&file));
        mode(&file, 0o775);
        assert!(!is_protected(&file));
        mode(&file, 0o755);
        mode(directory.path(), 0o777);
        assert!(!is_protected(&file));
        assert!(!is_protected(&directory.path().join("missing")));
    }
}
