//! What must fit into `HAProxy`: the largest bundle through its runtime API.

use super::{Check, Finding, Nodes};
use crate::store::Store;

/// Measures every stored bundle against each node.
pub(super) fn payload(nodes: &Nodes, store: &Store) -> Vec<Finding> {
    let check = Check::Payload;
    let mut findings = Vec::new();
    for (node, view) in &nodes.views {
        let limit = view.info.payload_limit;
        let mut largest = None;
        let (mut fits, mut too_large) = (0, Vec::new());
        for (name, want) in &view.desired.certificates {
            let Some(bundle) = store.current(name).ok().flatten().and_then(|of| store.bundle(name, &of).ok()) else {
                continue;
            };
            match view.info.fits(&want.slot, &bundle) {
                Ok(()) => fits += 1,
                Err(limit) => too_large.push(Finding::broken(
                    check,
                    node,
                    format!("certificate {name} is too large to be loaded"),
                    limit.to_string(),
                    limit.hint(),
                )),
            }
            largest = largest.max(Some((bundle.combined_pem().len(), name)));
        }
        findings.append(&mut too_large);
        if fits == view.desired.certificates.len() {
            let message = match largest {
                None => format!("tune.bufsize is {}; nothing is stored for it", limit.bufsize),
                Some((size, name)) => {
                    let fit = if fits == 1 { "1 bundle fits".to_owned() } else { format!("{fits} bundles fit") };
                    format!("tune.bufsize is {}: {fit}, the largest is {name} with {size} bytes", limit.bufsize)
                }
            };
            findings.push(Finding::good(check, node, message));
        }
    }
    findings
}
