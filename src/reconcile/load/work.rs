//! What has to be done for each certificate on each node, as the plans say.

use std::collections::BTreeMap;

use super::Nodes;
use crate::model::{CertName, NodeName};
use crate::plan::{Contents, Step, Superseded};
use crate::reconcile::attach::{Entries, Entry};
use crate::reconcile::observe::View;
use crate::store::publish;

/// What has to be done for one certificate on one node.
#[derive(Default)]
pub(in crate::reconcile) struct Work {
    pub(in crate::reconcile) create: bool,
    pub(super) replace: bool,
    pub(super) publish: bool,
    pub(in crate::reconcile) entries: Entries,
    /// The file that is replaced, where the slot is new.
    pub(in crate::reconcile) former: Option<publish::Former>,
}

/// The works of all certificates on the nodes that answer.
pub(super) fn all(nodes: &Nodes<'_>) -> BTreeMap<NodeName, BTreeMap<CertName, Work>> {
    nodes.sessions.keys().map(|name| (name.clone(), works(&nodes.views[name]))).collect()
}

fn works(view: &View) -> BTreeMap<CertName, Work> {
    let mut works: BTreeMap<CertName, Work> = BTreeMap::new();
    let mut of = |name: &CertName, note: &dyn Fn(&mut Work)| note(works.entry(name.clone()).or_default());
    for step in &view.plan.steps {
        match step {
            Step::Create { certificate, .. } => of(certificate, &|work| work.create = true),
            Step::Replace { with: Contents::Generation(name), .. } => of(name, &|work| work.replace = true),
            Step::Publish { certificate } => of(certificate, &|work| work.publish = true),
            Step::Attach { certificate, to, in_memory, in_file, .. } => of(certificate, &|work| {
                work.entries.attach = Some(Entry { to: to.clone(), in_memory: *in_memory, in_file: *in_file });
            }),
            Step::Detach { certificate, from, in_memory, in_file, .. } => of(certificate, &|work| {
                let (from, in_memory, in_file) = (from.clone(), *in_memory, *in_file);
                work.entries.detach.push(Superseded { from, in_memory, in_file });
            }),
            _ => {}
        }
    }
    works
}
