//! What is left of a certificate that was configured with two kinds of keys, and is with one.

use super::observe::View;
use crate::model::{CertName, KeyKind};
use crate::plan::Want;

/// The slot that goes on serving the kind of which there is none any more, in words. The one of the same kind gives way.
pub(super) fn left_behind(view: &View, name: &CertName, want: &Want) -> Option<String> {
    let is_ours = |slot: &str| view.desired.certificates.values().any(|want| want.slot.as_str() == slot);
    KeyKind::ALL.into_iter().filter(|kind| want.facts.kind() != Some(*kind)).find_map(|kind| {
        let slot = format!("{}.{}", want.slot, kind.as_str());
        let held = view.actual.slots.get(&slot.parse().ok()?)?.as_ref()?;
        let serves = held.used && !held.names.is_disjoint(&want.answers());
        (serves && !is_ours(&slot)).then(|| {
            format!(
                "clients that can use {kind} keys are shown what is in {slot}, which nobody renews: take it out by `hotcert delete {name}.{} --detach`, or configure both kinds",
                kind.as_str()
            )
        })
    })
}
