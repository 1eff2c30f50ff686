//! What is known of every watched certificate file, and which of them are to be taken.

mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Parts;
use super::content::{Contents, Found, Identity};
use super::error::Error;
use super::events::{Events, Places};
use super::intake::Wish;
use super::listing::TICK;
use super::problems::Problems;
use super::units::{Changes, Units};
use crate::config::Config;
use crate::model::{CertName, Invalid};
use crate::store::{Store, Taken, in_parallel};
use verdict::schedule;

/// How long something that may be a moment between two writes is not called a problem.
const GRACE: Duration = Duration::from_secs(2);

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Everywhere.
    Everything,
    /// Everywhere, and events were lost, so that watches may be as well.
    Afresh,
    /// Where something happened.
    Places(BTreeSet<PathBuf>),
    /// At roots, and at directories without events.
    Poll,
    /// Only at what is to be looked at again.
    Due,
}

impl From<Places> for Look {
    fn from(places: Places) -> Self {
        match places {
            Places::Some(places) => Self::Places(places),
            Places::Anywhere => Self::Afresh,
        }
    }
}

/// Everything that is known.
pub(super) struct Scan {
    units: Units,
    files: BTreeMap<PathBuf, File>,
    by_name: BTreeSet<(CertName, PathBuf)>,
    /// When files are looked at again.
    agenda: BTreeSet<(Instant, PathBuf)>,
    /// Directories of certificates that we publish.
    published: BTreeSet<PathBuf>,
    /// Files of which nothing is to be said any more.
    forgotten: Vec<PathBuf>,
    grace: Duration,
    started: bool,
}

/// One certificate file.
struct File {
    name: Result<CertName, Invalid>,
    key: Option<PathBuf>,
    is_due: bool,
    found: Found,
    /// What was wrong when it was to be taken.
    refused: Option<Box<Error>>,
    /// Since when something is wrong.
    wrong_since: Option<Instant>,
    /// Until when the same stamp does not prove the same contents.
    young_until: Option<Instant>,
    again: Option<Instant>,
}

impl File {
    fn is_removed(&self) -> bool {
        matches!(&self.found, Found::Broken(error) if matches!(**error, Error::Removed))
    }
}

impl Scan {
    pub(super) fn new(config: &Config, events: Events) -> Self {
        let published = config.nodes.values().filter_map(|node| node.crt_dir.clone()).collect();
        let units = Units::new(config.watches.clone(), events);
        let (files, by_name, agenda, forgotten) = Default::default();
        Self { units, files, by_name, agenda, published, forgotten, grace: GRACE, started: false }
    }

    /// Calls everything a problem at once: there will be no second look.
    pub(super) fn impatient(self) -> Self {
        Self { grace: Duration::ZERO, ..self }
    }

    /// When the next file has to be looked at again.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.agenda.first().map(|(at, _)| *at)
    }

    /// Looks, reads what may have changed, and says what is to be taken.
    pub(super) fn look(&mut self, look: &Look, parts: &Parts, problems: &mut Problems) -> Vec<Wish> {
        let mut changes = Changes::default();
        self.units.events.review(*look == Look::Afresh);
        match look {
            Look::Everything | Look::Afresh => self.units.everything(&mut changes),
            Look::Places(places) => self.units.places(places, &mut changes),
            Look::Poll => self.units.poll(&mut changes),
            Look::Due => {}
        }
        let due = self.pop_due();
        let directories = due.iter().filter_map(|path| path.parent().map(Path::to_owned));
        let directories = directories.filter(|directory| !changes.looked.contains_key(directory)).collect();
        self.units.places(&directories, &mut changes);
        // What is known of a file stays while its directory cannot be seen.
        let (due, unseen) = due.into_iter().partition(|path| {
            let directory = path.parent().and_then(|directory| changes.looked.get(directory));
            matches!(directory, Some(None)) || self.is_removed(path)
        });
        self.put_off(unseen);
        if self.started && due.is_empty() && changes.looked.is_empty() && changes.dropped.is_empty() {
            return Vec::new();
        }

        let now = parts.clock.now();
        for directory in &changes.dropped {
            problems.mended(directory);
        }
        for (directory, error) in &changes.looked {
            match error {
                Some(error) => problems.found(directory, None, error, now),
                None => problems.mended(directory),
            }
        }
        let mut names = self.apply(&changes, due, &parts.store);
        if !std::mem::replace(&mut self.started, true) {
            names.extend(self.missed(&parts.store));
        }
        names.extend(self.read(parts));
        let wishes = names.iter().filter_map(|name| self.decide(name, &parts.store)).collect();
        for name in &names {
            self.tell(name, parts, problems);
        }
        self.tell_unnamed(&changes, parts, problems);
        for path in std::mem::take(&mut self.forgotten) {
            problems.mended(&path);
        }
        wishes
    }

    /// Notes how it went with what was to be taken.
    pub(super) fn settle(&mut self, wish: &Wish, outcome: Result<(), Error>, parts: &Parts, problems: &mut Problems) {
        if let Some(file) = self.files.get_mut(&wish.certificate) {
            file.refused = outcome.err().map(Box::new);
        }
        self.tell(&wish.name, parts, problems);
    }

    /// Takes what is due from the agenda.
    fn pop_due(&mut self) -> BTreeSet<PathBuf> {
        let now = Instant::now();
        let mut due = BTreeSet::new();
        while self.agenda.first().is_some_and(|(at, _)| *at <= now) {
            let Some((at, path)) = self.agenda.pop_first() else { break };
            if let Some(file) = self.files.get_mut(&path).filter(|file| file.again == Some(at)) {
                file.again = None;
                file.is_due = true;
                due.insert(path);
            }
        }
        due
    }

    fn is_removed(&self, path: &Path) -> bool {
        self.files.get(path).is_some_and(File::is_removed)
    }

    /// Leaves files for later.
    fn put_off(&mut self, unseen: BTreeSet<PathBuf>) {
        let at = Instant::now() + TICK;
        for path in unseen {
            if let Some(file) = self.files.get_mut(&path) {
                file.is_due = false;
                schedule(&mut self.agenda, &path, file, Some(at));
            }
        }
    }

    /// Brings what the directories hold into what is known; returns the names that are concerned.
    fn apply(&mut self, changes: &Changes, due: BTreeSet<PathBuf>, store: &Store) -> BTreeSet<CertName> {
        let mut names = BTreeSet::new();
        for (path, source) in &changes.touched {
            let key = source.key.as_ref().map(|key| path.with_file_name(key));
            self.insert(path, source.name.clone(), key);
        }
        for path in &changes.gone {
            let Some(file) = self.files.get_mut(path) else { continue };
            let Ok(name) = file.name.clone() else {
                self.remove(path);
                continue;
            };
            if was_taken_from(store, &name, path) {
                file.is_due = false;
                file.young_until = None;
                file.found = Found::Broken(Box::new(Error::Removed));
            } else {
                self.remove(path);
            }
            names.insert(name);
        }
        // Files whose stamp proves nothing yet, where something happened.
        let now = Instant::now();
        for (path, file) in &mut self.files {
            if file.young_until.is_some()
                && path.parent().is_some_and(|directory| matches!(changes.looked.get(directory), Some(None)))
                && !file.is_removed()
            {
                file.is_due = true;
                if file.young_until.is_some_and(|until| until <= now) {
                    file.young_until = None;
                }
            }
        }
        for path in due {
            let Some(file) = self.files.get_mut(&path) else { continue };
            let Ok(name) = file.name.clone() else { continue };
            if file.is_removed() {
                file.is_due = false;
                // Somebody may have deleted the certificate, or put it elsewhere.
                if !was_taken_from(store, &name, &path) {
                    self.remove(&path);
                }
            }
            names.insert(name);
        }
        names
    }

    /// Files that were taken by an earlier process and are not there any more.
    fn missed(&mut self, store: &Store) -> BTreeSet<CertName> {
        let mut names = BTreeSet::new();
        for name in store.names().unwrap_or_default() {
            let Ok(Some(Taken { file, .. })) = store.taken(&name) else { continue };
            if self.units.covers(&file) && !self.files.contains_key(&file) && self.paths(&name).is_empty() {
                self.insert(&file, Ok(name.clone()), None);
                if let Some(known) = self.files.get_mut(&file) {
                    known.is_due = false;
                    known.found = Found::Broken(Box::new(Error::Removed));
                }
                names.insert(name);
            }
        }
        names
    }

    fn insert(&mut self, path: &Path, name: Result<CertName, Invalid>, key: Option<PathBuf>) {
        if let Ok(name) = &name {
            self.by_name.insert((name.clone(), path.to_owned()));
        }
        let young_until = self.units.is_young(path, key.as_deref()).then(|| Instant::now() + TICK);
        let file = self.files.entry(path.to_owned()).or_insert(File {
            name: name.clone(),
            key: None,
            is_due: true,
            found: Found::Unread,
            refused: None,
            wrong_since: None,
            young_until: None,
            again: None,
        });
        file.name = name;
        file.key = key;
        file.is_due = true;
        file.young_until = young_until;
    }

    fn remove(&mut self, path: &Path) {
        let Some(file) = self.files.remove(path) else { return };
        self.forgotten.push(path.to_owned());
        if let Ok(name) = file.name {
            self.by_name.remove(&(name, path.to_owned()));
        }
    }

    /// The files of a certificate.
    fn paths(&self, name: &CertName) -> BTreeSet<PathBuf> {
        let range = self.by_name.range((name.clone(), PathBuf::new())..);
        range.take_while(|(other, _)| other == name).map(|(_, path)| path.clone()).collect()
    }

    /// Reads what is due; returns the names that are concerned.
    fn read(&mut self, parts: &Parts) -> BTreeSet<CertName> {
        let due: Vec<(&PathBuf, &mut File)> = self.files.iter_mut().filter(|(_, file)| file.is_due).collect();
        let read = in_parallel(&due, |(path, file)| {
            let taken = file.name.as_ref().ok().and_then(|name| parts.store.taken(name).ok().flatten());
            match Contents::read(path, file.key.as_deref()) {
                Ok(contents) => identify(&contents, path, file, taken.as_ref()),
                Err(error) => Found::Broken(Box::new(error)),
            }
        });
        let mut names = BTreeSet::new();
        for ((_, file), found) in due.into_iter().zip(read) {
            file.is_due = false;
            let is_same = match (&file.found, &found) {
                (Found::Certificate(before), Found::Certificate(now)) => before == now,
                _ => false,
            };
            if !is_same {
                file.refused = None;
            }
            file.found = found;
            names.extend(file.name.clone());
        }
        names
    }
}

/// Sees what was read; what was taken with the same contents need not be parsed again.
fn identify(contents: &Contents, path: &Path, file: &File, taken: Option<&Taken>) -> Found {
    let digest = contents.digest();
    if let Found::Certificate(identity) = &file.found
        && identity.contents == digest
    {
        return Found::Certificate(*identity);
    }
    if let Some(taken) = taken.filter(|taken| taken.contents == digest) {
        let Taken { leaf, chain_length, .. } = *taken;
        return Found::Certificate(Identity { contents: digest, leaf, chain_length });
    }
    let expected = file.key.is_some()
        || matches!(file.found, Found::Certificate(_))
        || taken.is_some_and(|taken| taken.file == path);
    let stand_in = || "certificate".parse().expect("it is a certificate name");
    contents.identify(&file.name.clone().unwrap_or_else(|_| stand_in()), expected)
}

fn was_taken_from(store: &Store, name: &CertName, path: &Path) -> bool {
    store.taken(name).is_ok_and(|taken| taken.is_some_and(|taken| taken.file == path))
}
