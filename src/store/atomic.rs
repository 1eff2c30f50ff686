//! Files that are either the old or the new ones, also after a power cut.
//!
//! A file is written beside its place under a dot name (which `HAProxy` ignores in a certificate directory), synced, renamed,
//! and its directory synced. While its writer lives it holds a kernel lock on the temporary file, so that [`sweep`] can tell
//! what a crash left behind from what another process is writing, across containers too, where process ids mean nothing.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{Error, io};
use super::parallel::on_threads;

/// Permission bits of a file's mode.
pub(super) const PERMISSIONS: u32 = 0o7777;
/// What stands between the name of a file and the random part of its temporary name.
const MARK: &str = ".hotcert-";
/// How many names are tried before giving up; each costs one system call, and only leftovers of the same process id collide.
const NAMES_TRIED: usize = 1000;

/// How many files are synced at the same time: one after the other, each waits for a commit of the file system's journal of its own,
/// and those that wait together are let through together.
pub(super) const SYNCED_AT_ONCE: usize = 16;

/// Who may reach a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    /// Permission bits.
    pub(super) mode: u32,
    /// Owner, when it is not left to the system.
    pub(super) uid: Option<u32>,
    /// Group, when it is not left to the system.
    pub(super) gid: Option<u32>,
}

/// A complete and synced file that is not in its place yet; removed on drop.
#[derive(Debug)]
pub(super) struct Temporary {
    /// Open for its lock, and to be synced.
    file: File,
    path: PathBuf,
    target: PathBuf,
    in_place: bool,
}

impl Temporary {
    /// Writes and syncs the file, beside `target`.
    pub(super) fn create(target: &Path, bytes: &[u8], access: Access) -> Result<Self, Error> {
        let temporary = Self::write(target, bytes, access)?;
        temporary.sync()?;
        Ok(temporary)
    }

    /// Writes the file, beside `target`; [`Temporary::sync`] has to follow.
    pub(super) fn write(target: &Path, bytes: &[u8], access: Access) -> Result<Self, Error> {
        let (file, path) = open_beside(target)?;
        let mut temporary = Self { file, path, target: target.to_owned(), in_place: false };
        // Errors name the file that is wanted: the temporary name is another one each time, and an error that stays is told once.
        fill(&mut temporary.file, target, bytes, access)?;
        tracing::trace!(target: "hotcert::step", "store: file written beside its place");
        Ok(temporary)
    }

    /// Makes the contents last.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(io("sync", &self.target))
    }

    /// Makes the contents of several last. Many are synced with all else that their file system has to write: that is one commit of its
    /// journal, where each alone waits for one of its own.
    pub(super) fn sync_all<'t>(all: impl Iterator<Item = &'t Self>) -> Vec<Result<(), Error>> {
        let all: Vec<&Self> = all.collect();
        if all.len() > SYNCED_AT_ONCE && sync_file_systems(&all).is_ok() {
            return all.iter().map(|_| Ok(())).collect();
        }
        // Each tells what is wrong with it.
        on_threads(SYNCED_AT_ONCE, &all, |temporary| temporary.sync())
    }

    /// Where it will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// Puts it into its place, over what is there; the directory is not synced.
    pub(super) fn rename(mut self) -> Result<(), Error> {
        fs::rename(&self.path, &self.target).map_err(io("replace", &self.target))?;
        self.in_place = true;
        Ok(())
    }

    /// Puts it into its place, unless something is there: then `false`. The directory is not synced.
    pub(super) fn link(self) -> Result<bool, Error> {
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io("create", &self.target)(error)),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.in_place {
            // What remains is swept later.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Replaces a file as a whole, and sweeps its (small) directory first.
pub(super) fn replace(target: &Path, bytes: &[u8], access: Access) -> Result<(), Error> {
    let directory = directory_of(target);
    sweep(directory)?;
    Temporary::create(target, bytes, access)?.rename()?;
    sync_directory(directory)
}

/// Writes new files into a directory that nobody knows yet, and syncs them together with it.
pub(super) fn create_all(directory: &Path, files: &[(&str, &[u8])], access: Access) -> Result<(), Error> {
    let mut written = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let target = directory.join(name);
        let mut file = new_file(&target).map_err(io("create", &target))?;
        fill(&mut file, &target, bytes, access)?;
        tracing::trace!(target: "hotcert::step", "store: file of a generation written");
        written.push((target, file));
    }
    let synced = on_threads(SYNCED_AT_ONCE, &written, |(target, file)| file.sync_all().map_err(io("sync", target)));
    synced.into_iter().collect::<Result<(), Error>>()?;
    sync_directory(directory)
}

/// Makes one directory, 0700, and syncs its parent; one that exists is left as it is.
pub(super) fn make_directory(path: &Path, owner: Option<(u32, u32)>) -> Result<(), Error> {
    if new_directory(path, owner)? { sync_directory(directory_of(path)) } else { Ok(()) }
}

/// Makes one directory, 0700, whose name does not have to last; `false` where it exists, and is left as it is.
pub(super) fn new_directory(path: &Path, owner: Option<(u32, u32)>) -> Result<bool, Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(io("create", path)(error)),
    }
    if let Some((uid, gid)) = owner {
        std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(io("change the owner of", path))?;
    }
    Ok(true)
}

/// Makes everything last on the file systems on which these files are. Before Linux 5.8 a failure of the disk is not told here.
fn sync_file_systems(all: &[&Temporary]) -> std::io::Result<()> {
    let mut synced = BTreeSet::new();
    for temporary in all {
        if synced.insert(temporary.file.metadata()?.dev()) {
            rustix::fs::syncfs(&temporary.file)?;
        }
    }
    Ok(())
}

/// Makes renames in a directory last.
pub(super) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(io("sync", path))
}

/// The directory of a file.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes temporary files that a crash left in a directory; returns how many.
pub(super) fn sweep(directory: &Path) -> Result<usize, Error> {
    let mut removed = 0;
    for path in abandoned(directory)? {
        match fs::remove_file(&path) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io("remove", &path)(error)),
        }
    }
    Ok(removed)
}

/// The temporary files that a crash left in a directory.
pub(super) fn abandoned(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(io("list", directory))? {
        let entry = entry.map_err(io("list", directory))?;
        if entry.file_name().to_str().is_some_and(is_temporary) && is_abandoned(&entry.path()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether a file name is one that [`Temporary`] gives.
fn is_temporary(name: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.starts_with('.')
        && name
            .rsplit_once(MARK)
            .and_then(|(_, random)| random.split_once('-'))
            .is_some_and(|(pid, count)| digits(pid) && digits(count))
}

/// Whether no living process holds it; where the file system knows no locks, it is left alone.
fn is_abandoned(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Makes and locks an empty temporary file, readable by nobody else.
fn open_beside(target: &Path) -> Result<(File, PathBuf), Error> {
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let name = target.file_name().ok_or_else(|| Error::NotAFile { path: target.to_owned() })?;
    for _ in 0..NAMES_TRIED {
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!("{MARK}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let path = directory_of(target).join(temporary);
        let file = match new_file(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(io("create", target)(error)),
        };
        // Between creation and lock another process may have taken it for a leftover.
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            // A file system without locks: nothing is ever swept there.
            Ok(()) | Err(TryLockError::Error(_)) => {
                if file.metadata().map_err(io("read", target))?.nlink() > 0 {
                    return Ok((file, path));
                }
            }
        }
    }
    Err(io("create a temporary file beside", target)(ErrorKind::AlreadyExists.into()))
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Owner and mode come before the contents: whoever opened the file earlier could read them later.
fn fill(file: &mut File, path: &Path, bytes: &[u8], access: Access) -> Result<(), Error> {
    settle(file, path, access)?;
    file.write_all(bytes).map_err(io("write", path))
}

/// Gives a file its owner and its mode, whatever the umask says.
pub(super) fn settle(file: &File, path: &Path, access: Access) -> Result<(), Error> {
    let found = file.metadata().map_err(io("read", path))?;
    let uid = access.uid.filter(|uid| *uid != found.uid());
    let gid = access.gid.filter(|gid| *gid != found.gid());
    if uid.is_some() || gid.is_some() {
        fchown(file, uid, gid).map_err(io("change the owner of", path))?;
    }
    if found.mode() & PERMISSIONS != access.mode {
        file.set_permissions(Permissions::from_mode(access.mode)).map_err(io("change the mode of", path))?;
    }
    Ok(())
}
