//! `hotcert plan`: show what would change, change nothing.

use serde::Serialize;

use super::app::App;
use super::failure::{Exit, Failure};
use super::outcome::Outcome;
use crate::model::NodeName;
use crate::plan::{Conflict, Step};
use crate::reconcile::{Error, FileReport, FileState, Outdated, View};

/// The plan of one node.
#[derive(Serialize)]
pub(super) struct NodePlan {
    name: NodeName,
    steps: Vec<Described<Step>>,
    conflicts: Vec<Described<Conflict>>,
    old_workers: Vec<Described<Update>>,
    /// The files for clients that are not as they should be.
    files: Vec<FileReport>,
}

/// A certificate that is to be replaced in an old worker.
#[derive(Serialize)]
struct Update {
    pid: u32,
    #[serde(flatten)]
    outdated: Outdated,
}

/// Something with its own words.
#[derive(Serialize)]
pub(super) struct Described<T> {
    #[serde(flatten)]
    what: T,
    text: String,
}

impl<T: ToString> Described<T> {
    pub(super) fn of(what: T) -> Self {
        Self { text: what.to_string(), what }
    }
}

#[derive(Serialize)]
struct Document {
    drift: bool,
    nodes: Vec<NodePlan>,
}

impl NodePlan {
    pub(super) fn of(view: &View) -> Self {
        let unplaced = view.unplaced.iter().map(|(name, why)| format!("certificate {name} has no place: {why}"));
        for text in unplaced {
            tracing::warn!(node = %view.node.name, "{text}");
        }
        Self {
            name: view.node.name.clone(),
            steps: view
                .plan
                .steps
                .iter()
                .map(|step| Described { text: step.to_string(), what: step.clone() })
                .collect(),
            conflicts: view
                .plan
                .conflicts
                .iter()
                .map(|conflict| Described { text: conflict.to_string(), what: conflict.clone() })
                .collect(),
            // What cannot be changed there is told by `hotcert status`.
            old_workers: view
                .workers
                .list
                .iter()
                .filter(|worker| worker.detail.is_none())
                .flat_map(|worker| worker.outdated.iter().map(|held| (worker.pid, held.clone())))
                .map(|(pid, outdated)| {
                    let text = format!("replace the certificate in {} in old worker {pid}", outdated.slot);
                    Described { text, what: Update { pid, outdated } }
                })
                .collect(),
            files: Vec::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.conflicts.is_empty() && self.old_workers.is_empty() && self.files.is_empty()
    }
}

pub(super) async fn run(app: &App) -> Result<Outcome, Failure> {
    app.some_nodes()?;
    let (views, unreachable) = app.reconciler().views().await;
    if let Some((node, source)) = unreachable.into_iter().next() {
        return Err(Error::Node { node, source }.into());
    }
    let mut nodes: Vec<NodePlan> = views.values().map(NodePlan::of).collect();
    let mut files = app.reconciler().client_files().await.nodes;
    for node in &mut nodes {
        node.files = files.remove(&node.name).unwrap_or_default();
        node.files.retain(|file| file.state != FileState::InSync);
    }
    let drift = nodes.iter().any(|node| !node.is_empty()) || views.values().any(|view| !view.unplaced.is_empty());
    let text = describe(&nodes);
    Ok(Outcome::new(&Document { drift, nodes }, text).exit(if drift { Exit::Found } else { Exit::Done }))
}

pub(super) fn describe(nodes: &[NodePlan]) -> String {
    if nodes.iter().all(NodePlan::is_empty) {
        return "nothing to do\n".to_owned();
    }
    let mut text = String::new();
    for node in nodes.iter().filter(|node| !node.is_empty()) {
        text.push_str(&format!("node {}:\n", node.name));
        for step in &node.steps {
            text.push_str(&format!("  {}\n", step.text));
        }
        for update in &node.old_workers {
            text.push_str(&format!("  {}\n", update.text));
        }
        for file in &node.files {
            let path = file.file.display();
            text.push_str(&match file.state {
                FileState::Stale => format!("  replace the {} {path} in memory\n", file.kind),
                _ => format!("  cannot be done: load {path}: {}\n", file.detail.as_deref().unwrap_or("no answer")),
            });
        }
        for conflict in &node.conflicts {
            text.push_str(&format!("  cannot be done: {}\n", conflict.text));
        }
    }
    text
}
