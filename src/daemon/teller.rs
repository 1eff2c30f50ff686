//! Tells the service manager how it goes: that the sidecar is ready, that it is alive, and in one line what it does.

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::status::line;
use super::tasks::Tasks;
use super::{Parts, Role, Status};
use crate::observe::Notifier;

/// The share of the time that finding out the line about the state may take, as its inverse: while thousands of certificates are
/// stored, it would change all the time.
const TELLING_SHARE: u32 = 100;

pub(super) struct Teller {
    notifier: Notifier,
    role: Role,
    status: Status,
    news: watch::Receiver<()>,
    is_ready: bool,
    /// When it was last said that all tasks are alive.
    fed: Instant,
    /// The line that the service manager has.
    told: String,
    /// Not before then is it found out again.
    tell_at: Instant,
}

impl Teller {
    pub(super) fn new(notifier: Notifier, role: Role, status: Status, parts: &Parts) -> Self {
        let (now, mut news) = (Instant::now(), parts.news.subscribe());
        news.mark_changed();
        Self { notifier, role, status, news, is_ready: false, fed: now, told: String::new(), tell_at: now }
    }

    /// Tells what has changed, and what is due.
    pub(super) fn tell(&mut self, tasks: &Tasks, parts: &Parts) {
        if !self.is_ready && self.status.every_node_was_tried() {
            self.is_ready = true;
            tracing::info!("ready");
            self.notifier.ready();
        }
        if let Some(period) = self.notifier.watchdog()
            && self.fed.elapsed() >= period
        {
            match tasks.stuck() {
                None => self.notifier.alive(),
                Some(task) => tracing::error!(task, "a task makes no progress"),
            }
            self.fed = Instant::now();
        }
        if self.is_ready && self.notifier.is_heard() {
            self.tell_state(parts);
        }
    }

    /// Tells in one line how it goes, when that has changed.
    fn tell_state(&mut self, parts: &Parts) {
        let began = Instant::now();
        if began < self.tell_at {
            return;
        }
        let news = self.news.has_changed().unwrap_or(false);
        self.news.mark_unchanged();
        if !(self.status.has_news() || news) {
            return;
        }
        let Some(report) = self.status.report() else { return };
        let loaded = parts.loaded.borrow().clone();
        let reconciler = parts.reconciler(&loaded.config, &CancellationToken::new());
        let line = line(&reconciler.refresh(None, &report), self.role);
        if line != self.told {
            self.notifier.status(&line);
            self.told = line;
        }
        self.tell_at = Instant::now() + began.elapsed() * TELLING_SHARE;
    }
}
