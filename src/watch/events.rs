//! Events of the file system, as far as they say where to look.
//!
//! An event carries no meaning but its place. Between two looks places are gathered; when there are too many of them, or the
//! kernel says that it lost some, everything is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, MetadataKind, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::layout::is_relevant;
use super::listing::Identity;
use crate::model::chain;

/// How long nothing may have happened before the look begins: longer than a program takes from a certificate to its key, and not
/// felt by anyone.
const QUIET: Duration = Duration::from_millis(15);
/// How long a look is put off by events that do not end, and by a file that is still open for writing.
const LONGEST: Duration = Duration::from_millis(150);
/// Places that are remembered one by one; beyond, looking at everything costs no more.
const MOST_PLACES: usize = 1000;

/// File systems on which other machines, or a program, change files without events for us (`statfs(2)`).
const WITHOUT_EVENTS: [u32; 11] = [
    0x6969,      // NFS
    0xff53_4d42, // CIFS
    0x517b,      // SMB
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE, virtiofs
    0x0102_1997, // 9p
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x0bd0_0bd0, // Lustre
    0x786f_4256, // VirtualBox
    0x7461_636f, // OCFS2
];

/// Where something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Places {
    /// In these directories.
    Some(BTreeSet<PathBuf>),
    /// Anywhere: events were lost.
    Anywhere,
}

/// Where events leave their places.
#[derive(Default)]
pub(super) struct Inbox {
    gathered: Mutex<Gathered>,
    arrived: Notify,
}

#[derive(Default)]
struct Gathered {
    places: BTreeSet<PathBuf>,
    /// Directories that were removed or moved, and their watches with them.
    moved: BTreeSet<PathBuf>,
    /// Files that are being written.
    open: BTreeSet<PathBuf>,
    lost: bool,
    /// When the first and the last event came.
    since: Option<(Instant, Instant)>,
}

/// The watches that we have.
pub(super) struct Events {
    watcher: Option<RecommendedWatcher>,
    inbox: Arc<Inbox>,
    watched: BTreeMap<PathBuf, Identity>,
    without: BTreeMap<u64, bool>,
}

impl Inbox {
    /// Waits until something has happened and nothing more happens; may be called again after it was given up.
    pub(super) async fn next(&self) -> Places {
        loop {
            let arrived = self.arrived.notified();
            let Some(due) = self.lock().due() else {
                arrived.await;
                continue;
            };
            if due > Instant::now() {
                // What arrives may put it off, or bring it nearer.
                tokio::select! {
                    () = arrived => {}
                    () = sleep_until(due) => {}
                }
                continue;
            }
            let mut gathered = self.lock();
            gathered.since = None;
            gathered.open.clear();
            let places = std::mem::take(&mut gathered.places);
            return if std::mem::take(&mut gathered.lost) { Places::Anywhere } else { Places::Some(places) };
        }
    }

    /// Takes an event, on whatever thread it comes.
    pub(super) fn take(&self, event: Result<Event, notify::Error>) {
        let mut gathered = self.lock();
        match event {
            Ok(event) if event.need_rescan() => gathered.lose(),
            Ok(event) => {
                if !gathered.note(&event) {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an event could not be read");
                gathered.lose();
            }
        }
        let now = Instant::now();
        gathered.since = Some((gathered.since.map_or(now, |(first, _)| first), now));
        drop(gathered);
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gathered {
    /// Notes where it happened; `false` when nothing was changed by it: to read a watched file is an event too.
    fn note(&mut self, event: &Event) -> bool {
        let is_over = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
            EventKind::Access(_) => return false,
            EventKind::Modify(ModifyKind::Data(_)) => false,
            _ => true,
        };
        let is_about_itself = matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(MetadataKind::Any))
        );
        for path in &event.paths {
            if is_over {
                self.open.remove(path);
            } else {
                self.open.insert(path.clone());
            }
            self.places.extend(path.parent().map(Path::to_owned));
            if is_about_itself && may_be_directory(path) {
                self.places.insert(path.clone());
                self.moved.insert(path.clone());
            }
        }
        if self.places.len() + self.open.len() > MOST_PLACES {
            self.lose();
        }
        true
    }

    fn lose(&mut self) {
        self.lost = true;
        self.places.clear();
        self.moved.clear();
        self.open.clear();
    }

    /// When to look.
    fn due(&self) -> Option<Instant> {
        let (first, last) = self.since?;
        let rest = if self.open.is_empty() { QUIET } else { LONGEST };
        Some((last + rest).min(first + LONGEST))
    }
}

impl Events {
    pub(super) fn new(inbox: &Arc<Inbox>) -> Self {
        let notes = Arc::clone(inbox);
        let watcher = RecommendedWatcher::new(move |event| notes.take(event), notify::Config::default());
        if let Err(error) = &watcher {
            tracing::warn!(error = %chain(&error), "the system gives no events of files; watched directories are polled");
        }
        Self { watcher: watcher.ok(), ..Self::none(inbox) }
    }

    /// No events at all.
    pub(super) fn none(inbox: &Arc<Inbox>) -> Self {
        Self { watcher: None, inbox: Arc::clone(inbox), watched: BTreeMap::new(), without: BTreeMap::new() }
    }

    /// Forgets the watches that may be gone: of directories that were moved, and all when events were lost.
    pub(super) fn review(&mut self, all: bool) {
        let moved = std::mem::take(&mut self.inbox.lock().moved);
        if all {
            self.watched.clear();
        } else if !moved.is_empty() {
            self.watched.retain(|path, _| !moved.contains(path));
        }
    }

    /// Asks for the events of a directory; `false` when there will be none.
    pub(super) fn watch(&mut self, directory: &Path, identity: Identity) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        if self.watched.get(directory) == Some(&identity) {
            return true;
        }
        let without = *self.without.entry(identity.0).or_insert_with(|| has_no_events(directory));
        if without {
            return false;
        }
        match watcher.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {
                if self.watched.insert(directory.to_owned(), identity).is_some() {
                    tracing::debug!(directory = %directory.display(), "another directory has taken the place of a watched one");
                }
                true
            }
            Err(error) => {
                tracing::debug!(directory = %directory.display(), %error, "no events for a directory; it is polled");
                false
            }
        }
    }

    /// Wants no more events of a directory.
    pub(super) fn forget(&mut self, directory: &Path) {
        if self.watched.remove(directory).is_some()
            && let Some(watcher) = &mut self.watcher
        {
            // The watch of a directory that was removed went with it.
            let _ = watcher.unwatch(directory);
        }
    }
}

/// Whether it may be a directory of ours; files come and go by the thousand.
fn may_be_directory(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_none_or(|name| !name.starts_with('.') && !is_relevant(name))
}

fn has_no_events(directory: &Path) -> bool {
    let kind = rustix::fs::statfs(directory).ok().and_then(|found| u32::try_from(found.f_type & 0xffff_ffff).ok());
    kind.is_some_and(|kind| WITHOUT_EVENTS.contains(&kind))
}
