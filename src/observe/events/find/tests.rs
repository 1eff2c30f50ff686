use super::*;
use crate::model::CertName;
use crate::reconcile::{CertState, Problem, ServedBy, Verified};
use crate::store::Source;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn certificate(generation: Option<u64>) -> CertificateReport {
    let name: CertName = "shop.test".parse().unwrap();
    CertificateReport {
        configured_name: name.clone(),
        name,
        key: None,
        domains: Vec::new(),
        source: Source::Push,
        issuer: None,
        state: CertState::Stored,
        serial: None,
        sha256: None,
        not_before: Some(at("2026-01-01T00:00:00Z")),
        not_after: Some(at("2026-04-11T00:00:00Z")),
        renew_at: None,
        renewal_window: None,
        next_issuer: None,
        next_try: None,
        problem: None,
        generation,
        revoked: None,
        nodes: Vec::new(),
    }
}

fn served(certificate: CertificateReport, serial: Option<&str>) -> CertificateReport {
    let node = ServedBy {
        name: "edge".parse().unwrap(),
        slot: None,
        state: if serial.is_some() { NodeState::InSync } else { NodeState::Absent },
        serial: serial.map(|serial| serial.parse().unwrap()),
        verified: Verified::None,
        not_after: None,
        shown_not_after: None,
        detail: None,
    };
    CertificateReport { nodes: vec![node], ..certificate }
}

fn report(certificates: Vec<CertificateReport>) -> Report {
    Report { certificates, nodes: Vec::new(), problems: Vec::new(), warnings: Vec::new(), failures: Vec::new() }
}

/// What is found, in one word each.
fn found(report: &Report, told: &mut Told, first: bool, is_whole: bool, now: &str) -> Vec<String> {
    find(report, told, first, is_whole, at(now)).iter().map(|event| event.occasion.to_string()).collect()
}

const NOW: &str = "2026-01-02T00:00:00Z";

#[test]
fn a_new_generation_and_what_nodes_serve_is_told_once() {
    let mut told = Told::default();
    let mut look = |generation, serial, first| {
        found(&report(vec![served(certificate(generation), serial)]), &mut told, first, true, NOW)
    };
    assert!(look(Some(1), Some("01"), true).is_empty(), "what was so before is not news");
    assert!(look(Some(1), Some("01"), false).is_empty());
    assert_eq!(look(Some(2), Some("01"), false), ["renewed"]);
    assert_eq!(look(Some(2), None, false), [""; 0]);
    assert_eq!(look(Some(2), Some("02"), false), ["loaded"]);
    // HAProxy was started again, and has it again; then somebody goes back.
    assert!(look(Some(2), None, false).is_empty() && look(Some(2), Some("02"), false).is_empty());
    assert_eq!(look(Some(1), Some("01"), false), ["loaded"]);
    // A command that sees a node for the first time tells of what it did, and of nothing else.
    let mut told = Told::default();
    let mut look = |generation, nodes: Option<&str>, first| {
        let base = certificate(Some(generation));
        let certificate = if nodes.is_some() { served(base, nodes) } else { base };
        found(&report(vec![certificate]), &mut told, first, false, NOW)
    };
    assert!(look(1, None, true).is_empty() && look(1, Some("01"), false).is_empty());
    assert_eq!(look(2, Some("02"), false), ["renewed", "loaded"]);
}

#[test]
fn what_fails_is_told_when_it_begins_changes_or_begins_again() {
    let mut told = Told::default();
    let mut look = |problem: Option<&str>, first| {
        let failing = CertificateReport { problem: problem.map(str::to_owned), ..certificate(Some(1)) };
        found(&report(vec![failing]), &mut told, first, true, NOW)
    };
    assert_eq!(look(Some("the authority is down since 12:00"), true), ["failed"]);
    assert!(look(Some("the authority is down since 12:01"), false).is_empty());
    assert_eq!(look(Some("the account is gone"), false), ["failed"]);
    assert!(look(None, false).is_empty());
    assert_eq!(look(Some("the account is gone"), false), ["failed"]);
    // Of what a report is not about, it says nothing.
    assert!(found(&report(Vec::new()), &mut told, false, false, NOW).is_empty());
    let problem = Problem {
        certificate: None,
        node: Some("edge".parse().unwrap()),
        file: None,
        message: "cannot be reached\u{1b}[31m".to_owned(),
        hint: None,
    };
    let down = Report { problems: vec![problem], ..report(Vec::new()) };
    let events = find(&down, &mut told, false, false, at(NOW));
    assert_eq!((events.len(), events[0].message.as_str()), (1, "cannot be reached[31m"));
    assert!(told.troubles.contains_key("certificate shop.test"));
    assert!(found(&report(Vec::new()), &mut told, false, true, NOW).is_empty());
    assert!(told.troubles.is_empty() && told.certificates.is_empty());
}

#[test]
fn each_threshold_of_a_lifetime_is_told_once_even_at_the_first_look() {
    let mut told = Told::default();
    // Its life is 100 days, until the 11th of April.
    let mut look = |now: &str, first| found(&report(vec![certificate(Some(1))]), &mut told, first, true, now);
    assert_eq!(look("2026-03-23T00:00:00Z", true), ["expiring"]);
    assert!(look("2026-03-31T00:00:00Z", false).is_empty());
    assert_eq!(look("2026-04-07T00:00:00Z", false), ["expiring"], "two thresholds at once are one event");
    assert!(look("2026-03-25T00:00:00Z", false).is_empty(), "a clock that goes back tells nothing again");
    assert_eq!(look("2026-04-11T00:00:00Z", false), ["expiring"]);
    assert!(look("2026-05-11T00:00:00Z", false).is_empty());
}

#[test]
fn an_event_has_an_id_of_its_own() {
    let mut told = Told::default();
    let failing = CertificateReport { problem: Some("x".to_owned()), ..certificate(Some(1)) };
    let events = find(&report(vec![served(failing, Some("01"))]), &mut told, false, true, at(NOW));
    let ids: std::collections::BTreeSet<_> = events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!((events.len(), ids.len()), (3, 3));
    assert!(ids.iter().all(|id| id.len() == 32));
}
