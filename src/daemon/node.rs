//! The loop of one node: looks whenever something may have changed, and makes it right.
//!
//! Something may have changed when anything was stored, when another process of `HAProxy` answers, when something lies beside a
//! certificate's file that did not, and after a while in any case. What failed is tried again soon at first, then more and more seldom.
//! Where something was stored of few certificates, and all was well, the look is about these alone.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::beside::Beside;
use super::few::{Basis, few};
use super::tasks::Life;
use super::{Loaded, Parts};
use crate::config::{Config, Node};
use crate::haproxy::{OldWorker, Process};
use crate::model::{CertName, NodeName};
use crate::observe::Round;
use crate::reconcile::{CertificateReport, Problem, Reconciler, Report, Verified, Warning};
use crate::schedule::Retry;
use crate::store::Stamp;

/// How often it is looked which process answers: a restart is to be noticed within a second.
const PROCESS_PERIOD: Duration = Duration::from_millis(750);
/// How often everything is compared although nothing is known to have happened, at most: another program may have changed it.
const RESYNC: Duration = Duration::from_mins(2);
/// The share of the time that such comparisons may take, as its inverse: with very many certificates they become more seldom.
const RESYNC_SHARE: u32 = 500;
/// How soon what failed is tried again, and how seldom in the end.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_mins(1);
/// How many certificates are proved by handshakes in one round, besides those that have changed; in turn, each gets its.
const PROOFS: usize = 20;

/// What a round has found.
#[derive(Clone)]
pub(super) struct Look {
    pub(super) report: Arc<Report>,
    /// The state of the store that it brought about.
    pub(super) stamp: Stamp,
    /// A time from which on what was stored may not have been seen.
    pub(super) seen_until: Stamp,
    /// When it was.
    pub(super) round: Round,
    /// What rounds about few certificates go by, while all goes well.
    pub(super) basis: Option<Basis>,
}

struct NodeLoop {
    parts: Parts,
    name: NodeName,
    report: watch::Sender<Option<Look>>,
    /// What lies beside the files of the certificates.
    beside: Beside,
    /// The last certificate that was proved in turn.
    proved: Option<CertName>,
    /// Rounds that failed, one after the other.
    failures: u32,
}

pub(super) async fn run(parts: Parts, name: NodeName, report: watch::Sender<Option<Look>>, life: Life) {
    let mut node = NodeLoop { parts, name, report, beside: Beside::default(), proved: None, failures: 0 };
    let mut period = interval(PROCESS_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = Instant::now();
    loop {
        let woken = async {
            tokio::select! {
                biased;
                changed = node.parts.loaded.changed() => changed.is_ok(),
                _ = period.tick() => false,
            }
        };
        let Some(changed) = life.until_stopped(woken).await else { return };
        let is_due = Instant::now() >= due || node.beside.have_changed();
        if !changed && !is_due {
            match life.until_stopped(node.has_another_process()).await {
                None => return,
                Some(false) => continue,
                Some(true) => {}
            }
        }
        // Not given up in the middle: it ends between two certificates by itself.
        let next = async {
            let few = if changed && !is_due { node.round_about_few(&life).await } else { None };
            match few {
                Some(next) => next,
                None => Some(node.round(&life).await),
            }
        };
        if let Some(next) = life.during(Box::pin(next)).await {
            due = Instant::now() + next;
        }
    }
}

impl NodeLoop {
    /// What the last round has found.
    fn before(&self) -> Option<Arc<Report>> {
        self.report.borrow().as_ref().map(|look| Arc::clone(&look.report))
    }

    /// Whether another process answers than in the last round, or none, or one again.
    async fn has_another_process(&self) -> bool {
        let loaded = self.parts.loaded.borrow().clone();
        let Some(node) = loaded.config.nodes.get(&self.name) else { return false };
        let found = Process::ask(&*self.parts.connect, node.endpoint()).await.ok();
        let report = self.before();
        let known =
            report.as_ref().and_then(|report| report.nodes.first()).and_then(|node| Some((node.pid?, node.started_at)));
        let found = found.map(|process| (process.pid, process.started_at));
        if found == known && self.has_lost_a_worker(node).await {
            return true;
        }
        if found != known {
            tracing::info!(
                node = %self.name, before = known.map(|(pid, _)| pid), now = found.map(|(pid, _)| pid),
                "another process of HAProxy answers, or none"
            );
        }
        found != known
    }

    /// Whether an old worker has ended that the last round has seen.
    async fn has_lost_a_worker(&self, node: &Node) -> bool {
        let Some(report) = self.before() else { return false };
        let known: Vec<u32> = report.nodes.iter().flat_map(|node| &node.old_workers).map(|worker| worker.pid).collect();
        let Some(master) = node.master().filter(|_| !known.is_empty()) else { return false };
        let now = OldWorker::workers(&*self.parts.connect, master).await;
        now.is_ok_and(|now| known.iter().any(|pid| !now.contains(pid)))
    }

    /// A round about what may have changed since the last one; returns when the next is due where that is not as before. `None` where
    /// it takes a round about everything.
    async fn round_about_few(&mut self, life: &Life) -> Option<Option<Duration>> {
        let loaded = self.parts.loaded.borrow_and_update().clone();
        let last = self.report.borrow().clone()?;
        let changed = self.parts.store.changed_since(last.seen_until).ok()??;
        let few = few(&loaded.config, &changed.written, [(&self.name, &last)])?;
        let names = few.names();
        let config = loaded.of(&self.name, &names);
        let parts = self.parts.clone();
        let reconciler = Reconciler { few: Some(&few), ..parts.reconciler(&config, &life.stop) };
        let began = Instant::now();
        // What is wrong, a round about everything tells.
        let report = reconciler.round_about_few(std::future::pending()).await.ok()??;
        tracing::debug!(node = %self.name, certificates = names.len(), "looked at few certificates");
        let retry = retry(&report);
        let next = self.conclude(&loaded, last.report.amended_by(report), last.basis, retry);
        Some(retry.map(|_| next.max(began.elapsed())))
    }

    /// A round about everything; returns how long to wait for the next.
    async fn round(&mut self, life: &Life) -> Duration {
        let loaded = self.parts.loaded.borrow_and_update().clone();
        let config = loaded.narrowed_to(&self.name);
        let before = self.before();
        let proof = self.choose(&config, before.as_deref());
        let parts = self.parts.clone();
        let reconciler = parts.reconciler(&config, &life.stop);
        let began = Instant::now();
        let mut basis = None;
        let (report, retry) = match reconciler.round_about_all(&proof).await {
            Ok((report, mut known)) => {
                basis = known.remove(&self.name).map(|known| Basis::new(known, &loaded.config));
                let retry = retry(&report);
                (report, retry)
            }
            Err(error) => {
                let mut report = reconciler.report(Some(&BTreeSet::new())).await;
                report.problems.push(Problem::of(None, Some(&self.name), &error));
                (report, Some(error.retry()))
            }
        };
        let took = began.elapsed();
        self.beside.look_at(&directories(&config, &report));
        // A copy lies close together; the original is scattered among what the round needed, and would keep its room.
        let next = self.conclude(&loaded, report.clone(), basis, retry);
        if retry.is_none_or(|retry| retry == Retry::Never) { next.max(took * RESYNC_SHARE) } else { next.max(took) }
    }

    /// Says what a round has found; returns how soon there is to be another one at the earliest.
    fn conclude(
        &mut self,
        loaded: &Loaded,
        mut report: Report,
        basis: Option<Basis>,
        retry: Option<Retry>,
    ) -> Duration {
        let before = self.before();
        if let Some(before) = &before {
            report.carry_over(before);
        }
        tell(Some(&self.name), before.as_ref().map_or(&[], |report| &report.problems), &report.problems);
        warn(&report.warnings);
        let report = match before {
            Some(before) if before.repeats(&report) => before,
            _ => {
                self.parts.news.send_replace(());
                Arc::new(report)
            }
        };
        let now = self.parts.clock.now();
        let round = match (retry, self.report.borrow().as_ref()) {
            (None, _) => Round { at: now, succeeded_at: Some(now) },
            (Some(_), before) => Round { at: now, succeeded_at: before.and_then(|look| look.round.succeeded_at) },
        };
        let basis = basis.filter(|_| retry.is_none());
        self.report.send_replace(Some(Look { report, stamp: loaded.stamp, seen_until: loaded.asked_at, round, basis }));
        self.failures = if retry.is_some() { self.failures.saturating_add(1) } else { 0 };
        match retry {
            None | Some(Retry::Never) => RESYNC,
            Some(_) => pause(self.failures),
        }
    }

    /// The certificates to be proved by handshakes besides those that the round changes: those of which it is not known that clients
    /// get them, and some in turn.
    fn choose(&mut self, config: &Config, before: Option<&Report>) -> BTreeSet<CertName> {
        let is_proved = |certificate: &CertificateReport| {
            certificate.nodes.iter().all(|node| node.verified == Verified::Handshake && node.detail.is_none())
        };
        let reports = before.map_or(&[][..], |report| &report.certificates);
        let proved: BTreeSet<_> =
            reports.iter().filter(|report| is_proved(report)).map(|report| &report.name).collect();
        let names = || config.certificates.keys();
        let last = self.proved.take();
        let is_later = |name: &&CertName| last.as_ref().is_none_or(|last| *name > last);
        let turn: Vec<_> = names().filter(is_later).chain(names()).take(PROOFS).cloned().collect();
        self.proved = turn.last().cloned();
        names().filter(|name| !proved.contains(name)).cloned().chain(turn).collect()
    }
}

/// Whether what failed in a round is to be tried again; `None` when nothing did.
fn retry(report: &Report) -> Option<Retry> {
    let mut retries = report.failures.iter().map(|failure| failure.error.retry());
    let retry = retries.find(|retry| *retry != Retry::Never);
    (!report.failures.is_empty()).then_some(retry.unwrap_or(Retry::Never))
}

/// How long to wait after so many rounds have failed.
pub(super) fn pause(failures: u32) -> Duration {
    LAST_RETRY.min(FIRST_RETRY * 2_u32.saturating_pow(failures.saturating_sub(1)))
}

/// Says what clients notice of what a round has changed.
pub(super) fn warn(warnings: &[Warning]) {
    for Warning { node, message, .. } in warnings.iter().filter(|warning| !warning.is_notice()) {
        tracing::warn!(%node, "{message}");
    }
    for Warning { node, message, .. } in warnings.iter().filter(|warning| warning.is_notice()) {
        tracing::info!(%node, "{message}");
    }
}

/// The directories in which the files of the certificates lie.
fn directories(config: &Config, report: &Report) -> BTreeSet<PathBuf> {
    let configured: BTreeSet<_> = config.nodes.values().filter_map(|node| node.crt_dir.clone()).collect();
    if !configured.is_empty() {
        return configured;
    }
    let slots =
        report.certificates.iter().flat_map(|certificate| &certificate.nodes).filter_map(|node| node.slot.as_ref());
    let directories = slots.filter_map(|slot| Path::new(slot).parent()).filter(|directory| directory.is_absolute());
    directories.map(Path::to_owned).collect()
}

/// Says what went wrong when it begins, and when it is over, not in every round.
pub(super) fn tell(node: Option<&NodeName>, before: &[Problem], now: &[Problem]) {
    let node = node.map(tracing::field::display);
    for problem in now.iter().filter(|problem| !before.contains(problem)) {
        let certificate = problem.certificate.as_ref().map(tracing::field::display);
        let file = problem.file.as_ref().map(|file| tracing::field::display(file.display()));
        tracing::warn!(node, certificate, file, "{}", problem.message);
    }
    for problem in before.iter().filter(|problem| !now.contains(problem)) {
        tracing::info!(node, "no longer: {}", problem.message);
    }
}
