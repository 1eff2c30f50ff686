//! The directories that are watched, with what was last seen in each.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::Error;
use super::events::Events;
use super::layout::{self, Source};
use super::listing::{Entry, Identity, Listing, identity};
use crate::config::{Layout, Watch};

/// A look at directories without events is followed by a rest of this many times its length, so that polling takes no more than
/// a hundredth of a core.
const POLL_REST: u32 = 100;

/// The watched directories, and all that belong to them.
pub(super) struct Units {
    roots: Vec<Watch>,
    known: BTreeMap<PathBuf, Unit>,
    /// From a directory to which links lead, to the directories in which the links are.
    followers: BTreeSet<(PathBuf, PathBuf)>,
    /// Those of which no event can be relied on.
    polled: BTreeSet<PathBuf>,
    poll_at: Instant,
    pub(super) events: Events,
}

/// One directory.
struct Unit {
    layout: Layout,
    depth: usize,
    listing: Listing,
}

/// What a look at directories found.
#[derive(Default)]
pub(super) struct Changes {
    /// Certificate files that came or changed, or whose key did.
    pub(super) touched: BTreeMap<PathBuf, Source>,
    /// Certificate files that are gone.
    pub(super) gone: BTreeSet<PathBuf>,
    /// The directories that were looked at, and what was wrong with them.
    pub(super) looked: BTreeMap<PathBuf, Option<Error>>,
    /// The directories that are not there any more, but for roots.
    pub(super) dropped: BTreeSet<PathBuf>,
}

impl Units {
    pub(super) fn new(roots: Vec<Watch>, events: Events) -> Self {
        let (known, followers, polled) = Default::default();
        Self { roots, known, followers, polled, poll_at: Instant::now(), events }
    }

    /// Whether a path lies in one of the watched directories.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(&root.dir))
    }

    /// Whether a file that was read may change unnoticed by its stamp.
    pub(super) fn is_young(&self, path: &Path, key: Option<&Path>) -> bool {
        let stamp = |path: &Path| {
            let listing = &self.known.get(path.parent()?)?.listing;
            listing.stamp(path.file_name()?.to_str()?)
        };
        [Some(path), key].into_iter().flatten().filter_map(stamp).any(|stamp| stamp.is_young())
    }

    /// Looks at everything.
    pub(super) fn everything(&mut self, changes: &mut Changes) {
        for root in self.roots.clone() {
            self.list(&root.dir, root.layout, 0, true, changes);
        }
    }

    /// Looks at directories in which something happened.
    pub(super) fn places(&mut self, places: &BTreeSet<PathBuf>, changes: &mut Changes) {
        let mut concerned = BTreeSet::new();
        for place in places {
            if self.known.contains_key(place) || self.roots.iter().any(|root| root.dir == *place) {
                concerned.insert(place.clone());
            }
            concerned.extend(self.followers_of(place).cloned());
        }
        for unit in concerned {
            self.again(&unit, changes);
        }
    }

    /// Looks at roots that have become other directories, and, when it is time, at what gives no events.
    pub(super) fn poll(&mut self, changes: &mut Changes) {
        for root in self.roots.clone() {
            let known = self.known.get(&root.dir).map(|unit| unit.listing.identity);
            if known.is_none() || identity(&root.dir).ok() != known {
                self.list(&root.dir, root.layout, 0, true, changes);
            }
        }
        let began = Instant::now();
        if began < self.poll_at || self.polled.is_empty() {
            return;
        }
        for unit in self.polled.clone() {
            if !changes.looked.contains_key(&unit) {
                self.again(&unit, changes);
            }
        }
        // A short rest goes unnoticed: whoever asks does so seldom enough.
        let rest = began.elapsed() * POLL_REST;
        self.poll_at = if rest > Duration::from_secs(1) { Instant::now() + rest } else { began };
    }

    fn again(&mut self, directory: &Path, changes: &mut Changes) {
        if let Some(unit) = self.known.get(directory) {
            self.list(directory, unit.layout, unit.depth, false, changes);
        } else if let Some(root) = self.roots.iter().find(|root| root.dir == directory).cloned() {
            self.list(directory, root.layout, 0, true, changes);
        }
    }

    /// Lists a directory, and those below that are new to us; with `deep`, all below.
    fn list(&mut self, directory: &Path, layout: Layout, depth: usize, deep: bool, changes: &mut Changes) {
        let before = self.known.remove(directory).map(|unit| unit.listing).unwrap_or_default();
        // The events are asked for first: what happens in between is seen twice, not never.
        let mut has_events = true;
        let listing = identity(directory).and_then(|identity| {
            has_events = self.events.watch(directory, identity);
            Listing::read(directory, &before)
        });
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                self.unreadable(directory, Unit { layout, depth, listing: before }, error, changes);
                return;
            }
        };
        changes.looked.insert(directory.to_owned(), None);
        self.follow(directory, &before, &listing, &mut has_events);
        if has_events && !listing.is_uncertain() {
            self.polled.remove(directory);
        } else {
            self.polled.insert(directory.to_owned());
        }
        compare(directory, layout, &before, &listing, changes);

        let old: BTreeMap<String, Identity> =
            before.directories().map(|(name, identity)| (name.to_owned(), identity)).collect();
        let mut below = Vec::new();
        for (name, identity) in listing.directories().filter(|(name, _)| layout::descends(layout, depth + 1, name)) {
            let path = directory.join(name);
            if leads_back(&path, listing.entry(name).is_some_and(Entry::is_link)) {
                continue;
            }
            let is_new = old.get(name) != Some(&identity) || !self.known.contains_key(&path);
            below.push((path, is_new));
        }
        let is_left: BTreeSet<&str> = listing.directories().map(|(name, _)| name).collect();
        let vanished: Vec<PathBuf> =
            old.keys().filter(|name| !is_left.contains(name.as_str())).map(|name| directory.join(name)).collect();
        self.known.insert(directory.to_owned(), Unit { layout, depth, listing });
        for directory in vanished {
            self.drop_below(&directory, changes);
        }
        for (path, is_new) in below {
            if deep || is_new {
                self.list(&path, layout, depth + 1, true, changes);
            }
        }
    }

    /// Keeps what was known of a directory that cannot be listed, unless it is a subdirectory that is gone.
    fn unreadable(&mut self, directory: &Path, unit: Unit, error: io::Error, changes: &mut Changes) {
        let is_gone = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        let depth = unit.depth;
        if unit.listing.identity != Identity::default() || depth > 0 {
            self.known.insert(directory.to_owned(), unit);
        }
        if depth > 0 && is_gone {
            self.drop_below(directory, changes);
            return;
        }
        if depth > 0 {
            self.polled.insert(directory.to_owned());
        } else if let Some(unit) = self.known.get_mut(directory) {
            // Whatever comes next is another directory.
            unit.listing.identity = Identity::default();
        }
        let error = if is_gone { Error::Missing } else { Error::List(error) };
        changes.looked.insert(directory.to_owned(), Some(error));
    }

    /// Forgets a directory that is gone, and those below.
    fn drop_below(&mut self, directory: &Path, changes: &mut Changes) {
        let gone: Vec<PathBuf> = self
            .known
            .range(directory.to_owned()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(directory))
            .filter(|path| self.roots.iter().all(|root| root.dir != **path))
            .cloned()
            .collect();
        for path in gone {
            if let Some(unit) = self.known.remove(&path) {
                let nothing = Listing::default();
                self.follow(&path, &unit.listing, &nothing, &mut true);
                compare(&path, unit.layout, &unit.listing, &nothing, changes);
            }
            self.polled.remove(&path);
            self.events.forget(&path);
            changes.looked.remove(&path);
            changes.dropped.insert(path);
        }
    }

    /// Watches where links lead to.
    fn follow(&mut self, directory: &Path, before: &Listing, now: &Listing, has_events: &mut bool) {
        let (before, now) = (before.hops(), now.hops());
        for hop in before.difference(&now) {
            self.followers.remove(&(hop.clone(), directory.to_owned()));
            if self.followers_of(hop).next().is_none() && !self.known.contains_key(hop) {
                self.events.forget(hop);
            }
        }
        for hop in now {
            *has_events &= identity(&hop).is_ok_and(|identity| self.events.watch(&hop, identity));
            self.followers.insert((hop, directory.to_owned()));
        }
    }

    /// The directories with links that lead to another one.
    fn followers_of(&self, hop: &Path) -> impl Iterator<Item = &PathBuf> {
        let first = (hop.to_owned(), PathBuf::new());
        let range = self.followers.range(first..);
        range.take_while(move |(to, _)| to == hop).map(|(_, from)| from)
    }
}

/// Compares the certificates of a directory with what they were.
fn compare(directory: &Path, layout: Layout, before: &Listing, now: &Listing, changes: &mut Changes) {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let sources = |listing: &Listing| -> BTreeMap<String, Source> {
        let found = layout::sources(layout, name, &listing.files());
        found.into_iter().map(|source| (source.certificate.clone(), source)).collect()
    };
    let (mut old, new) = (sources(before), sources(now));
    for (file, source) in new {
        let stamps = |listing: &Listing, source: &Source| {
            [Some(&source.certificate), source.key.as_ref()].map(|file| file.and_then(|file| listing.stamp(file)))
        };
        let path = directory.join(&file);
        let same = old.remove(&file).is_some_and(|old| old == source && stamps(before, &old) == stamps(now, &source));
        changes.gone.remove(&path);
        if !same {
            changes.touched.insert(path, source);
        }
    }
    for file in old.into_keys() {
        let path = directory.join(file);
        changes.touched.remove(&path);
        changes.gone.insert(path);
    }
}

/// Whether a link leads to a directory above itself.
fn leads_back(path: &Path, is_link: bool) -> bool {
    is_link && path.canonicalize().is_ok_and(|target| path.starts_with(target))
}
