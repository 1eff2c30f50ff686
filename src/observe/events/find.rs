//! What there is to tell: how things stand, against what was seen last. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Event, VERSION};
use crate::config::Occasion;
use crate::model::printable;
use crate::reconcile::{CertificateReport, NodeState, Report};
use crate::store::{Seen, Told};

/// Shares of the lifetime that are left, in thousandths, at which it is told that a certificate expires. Renewals begin at a third.
const THRESHOLDS: [i64; 4] = [200, 100, 50, 0];
/// Longest message, in characters.
const MESSAGE: usize = 2000;

/// Finds what there is to tell, and notes that it is. At the `first` look only what is wrong is told.
pub(super) fn find(report: &Report, told: &mut Told, first: bool, is_whole: bool, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    for certificate in &report.certificates {
        let seen = told.certificates.entry(certificate.name.clone()).or_default();
        let found = changes(certificate, seen, now);
        events.extend(found.into_iter().filter(|event| !first || event.occasion == Occasion::Expiring));
    }
    let current = troubles(report, now);
    for (about, (text, event)) in &current {
        if told.troubles.get(about) != Some(text) {
            events.push(event.clone());
        }
    }
    let is_about = |about: &str| report.certificates.iter().any(|known| about == format!("certificate {}", known.name));
    told.troubles.retain(|about, _| !is_whole && !is_about(about));
    told.troubles.extend(current.into_iter().map(|(about, (text, _))| (about, text)));
    if is_whole {
        told.certificates.retain(|name, _| report.certificates.iter().any(|known| known.name == *name));
    }
    events.into_iter().map(Event::sealed).collect()
}

/// What has changed with one certificate.
fn changes(certificate: &CertificateReport, seen: &mut Seen, now: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    let name = &certificate.configured_name;
    let is_new = certificate.generation.is_some_and(|number| number > seen.generation);
    if let Some(number) = certificate.generation.filter(|_| is_new) {
        seen.generation = number;
        let until = certificate.not_after.map(|end| format!(", valid until {end}")).unwrap_or_default();
        events.push(event(Occasion::Renewed, now, certificate, &format!("certificate {name} is new{until}")));
    }
    for node in &certificate.nodes {
        let is_served = node.state == NodeState::InSync;
        let serial = node.serial.as_ref().filter(|_| is_served).map(ToString::to_string);
        let Some(serial) = serial else {
            // What comes later is news, unless nobody knows what is there now.
            if is_new || node.state != NodeState::Unreachable {
                seen.loaded.entry(node.name.clone()).or_default();
            }
            continue;
        };
        let before = seen.loaded.insert(node.name.clone(), serial.clone());
        // What was there before anybody looked is none.
        if before.map_or(is_new, |before| before != serial) {
            let message = format!("certificate {name} is served by {}", node.name);
            let loaded = event(Occasion::Loaded, now, certificate, &message);
            events.push(Event { node: Some(node.name.clone()), ..loaded });
        }
    }
    let Some((start, end)) = certificate.not_before.zip(certificate.not_after) else { return events };
    let (left, life) = (end.duration_since(now), end.duration_since(start));
    let passed = THRESHOLDS.iter().filter(|share| left.as_secs() <= life.as_secs() / 1000 * **share).count();
    let before = seen.expiring.filter(|(known, _)| *known == end).map_or(0, |(_, passed)| passed);
    if passed > before {
        let message = if left <= SignedDuration::ZERO {
            format!("certificate {name} has expired, at {end}")
        } else {
            format!("certificate {name} expires at {end}, in {} hours", left.as_hours())
        };
        let hint = certificate.problem.as_ref().map(|problem| printable(problem, MESSAGE));
        events.push(Event { hint, ..event(Occasion::Expiring, now, certificate, &message) });
    }
    seen.expiring = (passed > 0).then_some((end, passed.max(before)));
    events
}

/// What is wrong, by what it is about: its text without what changes from one look to the next, and the event.
fn troubles(report: &Report, now: Timestamp) -> BTreeMap<String, (String, Event)> {
    let mut all: BTreeMap<String, (Vec<String>, Event)> = BTreeMap::new();
    let mut add = |about: String, text: &str, event: Event| {
        // Instants, counts and serial numbers do not make it another problem.
        let text: String = text.chars().filter(|letter| !letter.is_ascii_digit()).collect();
        all.entry(about).or_insert_with(|| (Vec::new(), event)).0.push(text);
    };
    for certificate in &report.certificates {
        if let Some(problem) = &certificate.problem {
            let event = event(Occasion::Failed, now, certificate, problem);
            add(format!("certificate {}", certificate.name), problem, event);
        }
    }
    for problem in &report.problems {
        let known = problem.certificate.as_ref();
        let known = known.and_then(|name| report.certificates.iter().find(|certificate| certificate.name == *name));
        let about = match (&problem.certificate, &problem.node, &problem.file) {
            (Some(name), ..) => format!("certificate {name}"),
            (None, Some(node), _) => format!("node {node}"),
            (None, None, Some(file)) => format!("file {}", file.display()),
            (None, None, None) => "hotcert".to_owned(),
        };
        let base = match known {
            Some(certificate) => event(Occasion::Failed, now, certificate, &problem.message),
            None => bare(Occasion::Failed, now, &problem.message),
        };
        let (certificate, hint) = (problem.certificate.clone(), problem.hint.clone());
        add(about, &problem.message, Event { certificate, node: problem.node.clone(), hint, ..base });
    }
    let joined = |(about, (mut texts, event)): (String, (Vec<String>, Event))| {
        texts.sort();
        texts.dedup();
        (about, (printable(&texts.join("; "), MESSAGE), event))
    };
    all.into_iter().map(joined).collect()
}

/// An event that is about nothing in particular yet.
pub(super) fn bare(occasion: Occasion, now: Timestamp, message: &str) -> Event {
    Event {
        version: VERSION,
        id: String::new(),
        occasion,
        at: now,
        certificate: None,
        domains: Vec::new(),
        node: None,
        issuer: None,
        generation: None,
        serial: None,
        not_before: None,
        not_after: None,
        message: printable(message, MESSAGE),
        hint: None,
    }
}

fn event(occasion: Occasion, now: Timestamp, certificate: &CertificateReport, message: &str) -> Event {
    Event {
        certificate: Some(certificate.configured_name.clone()),
        domains: certificate.domains.clone(),
        issuer: certificate.issuer.clone(),
        generation: certificate.generation,
        serial: certificate.serial.clone(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        ..bare(occasion, now, message)
    }
}

#[cfg(test)]
mod tests;
