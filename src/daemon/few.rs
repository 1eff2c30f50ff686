//! Whether a round may be about few certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::node::Look;
use crate::config::Config;
use crate::model::{CertName, NodeName, Slot};
use crate::reconcile::{Few, FewOn, Known, NodeState, Report, are_few};

/// What rounds about few certificates of a node go by: what the last one about everything has found, and its configuration.
#[derive(Clone)]
pub(super) struct Basis {
    known: Arc<Known>,
    config: Arc<Config>,
}

impl Basis {
    pub(super) fn new(known: Known, config: &Arc<Config>) -> Self {
        Self { known: Arc::new(known), config: Arc::clone(config) }
    }
}

/// A round about these certificates on these nodes; `None` where it has to be about everything.
pub(super) fn few<'l>(
    config: &Arc<Config>,
    names: &BTreeSet<CertName>,
    looks: impl IntoIterator<Item = (&'l NodeName, &'l Look)>,
) -> Option<Few> {
    let mut few = Few::default();
    for (node, look) in looks {
        let basis = look.basis.as_ref().filter(|basis| Arc::ptr_eq(&basis.config, config))?;
        let slots = slots(config, names, node, &look.report)?;
        few.nodes.insert(node.clone(), FewOn { known: Arc::clone(&basis.known), slots });
    }
    Some(few)
}

/// The slots that the certificates have on a node.
fn slots(
    config: &Config,
    names: &BTreeSet<CertName>,
    node: &NodeName,
    report: &Report,
) -> Option<BTreeMap<CertName, Slot>> {
    let mut slots = BTreeMap::new();
    for name in names {
        let Some(certificate) = config.certificates.get(name) else { continue };
        if !certificate.nodes.is_empty() && !certificate.nodes.contains(node) {
            continue;
        }
        // Of one of two kinds the other one matters.
        for member in config.kinds_of(&certificate.configured_name()).chain([certificate]) {
            let at = report.certificates.binary_search_by(|known| known.name.cmp(&member.name)).ok()?;
            let served = report.certificates[at].nodes.iter().find(|served| served.name == *node)?;
            // What needs a look gets one; that a generation waits for the other nodes does not.
            let is_well = served.detail.is_none() || served.state == NodeState::Stale;
            let slot = served.slot.as_ref().filter(|_| is_well)?;
            slots.insert(member.name.clone(), slot.parse().ok()?);
        }
    }
    are_few(slots.len(), report.certificates.len()).then_some(slots)
}
