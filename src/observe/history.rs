//! What has happened between two looks, as events.

use std::collections::BTreeMap;

use super::snapshot::EventKind;
use crate::model::{CertName, NodeName, printable};
use crate::reconcile::{CertificateReport, NodeState, Problem, Report};

/// Longest text of an event, in characters.
const TEXT: usize = 300;

/// Something that has happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) kind: EventKind,
    pub(super) certificate: Option<CertName>,
    pub(super) node: Option<NodeName>,
    /// It in words, for people.
    pub(super) message: String,
}

/// What has happened.
pub(super) fn between(before: &Report, now: &Report) -> Vec<Happened> {
    let mut events = Vec::new();
    let known: BTreeMap<_, _> = before.certificates.iter().map(|known| (&known.name, known)).collect();
    for certificate in &now.certificates {
        let known = known.get(&certificate.name).copied();
        let of = |node: Option<&NodeName>| (Some(certificate.name.clone()), node.cloned());
        if let Some(number) = certificate.generation
            && known.is_none_or(|known| known.generation != Some(number))
        {
            let until = certificate.not_after.map(|end| format!(", valid until {end}")).unwrap_or_default();
            events.push((EventKind::Renewed, of(None), format!("generation {number} is stored{until}")));
        }
        for node in certificate.nodes.iter().filter(|node| node.state == NodeState::InSync) {
            if !was_served(known, &node.name, certificate) {
                let serial = node.serial.as_ref().map(|serial| format!("serial {serial} ")).unwrap_or_default();
                events.push((EventKind::Loaded, of(Some(&node.name)), format!("{serial}is served")));
            }
        }
        let (was, is) = (known.and_then(|known| known.problem.as_ref()), certificate.problem.as_ref());
        match (was, is) {
            (was, Some(is)) if was != Some(is) => events.push((EventKind::Failed, of(None), is.clone())),
            (Some(was), None) => events.push((EventKind::Recovered, of(None), format!("no longer: {was}"))),
            _ => {}
        }
    }
    for node in &now.nodes {
        let known = before.nodes.iter().find(|known| known.name == node.name);
        let of = (None, Some(node.name.clone()));
        let version = node.version.as_deref().unwrap_or("?");
        match (known.and_then(|known| known.pid), node.pid) {
            (was, Some(pid)) if was != Some(pid) => {
                events.push((EventKind::NodeUp, of, format!("process {pid} of HAProxy {version} answers")));
            }
            (Some(pid), None) => {
                events.push((EventKind::NodeDown, of, format!("process {pid} does not answer any more")))
            }
            _ => {}
        }
    }
    let of = |problem: &Problem| (problem.certificate.clone(), problem.node.clone());
    for problem in now.problems.iter().filter(|problem| !before.problems.contains(problem)) {
        events.push((EventKind::Failed, of(problem), problem.message.clone()));
    }
    for problem in before.problems.iter().filter(|problem| !now.problems.contains(problem)) {
        events.push((EventKind::Recovered, of(problem), format!("no longer: {}", problem.message)));
    }
    let happened = |(kind, (certificate, node), text): (EventKind, (Option<CertName>, Option<NodeName>), String)| {
        Happened { kind, certificate, node, message: printable(&text, TEXT) }
    };
    events.into_iter().map(happened).collect()
}

/// Whether a node served the same generation before.
fn was_served(known: Option<&CertificateReport>, node: &NodeName, now: &CertificateReport) -> bool {
    known.is_some_and(|known| {
        let mut nodes = known.nodes.iter().filter(|known| known.name == *node);
        known.generation == now.generation && nodes.any(|known| known.state == NodeState::InSync)
    })
}
