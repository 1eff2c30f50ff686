//! What a directory holds, by `stat` alone: enough to see whether a file may have changed since it was read.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::layout;

/// A file may be written twice in one tick of the file system's clock, which takes from milliseconds to two seconds (FAT). While
/// its stamp is younger than this, the same stamp does not prove the same contents.
pub(super) const TICK: Duration = Duration::from_secs(2);
/// Symbolic links that are followed before giving up, as the kernel does (`path_resolution(7)`).
const MOST_HOPS: usize = 40;

/// What changes when a file does: which file it is, its size and its times. Ten thousand of these stay in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    digest: u64,
    /// Seconds since 1970 at which it was changed last, by the clock of its file system.
    changed: i64,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Where it leads, when it is a symbolic link, as it is written there.
    link: Option<Box<Path>>,
    /// The directories in which a change of it would show, besides the one it is in.
    pub(super) hops: Box<[PathBuf]>,
}

/// What is behind an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File(Stamp),
    Directory(Identity),
    /// A link that leads nowhere.
    Nothing,
    /// A pipe, a device, a socket.
    Other,
}

/// Device and inode.
pub(super) type Identity = (u64, u64);

/// The entries of a directory that can have a part in this.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    pub(super) identity: Identity,
    /// By name, in order.
    entries: Box<[(Box<str>, Entry)]>,
}

impl Stamp {
    pub(super) fn of(found: &Metadata) -> Self {
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        let mut hasher = DefaultHasher::new();
        (found.dev(), found.ino(), found.size(), times).hash(&mut hasher);
        Self { digest: hasher.finish(), changed: found.ctime() }
    }

    /// Whether the contents may change without the stamp.
    pub(super) fn is_young(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let changed = Duration::from_secs(u64::try_from(self.changed).unwrap_or_default());
        // Also when it lies in the future: a clock was set, or another machine's clock is ahead.
        now < changed + TICK + Duration::from_secs(1)
    }
}

impl Entry {
    pub(super) fn is_link(&self) -> bool {
        self.link.is_some()
    }
}

impl Listing {
    /// Reads a directory. What was seen before saves following links again.
    pub(super) fn read(directory: &Path, before: &Self) -> io::Result<Self> {
        let identity = identity(directory)?;
        let mut entries = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let found = entry.file_type()?;
            let may_be_directory = !found.is_file();
            if name.starts_with('.') || !(may_be_directory || layout::is_relevant(&name)) {
                continue;
            }
            let path = entry.path();
            let is_link = may_be_directory && !found.is_dir();
            let link = is_link.then(|| fs::read_link(&path).ok().map(PathBuf::into_boxed_path)).flatten();
            let kind = match fs::metadata(&path) {
                Ok(found) if found.is_dir() => Kind::Directory((found.dev(), found.ino())),
                Ok(found) if found.is_file() => Kind::File(Stamp::of(&found)),
                Ok(_) => Kind::Other,
                Err(_) => Kind::Nothing,
            };
            if !matches!(kind, Kind::Directory(_)) && !layout::is_relevant(&name) {
                continue;
            }
            let same = before.entry(&name).filter(|before| before.kind == kind && before.link == link);
            let entry = match (same, &link) {
                (Some(same), _) if kind != Kind::Nothing => same.clone(),
                (_, Some(_)) => Entry { kind, hops: hops(directory, &path), link },
                _ => Entry { kind, link, hops: Box::default() },
            };
            entries.push((name.into_boxed_str(), entry));
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Self { identity, entries: entries.into_boxed_slice() })
    }

    /// Whether an event may be missing when it changes: a link leads to what is not there, so there was nothing to watch.
    pub(super) fn is_uncertain(&self) -> bool {
        self.entries.iter().any(|(_, entry)| entry.kind == Kind::Nothing)
    }

    /// The names of the regular files.
    pub(super) fn files(&self) -> BTreeSet<&str> {
        let is_file = |entry: &Entry| matches!(entry.kind, Kind::File(_));
        self.entries.iter().filter(|(_, entry)| is_file(entry)).map(|(name, _)| &**name).collect()
    }

    /// What would show that a file has changed.
    pub(super) fn stamp(&self, name: &str) -> Option<Stamp> {
        match self.entry(name)?.kind {
            Kind::File(stamp) => Some(stamp),
            _ => None,
        }
    }

    /// The directories below it.
    pub(super) fn directories(&self) -> impl Iterator<Item = (&str, Identity)> {
        self.entries.iter().filter_map(|(name, entry)| match entry.kind {
            Kind::Directory(identity) => Some((&**name, identity)),
            _ => None,
        })
    }

    /// The directories to which its links lead.
    pub(super) fn hops(&self) -> BTreeSet<PathBuf> {
        self.entries.iter().flat_map(|(_, entry)| entry.hops.iter().cloned()).collect()
    }

    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|(other, _)| (**other).cmp(name)).ok()?;
        Some(&self.entries[at].1)
    }
}

/// Which directory is at a path now.
pub(super) fn identity(directory: &Path) -> io::Result<Identity> {
    let found = fs::metadata(directory)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok((found.dev(), found.ino()))
}

/// The directories through which a link leads.
fn hops(directory: &Path, link: &Path) -> Box<[PathBuf]> {
    let mut found = BTreeSet::new();
    let mut at = link.to_owned();
    for _ in 0..MOST_HOPS {
        let Ok(target) = fs::read_link(&at) else { break };
        at.pop();
        at.push(target);
        if let Some(Ok(parent)) = at.parent().map(fs::canonicalize) {
            found.insert(parent);
        }
    }
    found.remove(directory);
    found.into_iter().collect()
}
