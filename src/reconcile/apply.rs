//! Applying the plans of all nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{Locks, Nodes, ownership};
use super::observe::{View, own_file};
use super::{Error, Failure, Reconciler, Seen, Stored};
use crate::config::Node;
use crate::haproxy::Session;
use crate::model::{CertName, NodeName, Slot};
use crate::plan::{Contents, Step};
use crate::store::publish;

impl Reconciler<'_> {
    /// Applies the plan of every node. A certificate that fails changes nothing and holds up no other.
    pub(super) async fn apply(
        &self,
        stored: &Stored,
        seen: &Seen,
        sessions: BTreeMap<NodeName, Session>,
        locks: &Locks,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut nodes = Nodes { views: &seen.views, sessions, locks };
        let reachable: Vec<NodeName> = nodes.sessions.keys().cloned().collect();

        for name in &reachable {
            if let Err(error) = self.abort_stale(&mut nodes, name).await {
                failures.push(Failure { certificate: None, node: Some(name.clone()), error: error.into() });
                nodes.sessions.remove(name);
            }
        }
        let mut certificates = Vec::new();
        for certificate in sequence(nodes.views) {
            let Some(generation) = stored.generations.get(&certificate) else { continue };
            match self.missing_node(&certificate, generation.number, seen) {
                Some(missing) => failures.push(missing),
                None => certificates.push((certificate, generation.clone())),
            }
        }
        failures.extend(self.load(certificates, &mut nodes).await);
        for name in &reachable {
            for slot in giving_way(&nodes.views[name]) {
                let Some(bundle) = own_file(&slot) else { continue };
                if let Err(error) = self.reload_foreign(&slot, &bundle, &mut nodes, name).await {
                    failures.push(Failure { certificate: None, node: Some(name.clone()), error: error.into() });
                }
            }
        }
        failures.extend(self.publish_for_the_unreachable(stored, seen));
        failures
    }

    async fn abort_stale(&self, nodes: &mut Nodes<'_>, name: &NodeName) -> Result<(), Error> {
        let view = &nodes.views[name];
        if let (Some(slot), Some(session)) = (&view.actual.stale, nodes.sessions.get_mut(name)) {
            tracing::info!(node = %name, %slot, "aborting our own transaction, left by a process that died");
            session.abort_stale(slot).await.map_err(|error| Error::node(&view.node, error))?;
        }
        Box::pin(self.abort_stale_in_old_workers(view)).await;
        if view.foreign_transaction.is_none() {
            self.store.clear_staging(&nodes.locks[name])?;
        }
        Ok(())
    }

    /// Where not one node can be reached, what passed the gate is published all the same, so that `HAProxy` can start with it; so
    /// is what others have accepted where some of them can.
    fn publish_for_the_unreachable(&self, stored: &Stored, seen: &Seen) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (name, generation) in &stored.generations {
            let certificate = &self.config.certificates[name];
            let away = |node: &&Node| !seen.views.contains_key(&node.name);
            let is_accepted = self.store.accepted(name) == Some(generation.number);
            if !certificate.publish || !(is_accepted || self.config.nodes_of(certificate).all(|node| away(&node))) {
                continue;
            }
            for node in self.config.nodes_of(certificate).filter(away) {
                let Some(file) = certificate.file_on(node) else { continue };
                let (Some(directory), Some(file_name)) =
                    (file.parent(), file.file_name().and_then(|name| name.to_str()))
                else {
                    continue;
                };
                let outcome = publish::check_directory(directory).and_then(|()| {
                    if self.is_published(name, generation, &file) {
                        return Ok(false);
                    }
                    let bundle = self.store.bundle(name, generation)?;
                    publish::publish(directory, file_name, bundle.combined_pem(), &ownership(node))
                });
                if let Err(error) = outcome {
                    failures.push(Failure::of(name, Some(&node.name), error.into()));
                }
            }
        }
        failures
    }
}

/// Our certificates in the order in which they are to be loaded, which is the same on every node.
pub(super) fn sequence(views: &BTreeMap<NodeName, View>) -> Vec<CertName> {
    let mut sequence = Vec::new();
    let mut known = BTreeSet::new();
    let steps = || views.values().flat_map(|view| &view.plan.steps);
    let loaded = steps().filter_map(|step| match step {
        Step::Replace { with: Contents::Generation(name), .. } => Some(name),
        _ => None,
    });
    let kept = steps().filter_map(|step| match step {
        Step::Publish { certificate }
        | Step::Attach { certificate, .. }
        | Step::Detach { certificate, .. }
        | Step::Create { certificate, .. } => Some(certificate),
        _ => None,
    });
    for name in loaded.chain(kept) {
        if known.insert(name.clone()) {
            sequence.push(name.clone());
        }
    }
    sequence
}

fn giving_way(view: &View) -> Vec<Slot> {
    let foreign = |step: &Step| match step {
        Step::Replace { slot, with: Contents::OwnFile, .. } => Some(slot.clone()),
        _ => None,
    };
    view.plan.steps.iter().filter_map(foreign).collect()
}
