//! How everything stood when each node was last looked at.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::time::timeout;

use super::node::Look;
use super::{Role, client_files, files};
use crate::model::NodeName;
use crate::observe::Round;
use crate::reconcile::{CertState, Problem, Report};
use crate::store::Stamp;

/// How long an answer about the state waits for the round of a node that what was just stored has set off: to tell of a state that is
/// over looks like a failure to whoever has just pushed something.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for a node that could not be reached last time, of which nothing new is expected.
const PATIENCE_WITH_UNREACHABLE: Duration = Duration::from_millis(500);

/// The most that a line about the state has, in characters: a service manager drops a message of more than 4096 bytes.
const LINE: usize = 500;

/// The last report of each node, and what is wrong with watched files; clones share it.
#[derive(Clone)]
pub struct Status {
    reports: BTreeMap<NodeName, watch::Receiver<Option<Look>>>,
    files: Option<files::Problems>,
    /// What is wrong with what several nodes share: certificates, and session ticket keys.
    fleet: [watch::Receiver<Vec<Problem>>; 2],
    client_files: Vec<client_files::Found>,
}

impl Status {
    pub(super) fn new(
        reports: BTreeMap<NodeName, watch::Receiver<Option<Look>>>,
        files: Option<files::Problems>,
        fleet: [watch::Receiver<Vec<Problem>>; 2],
        client_files: Vec<client_files::Found>,
    ) -> Self {
        Self { reports, files, fleet, client_files }
    }

    /// Whether each node was looked at, or tried to.
    pub(super) fn every_node_was_tried(&self) -> bool {
        self.reports.values().all(|report| report.borrow().is_some())
    }

    /// Whether something else is wrong with watched files than when this was asked last.
    pub(super) fn has_news(&mut self) -> bool {
        let Some(files) = &mut self.files else { return false };
        let has_changed = files.has_changed().unwrap_or(false);
        files.mark_unchanged();
        has_changed
    }

    /// Waits for something new: a round of a node, or something wrong that was right before.
    pub(super) async fn changed(&mut self) {
        let mut news: Vec<BoxFuture<'_, bool>> = Vec::new();
        news.extend(self.reports.values_mut().map(|look| async { look.changed().await.is_ok() }.boxed()));
        news.extend(self.files.iter_mut().map(|files| async { files.changed().await.is_ok() }.boxed()));
        news.extend(self.fleet.iter_mut().map(|fleet| async { fleet.changed().await.is_ok() }.boxed()));
        news.extend(self.client_files.iter_mut().map(|found| async { found.changed().await.is_ok() }.boxed()));
        // Of a task that there is not, nothing new ever comes.
        let mut news: FuturesUnordered<_> = news.into_iter().collect();
        while let Some(is_new) = news.next().await {
            if is_new {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// When each node was last looked at.
    pub(super) fn rounds(&self) -> BTreeMap<NodeName, Round> {
        let round = |look: &watch::Receiver<Option<Look>>| look.borrow().as_ref().map(|look| look.round);
        self.reports.iter().filter_map(|(name, look)| Some((name.clone(), round(look)?))).collect()
    }

    /// Waits until one of the nodes was reached, if there are any.
    pub(super) async fn one_is_reached(&self) {
        let mut looks: FuturesUnordered<_> = self.reports.values().cloned().map(reached).collect();
        // Of a task that has ended nothing is to be expected.
        while looks.next().await == Some(false) {}
    }

    /// Waits until every node was brought to this state of the store, or to a later one; not for a node that takes longer than
    /// somebody who wants to know at once.
    pub async fn settled(&self, stamp: Stamp) {
        let waits = self.reports.values().cloned().map(|mut look| async move {
            let is_reached = |look: &Look| look.report.nodes.iter().all(|node| node.reachable);
            let patience = match look.borrow().as_ref() {
                Some(look) if is_reached(look) => PATIENCE,
                _ => PATIENCE_WITH_UNREACHABLE,
            };
            let _ =
                timeout(patience, look.wait_for(|look| look.as_ref().is_some_and(|look| look.stamp >= stamp))).await;
        });
        join_all(waits).await;
    }

    /// All reports in one; `None` while some node was not tried yet.
    #[must_use]
    pub fn report(&self) -> Option<Report> {
        let looks: Option<Vec<_>> = self.reports.values().map(|look| look.borrow().clone()).collect();
        let mut report = Report::merged(looks?.iter().map(|look| &*look.report));
        if let Some(files) = &self.files {
            report.problems.extend(files.borrow().iter().map(problem_with_file));
        }
        for fleet in &self.fleet {
            report.problems.extend(fleet.borrow().iter().cloned());
        }
        for found in &self.client_files {
            report.add_client_files(&found.borrow());
        }
        Some(report)
    }
}

/// Waits until a node was reached; `false` where nobody looks any more.
async fn reached(mut look: watch::Receiver<Option<Look>>) -> bool {
    let is_reached = |look: &Look| look.report.nodes.iter().any(|node| node.reachable);
    look.wait_for(|look| look.as_ref().is_some_and(is_reached)).await.is_ok()
}

/// What is wrong with a watched file, as a part of a report.
#[must_use]
pub fn problem_with_file(problem: &crate::watch::Problem) -> Problem {
    Problem {
        certificate: problem.certificate.clone(),
        node: None,
        file: Some(problem.file.clone()),
        message: problem.reason.clone(),
        hint: problem.hint.clone(),
    }
}

/// How it goes, in one line: how many certificates serve, when the next is renewed, what is wrong first.
pub(super) fn line(report: &Report, role: Role) -> String {
    let (certificates, total) = (&report.certificates, report.certificates.len());
    let mut line = if role.loads() && !report.nodes.is_empty() {
        let serving = certificates.iter().filter(|certificate| certificate.state == CertState::Serving).count();
        format!("{serving} of {total} certificates served")
    } else {
        let stored = certificates.iter().filter(|certificate| certificate.generation.is_some()).count();
        format!("{stored} of {total} certificates stored")
    };
    let own = |problem: &Problem| {
        let file = problem.file.as_ref().map(|file| format!("{}: ", file.display())).unwrap_or_default();
        format!("{file}{}", problem.message)
    };
    let ordering = certificates.iter().find_map(|certificate| {
        let problem = certificate.problem.as_ref()?;
        Some(format!("{}: {problem}", certificate.name))
    });
    let due = certificates.iter().filter_map(|certificate| certificate.renew_at.zip(Some(&certificate.name))).min();
    if let Some(problem) = report.problems.first().map(own).or(ordering) {
        let _ = write!(line, "; {problem}");
    } else if let Some((at, name)) = due {
        let _ = write!(line, "; next renewal {at:.0} ({name})");
    }
    line.chars().take(LINE).collect()
}
