//! Reports to tell of.

use jiff::Timestamp;

use crate::model::CertName;
use crate::reconcile::{CertState, CertificateReport, NodeReport, NodeState, Report, ServedBy, Verified};
use crate::store::Source;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// One that is ordered, has failed to be, and is stale on a node.
pub(super) fn certificate(name: &str) -> CertificateReport {
    let name: CertName = name.parse().unwrap();
    let node = ServedBy {
        name: "edge".parse().unwrap(),
        slot: None,
        state: NodeState::Stale,
        serial: None,
        not_after: Some(at("2026-12-01T00:00:00Z")),
        shown_not_after: Some(at("2026-12-02T00:00:00Z")),
        verified: Verified::None,
        detail: None,
    };
    CertificateReport {
        configured_name: name.clone(),
        name,
        key: None,
        domains: Vec::new(),
        source: Source::Acme,
        issuer: Some("private".to_owned()),
        state: CertState::Stored,
        serial: None,
        sha256: None,
        not_before: Some(at("2026-11-01T00:00:00Z")),
        not_after: Some(at("2027-01-30T00:00:00Z")),
        renew_at: Some(at("2027-01-01T00:00:00Z")),
        renewal_window: None,
        next_issuer: None,
        next_try: None,
        problem: Some("it failed: \u{1b}[31m\"\\".to_owned()),
        generation: Some(2),
        revoked: None,
        nodes: vec![node],
    }
}

/// A node that answers.
pub(super) fn node() -> NodeReport {
    NodeReport {
        name: "edge".parse().unwrap(),
        address: "/run/x".to_owned(),
        reachable: true,
        version: Some("3.2\"\n1".to_owned()),
        pid: Some(1),
        started_at: Some(at("2026-11-21T00:00:00Z")),
        old_workers: Vec::new(),
        files: Vec::new(),
        foreign: Vec::new(),
        transaction: None,
        detail: None,
    }
}

pub(super) fn report(certificates: Vec<CertificateReport>, nodes: Vec<NodeReport>) -> Report {
    Report { certificates, nodes, problems: Vec::new(), warnings: Vec::new(), failures: Vec::new() }
}
