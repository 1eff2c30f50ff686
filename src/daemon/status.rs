//! How everything stood when each node was last looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::model::NodeName;
use crate::reconcile::Report;

/// The last report of each node; clones share it.
#[derive(Clone)]
pub struct Status {
    reports: BTreeMap<NodeName, watch::Receiver<Option<Arc<Report>>>>,
}

impl Status {
    pub(super) fn new(reports: BTreeMap<NodeName, watch::Receiver<Option<Arc<Report>>>>) -> Self {
        Self { reports }
    }

    /// Whether each node was looked at, or tried to.
    pub(super) fn every_node_was_tried(&self) -> bool {
        self.reports.values().all(|report| report.borrow().is_some())
    }

    /// All reports in one; `None` while some node was not tried yet.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let reports: Option<Vec<_>> = self.reports.values().map(|report| report.borrow().clone()).collect();
        reports.map(|reports| Report::merged(reports.iter().map(AsRef::as_ref)))
    }
}
