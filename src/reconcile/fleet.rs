//! Certificates that several nodes serve: all accept a new generation before any serves it.

use super::{Error, Failure, Reconciler, Seen, Stored};
use crate::config::Certificate;
use crate::model::CertName;
use crate::plan::Want;

impl Reconciler<'_> {
    /// Whether all nodes that serve a certificate are at hand here, and not only some of them.
    pub(super) fn has_all_nodes_of(&self, certificate: &Certificate) -> bool {
        certificate.nodes.iter().all(|node| self.config.nodes.contains_key(node))
    }

    /// Whether more than one node serves a certificate.
    fn is_shared(&self, certificate: &Certificate) -> bool {
        self.config.nodes_of(certificate).nth(1).is_some()
    }

    /// The certificates whose current generation their nodes have not accepted yet. That of a certificate with one node is
    /// accepted by being loaded.
    #[must_use]
    pub fn waiting(&self) -> Vec<CertName> {
        let shared = self.config.certificates.values().filter(|certificate| self.is_shared(certificate));
        let is_waiting = |name: &&CertName| {
            let current = self.store.current_number(name).ok().flatten();
            // Most are accepted, and need no reading.
            let current = current.filter(|number| self.store.accepted(name) != Some(*number));
            let generation = current.and_then(|number| self.store.generation(name, number).ok());
            generation.is_some_and(|generation| !generation.is_withdrawn())
        };
        shared.map(|certificate| &certificate.name).filter(is_waiting).cloned().collect()
    }

    /// Notes that the current generation of a certificate was staged on all nodes that could be reached.
    pub(super) fn accept(&self, name: &CertName, number: u64) -> Result<(), Error> {
        if self.is_accepted_together(name) {
            self.store.accept(name, Some(number))?;
        }
        Ok(())
    }

    /// Whether it is noted which generation of a certificate its nodes have accepted.
    pub(super) fn is_accepted_together(&self, name: &CertName) -> bool {
        let certificate = &self.config.certificates[name];
        self.is_shared(certificate) && self.has_all_nodes_of(certificate)
    }

    /// Why a new generation may not be loaded now: a node that must be there is not.
    pub(super) fn missing_node(&self, name: &CertName, number: u64, seen: &Seen) -> Option<Failure> {
        let certificate = &self.config.certificates[name];
        if !self.config.requires_all(certificate) || self.store.accepted(name) == Some(number) {
            return None;
        }
        let node = self.config.nodes_of(certificate).find(|node| seen.unreachable.contains_key(&node.name))?;
        let error = Error::NodeRequired { certificate: name.clone(), node: node.name.clone() };
        Some(Failure::of(name, Some(&node.name), error))
    }

    /// Notes as accepted what all nodes at hand serve already, having started with it.
    pub(super) fn accept_what_is_held(&self, stored: &Stored, seen: &Seen) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (name, generation) in &stored.generations {
            let is_held = |want: &Want, view: &super::View| want.is_held_in(&view.actual);
            let mut held = seen
                .views
                .values()
                .filter_map(|view| Some(is_held(view.desired.certificates.get(name)?, view)))
                .peekable();
            let all = held.peek().is_some() && held.all(|held| held);
            if all
                && self.missing_node(name, generation.number, seen).is_none()
                && let Err(error) = self.accept(name, generation.number)
            {
                failures.push(Failure::of(name, None, error));
            }
        }
        failures
    }
}
