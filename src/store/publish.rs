//! The files that `HAProxy` reads at its next start.
//!
//! `HAProxy` loads every file of a certificate directory except dotfiles, and refuses to start because of a single bad one
//! (configuration manual, section 5.1, `crt`). So a file appears there only complete, by a rename. Writing and renaming are two
//! steps: a full disk is noticed before anything was sent to `HAProxy`, and the rename happens between its `set` and `commit`.
//! One process at a time writes to a directory: whoever holds the locks of its nodes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::Access as Permission;
use zeroize::Zeroizing;

use super::atomic::{self, Access, PERMISSIONS, SYNCED_AT_ONCE, Temporary};
use super::error::{Error, io};
use super::parallel::on_threads;
use super::read;
use crate::model::Invalid;

/// The widest mode of a published file: readable by its group, for it holds a private key.
pub const WIDEST_MODE: u32 = 0o640;
/// The mode of a new file for which none is configured; `HAProxy` reads it as root before it drops its rights.
const DEFAULT_MODE: u32 = 0o600;

/// To whom a published file belongs. What is not given stays as it is on the file that is replaced; a new one that root writes
/// belongs to whoever has the directory, who may be the user that hotcert is a service of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Permission bits, at most [`WIDEST_MODE`].
    pub mode: Option<u32>,
    /// Name or number of the user.
    pub owner: Option<String>,
    /// Name or number of the group.
    pub group: Option<String>,
}

/// A file that is complete beside its place, and not synced yet. Dropped, it is removed. It keeps one file open.
#[derive(Debug)]
pub struct Draft(Temporary);

/// A file that is complete and synced beside its place. Dropped, it is removed. It keeps one file open.
#[derive(Debug)]
pub struct Prepared(Temporary);

impl Draft {
    /// Makes several last, at once: that takes hardly longer than for one of them.
    #[must_use]
    pub fn sync_all(drafts: Vec<Self>) -> Vec<Result<Prepared, Error>> {
        let synced = Temporary::sync_all(drafts.iter().map(|draft| &draft.0));
        tracing::trace!(target: "hotcert::step", "store: published files prepared");
        drafts.into_iter().zip(synced).map(|(draft, synced)| synced.map(|()| Prepared(draft.0))).collect()
    }
}

impl Prepared {
    /// Puts it into its place and makes that last.
    pub fn publish(self) -> Result<(), Error> {
        let directory = atomic::directory_of(self.0.target()).to_owned();
        self.rename()?;
        sync_directory(&directory)
    }

    /// The directory in which it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        atomic::directory_of(self.0.target())
    }

    /// Puts it into its place; in a batch, [`sync_directories`] follows once, for all.
    pub fn rename(self) -> Result<(), Error> {
        self.0.rename()?;
        tracing::trace!(target: "hotcert::step", "store: file published");
        Ok(())
    }

    /// Removes it; the file in its place stays as it is.
    pub fn discard(self) {
        drop(self);
    }
}

/// A published file as it was before it was replaced, or that there was none.
#[derive(Debug)]
pub struct Former {
    path: PathBuf,
    before: Option<(Zeroizing<Vec<u8>>, Access)>,
}

impl Former {
    /// Remembers how a file is now.
    pub fn of(path: &Path) -> Result<Self, Error> {
        let before = match (published(path)?, fs::metadata(path)) {
            (Some(bytes), Ok(found)) => {
                let mode = found.mode() & PERMISSIONS;
                Some((bytes, Access { mode, uid: Some(found.uid()), gid: Some(found.gid()) }))
            }
            _ => None,
        };
        Ok(Self { path: path.to_owned(), before })
    }

    /// Makes the file again what it was.
    pub fn put_back(self) -> Result<(), Error> {
        match self.before {
            Some((bytes, access)) => {
                Temporary::create(&self.path, &bytes, access)?.rename()?;
                sync_directory(atomic::directory_of(&self.path))?;
            }
            None => withdraw(&self.path)?,
        }
        tracing::trace!(target: "hotcert::step", "store: published file put back");
        Ok(())
    }
}

/// Removes a published file and makes that last; one that is not there is fine.
pub fn withdraw(path: &Path) -> Result<(), Error> {
    super::remove(path)?;
    tracing::trace!(target: "hotcert::step", "store: published file removed");
    Ok(())
}

/// Makes the renames in a directory last.
pub fn sync_directory(path: &Path) -> Result<(), Error> {
    atomic::sync_directory(path)?;
    tracing::trace!(target: "hotcert::step", "store: published directory synced");
    Ok(())
}

/// Checks that a directory can be published to, and that nobody else can put certificates into it.
pub fn check_directory(path: &Path) -> Result<(), Error> {
    let found = fs::metadata(path).map_err(io("open", path))?;
    if !found.is_dir() {
        return Err(Error::NotADirectory { path: path.to_owned() });
    }
    let mode = found.mode() & PERMISSIONS;
    // Nor with the sticky bit: it keeps others from deleting our files, not from adding theirs, which HAProxy would load.
    if mode & 0o002 != 0 {
        return Err(Error::WorldWritable { path: path.to_owned(), mode });
    }
    rustix::fs::access(path, Permission::READ_OK | Permission::WRITE_OK | Permission::EXEC_OK)
        .map_err(|error| io("write to", path)(error.into()))
}

/// Makes the renames in several directories last.
pub fn sync_directories(paths: &[PathBuf]) -> Result<(), Error> {
    let synced = on_threads(SYNCED_AT_ONCE, paths, |path| atomic::sync_directory(path));
    synced.into_iter().collect::<Result<(), Error>>()?;
    tracing::trace!(target: "hotcert::step", "store: published directories synced");
    Ok(())
}

/// Writes a file beside its place and syncs it; `None` when it is there already, with the same contents, mode and owner.
pub fn prepare(
    directory: &Path,
    file_name: &str,
    contents: &str,
    ownership: &Ownership,
) -> Result<Option<Prepared>, Error> {
    let Some(Draft(draft)) = draft(directory, file_name, contents, ownership)? else { return Ok(None) };
    draft.sync()?;
    tracing::trace!(target: "hotcert::step", "store: published file prepared");
    Ok(Some(Prepared(draft)))
}

/// Writes a file beside its place; `None` when it is there already, with the same contents, mode and owner.
pub fn draft(directory: &Path, file_name: &str, contents: &str, ownership: &Ownership) -> Result<Option<Draft>, Error> {
    let path = directory.join(checked(file_name)?);
    let found = match fs::metadata(&path) {
        Ok(found) if found.is_file() => Some(found),
        Ok(_) => return Err(Error::NotAFile { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io("open", &path)(error)),
    };
    let kept = found.as_ref().map(|found| found.mode() & WIDEST_MODE);
    let mode = ownership.mode.or(kept).unwrap_or(DEFAULT_MODE);
    if mode & !WIDEST_MODE != 0 {
        return Err(Error::ModeTooWide { path, mode });
    }
    let uid = ownership.owner.as_deref().map(|name| resolve(name, "user", "/etc/passwd")).transpose()?;
    let gid = ownership.group.as_deref().map(|name| resolve(name, "group", "/etc/group")).transpose()?;
    let access = Access {
        mode,
        uid: uid.or(found.as_ref().map(MetadataExt::uid)).or_else(|| heir(directory)),
        gid: gid.or(found.as_ref().map(MetadataExt::gid)),
    };
    let as_it_should_be = found.is_some_and(|found| {
        let now = Access { mode: found.mode() & PERMISSIONS, uid: Some(found.uid()), gid: Some(found.gid()) };
        now == access && usize::try_from(found.len()).is_ok_and(|length| length == contents.len())
    });
    if as_it_should_be && published(&path)?.is_some_and(|bytes| bytes.as_slice() == contents.as_bytes()) {
        return Ok(None);
    }
    Temporary::write(&path, contents.as_bytes(), access).map(|written| Some(Draft(written)))
}

/// To whom root leaves a new file.
fn heir(directory: &Path) -> Option<u32> {
    let found = fs::metadata(directory).ok().filter(|_| rustix::process::geteuid().is_root());
    found.map(|found| found.uid())
}

/// Writes a file and puts it into its place; `false` when it was there already.
pub fn publish(directory: &Path, file_name: &str, contents: &str, ownership: &Ownership) -> Result<bool, Error> {
    match prepare(directory, file_name, contents, ownership)? {
        Some(prepared) => prepared.publish().map(|()| true),
        None => Ok(false),
    }
}

/// The contents of a published file; `None` when there is none.
pub fn published(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    read::bytes(path)
}

/// Removes what a crash left in a directory between [`prepare`] and [`Prepared::publish`]; returns how many files.
///
/// What another process is writing, and what hotcert did not write, is left alone.
pub fn sweep(directory: &Path) -> Result<usize, Error> {
    atomic::sweep(directory)
}

/// What [`sweep`] would remove, in the order of the directory.
pub fn abandoned(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    atomic::abandoned(directory)
}

fn checked(file_name: &str) -> Result<&str, Error> {
    let refuse = |reason| Err(Error::FileName { source: Invalid::new("published file name", file_name, reason) });
    if file_name.is_empty() || file_name.contains(['/', '\0']) {
        return refuse("it is no name of a file in a directory");
    }
    if file_name.starts_with('.') {
        return refuse("HAProxy ignores dotfiles");
    }
    Ok(file_name)
}

/// The number of a user or group. Only the local files are read: what a directory service knows is given by its number.
fn resolve(name: &str, what: &'static str, database: &'static str) -> Result<u32, Error> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = read::text(Path::new(database))?;
    text.as_deref()
        .map_or("", String::as_str)
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        })
        .ok_or_else(|| Error::UnknownOwner { what, name: name.to_owned(), database })
}
