//! From what was read and seen to a report.

use std::collections::{BTreeMap, BTreeSet};

use super::kinds;
use super::observe::View;
use super::report::{
    CertState, CertificateReport, NodeReport, NodeState, Problem, Report, ServedBy, Transaction, Verified,
};
use super::verify::{Handshakes, Misserved};
use super::{Error, Failure, Reconciler, Scope, Seen, Stored};
use crate::config::Certificate;
use crate::haproxy;
use crate::model::{CertName, Identifier, NodeName, Slot, chain};
use crate::plan::{Reason, Step, Want};
use crate::store::{Generation, Revocation, Source};

impl Reconciler<'_> {
    /// Puts together what was read and seen.
    pub(super) fn tell(&self, scope: Scope<'_>, stored: Stored, seen: Seen, handshakes: Handshakes) -> Report {
        let misserved: BTreeSet<&CertName> =
            handshakes.iter().filter(|(_, outcome)| outcome.is_err()).map(|((_, of), _)| of).collect();
        let pending = seen.views.iter().map(|(node, view)| (node, Pending::of(view))).collect();
        let certificates = self
            .config
            .certificates
            .values()
            .filter(|certificate| scope.is_none_or(|scope| scope.contains(&certificate.name)))
            .map(|certificate| {
                let name = &certificate.name;
                let misserved = misserved.contains(name);
                let mut nodes = self.served_by(certificate, &seen, &pending, &handshakes);
                let waiting = stored.waiting.get(name);
                if let Some(waiting) = waiting {
                    for node in &mut nodes {
                        await_the_others(node, waiting.number);
                    }
                }
                let generation =
                    waiting.or_else(|| stored.generations.get(name)).or_else(|| stored.withdrawn.get(name));
                self.certificate(certificate, generation, nodes, misserved)
            })
            .collect();
        let nodes: Vec<_> = self
            .config
            .nodes
            .values()
            .map(|node| {
                let view = seen.views.get(&node.name);
                let detail = match (view, seen.unreachable.get(&node.name)) {
                    // Others say it all themselves.
                    (_, Some(error @ haproxy::Error::Connect { .. })) => Some(chain(error)),
                    (_, Some(error)) => Some(error.to_string()),
                    (Some(view), None) => view
                        .foreign_transaction
                        .as_ref()
                        .map(|slot| format!("a certificate transaction that is not ours is open on {slot}"))
                        .or_else(|| view.workers.detail()),
                    (None, None) => None,
                };
                let transaction = view.and_then(|view| {
                    let ours = view.actual.stale.as_ref().map(|slot| (slot.to_string(), true));
                    let (slot, ours) = ours.or_else(|| Some((view.foreign_transaction.clone()?, false)))?;
                    Some(Transaction { slot, ours, since: self.clock.now() })
                });
                NodeReport {
                    name: node.name.clone(),
                    address: node.socket.to_string(),
                    reachable: view.is_some(),
                    version: view.map(|view| view.info.version.to_string()),
                    pid: view.map(|view| view.info.pid),
                    started_at: view.and_then(|view| view.info.started_at),
                    old_workers: view.map(|view| view.workers.list.clone()).unwrap_or_default(),
                    files: Vec::new(),
                    foreign: view.map(|view| view.foreign.clone()).unwrap_or_default(),
                    transaction,
                    detail,
                }
            })
            .collect();
        let concerned = |(name, _): &(&CertName, _)| scope.is_none_or(|scope| scope.contains(name));
        let files: Vec<_> = seen
            .views
            .iter()
            .flat_map(|(node, view)| view.companions.iter().filter(concerned).map(move |found| (node, found)))
            .flat_map(|(node, (name, companions))| companions.problems(name, node))
            .collect();
        let mut failures = failures(stored, seen, handshakes);
        failures.retain(|failure| failure.concerns(scope, self.config));
        let problems = failures.iter().map(Problem::from).chain(files).collect();
        Report { certificates, nodes, problems, warnings: Vec::new(), failures }
    }

    /// What a report of a moment ago says, with what is stored now; asks no node. There are certificates in it that it did not know
    /// of, and what was noted about ordering since.
    #[must_use]
    pub fn refresh(&self, scope: Scope<'_>, before: &Report) -> Report {
        let Stored { generations, withdrawn, failures, .. } = self.read_store();
        let known: BTreeMap<_, _> = before.certificates.iter().map(|known| (&known.name, known)).collect();
        let is_wanted = |name: &CertName| scope.is_none_or(|scope| scope.contains(name));
        let certificates = self.config.certificates.values().filter(|certificate| is_wanted(&certificate.name));
        let certificates = certificates.map(|certificate| {
            let generation = generations.get(&certificate.name).or_else(|| withdrawn.get(&certificate.name));
            let known = known.get(&certificate.name).copied();
            let same = known.filter(|known| known.generation == generation.map(|generation| generation.number));
            let misserved = same.is_some_and(|same| same.state == CertState::Failed);
            let nodes = self.config.nodes_of(certificate).map(|node| {
                let served = known.and_then(|known| known.nodes.iter().find(|served| served.name == node.name));
                match served {
                    Some(served) if same.is_some() => served.clone(),
                    served => awaiting(&node.name, before.nodes.iter().find(|seen| seen.name == node.name), served),
                }
            });
            self.certificate(certificate, generation, nodes.collect(), misserved)
        });
        let is_about = |problem: &Problem| problem.certificate.as_ref().is_none_or(is_wanted);
        let found = failures.iter().map(Problem::from).filter(|problem| !before.problems.contains(problem));
        let problems = before.problems.iter().cloned().chain(found).filter(is_about).collect();
        let (certificates, nodes) = (certificates.collect(), before.nodes.clone());
        Report { certificates, nodes, problems, warnings: Vec::new(), failures: Vec::new() }
    }

    fn served_by(
        &self,
        certificate: &Certificate,
        seen: &Seen,
        pending: &BTreeMap<&NodeName, Pending<'_>>,
        handshakes: &Handshakes,
    ) -> Vec<ServedBy> {
        let name = &certificate.name;
        self.config
            .nodes_of(certificate)
            .map(|node| match seen.views.get(&node.name) {
                Some(view) => {
                    let handshake = handshakes.get(&(node.name.clone(), name.clone()));
                    on_node(view, &pending[&node.name], name, handshake)
                }
                None => ServedBy {
                    name: node.name.clone(),
                    slot: None,
                    state: NodeState::Unreachable,
                    serial: None,
                    not_after: None,
                    shown_not_after: None,
                    verified: Verified::None,
                    detail: seen.unreachable.get(&node.name).map(ToString::to_string),
                },
            })
            .collect()
    }

    fn certificate(
        &self,
        certificate: &Certificate,
        generation: Option<&Generation>,
        nodes: Vec<ServedBy>,
        misserved: bool,
    ) -> CertificateReport {
        let name = &certificate.name;
        let facts = generation.map(|generation| &generation.facts);
        let expired = facts.is_some_and(|facts| facts.not_after <= self.clock.now());
        let state = match facts {
            None if self.store.has_journal(name).unwrap_or(false) => CertState::Issuing,
            None => CertState::Missing,
            Some(_) if nodes.is_empty() || nodes.iter().any(|node| node.state != NodeState::InSync) => {
                CertState::Stored
            }
            Some(_) if expired || misserved => CertState::Failed,
            Some(_) => CertState::Serving,
        };
        let ordered = certificate.order.as_ref();
        let source = match generation {
            Some(generation) => generation.meta.source,
            None if ordered.is_some() => Source::Acme,
            None => Source::Push,
        };
        let ordering = ordered.map(|order| self.ordering(certificate, order, generation)).unwrap_or_default();
        let key = facts.map_or_else(|| ordered.and_then(|order| order.keys.first().copied()), |facts| facts.key_type);
        CertificateReport {
            name: name.clone(),
            configured_name: certificate.configured_name(),
            key,
            domains: match facts {
                Some(facts) if certificate.domains.is_empty() => facts.names.iter().cloned().collect(),
                _ => certificate.domains.clone(),
            },
            source,
            issuer: generation
                .and_then(|generation| generation.meta.issuer.clone())
                .or_else(|| Some(ordered?.issuers.first()?.name.clone())),
            state,
            serial: facts.map(|facts| facts.serial.clone()),
            sha256: facts.map(|facts| facts.sha256),
            not_before: facts.map(|facts| facts.not_before),
            not_after: facts.map(|facts| facts.not_after),
            renew_at: ordering.renew_at,
            renewal_window: ordering.window,
            next_issuer: ordering.next_issuer,
            next_try: ordering.next_try,
            problem: generation.and_then(revoked).or(ordering.problem),
            revoked: generation.and_then(|generation| generation.revoked.clone()),
            generation: generation.map(|generation| generation.number),
            nodes,
        }
    }
}

/// That a generation is revoked, in words.
fn revoked(generation: &Generation) -> Option<String> {
    let Revocation { at, reason, detached } = generation.revoked.as_ref()?;
    let detached = if *detached { ", and taken out of service" } else { "" };
    Some(format!("generation {} was revoked at {at:.0} ({reason}){detached}", generation.number))
}

/// How a node stands on which a new generation waits for the other nodes.
fn await_the_others(node: &mut ServedBy, number: u64) {
    if node.state == NodeState::InSync {
        node.state = NodeState::Stale;
        node.verified = Verified::None;
    }
    node.detail.get_or_insert_with(|| format!("generation {number} waits until all its nodes have accepted it"));
}

/// How a generation stands on a node that was not looked at since it was stored.
fn awaiting(name: &NodeName, node: Option<&NodeReport>, served: Option<&ServedBy>) -> ServedBy {
    let serial = served.and_then(|served| served.serial.clone());
    let state = match &serial {
        _ if node.is_none_or(|node| !node.reachable) => NodeState::Unreachable,
        Some(_) => NodeState::Stale,
        None => NodeState::Absent,
    };
    let slot = served.and_then(|served| served.slot.clone());
    let detail = node.and_then(|node| node.detail.clone());
    let not_after = served.and_then(|served| served.not_after);
    let (shown_not_after, verified) = (None, Verified::None);
    ServedBy { name: name.clone(), slot, state, serial, not_after, shown_not_after, verified, detail }
}

/// The steps that tell of a certificate that is in memory already.
struct Pending<'a> {
    steps: &'a [Step],
    /// The first for each certificate, and for each slot.
    by_certificate: BTreeMap<&'a CertName, usize>,
    by_slot: BTreeMap<&'a Slot, usize>,
}

impl<'a> Pending<'a> {
    fn of(view: &'a View) -> Self {
        let (mut by_certificate, mut by_slot) = (BTreeMap::new(), BTreeMap::new());
        for (at, step) in view.plan.steps.iter().enumerate() {
            match step {
                Step::Publish { certificate } | Step::Attach { certificate, .. } | Step::Detach { certificate, .. } => {
                    by_certificate.entry(certificate).or_insert(at);
                }
                Step::Replace { slot, reason: Reason::GiveWay | Reason::Staple, .. } => {
                    by_slot.entry(slot).or_insert(at);
                }
                _ => {}
            }
        }
        Self { steps: &view.plan.steps, by_certificate, by_slot }
    }

    fn first(&self, certificate: &CertName, slot: &Slot) -> Option<&'a Step> {
        let at = [self.by_certificate.get(certificate), self.by_slot.get(slot)].into_iter().flatten().min()?;
        self.steps.get(*at)
    }
}

fn on_node(view: &View, pending: &Pending<'_>, name: &CertName, handshake: Option<&Result<(), Misserved>>) -> ServedBy {
    let mut on = ServedBy {
        name: view.node.name.clone(),
        slot: None,
        state: NodeState::Absent,
        serial: None,
        not_after: None,
        shown_not_after: None,
        verified: Verified::None,
        detail: view.unplaced.get(name).map(ToString::to_string),
    };
    let Some(want) = view.desired.certificates.get(name) else { return on };
    let held = view.actual.slots.get(&want.slot).and_then(Option::as_ref);
    on.slot = Some(want.slot.to_string());
    if let Some((serial, not_after)) = view.leaves.get(&want.slot) {
        (on.serial, on.not_after) = (Some(serial.clone()), *not_after);
    }
    on.state = match held {
        None => NodeState::Absent,
        Some(_) if !want.is_held_in(&view.actual) => NodeState::Stale,
        Some(held) if !held.used => NodeState::Detached,
        // The entry that it is to have replaces one that serves.
        Some(_) if is_in_superseded(view, name) => NodeState::InSync,
        Some(_) if !want.is_attached_in(&view.actual) => NodeState::Detached,
        Some(_) => NodeState::InSync,
    };
    on.verified = if on.state == NodeState::InSync { Verified::Memory } else { Verified::None };
    match handshake {
        Some(Ok(())) if on.state == NodeState::InSync => {
            on.verified = Verified::Handshake;
            on.shown_not_after = Some(want.facts.not_after);
        }
        Some(Err(misserved)) => {
            on.detail = Some(misserved.error.to_string());
            on.shown_not_after = misserved.not_after;
        }
        _ => {}
    }
    if on.detail.is_none() && on.state == NodeState::InSync {
        on.detail = pending.first(name, &want.slot).map(|step| format!("to do: {step}"));
    }
    if on.detail.is_none() {
        on.detail = unseen(view, want).or_else(|| kinds::left_behind(view, name, want));
    }
    if on.detail.is_none() {
        on.detail = view.companions.get(name).and_then(|companions| companions.notice.clone());
    }
    if let Some(conflict) = view.plan.conflicts.iter().find(|conflict| conflict.certificate == *name) {
        on.detail = Some(conflict.to_string());
    }
    on
}

/// Whether it is served by an entry of ours that is to be replaced.
fn is_in_superseded(view: &View, name: &CertName) -> bool {
    view.actual.superseded.get(name).is_some_and(|entries| entries.iter().any(|entry| entry.in_memory))
}

/// Where several slots cover a name, and there is no way to look which one clients are shown.
fn unseen(view: &View, want: &Want) -> Option<String> {
    let is_unseen = |name: &Identifier| {
        let contested = want.kinds().map(|kind| (name.clone(), kind)).find(|at| view.rightful.contains_key(at));
        contested.is_some_and(|at| !view.actual.shown.contains_key(&at))
    };
    let name = want.answers().into_iter().find(is_unseen)?;
    Some(format!(
        "another slot covers {} too, and nothing shows which one clients get: say by --verify (or `verify`) where to look",
        name.human()
    ))
}

/// Everything that is wrong, as errors.
fn failures(stored: Stored, seen: Seen, handshakes: Handshakes) -> Vec<Failure> {
    let mut failures = stored.failures;
    for (node, source) in seen.unreachable {
        let error = Error::Node { node: node.clone(), source };
        failures.push(Failure { certificate: None, node: Some(node), error: error.into() });
    }
    for (name, view) in seen.views {
        for (certificate, why) in view.unplaced {
            let error = Error::Unplaced { certificate: certificate.clone(), node: name.clone(), why };
            failures.push(Failure::of(&certificate, Some(&name), error));
        }
    }
    for ((node, certificate), outcome) in handshakes {
        if let Err(misserved) = outcome {
            failures.push(Failure::of(&certificate, Some(&node), misserved.error));
        }
    }
    failures
}
