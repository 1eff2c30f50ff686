//! What becomes of the files of a certificate: which one is to be taken, what is wrong with the others, and when they are looked
//! at again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{File, Scan};
use crate::model::CertName;
use crate::store::Store;
use crate::watch::Parts;
use crate::watch::content::{Found, Identity};
use crate::watch::error::Error;
use crate::watch::intake::Wish;
use crate::watch::problems::Problems;
use crate::watch::units::Changes;

/// When a file that was being written, or a certificate that was locked, is tried again.
const AGAIN: Duration = Duration::from_millis(100);
/// When a failed write to the store is tried again: a disk is seldom full for less.
const STORE_AGAIN: Duration = Duration::from_secs(5);
/// When a problem is looked at again although its file did not change: time passes, others push, directories get other modes.
const RECHECK: Duration = Duration::from_mins(1);

impl Scan {
    /// Which file of a certificate is to be taken, if one is.
    pub(super) fn decide(&mut self, name: &CertName, store: &Store) -> Option<Wish> {
        let paths = self.paths(name);
        let mut candidates: Vec<(PathBuf, Identity)> = Vec::new();
        for path in paths {
            let is_published = path.parent().is_some_and(|directory| self.published.contains(directory));
            let Some(file) = self.files.get_mut(&path) else { continue };
            let Found::Certificate(identity) = file.found else { continue };
            if matches!(file.refused.as_deref(), Some(Error::Conflict { .. })) {
                file.refused = None;
            }
            // What we wrote ourselves is no wish of anybody.
            if is_published && store.holds(name, identity.leaf).unwrap_or_default() {
                file.refused = None;
                continue;
            }
            candidates.push((path, identity));
        }
        if let Some((other, _)) = candidates.iter().find(|(_, identity)| identity.leaf != candidates[0].1.leaf) {
            for (path, _) in &candidates {
                let Some(file) = self.files.get_mut(path) else { continue };
                let other = if path == other { &candidates[0].0 } else { other };
                file.refused = Some(Box::new(Error::Conflict { name: name.clone(), other: other.clone() }));
            }
            return None;
        }
        // One certificate in several files: the fullest.
        let (path, identity) = candidates
            .into_iter()
            .min_by(|(a, one), (b, other)| other.chain_length.cmp(&one.chain_length).then_with(|| a.cmp(b)))?;
        let file = self.files.get_mut(&path)?;
        let was_taken = store.taken(name).ok().flatten().is_some_and(|taken| taken.contents == identity.contents);
        if was_taken && store.generations(name).is_ok_and(|generations| !generations.is_empty()) {
            file.refused = None;
            return None;
        }
        let Identity { contents, leaf, .. } = identity;
        Some(Wish { name: name.clone(), certificate: path, key: file.key.clone(), contents, leaf })
    }

    /// Says what is wrong with the files of a certificate, and when they are looked at again.
    pub(super) fn tell(&mut self, name: &CertName, parts: &Parts, problems: &mut Problems) {
        let paths = self.paths(name);
        let elsewhere = |paths: &BTreeSet<PathBuf>, path: &PathBuf, files: &BTreeMap<PathBuf, File>| {
            paths.iter().any(|other| {
                other != path && files.get(other).is_some_and(|file| matches!(file.found, Found::Certificate(_)))
            })
        };
        for path in &paths {
            if self.is_removed(path) && elsewhere(&paths, path, &self.files) {
                // It lies in another place now.
                self.remove(path);
                continue;
            }
            self.tell_file(path, parts, problems);
        }
    }

    fn tell_file(&mut self, path: &Path, parts: &Parts, problems: &mut Problems) {
        let Some(file) = self.files.get_mut(path) else {
            problems.mended(path);
            return;
        };
        let now = Instant::now();
        let name = file.name.as_ref().ok();
        let unnamed = match (&file.name, &file.found) {
            (Err(invalid), Found::Certificate(_)) => Some(Error::Unnamed(invalid.clone())),
            _ => None,
        };
        let error = match &file.found {
            Found::Broken(error) => name.map(|_| &**error),
            _ => unnamed.as_ref().or(file.refused.as_deref()),
        };
        let mut again = file.young_until;
        let Some(error) = error else {
            file.wrong_since = None;
            problems.mended(path);
            schedule(&mut self.agenda, path, file, again);
            return;
        };
        let since = *file.wrong_since.get_or_insert(now);
        let is_told = !error.may_pass() || now >= since + self.grace;
        if is_told {
            problems.found(path, name, error, parts.clock.now());
        }
        let next = match error {
            Error::Changing | Error::Busy { .. } => now + AGAIN,
            Error::Store { .. } => now + STORE_AGAIN,
            _ if !is_told => since + self.grace,
            _ => now + RECHECK,
        };
        again = Some(again.map_or(next, |at| at.min(next)));
        schedule(&mut self.agenda, path, file, again);
    }

    /// The same for files whose name cannot name a certificate.
    pub(super) fn tell_unnamed(&mut self, changes: &Changes, parts: &Parts, problems: &mut Problems) {
        for path in changes.gone.iter().chain(changes.touched.keys()) {
            if self.files.get(path).is_none_or(|file| file.name.is_err()) {
                self.tell_file(path, parts, problems);
            }
        }
    }
}

pub(super) fn schedule(agenda: &mut BTreeSet<(Instant, PathBuf)>, path: &Path, file: &mut File, at: Option<Instant>) {
    if let Some(before) = file.again.take() {
        agenda.remove(&(before, path.to_owned()));
    }
    // Never at once: whatever goes wrong, the loop must not run hot.
    let at = at.map(|at| at.max(Instant::now() + AGAIN));
    file.again = at;
    agenda.extend(at.map(|at| (at, path.to_owned())));
}
