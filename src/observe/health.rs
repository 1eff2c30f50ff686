//! `/healthz`: whether this process is alive; `/readyz`: whether it has begun its work.
//!
//! Alive is what feeds the service manager's watchdog: every task makes progress. Ready is who has tried to look at every node and
//! to load what is stored. A node that is away makes nothing unready: certificates are renewed and published for it meanwhile, and
//! whoever takes a sidecar out of service for it, takes the other nodes' as well. What is wrong is told in either case.

use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::server::{Answer, whole};
use super::snapshot::Feed;
use crate::reconcile::Report;

/// How many problems are told at most: the reader is a person, or a log.
const TOLD: usize = 20;

/// The answer to a probe.
#[derive(Debug, Serialize)]
struct Verdict {
    ok: bool,
    /// Why it is not, or what needs a look although it is.
    problems: Vec<String>,
}

pub(super) fn healthz(feed: &Feed, parts: &Parts) -> Answer {
    let sickness = feed.sickness();
    Verdict { ok: sickness.is_none(), problems: sickness.into_iter().collect() }.answer(&parts.headers)
}

pub(super) fn readyz(feed: &Feed, parts: &Parts) -> Answer {
    let (sickness, snapshot) = (feed.sickness(), feed.latest());
    let ok = sickness.is_none() && snapshot.report.is_some();
    let told = snapshot
        .report
        .as_ref()
        .map_or_else(|| vec!["not every node was tried yet".to_owned()], |report| wrong(report));
    Verdict { ok, problems: sickness.into_iter().chain(told).collect() }.answer(&parts.headers)
}

/// What needs a look, in words.
fn wrong(report: &Report) -> Vec<String> {
    let away = report.nodes.iter().filter(|node| !node.reachable).map(|node| format!("node {} is away", node.name));
    let told = report.problems.iter().map(|problem| problem.message.clone());
    away.chain(told).take(TOLD).collect()
}

impl Verdict {
    fn answer(&self, headers: &HeaderMap) -> Answer {
        let status = if self.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let wants_json = headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
        if wants_json {
            let text = serde_json::to_string(self).expect("it consists of texts");
            return whole(status, "application/json", text + "\n");
        }
        let head = if self.ok { "ok\n" } else { "not ok\n" };
        let lines: String = self.problems.iter().map(|problem| format!("{problem}\n")).collect();
        whole(status, "text/plain; charset=utf-8", format!("{head}{lines}"))
    }
}
