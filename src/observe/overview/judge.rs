//! How bad it is.

use serde::{Deserialize, Serialize};

use super::{Certificate, Served};
use crate::reconcile::{CertState, CertificateReport, FileState, NodeReport, NodeState, ServedBy};
use crate::schedule;

/// How something is judged; the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Clients are served, and somebody should look.
    Look,
    /// Clients are not served what they should be, or nobody can tell.
    Broken,
}

impl Tone {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Look => "look",
            Self::Broken => "broken",
        }
    }
}

pub(super) fn certificate(report: &CertificateReport) -> Certificate {
    let served: Vec<_> = report.nodes.iter().map(serve).collect();
    let own = match report.state {
        CertState::Serving => Tone::Good,
        CertState::Failed | CertState::Missing => Tone::Broken,
        CertState::Issuing => Tone::Look,
        // How bad it is depends on what its nodes serve instead; where it is meant for none, it is as good as it can be.
        CertState::Stored => served.iter().map(|served| served.tone).max().unwrap_or(Tone::Good),
    };
    let has_problem = report.problem.is_some() || served.iter().any(|served| served.tone != Tone::Good);
    let life = report.not_before.zip(report.not_after);
    let emergency = |(not_before, not_after)| schedule::Life { not_before, not_after }.emergency();
    Certificate {
        name: report.configured_name.to_string(),
        key: report.key.map(|key| key.to_string()),
        domains: report.domains.iter().map(ToString::to_string).collect(),
        source: word(&report.source),
        issuer: report.issuer.clone(),
        state: word(&report.state),
        tone: own.max(if has_problem { Tone::Look } else { Tone::Good }),
        serial: report.serial.as_ref().map(ToString::to_string),
        sha256: report.sha256.map(|sha256| sha256.to_string()),
        life,
        renew_at: report.renew_at,
        window: report.renewal_window.map(|window| window.ends()),
        emergency_at: report.renew_at.and(life).map(emergency),
        generation: report.generation,
        served,
    }
}

fn serve(report: &ServedBy) -> Served {
    Served {
        node: report.name.to_string(),
        slot: report.slot.clone(),
        state: word(&report.state),
        tone: match report.state {
            NodeState::InSync if report.detail.is_none() => Tone::Good,
            // An older one is still one that clients accept, as far as its dates allow.
            NodeState::InSync | NodeState::Stale | NodeState::Unreachable => Tone::Look,
            NodeState::Absent | NodeState::Detached => Tone::Broken,
        },
        serial: report.serial.as_ref().map(ToString::to_string),
        verified: word(&report.verified),
        detail: report.detail.clone(),
    }
}

pub(super) fn node(report: &NodeReport) -> Tone {
    match report {
        NodeReport { reachable: false, .. } => Tone::Broken,
        NodeReport { detail: Some(_), .. } => Tone::Look,
        NodeReport { files, .. } if files.iter().any(|file| file.state != FileState::InSync) => Tone::Look,
        _ => Tone::Good,
    }
}

/// The same word as in JSON.
pub(super) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
