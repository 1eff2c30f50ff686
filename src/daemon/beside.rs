//! Tells cheaply whether files that belong beside certificates have come, changed or gone: `.ocsp` files and the like.
//!
//! A directory shows by its time that a name has come or gone; what was written in its place shows by its own. This is looked at
//! often, so only some files are each time, in turn: with a thousand of them a change is seen within some ten seconds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::reconcile::companions_in;

/// How many files are looked at each time: about a tenth of a millisecond.
const FILES: usize = 64;

/// What changes when a file or a directory does: which one it is, its size, and when it was changed.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The directories of published files, as they were when they were looked at last.
#[derive(Default)]
pub(super) struct Beside {
    directories: BTreeMap<PathBuf, Stamp>,
    files: BTreeMap<PathBuf, Stamp>,
    /// The last file that was looked at.
    last: Option<PathBuf>,
}

impl Beside {
    /// Looks at these directories from now on, and at no others. What lies in a new one counts as changed once.
    pub(super) fn look_at(&mut self, directories: &BTreeSet<PathBuf>) {
        self.directories.retain(|directory, _| directories.contains(directory));
        for directory in directories {
            self.directories.entry(directory.clone()).or_default();
        }
        let directories = &self.directories;
        self.files.retain(|file, _| file.parent().is_some_and(|parent| directories.contains_key(parent)));
    }

    /// Whether anything has changed since this was asked last, as far as it was looked at.
    pub(super) fn have_changed(&mut self) -> bool {
        let now = self.directories.keys().map(|directory| (directory.clone(), stamp(directory)));
        let now: Vec<_> = now.filter(|(directory, stamp)| self.directories[directory] != *stamp).collect();
        let mut changed = false;
        for (directory, stamp) in now {
            changed |= self.list(&directory);
            self.directories.insert(directory, stamp);
        }
        let is_later = |file: &&PathBuf| self.last.as_ref().is_none_or(|last| *file > last);
        let turn: Vec<_> = self
            .files
            .keys()
            .filter(is_later)
            .chain(self.files.keys())
            .take(FILES.min(self.files.len()))
            .cloned()
            .collect();
        self.last = turn.last().cloned();
        for file in turn {
            let now = stamp(&file);
            changed |= self.files.insert(file, now) != Some(now);
        }
        changed
    }

    /// Reads the names in a directory; says whether they are others than before.
    fn list(&mut self, directory: &Path) -> bool {
        let names: BTreeSet<OsString> = companions_in(directory);
        let before = self.files.len();
        let is_there = |file: &Path| file.file_name().is_some_and(|name| names.contains(name));
        self.files.retain(|file, _| file.parent() != Some(directory) || is_there(file));
        let mut changed = self.files.len() != before;
        for file in names.iter().map(|name| directory.join(name)) {
            if let Entry::Vacant(entry) = self.files.entry(file) {
                let now = stamp(entry.key());
                entry.insert(now);
                changed = true;
            }
        }
        changed
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_changes_or_goes_is_noticed_once() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("a.pem.ocsp"), "1").unwrap();
        let mut beside = Beside::default();
        beside.look_at(&BTreeSet::from([directory.path().to_owned()]));
        let mut expect = |changed: bool| {
            assert_eq!(beside.have_changed(), changed);
            assert!(!beside.have_changed());
        };
        expect(true);
        fs::write(at("b.pem"), "").unwrap();
        fs::write(at(".b.pem.ocsp"), "").unwrap();
        expect(false);
        fs::write(at("a.pem.ocsp"), "22").unwrap();
        expect(true);
        fs::write(at("b.pem.sctl"), "").unwrap();
        expect(true);
        fs::remove_file(at("a.pem.ocsp")).unwrap();
        expect(true);
        beside.look_at(&BTreeSet::new());
        assert!(!beside.have_changed());
        assert!(beside.files.is_empty());
    }

    #[test]
    fn of_very_many_files_each_gets_its_turn() {
        let directory = tempfile::tempdir().unwrap();
        let at = |number: usize| directory.path().join(format!("{number}.pem.ocsp"));
        let many = 3 * FILES + 1;
        (0..many).for_each(|number| fs::write(at(number), "1").unwrap());
        let mut beside = Beside::default();
        beside.look_at(&BTreeSet::from([directory.path().to_owned()]));
        assert!(beside.have_changed());
        for number in [0, 7, many - 1] {
            fs::write(at(number), "another").unwrap();
            assert_eq!((0..4).filter(|_| beside.have_changed()).count(), 1);
        }
    }
}
