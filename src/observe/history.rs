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
                events.push((EventKind::NodeDown, of, format!("process {pid} does not answer any more")));
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
    let events = events.into_iter();
    events
        .map(|(kind, (certificate, node), text): (_, (Option<CertName>, Option<NodeName>), String)| Happened {
            kind,
            certificate,
            node,
            message: printable(&text, TEXT),
        })
        .collect()
}

/// Whether a node served the same generation before.
fn was_served(known: Option<&CertificateReport>, node: &NodeName, now: &CertificateReport) -> bool {
    known.is_some_and(|known| {
        let mut nodes = known.nodes.iter().filter(|known| known.name == *node);
        known.generation == now.generation && nodes.any(|known| known.state == NodeState::InSync)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{certificate, node, report};
    use crate::reconcile::NodeReport;

    fn told(before: &Report, now: &Report) -> Vec<String> {
        let line = |event: Happened| {
            let subject = event.certificate.map(|name| name.to_string()).or(event.node.map(|name| name.to_string()));
            format!("{:?} {}: {}", event.kind, subject.unwrap_or_default(), event.message)
        };
        between(before, now).into_iter().map(line).collect()
    }

    #[test]
    fn what_stays_the_same_is_no_event() {
        let report = report(vec![certificate("shop.test")], vec![node()]);
        assert_eq!(told(&report, &report), Vec::<String>::new());
    }

    #[test]
    fn a_renewal_is_told_when_it_is_stored_and_when_it_is_served() {
        let old = report(vec![certificate("shop.test")], vec![node()]);
        let mut renewed = certificate("shop.test");
        (renewed.generation, renewed.problem) = (Some(3), None);
        let stored = report(vec![renewed.clone()], vec![node()]);
        let ordered = "Renewed shop.test: generation 3 is stored, valid until 2027-01-30T00:00:00Z";
        let over = "Recovered shop.test: no longer: it failed: [31m\"\\";
        assert_eq!(told(&old, &stored), [ordered, over]);
        renewed.nodes[0].state = NodeState::InSync;
        let served = report(vec![renewed], vec![node()]);
        assert_eq!(told(&stored, &served), ["Loaded shop.test: is served"]);
        assert_eq!(told(&old, &served), [ordered, "Loaded shop.test: is served", over]);
    }

    #[test]
    fn a_node_that_goes_and_comes_back_is_told_and_so_is_what_fails() {
        let away = NodeReport { reachable: false, version: None, pid: None, ..node() };
        let (here, gone) = (report(Vec::new(), vec![node()]), report(Vec::new(), vec![away]));
        assert_eq!(told(&here, &gone), ["NodeDown edge: process 1 does not answer any more"]);
        assert_eq!(told(&gone, &here), ["NodeUp edge: process 1 of HAProxy 3.2\" 1 answers"]);
        let mut wrong = report(Vec::new(), vec![node()]);
        let (certificate, node, file, hint) = (None, None, None, None);
        wrong.problems.push(Problem { certificate, node, file, message: "full\u{1b}[2J".to_owned(), hint });
        assert_eq!(told(&here, &wrong), ["Failed : full[2J"]);
        assert_eq!(told(&wrong, &here), ["Recovered : no longer: full[2J"]);
    }
}
