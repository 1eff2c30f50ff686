//! Rounds about few certificates.
//!
//! A round about everything asks `HAProxy` what each of its slots holds. Where thousands are loaded and one is renewed, what such a
//! round has found of the others ([`Known`]) is good until the next one, so a round about that one ([`Few`]) asks for its slot alone.
//! All else is as in any round. It leaves the certificate to a round about everything where something is not as it was, or where
//! others may compete with it: then one slot does not tell what is to be done.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::Seen;
use super::observe::View;
use crate::haproxy::{Certificates, Info};
use crate::model::{CertName, NodeName, Slot};
use crate::plan::{self, Contested};

/// What a round about everything leaves behind of a node that had nothing more to be done.
#[derive(Debug)]
pub struct Known {
    process: Process,
    slots: Slots,
    /// What more than one slot answers for.
    shared: BTreeSet<Contested>,
}

/// The certificates that a round is about, on each node.
#[derive(Debug, Default)]
pub struct Few {
    /// On each node that the round is about.
    pub nodes: BTreeMap<NodeName, FewOn>,
}

/// The certificates of one node that a round is about, and what is known of the others.
#[derive(Debug)]
pub struct FewOn {
    /// What the last round about everything has found.
    pub known: Arc<Known>,
    /// The slot of each.
    pub slots: BTreeMap<CertName, Slot>,
}

/// The process of `HAProxy` that answers, to be compared with a later one.
type Process = (u32, Option<jiff::Timestamp>);

/// All slots of a process, to be compared with those of a moment later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots(u64);

impl Slots {
    pub(super) fn of(certificates: &Certificates) -> Self {
        let mut hasher = DefaultHasher::new();
        certificates.names.hash(&mut hasher);
        Self(hasher.finish())
    }
}

fn process(info: &Info) -> Process {
    (info.pid, info.started_at)
}

impl Known {
    pub(super) fn of(view: &View) -> Self {
        let shared = plan::shared(&view.desired, &view.actual);
        Self { process: process(&view.info), slots: view.slots, shared }
    }
}

impl Few {
    /// The certificates.
    #[must_use]
    pub fn names(&self) -> BTreeSet<CertName> {
        self.nodes.values().flat_map(|few| few.slots.keys()).cloned().collect()
    }

    /// The slots of a node to ask for.
    pub(super) fn slots(&self, node: &NodeName) -> BTreeSet<&Slot> {
        self.nodes.get(node).into_iter().flat_map(|few| few.slots.values()).collect()
    }

    /// Whether what was seen of these slots is enough to tell what is to be done.
    pub(super) fn suffices(&self, seen: &Seen) -> bool {
        let suffices = |(node, view)| self.nodes.get(node).is_some_and(|few| few.suffices(view));
        seen.unreachable.is_empty() && seen.views.iter().all(suffices)
    }
}

impl FewOn {
    fn suffices(&self, view: &View) -> bool {
        let is_as_it_was = process(&view.info) == self.known.process && view.slots == self.known.slots;
        let is_undisturbed =
            view.foreign_transaction.is_none() && view.actual.stale.is_none() && view.workers.list.is_empty();
        let wants = &view.desired.certificates;
        let are_all_placed = wants.len() == self.slots.len()
            && wants.iter().all(|(name, want)| self.slots.get(name) == Some(&want.slot))
            && wants.values().all(|want| want.stands_alone(&view.actual, &self.known.shared));
        is_as_it_was && is_undisturbed && are_all_placed
    }
}
