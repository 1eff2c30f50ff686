//! From a file that changed to a generation: the gate, the store, and a note of what was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::Parts;
use super::content::Contents;
use super::error::Error;
use super::layout;
use crate::bundle::{Gate, Rival};
use crate::config::{Certificate, Node, Remembered};
use crate::model::{CertName, Facts, Sha256};
use crate::store::{self, Meta, Source, Taken};

/// A file that is to be taken.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) name: CertName,
    pub(super) certificate: PathBuf,
    pub(super) key: Option<PathBuf>,
    /// The digest of the contents that are meant.
    pub(super) contents: Sha256,
    /// The fingerprint of its leaf.
    pub(super) leaf: Sha256,
}

/// The certificates of which nothing is stored: they are measured against what nodes serve.
pub(super) fn strangers(parts: &Parts, wishes: &[Wish]) -> Vec<Certificate> {
    let is_stranger = |wish: &&Wish| !matches!(parts.store.current(&wish.name), Ok(Some(_)));
    let certificate = |wish: &Wish| {
        let contents = Contents::read(&wish.certificate, wish.key.as_deref()).ok()?;
        let names = contents.facts()?.names;
        known(parts, wish).ok().map(|known| Certificate { domains: names.into_iter().collect(), ..known })
    };
    wishes.iter().filter(is_stranger).filter_map(certificate).collect()
}

/// Takes a certificate; `true` when it has another generation now.
pub(super) fn take(parts: &Parts, wish: &Wish, served: &BTreeMap<CertName, Vec<Rival>>) -> Result<bool, Error> {
    let Wish { name, certificate: path, key, contents: digest, leaf } = wish;
    let failed = |source| Error::Store { name: name.clone(), source };
    let certificate = known(parts, wish).map_err(failed)?;
    if certificate.order.is_some() {
        // Seen before the lock is asked for, which an order holds for minutes. A copy of what we ordered is nothing new.
        for member in parts.config.named(name).iter().chain([name]) {
            if parts.store.holds(member, *leaf).map_err(failed)? {
                return Ok(false);
            }
        }
        let origin = if configured(parts, name).is_some() { "[[certificate]]" } else { "`hotcert issue`" };
        return Err(Error::Ordered { name: name.clone(), origin });
    }
    let lock = parts.store.try_lock_certificate(name).map_err(failed)?;
    let lock = lock.ok_or_else(|| Error::Busy { name: name.clone() })?;
    let contents = Contents::read(path, key.as_deref())?;
    if contents.digest() != *digest {
        return Err(Error::Changing);
    }
    // A generation that is damaged is no rival; a good file mends it.
    let stored = parts.store.current(name).unwrap_or_default();
    let rivals = match &stored {
        Some(stored) => vec![rival(&stored.facts)],
        None => served.get(name).cloned().unwrap_or_default(),
    };
    let required = BTreeSet::new();
    let now = parts.clock.now();
    let gate = Gate {
        name,
        kind: certificate.kind,
        now,
        trust: &parts.trust,
        required: &required,
        rivals: &rivals,
        force: false,
    };
    let admitted = gate.admit(&contents.inputs())?;
    let bundle = admitted.bundle;
    let (leaf, chain_length) = (*leaf, bundle.chain().len());
    let taken = Taken { file: path.clone(), contents: *digest, leaf, chain_length };

    for notice in &admitted.notices {
        tracing::debug!(cert = %name, file = %path.display(), %notice, "the contents of a watched file were repaired");
    }
    let meta = Meta { source: Source::Watch, issuer: None, created: now };
    let number = parts.store.add(&lock, &bundle, &meta).map_err(failed)?;
    let certificate = Certificate { domains: bundle.names(), ..certificate };
    let remembered = Remembered::of(&parts.config, &certificate);
    if parts.store.remembered(name).map_err(failed)?.as_ref() != Some(&remembered) {
        parts.store.remember(&lock, &remembered).map_err(failed)?;
    }
    parts.store.note_taken(&lock, &taken).map_err(failed)?;
    let is_new = stored.is_none_or(|before| before.number != number);
    if is_new {
        tracing::info!(
            cert = %name, generation = number, file = %path.display(), not_after = %bundle.facts().not_after,
            "certificate taken from a watched file"
        );
    }
    Ok(is_new)
}

/// What is known of a certificate: from the configuration, or else from an earlier time.
fn known(parts: &Parts, wish: &Wish) -> Result<Certificate, store::Error> {
    let name = &wish.name;
    if let Some(configured) = configured(parts, name) {
        return Ok(configured.clone());
    }
    // One of two kinds is what lies in a file of such a name.
    let kind = wish.certificate.file_name().and_then(|file| layout::of_kind(file.to_str()?)).map(|(_, kind)| kind);
    let Some(Remembered { certificate, nodes }) = parts.store.remembered(name)? else {
        return Ok(Certificate { kind, ..Certificate::new(name.clone()) });
    };
    let is_its = |node: &&Node| nodes.iter().any(|other| other.socket == node.socket);
    let chosen: Vec<_> = parts.config.nodes.values().filter(is_its).map(|node| node.name.clone()).collect();
    let is_everywhere = chosen.len() == parts.config.nodes.len();
    Ok(Certificate { kind, nodes: if is_everywhere { Vec::new() } else { chosen }, ..certificate })
}

/// What the configuration file says. What was recalled into the configuration may be older than what is remembered by now.
fn configured<'a>(parts: &'a Parts, name: &CertName) -> Option<&'a Certificate> {
    let names = parts.config.named(name).into_iter().find(|name| !parts.config.remembered.contains(name));
    names.and_then(|name| parts.config.certificates.get(&name))
}

fn rival(facts: &Facts) -> Rival {
    Rival {
        place: "the store".to_owned(),
        sha1: facts.sha1,
        not_before: Some(facts.not_before),
        names: facts.names.clone(),
    }
}
