//! The files of a process as we see them: in a container, or behind a `chroot`, a path means something else.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::mounts;

/// Symbolic links on the way to a file (`MAXSYMLINKS` of Linux).
const MAX_LINKS: usize = 40;
/// Largest table of mounts that is read, in bytes: thousands of mounts.
const MAX_MOUNTS: usize = 4 * 1024 * 1024;

/// How the files of a process are reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The process in another mount namespace, through whose root we look; `None` when it sees the files that we see.
    pub through: Option<u32>,
}

impl View {
    /// Where a file of the process is found as long as the process lives; links in a foreign root lead no further than that root.
    pub fn here(&self, path: &Path) -> io::Result<PathBuf> {
        let Some(pid) = self.through else { return Ok(path.to_owned()) };
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        resolve(&root, path).map(|inside| root.join(inside.strip_prefix("/").unwrap_or(&inside)))
    }

    /// Where the same file or directory is found for good: the path itself, or where a mount that is shared with the process is
    /// mounted for us. `None` when it is the process's alone.
    #[must_use]
    pub fn lasting(&self, path: &Path) -> Option<PathBuf> {
        let Some(pid) = self.through else { return Some(path.to_owned()) };
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let inside = resolve(&root, path).ok()?;
        let theirs = read(Path::new(&format!("/proc/{pid}/mountinfo")), MAX_MOUNTS).ok()?;
        let ours = read(Path::new("/proc/self/mountinfo"), MAX_MOUNTS).ok()?;
        let (theirs, ours) = (String::from_utf8_lossy(&theirs), String::from_utf8_lossy(&ours));
        let known = fs::metadata(self.here(path).ok()?).ok()?;
        // What a mount of ours covers is another file.
        let is_same = |found: &PathBuf| {
            fs::metadata(found).is_ok_and(|found| (found.dev(), found.ino()) == (known.dev(), known.ino()))
        };
        mounts::translate(&theirs, &ours, &inside).into_iter().find(is_same)
    }
}

/// A regular file as a whole, up to so many bytes; what is longer is [`io::ErrorKind::FileTooLarge`]. Waits for no writer.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut out = Vec::new();
    let bound = u64::try_from(limit).expect("a length fits 64 bits");
    file.take(bound + 1).read_to_end(&mut out)?;
    if out.len() > limit { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(out) }
}

/// A path below a root without its symbolic links, which are followed as somebody in that root would.
fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut done = PathBuf::from("/");
    let mut left: Vec<PathBuf> = path.components().rev().map(|part| PathBuf::from(part.as_os_str())).collect();
    let mut links = 0;
    while let Some(part) = left.pop() {
        match part.components().next() {
            None | Some(Component::CurDir | Component::Prefix(_)) => {}
            Some(Component::RootDir) => done = PathBuf::from("/"),
            Some(Component::ParentDir) => drop(done.pop()),
            Some(Component::Normal(name)) => {
                done.push(name);
                let here = root.join(done.strip_prefix("/").unwrap_or(&done));
                match fs::read_link(&here) {
                    Ok(target) => {
                        links += 1;
                        if links > MAX_LINKS {
                            return Err(io::ErrorKind::InvalidInput.into());
                        }
                        done.pop();
                        left.extend(target.components().rev().map(|part| PathBuf::from(part.as_os_str())));
                    }
                    // No link.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_in_a_foreign_root_do_not_lead_out_of_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/haproxy")).unwrap();
        fs::write(root.path().join("etc/haproxy/h.cfg"), "").unwrap();
        symlink("/etc/haproxy", root.path().join("absolute")).unwrap();
        symlink("../../../../etc", root.path().join("up")).unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        for path in ["/etc/haproxy/h.cfg", "/absolute/h.cfg", "/up/haproxy/h.cfg", "/../etc/./haproxy/h.cfg"] {
            assert_eq!(resolve(root.path(), Path::new(path)).unwrap(), Path::new("/etc/haproxy/h.cfg"), "{path}");
        }
        assert!(resolve(root.path(), Path::new("/loop")).is_err());
        assert!(resolve(root.path(), Path::new("/absolute/missing")).is_err());
    }

    #[test]
    fn a_file_is_read_up_to_a_bound_and_a_directory_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(directory.path(), 5).is_err());
    }
}
