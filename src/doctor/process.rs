//! Processes and what they hold: open transactions, old workers, and others that accept the same connections.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::{Check, Finding, NODES, Nodes, count};
use crate::model::Address;
use crate::probe::{self, Listener};
use crate::reconcile::{Error, OldWorker, View, strangers};

/// Old workers beyond this number are a heap: each keeps its memory.
const HEAP: usize = 3;
/// An old worker that is older than this serves a connection that will not end by itself.
const LINGERING: SignedDuration = SignedDuration::from_hours(24);

/// The certificate transaction of a node.
pub(super) fn transaction(view: &View) -> Vec<Finding> {
    let (check, node) = (Check::Transaction, &view.node.name);
    if let Some(slot) = &view.foreign_transaction {
        let message = format!("a certificate transaction that is not hotcert's is open on {slot}");
        let cause = "another program has sent `set ssl cert` without `commit ssl cert` or `abort ssl cert`: HAProxy has one transaction for all, and keeps it until it is ended or HAProxy is reloaded, so nothing can be loaded";
        let (socket, prefix) = match &view.node.socket {
            Address::Master(socket) => (socket.to_string(), "@1 "),
            socket => (socket.to_string(), ""),
        };
        let cure = format!(
            "look again in a few seconds, for it may be at work; if it stays, find the program and end its transaction: \
             echo '{prefix}abort ssl cert {slot}' | socat {socket} -"
        );
        return vec![Finding::broken(check, node, message, cause, cure)];
    }
    if let Some(slot) = &view.actual.stale {
        let message = format!("a transaction of hotcert's own is open on {slot}");
        let cause = "hotcert is loading it at this moment, or was killed while it did";
        let cure = "nothing, or `hotcert sync`: the next round ends it";
        return vec![Finding::look(check, node, message, cause, cure)];
    }
    vec![Finding::good(check, node, "none is open")]
}

/// The old workers of a node, where its master tells.
pub(super) fn old_workers(view: &View, now: Timestamp) -> Vec<Finding> {
    let (check, node) = (Check::OldWorkers, &view.node.name);
    if view.node.master().is_none() {
        return Vec::new();
    }
    let cure = "let them go: `hard-stop-after 1h` in the global section of HAProxy's configuration ends those to come; `kill PID` ends one now, with its connections";
    let mut findings = Vec::new();
    for worker in view.workers.list.iter().filter(|worker| !worker.outdated.is_empty()) {
        let OldWorker { pid, connections, .. } = worker;
        let held: Vec<_> = worker.outdated.iter().map(|held| held.certificate.to_string()).collect();
        let message = format!("old worker {pid} still serves another version of {}", held.join(", "));
        let why = worker.detail.clone().unwrap_or_else(|| "it was not brought up to date yet".to_owned());
        let cause = format!("it finishes {}; {why}", count(*connections as usize, "connection"));
        findings.push(Finding::look(
            check,
            node,
            message,
            cause,
            format!("`hotcert sync` brings it up to date; or {cure}"),
        ));
    }
    let workers = &view.workers.list;
    let is_old = |worker: &&OldWorker| now.duration_since(worker.started_at) > LINGERING;
    if workers.len() > HEAP || workers.iter().any(|worker| is_old(&worker)) {
        let pids: Vec<_> = workers.iter().map(|worker| worker.pid.to_string()).collect();
        let message = format!("{} left by reloads: {}", count(workers.len(), "old worker"), pids.join(", "));
        let cause =
            "each finishes long connections, and keeps its memory meanwhile; whatever reloads HAProxy leaves one more";
        findings.push(Finding::look(check, node, message, cause, cure));
    }
    if findings.is_empty() {
        let message = match workers.len() {
            0 => "none".to_owned(),
            number => format!("{}, up to date", count(number, "old worker")),
        };
        findings.push(Finding::good(check, node, message));
    }
    findings
}

/// Others that accept connections where the nodes do.
pub(super) async fn twins(nodes: &Nodes) -> Vec<Finding> {
    let check = Check::Twins;
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for failure in &nodes.report.failures {
        if let Error::Twins { node, twins } = &*failure.error
            && told.insert(node.clone())
        {
            let cause = "Linux shares the clients of an address among all processes that are bound to it, and a HAProxy that was forgotten serves what it started with";
            findings.push(Finding::broken(
                check,
                node,
                twins.to_string(),
                cause,
                failure.error.hint().unwrap_or_default(),
            ));
        }
    }
    for view in nodes.views.values().filter(|view| !told.contains(&view.node.name)) {
        let node = &view.node;
        let mut beside: Vec<String> = Vec::new();
        for address in &node.verify {
            let Ok(Ok(found)) = timeout(NODES, tokio::net::lookup_host((address.host.as_str(), address.port))).await
            else {
                continue;
            };
            for at in found {
                let listeners = tokio::task::spawn_blocking(move || probe::listeners(at)).await.unwrap_or_default();
                let name = |of: &&Listener| format!("process {} ({}) at {at}", of.pid, of.name);
                beside.extend(strangers(&listeners, view.info.pid).iter().map(name));
            }
        }
        if let Some(first) = beside.first() {
            let message = format!(
                "{} accepts connections beside the HAProxy of this node, which is process {}",
                beside.join(", "),
                view.info.pid
            );
            let cause = "Linux shares the clients of an address among all processes that are bound to it, so some of them are shown other certificates";
            let pid = first.split(' ').nth(1).unwrap_or("PID");
            let cure = format!(
                "if it was forgotten, end it: `kill -USR1 {pid}` lets an old HAProxy finish its connections; if it is meant, make it a node of its own"
            );
            findings.push(Finding::look(check, &node.name, message, cause, cure));
        } else if !node.verify.is_empty() {
            findings.push(Finding::good(check, &node.name, "nobody else accepts connections where this node does"));
        }
    }
    findings
}
