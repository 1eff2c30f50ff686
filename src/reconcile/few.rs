//! Rounds about few certificates.
//!
//! A round about everything asks `HAProxy` what each of its slots holds. Where thousands are loaded and one is renewed, what such a
//! round has found of the others ([`Known`]) is good until the next one, so a round about that one ([`Few`]) asks for its slot alone.
//! All else is as in any round. It leaves the certificate to a round about everything where something is not as it was, or where
//! others may compete with it: then one slot does not tell what is to be done. A round about everything that changes few of many
//! looks in the same way at what it has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::observe::View;
use super::{Reconciler, Seen, Stored};
use crate::config::Config;
use crate::haproxy::{Certificates, Info};
use crate::model::{CertName, NodeName, Slot};
use crate::plan::{self, Contents, Contested, Step};

/// Fewer certificates than this are all looked at in each round, which takes no time.
const MANY: usize = 32;
/// The greatest part of all that is looked at by itself, as its inverse.
const SHARE: usize = 2;

/// Whether it is worth while to look at so many certificates by themselves.
#[must_use]
pub fn are_few(certificates: usize, all: usize) -> bool {
    all >= MANY && certificates * SHARE <= all
}

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
    /// What a round about everything is going to change, where that is little: each certificate just takes the place of what was there
    /// before, so that all others stay as they were seen.
    pub(super) fn changed_by(seen: &Seen, config: &Config) -> Option<Self> {
        if !seen.unreachable.is_empty() {
            return None;
        }
        let mut changed = BTreeSet::new();
        for step in seen.views.values().flat_map(|view| &view.plan.steps) {
            match step {
                Step::Replace { with: Contents::Generation(name), .. } | Step::Publish { certificate: name } => {
                    changed.insert(name);
                }
                _ => return None,
            }
        }
        // Where many have changed, nothing more is looked up.
        if !are_few(changed.len(), config.certificates.len()) {
            return None;
        }
        // Of one of two kinds the other one matters.
        let kinds = |name: &&CertName| config.kinds_of(&config.certificates[*name].configured_name());
        changed.extend(changed.clone().iter().flat_map(kinds).map(|member| &member.name));
        let mut few = Self::default();
        for (node, view) in &seen.views {
            let wants = &view.desired.certificates;
            let slot = |name: &CertName| Some((name.clone(), wants.get(name)?.slot.clone()));
            let slots: BTreeMap<_, _> = changed.iter().filter_map(|name| slot(name)).collect();
            if !are_few(slots.len(), wants.len()) {
                return None;
            }
            let of_node = FewOn { known: Arc::new(Known::of(view)), slots };
            if !of_node.stand_alone(view) {
                return None;
            }
            few.nodes.insert(node.clone(), of_node);
        }
        Some(few)
    }

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

impl Reconciler<'_> {
    /// Looks once more at the few certificates that were changed since everything was seen; `None` where that does not suffice, or
    /// where something is left to be done.
    pub(super) async fn look_again(
        &self,
        few: &Few,
        stored: &Stored,
        mut seen: Seen,
        away: &BTreeSet<NodeName>,
    ) -> Option<Seen> {
        let names = few.names();
        let stored = self.is_current(stored).then(|| stored.only(&names))?;
        let config = self.config.with_only(&names);
        let about_few = Reconciler {
            config: &config,
            stop: self.stop.clone(),
            away: self.away.clone(),
            pushes: self.pushes.clone(),
            few: Some(few),
            ..*self
        };
        let (again, _) = about_few.look(&stored, away).await;
        let is_done = few.suffices(&again) && again.views.values().all(|view| view.plan.steps.is_empty());
        if !is_done || again.views.len() != seen.views.len() {
            return None;
        }
        for (view, again) in seen.views.values_mut().zip(again.views.into_values()) {
            view.amend_by(again);
        }
        tracing::debug!(certificates = names.len(), "looked again at few certificates");
        Some(seen)
    }
}

impl FewOn {
    fn suffices(&self, view: &View) -> bool {
        let is_as_it_was = process(&view.info) == self.known.process && view.slots == self.known.slots;
        let is_undisturbed =
            view.foreign_transaction.is_none() && view.actual.stale.is_none() && view.workers.list.is_empty();
        let wants = &view.desired.certificates;
        let are_all_placed = wants.len() == self.slots.len()
            && wants.iter().all(|(name, want)| self.slots.get(name) == Some(&want.slot));
        is_as_it_was && is_undisturbed && are_all_placed && self.stand_alone(view)
    }

    /// Whether they take the places of what their slots hold, without a change for any other.
    fn stand_alone(&self, view: &View) -> bool {
        let mut wants = self.slots.keys().map(|name| &view.desired.certificates[name]);
        wants.all(|want| want.stands_alone(&view.actual, &self.known.shared))
    }
}
