//! Certificates: generations that are complete or absent, a link to the current one, and what commands remembered.
//!
//! A generation is written under a dot name, synced and renamed, then `current` is swapped; it never changes afterwards.
//! Numbers grow and are not used twice, so a reader that has followed the link reads one generation, not two halves. What is noted
//! later is only that it was revoked (`revoked.rs`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::io;
use super::parallel::in_parallel;
use super::{CertLock, Error, Revocation, Store, atomic, read, to_json};
use crate::bundle::Bundle;
use crate::model::{CertName, Facts, Sha256, chain};

/// How many generations of a certificate are kept: enough to go back past a bad issuer or a bad push, while a certificate of
/// six days that is renewed twice a week still leaves no heap of old keys.
const GENERATIONS_KEPT: usize = 5;
/// The link to the generation that should be served.
pub(super) const CURRENT: &str = "current";
const CERT: &str = "cert.pem";
const CHAIN: &str = "chain.pem";
const FULLCHAIN: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";
pub(super) const META: &str = "meta.json";
/// Beginning of the name of a generation that is being written.
const NEW: &str = ".new-";
/// Beginning of the name of a generation that is being deleted.
const OLD: &str = ".old-";

/// One issued version of a certificate: all that decides and reports. Its PEM stays on disk ([`Store::bundle`]), so that
/// thousands take little memory, and a look at them touches no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// Where it came from.
    pub meta: Meta,
    /// What its leaf says.
    pub facts: Facts,
    /// The SHA-256 fingerprints of its intermediates.
    pub chain: Vec<Sha256>,
    /// The SHA-256 of the file that `HAProxy` reads at its next start.
    pub published: Sha256,
    /// Whether it was revoked.
    pub revoked: Option<Revocation>,
}

/// Where a generation came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// By which road.
    pub source: Source,
    /// The name of the issuer in the configuration; `None` when hotcert did not order it.
    pub issuer: Option<String>,
    /// When it was stored.
    pub created: Timestamp,
}

/// The road by which a certificate came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Ordered from an authority.
    Acme,
    /// Issued by a private authority of our own.
    Internal,
    /// Given by `hotcert push`.
    Push,
    /// Found in a watched directory.
    Watch,
    /// Taken over by `hotcert import`.
    Import,
}

/// What `meta.json` holds.
#[derive(Serialize, Deserialize)]
struct MetaFile {
    #[serde(flatten)]
    meta: Meta,
    facts: Facts,
    chain: Vec<Sha256>,
    published: Sha256,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Revocation>,
}

impl Generation {
    /// What is to be known of a bundle that was stored, or is to be.
    #[must_use]
    pub fn of(number: u64, meta: Meta, bundle: &Bundle) -> Self {
        Self {
            number,
            meta,
            facts: bundle.facts().clone(),
            chain: bundle.chain().iter().map(|der| Sha256::of(der)).collect(),
            published: Sha256::of(bundle.combined_pem().as_bytes()),
            revoked: None,
        }
    }

    /// Whether it was taken out of service when it was revoked.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.revoked.as_ref().is_some_and(|revocation| revocation.detached)
    }
}

impl Store {
    /// Every certificate of which something is stored, in order; also one that has no generation yet.
    pub fn names(&self) -> Result<Vec<CertName>, Error> {
        let mut names: Vec<CertName> =
            list(&self.root.join("certs"))?.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// The numbers of the generations, ascending.
    pub fn generations(&self, name: &CertName) -> Result<Vec<u64>, Error> {
        let mut numbers: Vec<u64> =
            list(&self.generations_of(name))?.iter().filter_map(|entry| number_in(entry)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The generation that should be served; `None` when none was ever stored.
    pub fn current(&self, name: &CertName) -> Result<Option<Generation>, Error> {
        let Some(number) = self.linked_number(name)? else { return Ok(None) };
        match self.generation(name, number) {
            // What is wrong with the link is told, rather than what is not there.
            Err(missing @ Error::NoGeneration { .. }) => self.current_number(name).and(Err(missing)),
            found => found.map(Some),
        }
    }

    /// One generation.
    pub fn generation(&self, name: &CertName, number: u64) -> Result<Generation, Error> {
        let MetaFile { meta, facts, chain, published, revoked } =
            read::json(&self.generation_directory(name, number).join(META))?
                .ok_or_else(|| Error::NoGeneration { name: name.clone(), number })?;
        Ok(Generation { number, meta, facts, chain, published, revoked })
    }

    /// Leaf, intermediates and key of a generation.
    pub fn bundle(&self, name: &CertName, generation: &Generation) -> Result<Bundle, Error> {
        let number = generation.number;
        let place = self.generation_directory(name, number);
        let missing = || Error::NoGeneration { name: name.clone(), number };
        let fullchain = read::bytes(&place.join(FULLCHAIN))?.ok_or_else(missing)?;
        let key = read::bytes(&place.join(KEY))?.ok_or_else(missing)?;
        if let Some(bundle) = Bundle::unseal(&generation.facts, generation.published, &fullchain, &key) {
            return Ok(bundle);
        }
        // What somebody else has written there must at least hang together.
        Bundle::reopen(name, &[&fullchain, &key]).map_err(|source| Error::GenerationDamaged {
            name: name.clone(),
            number,
            source: Box::new(source),
        })
    }

    /// The same, by its number.
    pub fn numbered_bundle(&self, name: &CertName, number: u64) -> Result<Bundle, Error> {
        self.bundle(name, &self.generation(name, number)?)
    }

    /// Whether a leaf is that of a generation that is kept.
    pub fn holds(&self, name: &CertName, leaf: Sha256) -> Result<bool, Error> {
        for number in self.generations(name)? {
            let meta: Option<MetaFile> = read::json(&self.generation_directory(name, number).join(META))?;
            if meta.is_some_and(|meta| meta.facts.sha256 == leaf) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest generation before the current one that is still kept, and was not revoked.
    pub fn previous(&self, name: &CertName) -> Result<Option<u64>, Error> {
        let Some(current) = self.current_number(name)? else { return Ok(None) };
        // Whoever goes back to one that cannot be read is told so.
        let is_revoked = |number: u64| self.generation(name, number).is_ok_and(|found| found.revoked.is_some());
        Ok(self.generations(name)?.into_iter().rfind(|number| *number < current && !is_revoked(*number)))
    }

    /// Stores a bundle as a new generation and makes it the current one; returns its number.
    ///
    /// When the current or the newest generation is the same bundle, that one is used: a step that is repeated after a crash
    /// adds nothing. Generations beyond the five newest are deleted, but never the current one, the one before it, or the one
    /// that is [accepted](Store::accepted).
    pub fn add(&self, lock: &CertLock, bundle: &Bundle, meta: &Meta) -> Result<u64, Error> {
        let name = lock.name();
        let place = self.generations_of(name);
        self.make_directories(&place)?;
        clear_leftovers(&place)?;

        // A link that is broken is mended by what follows.
        let current = self.current_number(name).unwrap_or_default();
        let newest = self.generations(name)?.last().copied();
        let same = |number: &u64| self.numbered_bundle(name, *number).is_ok_and(|stored| is_same(&stored, bundle));
        if let Some(number) = [current, newest].into_iter().flatten().find(same) {
            self.select(lock, number)?;
            return Ok(number);
        }

        let number = newest.map_or(1, |newest| newest + 1);
        if let (Ok(None), Some(abandoned)) = (self.current_number(name), newest) {
            // It never was current, for whoever wrote it died; two without a link would be taken for a damaged store.
            self.delete_generation(name, abandoned)?;
        }
        let new = place.join(format!("{NEW}{number}"));
        if let Err(error) = self.write_generation(&new, bundle, meta) {
            // On a full disk every byte counts.
            let _ = fs::remove_dir_all(&new);
            return Err(error);
        }
        tracing::trace!(target: "hotcert::step", "store: generation files written");
        let target = self.generation_directory(name, number);
        fs::rename(&new, &target).map_err(io("create", &target))?;
        atomic::sync_directory(&place)?;
        tracing::trace!(target: "hotcert::step", "store: generation written");
        self.select(lock, number)?;
        if let Err(error) = self.prune(name, number) {
            // The certificate is stored; what could not be deleted is tried again with the next one.
            tracing::warn!(cert = %name, error = %chain(&error), "old generations could not be deleted");
        }
        Ok(number)
    }

    /// Makes a stored generation the current one.
    pub fn select(&self, lock: &CertLock, number: u64) -> Result<(), Error> {
        let name = lock.name();
        // A generation that cannot be read must not become what should be served.
        self.numbered_bundle(name, number)?;
        if self.current_number(name).is_ok_and(|current| current == Some(number)) {
            return Ok(());
        }
        self.lead(name, CURRENT, number)?;
        tracing::trace!(target: "hotcert::step", "store: generation current");
        self.touch(name);
        Ok(())
    }

    /// Makes a link lead to a generation, and that last.
    fn lead(&self, name: &CertName, link: &str, number: u64) -> Result<(), Error> {
        self.point(name, link, number)?;
        atomic::sync_directory(&self.certificate(name))
    }

    /// Makes a link lead to a generation; its directory is not synced.
    pub(super) fn point(&self, name: &CertName, link: &str, number: u64) -> Result<(), Error> {
        let new = self.certificate(name).join(format!(".{link}"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io("remove", &new)(error)),
            _ => {}
        }
        let link = self.certificate(name).join(link);
        std::os::unix::fs::symlink(format!("generations/{number}"), &new).map_err(io("create", &new))?;
        tracing::trace!(target: "hotcert::step", "store: link to a generation made");
        fs::rename(&new, &link).map_err(io("replace", &link))
    }

    /// Remembers how a certificate was ordered or pushed, where no configuration says it.
    pub fn remember<T: Serialize>(&self, lock: &CertLock, settings: &T) -> Result<(), Error> {
        self.write_json(&self.settings_path(lock.name()), settings)?;
        tracing::trace!(target: "hotcert::step", "store: settings remembered");
        self.touch(lock.name());
        Ok(())
    }

    /// What was remembered.
    pub fn remembered<T: DeserializeOwned>(&self, name: &CertName) -> Result<Option<T>, Error> {
        read::json(&self.settings_path(name))
    }

    /// Whether anything is remembered.
    #[must_use]
    pub fn remembers(&self, name: &CertName) -> bool {
        self.settings_path(name).exists()
    }

    /// What was remembered of all certificates, and what could not be read.
    pub fn recall<T: DeserializeOwned + Send>(&self) -> Result<(Vec<T>, Vec<Error>), Error> {
        let (mut remembered, mut failures) = (Vec::new(), Vec::new());
        for found in in_parallel(&self.names()?, |name| self.remembered(name)) {
            match found {
                Ok(found) => remembered.extend(found),
                Err(error) => failures.push(error),
            }
        }
        Ok((remembered, failures))
    }

    /// Everything of one certificate.
    pub(super) fn certificate(&self, name: &CertName) -> PathBuf {
        self.root.join("certs").join(name.as_str())
    }

    pub(super) fn generations_of(&self, name: &CertName) -> PathBuf {
        self.certificate(name).join("generations")
    }

    pub(super) fn generation_directory(&self, name: &CertName, number: u64) -> PathBuf {
        self.generations_of(name).join(number.to_string())
    }

    pub(super) fn settings_path(&self, name: &CertName) -> PathBuf {
        self.certificate(name).join("settings.json")
    }

    /// The number of the generation that should be served.
    pub fn current_number(&self, name: &CertName) -> Result<Option<u64>, Error> {
        let number = self.linked_number(name)?;
        if number.is_some_and(|number| !self.generation_directory(name, number).is_dir()) {
            let (name, path) = (name.clone(), self.certificate(name).join(CURRENT));
            return Err(Error::CurrentBroken { name, path, reason: "leads to a generation that is not there" });
        }
        Ok(number)
    }

    /// The number in the link to the current generation.
    fn linked_number(&self, name: &CertName) -> Result<Option<u64>, Error> {
        let path = self.certificate(name).join(CURRENT);
        let broken = |reason| Error::CurrentBroken { name: name.clone(), path: path.clone(), reason };
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // One generation without a link: its `add` was interrupted, or taken back, so it is as if it never was current.
                let never_was = self.generations(name)?.len() <= 1;
                return if never_was { Ok(None) } else { Err(broken("is missing")) };
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput => return Err(broken("is no symbolic link")),
            Err(error) => return Err(io("open", &path)(error)),
        };
        let number = target
            .to_str()
            .and_then(|target| number_in(target.strip_prefix("generations/")?))
            .ok_or_else(|| broken("does not lead to a generation"))?;
        Ok(Some(number))
    }

    fn write_generation(&self, place: &Path, bundle: &Bundle, meta: &Meta) -> Result<(), Error> {
        // What is in it lasts before it gets its name, and the name is what is synced then.
        atomic::new_directory(place, self.owner)?;
        let (leaf, chain) = (bundle.leaf_pem(), bundle.chain_pem());
        let Generation { meta, facts, chain: prints, published, revoked, .. } = Generation::of(0, meta.clone(), bundle);
        let meta = MetaFile { meta, facts, chain: prints, published, revoked };
        let (fullchain, meta) = (format!("{leaf}{chain}"), to_json(&place.join(META), &meta)?);
        let files = [
            (CERT, leaf.as_bytes()),
            (CHAIN, chain.as_bytes()),
            (FULLCHAIN, fullchain.as_bytes()),
            (KEY, bundle.key().pem().as_bytes()),
            (META, meta.as_slice()),
        ];
        atomic::create_all(place, &files, self.private())
    }

    /// Deletes old generations; each is hidden by a rename first, so that none is ever seen half deleted.
    fn prune(&self, name: &CertName, current: u64) -> Result<(), Error> {
        let numbers = self.generations(name)?;
        let previous = numbers.iter().rfind(|number| **number < current).copied();
        let kept = [Some(current), previous, self.accepted(name)];
        let excess = numbers.len().saturating_sub(GENERATIONS_KEPT);
        let doomed = numbers.iter().filter(|number| !kept.contains(&Some(**number))).take(excess);
        for number in doomed {
            self.delete_generation(name, *number)?;
            tracing::trace!(target: "hotcert::step", "store: old generation deleted");
        }
        Ok(())
    }

    pub(super) fn delete_generation(&self, name: &CertName, number: u64) -> Result<(), Error> {
        let place = self.generation_directory(name, number);
        let hidden = self.generations_of(name).join(format!("{OLD}{number}"));
        fs::rename(&place, &hidden).map_err(io("remove", &place))?;
        fs::remove_dir_all(&hidden).map_err(io("remove", &hidden))
    }
}

/// Removes what a crash left while a generation was written or deleted.
fn clear_leftovers(place: &Path) -> Result<(), Error> {
    for entry in list(place)?.iter().filter(|entry| entry.starts_with(NEW) || entry.starts_with(OLD)) {
        let leftover = place.join(entry);
        fs::remove_dir_all(&leftover).map_err(io("remove", &leftover))?;
    }
    Ok(())
}

/// The entries of a directory; none when it does not exist.
fn list(directory: &Path) -> Result<Vec<String>, Error> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("list", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io("list", directory))?;
        let is_directory = entry.file_type().map_err(io("list", directory))?.is_dir();
        names.extend(entry.file_name().into_string().ok().filter(|_| is_directory));
    }
    Ok(names)
}

/// The number that a directory is named after; only the way in which we write it.
pub(super) fn number_in(entry: &str) -> Option<u64> {
    entry.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == entry)
}

fn is_same(one: &Bundle, other: &Bundle) -> bool {
    one.leaf() == other.leaf() && one.chain() == other.chain() && one.key() == other.key()
}
