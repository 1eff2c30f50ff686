//! Watches over the tasks of one configuration: signals, their ends, and what is stored meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::signals::{Signal, Signals};
use super::tasks::Tasks;
use super::teller::Teller;
use super::{Daemon, End, Error, Loaded, Parts, RENEWALS};
use crate::observe::{Notifier, Pulse};
use crate::store::Stamp;

/// How often the supervisor looks whether another process has stored something, and whether all tasks are alive.
const SUPERVISION_PERIOD: Duration = Duration::from_millis(250);
/// How long a reload of the configuration waits for orders that are under way: as long as an order is given for its validation.
const DRAIN_DEADLINE: Duration = Duration::from_mins(2);

/// Watches over the tasks of one configuration.
pub(super) struct Supervisor<'a> {
    pub(super) daemon: &'a Daemon,
    /// The configuration without what is remembered.
    pub(super) base: Loaded,
    pub(super) seen: Stamp,
    pub(super) sender: watch::Sender<Arc<Loaded>>,
    pub(super) tokens: watch::Sender<bool>,
    pub(super) notifier: Notifier,
    pub(super) teller: Teller,
    pub(super) pulse: watch::Sender<Pulse>,
}

impl Supervisor<'_> {
    /// Watches until there is a reason to stop all tasks.
    pub(super) async fn watch_over(
        &mut self,
        tasks: &mut Tasks,
        parts: &Parts,
        signals: &mut Signals,
        drain: &CancellationToken,
    ) -> Result<End, Error> {
        let mut period = interval(SUPERVISION_PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pending: Option<(Loaded, Instant)> = None;
        loop {
            let deadline = pending.as_ref().map(|(_, deadline)| *deadline);
            tokio::select! {
                signal = signals.next() => match (signal, self.daemon.role.orders()) {
                    (Signal::Stop, _) => return Ok(End::Stop),
                    (Signal::Reload, orders) => {
                        if let Some(new) = self.reload() {
                            if !orders {
                                return Ok(End::Reload(Box::new(new)));
                            }
                            // An order that is under way is finished first.
                            drain.cancel();
                            pending = Some((new, Instant::now() + DRAIN_DEADLINE));
                        }
                    }
                },
                task = tasks.ended() => {
                    return match pending.take() {
                        Some((new, _)) if task == RENEWALS => Ok(End::Reload(Box::new(new))),
                        _ => Err(Error::TaskEnded { task }),
                    };
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let (new, _) = pending.take().expect("its deadline has come");
                    return Ok(End::Reload(Box::new(new)));
                }
                () = parts.stored.notified() => {}
                _ = period.tick() => {}
            }
            if let Some(end) = self.recall(parts) {
                return Ok(pending.take().map_or(end, |(new, _)| End::Reload(Box::new(new))));
            }
            self.teller.tell(tasks, parts);
            self.pulse.send_replace(Pulse::now(tasks.stuck()));
        }
    }

    /// Reads the configuration again; a wrong one is refused, and the old one stays in use.
    fn reload(&self) -> Option<Loaded> {
        tracing::info!("reading the configuration again");
        self.notifier.reloading();
        let new = self.daemon.shell.load();
        if new.is_none() {
            tracing::error!("the new configuration is refused; the old one stays in use");
            self.notifier.ready();
        }
        new
    }

    /// Takes notice of what was stored. A node that nobody has named before needs a loop of its own.
    fn recall(&mut self, parts: &Parts) -> Option<End> {
        let has_tokens = parts.store.has_tokens();
        self.tokens.send_if_modified(|known| std::mem::replace(known, has_tokens) != has_tokens);
        let stamp = parts.store.stamp();
        if stamp == self.seen {
            return None;
        }
        self.seen = stamp;
        let new = self.base.recalling_since(&self.sender.borrow(), &parts.store);
        if new.config.nodes != self.sender.borrow().config.nodes {
            return Some(End::Reload(Box::new(self.base.clone())));
        }
        tracing::debug!("something was stored");
        parts.news.send_replace(());
        self.sender.send_replace(Arc::new(new));
        None
    }
}
