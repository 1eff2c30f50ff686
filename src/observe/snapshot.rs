//! How everything stands, in one value that never changes: the daemon makes a new one when there is news.
//!
//! Everything that is shown is read from here, so that it agrees. Whoever wants to be told of news waits on [`Feed::snapshots`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::history::{self, Happened};
use crate::model::{CertName, NodeName};
use crate::reconcile::{Report, Tally};
use crate::schedule::Left;
use crate::store::Source;

/// How many events are kept: a screen or two. What came before is in the logs.
const EVENTS: usize = 200;

/// How old a sign of life of the daemon may be: it gives several a second.
const SILENCE: Duration = Duration::from_secs(30);

/// How everything stood at an instant.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was looked at.
    pub at: Timestamp,
    /// When this process began.
    pub started_at: Timestamp,
    /// What is stored and served; `None` until every node was tried.
    pub report: Option<Arc<Report>>,
    /// When each node was last looked at. It is not there yet for one that is new.
    pub rounds: BTreeMap<NodeName, Round>,
    /// The issuers that are configured, by name.
    pub issuers: Vec<IssuerState>,
    /// What was done since the process began.
    pub counters: Counters,
    /// What happened last, the latest first.
    pub events: VecDeque<Event>,
}

/// How we stand with an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerState {
    /// Its name in the configuration.
    pub name: String,
    /// What is left of what it allows; `None` for one whose limits are not known.
    pub left: Option<Left>,
    /// Why it is not asked for anything, and until when; [`Timestamp::MAX`] when only a person can help.
    pub held: Option<(String, Timestamp)>,
}

/// What was done since the process began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// What was loaded, by node.
    pub pushes: BTreeMap<NodeName, Tally>,
    /// New generations that were ordered, whoever asked for them, by issuer.
    pub renewals: BTreeMap<String, u64>,
    /// Orders that failed when they were due, by kind of failure.
    pub renewal_failures: BTreeMap<&'static str, u64>,
}

/// The rounds of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// The end of the last one.
    pub at: Timestamp,
    /// The end of the last one in which nothing failed.
    pub succeeded_at: Option<Timestamp>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Counts events since the process began, from 1.
    pub number: u64,
    /// When it was noticed.
    pub at: Timestamp,
    /// What it is.
    pub kind: EventKind,
    /// The certificate that it is about.
    pub certificate: Option<CertName>,
    /// The node on which it happened.
    pub node: Option<NodeName>,
    /// It in words: one line, without text that could drive a terminal.
    pub message: String,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A certificate has a new generation.
    Renewed,
    /// A node serves another generation than before.
    Loaded,
    /// Something needs a look that did not before.
    Failed,
    /// What needed a look does not any more.
    Recovered,
    /// Another process of `HAProxy` answers for a node, or one again.
    NodeUp,
    /// A node does not answer any more.
    NodeDown,
}

/// A sign of life of the daemon.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// When it was given.
    pub at: Instant,
    /// The task that makes no progress: that for which the service manager's watchdog is not fed.
    pub stuck: Option<String>,
}

/// What is shown, as it comes; clones share it.
#[derive(Debug, Clone)]
pub struct Feed {
    /// How everything stands.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Whether the daemon is alive.
    pub pulse: watch::Receiver<Pulse>,
}

impl Snapshot {
    /// What is known when a process begins.
    #[must_use]
    pub fn empty(now: Timestamp) -> Self {
        Self {
            at: now,
            started_at: now,
            report: None,
            rounds: BTreeMap::new(),
            issuers: Vec::new(),
            counters: Counters::default(),
            events: VecDeque::new(),
        }
    }

    /// The same as the one that comes after another: what has happened between them is found out. While a new configuration begins its
    /// work, and there is no report yet, what was known stays.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.started_at = before.started_at;
        self.events.clone_from(&before.events);
        self.counters.renewals.clone_from(&before.counters.renewals);
        if let (Some(known), Some(report)) = (&before.report, &self.report) {
            for Happened { kind, certificate, node, message } in history::between(known, report) {
                if kind == EventKind::Renewed {
                    count(&mut self.counters.renewals, report, certificate.as_ref());
                }
                let number = self.events.front().map_or(1, |last| last.number + 1);
                self.events.push_front(Event { number, at: self.at, kind, certificate, node, message });
            }
            self.events.truncate(EVENTS);
        }
        self.report = self.report.or_else(|| before.report.clone());
        self
    }
}

/// Counts a new generation, if it was ordered.
fn count(renewals: &mut BTreeMap<String, u64>, report: &Report, name: Option<&CertName>) {
    let certificate = report.certificates.iter().find(|certificate| Some(&certificate.name) == name);
    let ordered = certificate.filter(|certificate| matches!(certificate.source, Source::Acme | Source::Internal));
    if let Some(issuer) = ordered.and_then(|certificate| certificate.issuer.clone()) {
        *renewals.entry(issuer).or_default() += 1;
    }
}

impl Pulse {
    /// A sign of life that is given now.
    #[must_use]
    pub fn now(stuck: Option<&str>) -> Self {
        Self { at: Instant::now(), stuck: stuck.map(str::to_owned) }
    }
}

impl Feed {
    /// How everything stands.
    #[must_use]
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Why this process should be started anew; `None` while it is alive.
    #[must_use]
    pub fn sickness(&self) -> Option<String> {
        let pulse = self.pulse.borrow();
        match &pulse.stuck {
            Some(task) => Some(format!("the task {task} makes no progress")),
            None if pulse.at.elapsed() > SILENCE => Some("the supervisor makes no progress".to_owned()),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::testing::{at, certificate, node, report};

    fn looked(now: &str, generation: Option<u64>) -> Snapshot {
        let mut shop = certificate("shop.test");
        shop.generation = generation;
        let report = Some(Arc::new(report(vec![shop], vec![node()])));
        Snapshot { report, ..Snapshot::empty(at(now)) }
    }

    #[test]
    fn events_are_numbered_the_latest_first_and_renewals_are_counted() {
        let first = looked("2026-11-22T12:00:00Z", None).after(&Snapshot::empty(at("2026-11-22T11:00:00Z")));
        assert!(first.events.is_empty() && first.counters.renewals.is_empty());
        let mut last = first;
        for number in 1..=300 {
            last = looked("2026-11-22T13:00:00Z", Some(number)).after(&last);
        }
        assert_eq!((last.events.len(), last.events[0].number, last.events[1].number), (EVENTS, 300, 299));
        assert_eq!(last.counters.renewals, BTreeMap::from([("private".to_owned(), 300)]));
        assert_eq!(last.started_at, at("2026-11-22T11:00:00Z"));
        let reloaded = Snapshot::empty(at("2026-11-22T14:00:00Z")).after(&last);
        assert!(reloaded.report.is_some() && reloaded.events.len() == EVENTS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_gives_no_sign_of_life_is_sick_and_so_is_one_with_a_stuck_task() {
        let pulse = watch::Sender::new(Pulse::now(None));
        let snapshots = watch::Sender::new(Arc::new(Snapshot::empty(at("2026-11-22T12:00:00Z")))).subscribe();
        let feed = Feed { snapshots, pulse: pulse.subscribe() };
        assert_eq!(feed.sickness(), None);
        tokio::time::advance(SILENCE * 2).await;
        assert_eq!(feed.sickness().as_deref(), Some("the supervisor makes no progress"));
        pulse.send_replace(Pulse::now(Some("watch")));
        assert_eq!(feed.sickness().as_deref(), Some("the task watch makes no progress"));
        pulse.send_replace(Pulse::now(None));
        assert_eq!(feed.sickness(), None);
    }
}
