//! How everything stood when each node was last looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::files;
use crate::model::NodeName;
use crate::reconcile::{Problem, Report};

/// The last report of each node, and what is wrong with watched files; clones share it.
#[derive(Clone)]
pub struct Status {
    reports: BTreeMap<NodeName, watch::Receiver<Option<Arc<Report>>>>,
    files: Option<files::Problems>,
}

impl Status {
    pub(super) fn new(
        reports: BTreeMap<NodeName, watch::Receiver<Option<Arc<Report>>>>,
        files: Option<files::Problems>,
    ) -> Self {
        Self { reports, files }
    }

    /// Whether each node was looked at, or tried to.
    pub(super) fn every_node_was_tried(&self) -> bool {
        self.reports.values().all(|report| report.borrow().is_some())
    }

    /// All reports in one; `None` while some node was not tried yet.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let reports: Option<Vec<_>> = self.reports.values().map(|report| report.borrow().clone()).collect();
        let mut report = Report::merged(reports?.iter().map(AsRef::as_ref));
        if let Some(files) = &self.files {
            report.problems.extend(files.borrow().iter().map(|problem| Problem {
                certificate: problem.certificate.clone(),
                node: None,
                message: format!("{}: {}", problem.file.display(), problem.reason),
            }));
        }
        Some(report)
    }
}
