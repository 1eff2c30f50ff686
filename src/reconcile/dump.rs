//! Writing to disk what `HAProxy` holds in memory and no file has, where its version hands out keys (3.1).
//!
//! What is stored needs no second copy. A file that holds something else is left alone unless somebody insists, for it may be
//! what `HAProxy` is meant to start with. What comes is checked to be what `HAProxy` says it holds before it is written.

use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use super::inventory::Inventory;
use super::load::ownership;
use super::observe::own_file;
use super::{Error, Reconciler, desire};
use crate::bundle::Bundle;
use crate::config::Node;
use crate::haproxy::{Loaded, Session};
use crate::model::{CertName, NodeName, Slot};
use crate::store::publish;

/// What is to be dumped, and where to.
#[derive(Debug, Clone, Copy, Default)]
pub struct DumpOptions<'a> {
    /// The name of a certificate or of a slot; all without it.
    pub only: Option<&'a str>,
    /// A directory, instead of where each slot is read from.
    pub to: Option<&'a Path>,
    /// Whether files that hold something else are overwritten.
    pub force: bool,
}

/// What became of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dumped {
    /// The node.
    pub node: NodeName,
    /// The slot.
    pub slot: Slot,
    /// The file that is meant.
    pub file: Option<PathBuf>,
    /// What was done.
    pub outcome: DumpOutcome,
}

/// What was done about one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DumpOutcome {
    /// It was written.
    Written,
    /// The file has it already.
    Same,
    /// hotcert has it in its store.
    Stored,
    /// The file holds something else, and was left alone.
    Kept,
    /// There is no file of that name, as for an alias.
    Nowhere,
}

impl Reconciler<'_> {
    /// Saves what nodes hold in memory. A node that fails holds up no other.
    pub async fn dump(&self, options: DumpOptions<'_>) -> (Vec<Dumped>, Vec<Error>) {
        let (mut dumped, mut failures) = (Vec::new(), Vec::new());
        for node in self.config.nodes.values() {
            if let Err(error) = self.dump_node(node, options, &mut dumped, &mut failures).await {
                failures.push(error);
            }
        }
        (dumped, failures)
    }

    async fn dump_node(
        &self,
        node: &Node,
        options: DumpOptions<'_>,
        dumped: &mut Vec<Dumped>,
        failures: &mut Vec<Error>,
    ) -> Result<(), Error> {
        let failed = |error| Error::node(node, error);
        let mut session = self.open(node, &self.away).await.map_err(failed)?;
        if !session.info().capabilities().dump {
            let version = session.info().version.to_string();
            return Err(Error::CannotDump { node: node.name.clone(), version });
        }
        let inventory = Inventory::take(&mut session).await.map_err(failed)?;
        let ours: Vec<(&CertName, Slot)> = self
            .config
            .certificates
            .values()
            .filter(|certificate| self.config.nodes_of(certificate).any(|of| of.name == node.name))
            .filter_map(|certificate| {
                Some((&certificate.name, desire::slot(certificate, None, node, &inventory).ok()?))
            })
            .collect();
        for (slot, loaded) in inventory.loaded.iter().filter(|(_, loaded)| loaded.leaf.is_some()) {
            let owner = ours.iter().find(|(_, ours)| ours == slot).map(|(name, _)| *name);
            if !options.only.is_none_or(|only| is_meant(only, slot, owner)) {
                continue;
            }
            match self.dump_slot(&mut session, node, slot, loaded, owner, options).await {
                Ok((file, outcome)) => {
                    dumped.push(Dumped { node: node.name.clone(), slot: slot.clone(), file, outcome });
                }
                Err(error) if session.is_in_step() => failures.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn dump_slot(
        &self,
        session: &mut Session,
        node: &Node,
        slot: &Slot,
        loaded: &Loaded,
        owner: Option<&CertName>,
        options: DumpOptions<'_>,
    ) -> Result<(Option<PathBuf>, DumpOutcome), Error> {
        let several = self.config.nodes.len() > 1;
        let file = match options.to {
            Some(directory) => Some(directory.join(file_name(slot, several.then_some(&node.name)))),
            None => file_of(slot, node),
        };
        if owner.is_some_and(|owner| self.is_stored(owner, loaded)) {
            return Ok((file, DumpOutcome::Stored));
        }
        let Some(path) = file else { return Ok((None, DumpOutcome::Nowhere)) };
        let own = if options.to.is_some() { bundle_in(&path) } else { own_file_at(&path) };
        if own.is_some_and(|own| holds(loaded, &own)) {
            return Ok((Some(path), DumpOutcome::Same));
        }
        if path.exists() && !options.force {
            return Ok((Some(path), DumpOutcome::Kept));
        }
        let pem = session.dump(slot).await.map_err(|error| Error::node(node, error))?;
        let bundle = opened(&pem)
            .filter(|bundle| holds(loaded, bundle))
            .ok_or_else(|| Error::StrangeDump { node: node.name.clone(), slot: slot.clone() })?;
        let (Some(directory), Some(file_name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
        else {
            return Ok((None, DumpOutcome::Nowhere));
        };
        publish::check_directory(directory)?;
        publish::publish(directory, file_name, bundle.combined_pem(), &ownership(node))?;
        tracing::info!(node = %node.name, %slot, file = %path.display(), "dumped");
        Ok((Some(path), DumpOutcome::Written))
    }

    /// Whether a slot of ours holds one of its generations.
    fn is_stored(&self, owner: &CertName, loaded: &Loaded) -> bool {
        let numbers = self.store.generations(owner).unwrap_or_default();
        numbers
            .into_iter()
            .any(|number| self.store.generation(owner, number).is_ok_and(|generation| loaded.is(&generation.facts)))
    }
}

/// Whether a slot is the one that somebody names: as a certificate of ours, in full, or by its file.
fn is_meant(only: &str, slot: &Slot, owner: Option<&CertName>) -> bool {
    let stem = slot.file_name().rsplit_once('.').map_or(slot.file_name(), |(stem, _)| stem);
    owner.is_some_and(|owner| owner.as_str() == only) || [slot.as_str(), slot.file_name(), stem].contains(&only)
}

/// Where `HAProxy` reads a slot from, as a path from here.
fn file_of(slot: &Slot, node: &Node) -> Option<PathBuf> {
    if let (Some(own), Some(theirs)) = (&node.crt_dir, &node.haproxy_crt_dir)
        && let Some(name) =
            slot.as_str().strip_prefix(theirs.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'))
    {
        return Some(own.join(name));
    }
    Some(PathBuf::from(slot.as_str())).filter(|path| path.is_absolute())
}

/// A file name for a slot in a directory of somebody's choice.
fn file_name(slot: &Slot, node: Option<&NodeName>) -> String {
    let alias = slot.as_str().strip_prefix('@').map(|alias| alias.trim_start_matches('/').replace('/', "-"));
    let name = alias.unwrap_or_else(|| slot.file_name().to_owned());
    let ending = if name.contains(".pem") || name.contains(".crt") { "" } else { ".pem" };
    let node = node.map(|node| format!("{node}-")).unwrap_or_default();
    format!("{node}{}{ending}", name.trim_start_matches('.'))
}

fn holds(loaded: &Loaded, bundle: &Bundle) -> bool {
    loaded.is(bundle.facts())
}

fn opened(pem: &Zeroizing<String>) -> Option<Bundle> {
    let name = "foreign".parse().expect("it is a certificate name");
    Bundle::reopen(&name, &[pem.as_bytes()]).ok()
}

fn bundle_in(path: &Path) -> Option<Bundle> {
    let name = "foreign".parse().expect("it is a certificate name");
    let pem = publish::published(path).ok()??;
    Bundle::reopen(&name, &[&pem]).ok()
}

/// The same for a file of `HAProxy`, beside which the key may stand.
fn own_file_at(path: &Path) -> Option<Bundle> {
    own_file(&path.to_str()?.parse().ok()?)
}
