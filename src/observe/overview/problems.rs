//! What is wrong, each thing once, however many certificates and nodes it concerns.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Tone, judge};
use crate::model::{CertName, NodeName};
use crate::reconcile::{CertState, Report};

/// How many names of certificates, nodes and files a trouble shows; the rest is counted.
const NAMED: usize = 5;

/// Something that needs a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// How bad it is.
    pub tone: Tone,
    /// What is wrong, and why.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
    /// The first certificates that it concerns.
    pub certificates: Vec<String>,
    /// How many it concerns.
    pub concerned: usize,
    /// The first nodes on which it is so.
    pub nodes: Vec<String>,
    /// The first files that are wrong.
    pub files: Vec<String>,
}

/// What is known of one trouble so far.
#[derive(Default)]
struct Group {
    is_broken: bool,
    hint: Option<String>,
    next_try: Option<Timestamp>,
    certificates: BTreeSet<String>,
    nodes: BTreeSet<String>,
    files: BTreeSet<String>,
}

/// All that a report says needs a look, worst first.
///
/// The same thing may stand in a report up to three times: as a problem, which says most; as the detail of a node; and as that of each
/// certificate on it.
pub(super) fn of(report: &Report) -> Vec<Trouble> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    let mut told: BTreeMap<(Option<&CertName>, &NodeName), &str> = BTreeMap::new();
    let broken: BTreeSet<_> = report
        .certificates
        .iter()
        .filter(|certificate| matches!(certificate.state, CertState::Failed | CertState::Missing))
        .map(|certificate| &certificate.name)
        .collect();
    let unreachable: BTreeSet<_> = report.nodes.iter().filter(|node| !node.reachable).map(|node| &node.name).collect();

    for problem in &report.problems {
        let group = groups.entry(&problem.message).or_default();
        group.hint = group.hint.take().or_else(|| problem.hint.clone());
        group.is_broken |= problem.certificate.as_ref().is_some_and(|name| broken.contains(name));
        let of_node = problem.certificate.is_none() && problem.file.is_none();
        group.is_broken |= of_node && problem.node.as_ref().is_some_and(|name| unreachable.contains(name));
        group.certificates.extend(problem.certificate.as_ref().map(ToString::to_string));
        group.nodes.extend(problem.node.as_ref().map(ToString::to_string));
        group.files.extend(problem.file.as_ref().map(|file| file.display().to_string()));
        if let (Some(node), None) = (&problem.node, &problem.file) {
            told.insert((problem.certificate.as_ref(), node), &problem.message);
        }
    }
    for node in &report.nodes {
        if let (Some(detail), None) = (&node.detail, told.get(&(None, &node.name))) {
            told.insert((None, &node.name), detail);
            let group = groups.entry(detail).or_default();
            group.is_broken |= !node.reachable;
            group.nodes.insert(node.name.to_string());
        }
        for file in &node.files {
            if let Some(detail) = &file.detail {
                let group = groups.entry(detail).or_default();
                group.nodes.insert(node.name.to_string());
                group.files.insert(file.file.display().to_string());
            }
        }
    }
    for certificate in &report.certificates {
        if let Some(problem) = &certificate.problem {
            let group = groups.entry(problem).or_default();
            group.is_broken |= broken.contains(&certificate.name);
            group.next_try = group.next_try.max(certificate.next_try);
            group.certificates.insert(certificate.configured_name.to_string());
        }
        for served in &certificate.nodes {
            let Some(detail) = &served.detail else { continue };
            let of_node = unreachable.contains(&served.name).then(|| told.get(&(None, &served.name))).flatten();
            let message = of_node.or_else(|| told.get(&(Some(&certificate.name), &served.name))).copied();
            let group = groups.entry(message.unwrap_or(detail)).or_default();
            group.is_broken |= broken.contains(&certificate.name);
            group.certificates.insert(certificate.configured_name.to_string());
            group.nodes.insert(served.name.to_string());
        }
    }
    unsaid(report, &mut groups);
    let mut troubles: Vec<_> = groups.into_iter().map(|(message, group)| group.told(message)).collect();
    troubles.sort_by(|a, b| b.tone.cmp(&a.tone).then(b.concerned.cmp(&a.concerned)));
    troubles
}

/// What is wrong, and nobody has said why.
fn unsaid<'a>(report: &'a Report, groups: &mut BTreeMap<&'a str, Group>) {
    for certificate in &report.certificates {
        let is_told = certificate.problem.is_some() || certificate.nodes.iter().any(|node| node.detail.is_some());
        let message = match certificate.state {
            _ if is_told => continue,
            CertState::Missing => "there is no certificate yet",
            CertState::Failed => "it is stored, and cannot be served",
            CertState::Stored => "not every node serves what is stored",
            CertState::Serving | CertState::Issuing => continue,
        };
        let tone = judge::certificate(certificate).tone;
        if tone == Tone::Good {
            continue;
        }
        let group = groups.entry(message).or_default();
        group.is_broken |= tone == Tone::Broken;
        group.certificates.insert(certificate.configured_name.to_string());
    }
}

impl Group {
    fn told(self, message: &str) -> Trouble {
        let first = |names: BTreeSet<String>| names.into_iter().take(NAMED).collect();
        Trouble {
            tone: if self.is_broken { Tone::Broken } else { Tone::Look },
            message: message.to_owned(),
            hint: self.hint,
            next_try: self.next_try,
            concerned: self.certificates.len(),
            certificates: first(self.certificates),
            nodes: first(self.nodes),
            files: first(self.files),
        }
    }
}
