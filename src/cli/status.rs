//! `hotcert status`, and how a report is shown.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::args::Status;
use super::failure::{Exit, Failure};
use super::outcome::{Note, Outcome};
use crate::model::CertName;
use crate::reconcile::{CertificateReport, ClientFiles, NodeReport, OldWorker, Problem, Report, TicketKeeper};

/// Says how things stand: as somebody saw it a moment ago (`cached`), or as they are found now.
pub(super) async fn run(app: &App, args: &Status, cached: Option<&Report>) -> Result<Outcome, Failure> {
    let report = look(app, args.certificate.as_ref(), cached).await?;
    for failure in &report.failures {
        tracing::debug!(error = %failure.error, "something needs a look");
    }
    let exit = if report.needs_a_look() { Exit::Found } else { Exit::Done };
    let text = if report.certificates.is_empty() && report.nodes.is_empty() {
        format!("nothing is stored in {}, and no HAProxy is configured\n", app.config.state_dir.display())
    } else {
        table(&report)
    };
    Ok(Outcome::new(&report, text + &details(&report).concat()).exit(exit))
}

/// How things stand, all of them or one certificate.
pub(super) async fn look(
    app: &App,
    certificate: Option<&CertName>,
    cached: Option<&Report>,
) -> Result<Report, Failure> {
    let scope = certificate.map(|name| app.named(name)).transpose()?;
    let reconciler = app.reconciler();
    let client_files = async {
        if cached.is_none() && scope.is_none() { reconciler.client_files().await } else { ClientFiles::default() }
    };
    let report = async {
        match cached {
            Some(report) => reconciler.refresh(scope.as_ref(), report),
            None => reconciler.report(scope.as_ref()).await,
        }
    };
    // At once, for a node may keep each of them waiting.
    let (mut report, client_files) = tokio::join!(report, client_files);
    report.add_client_files(&client_files);
    if cached.is_none() && scope.is_none() {
        report.problems.extend(TicketKeeper { reconciler: &reconciler }.problems().await);
    }
    Ok(report)
}

/// Ends a command that changed something: shows the report, and what failed, on the way (`failures`) and in the report, and chooses
/// the failure that counts for the exit code. For programs there is then that failure instead of the report.
pub(super) fn conclude(document: &impl Serialize, report: &Report, failures: Vec<Failure>) -> Outcome {
    let noticed = report
        .warnings
        .iter()
        .map(|warning| Note::new(if warning.is_notice() { "notice" } else { "warning" }, warning.to_string()));
    // The same node may fail for each certificate; it is explained once.
    let mut seen = BTreeSet::new();
    let reported = report.failures.iter().map(|failure| Failure::from(&*failure.error));
    let mut failures: Vec<Failure> =
        failures.into_iter().chain(reported).filter(|failure| seen.insert(failure.message.clone())).collect();
    if failures.is_empty() {
        let details = details(report);
        let notes = noticed.chain(details.iter().map(|detail| Note::new("warning", detail.trim_end()))).collect();
        // A watched file that gives no certificate is nothing that this command was to do, and still somebody has to look at it.
        let exit = if report.problems.iter().any(|problem| problem.file.is_some()) { Exit::Found } else { Exit::Done };
        return Outcome::new(document, table(report)).after(notes).exit(exit);
    }
    // The first that no waiting cures counts, or else the first.
    let counting = failures.iter().position(|failure| failure.exit != Exit::Later).unwrap_or(0);
    let counting = failures.remove(counting);
    Outcome::failed(failures, counting, table(report)).after(noticed.collect())
}

/// A certificate that no node has taken, and that was taken out of the store again, is not shown as if it were there.
pub(super) fn take_back(report: &mut Report, name: &CertName) -> Note {
    report.certificates.retain(|told| told.name != *name);
    Note::new("notice", format!("no node has taken the new certificate {name}, so what is stored is as it was before"))
}

/// A line for each certificate on each node, and one for each node and each old worker.
fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["CERTIFICATE", "KEY", "STATE", "SERIAL", "EXPIRES", "NODE", "SERVED", "VERIFIED"]);
    for certificate in &report.certificates {
        for row in rows(certificate) {
            table.add_row(row);
        }
    }
    let mut text = String::new();
    if !report.certificates.is_empty() {
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    for node in &report.nodes {
        let state = match (&node.version, node.pid) {
            (Some(version), Some(pid)) => format!("HAProxy {version}, process {pid}"),
            _ => "cannot be reached".to_owned(),
        };
        let foreign = match node.foreign.len() {
            0 => String::new(),
            1 => ", 1 certificate that hotcert does not manage".to_owned(),
            count => format!(", {count} certificates that hotcert does not manage"),
        };
        text.push_str(&format!("node {} at {}: {state}{foreign}\n", node.name, node.address));
        for worker in &node.old_workers {
            text.push_str(&old_worker(worker, Timestamp::now()));
        }
        for file in &node.files {
            text.push_str(&format!("  {} {}: {}\n", file.kind, file.file.display(), word(&file.state)));
        }
    }
    text
}

fn old_worker(worker: &OldWorker, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(worker.started_at.as_second()).max(0);
    let age = match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    };
    let connections = match worker.connections {
        1 => "1 connection".to_owned(),
        number => format!("{number} connections"),
    };
    let outdated: Vec<_> =
        worker.outdated.iter().map(|held| format!("serial {} of {}", held.serial, held.certificate)).collect();
    let state = match (outdated.as_slice(), &worker.detail) {
        ([], None) => "up to date".to_owned(),
        ([], Some(_)) => "not known what it serves".to_owned(),
        (held, _) => format!("still serves {}", held.join(", ")),
    };
    format!("  old worker {}, {age} old, {connections}, {state}\n", worker.pid)
}

/// What needs a look, each with its line end.
fn details(report: &Report) -> Vec<String> {
    let mut details = Vec::new();
    let with_hint = |what: &str, hint: Option<&str>| {
        let hint = hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
        format!("{what}\n{hint}")
    };
    let known = report.problems.iter().filter(|problem| problem.file.is_none());
    let hints: BTreeMap<_, _> =
        known.filter_map(|known| Some(((&known.certificate, known.node.as_ref()?), known.hint.as_deref()?))).collect();
    for node in &report.nodes {
        if let Some(detail) = &node.detail {
            let hint = hints.get(&(&None, &node.name)).copied();
            details.push(with_hint(&format!("node {}: {detail}", node.name), hint));
        }
    }
    let now = Timestamp::now();
    for certificate in &report.certificates {
        if let Some(end) = certificate.not_after.filter(|end| *end <= now) {
            details.push(format!("{}: it has expired, at {end:.0}, and nothing has renewed it\n", certificate.name));
        }
        if let Some(problem) = &certificate.problem {
            let next = certificate.next_try.map(|at| format!(" (tried again at {at:.0})")).unwrap_or_default();
            let name = &certificate.name;
            let again = format!("`hotcert renew {name} --force` orders another one, with a new key");
            let hint = certificate.revoked.is_some().then_some(again.as_str());
            details.push(with_hint(&format!("{name}: {problem}{next}"), hint));
        }
        let name = Some(certificate.name.clone());
        for node in &certificate.nodes {
            let is_of_node = |of: &NodeReport| of.name == node.name && of.detail == node.detail;
            let Some(detail) = node.detail.as_ref().filter(|_| !report.nodes.iter().any(is_of_node)) else { continue };
            let hint = hints.get(&(&name, &node.name)).copied();
            details.push(with_hint(&format!("{} on {}: {detail}", certificate.name, node.name), hint));
        }
    }
    for problem in report.problems.iter().filter(|problem| !is_told(problem, report)) {
        let place = match (&problem.file, &problem.certificate) {
            (Some(file), _) => format!("{}: ", file.display()),
            (None, Some(certificate)) => format!("{certificate}: "),
            (None, None) => String::new(),
        };
        details.push(with_hint(&format!("{place}{}", problem.message), problem.hint.as_deref()));
    }
    details
}

/// Whether the detail of a node, or of a certificate on it, says a problem already.
fn is_told(problem: &Problem, report: &Report) -> bool {
    let Problem { certificate, node: Some(node), file: None, .. } = problem else { return false };
    match certificate {
        None => report.nodes.iter().any(|told| told.name == *node && told.detail.is_some()),
        Some(certificate) => {
            let mut told = report.certificates.iter().filter(|told| told.name == *certificate);
            told.any(|told| told.nodes.iter().any(|told| told.name == *node && told.detail.is_some()))
        }
    }
}

fn rows(certificate: &CertificateReport) -> Vec<[String; 8]> {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let head = [
        certificate.configured_name.to_string(),
        or_dash(certificate.key.map(|key| key.to_string())),
        word(&certificate.state),
        or_dash(certificate.serial.as_ref().map(ToString::to_string)),
        or_dash(certificate.not_after.map(|end| end.strftime("%Y-%m-%d").to_string())),
    ];
    if certificate.nodes.is_empty() {
        let [name, key, state, serial, expires] = head;
        return vec![[name, key, state, serial, expires, "-".to_owned(), "-".to_owned(), "-".to_owned()]];
    }
    certificate
        .nodes
        .iter()
        .map(|node| {
            let [name, key, state, serial, expires] = head.clone();
            [name, key, state, serial, expires, node.name.to_string(), word(&node.state), word(&node.verified)]
        })
        .collect()
}

/// The same word as in JSON.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::Outdated;

    #[test]
    fn an_old_worker_is_a_line_with_its_age_and_what_it_serves() {
        let outdated = Outdated {
            certificate: "shop.test".parse().unwrap(),
            slot: "/certs/shop.test.pem".parse().unwrap(),
            serial: "04ab".parse().unwrap(),
        };
        let mut worker = OldWorker {
            pid: 4711,
            started_at: "2026-11-22T10:00:00Z".parse().unwrap(),
            connections: 2,
            tls_connections: 1,
            outdated: vec![outdated],
            detail: None,
            stale: None,
            in_use: false,
        };
        let line = |worker: &OldWorker, now: &str| old_worker(worker, now.parse().unwrap());
        assert_eq!(
            line(&worker, "2026-11-22T13:59:59Z"),
            "  old worker 4711, 3 h old, 2 connections, still serves serial 04ab of shop.test\n"
        );
        worker.outdated.clear();
        worker.connections = 1;
        for (now, age) in
            [("22T10:00:09", "9 s"), ("22T10:05:00", "5 min"), ("26T10:00:00", "4 days"), ("22T09:00:00", "0 s")]
        {
            let now = format!("2026-11-{now}Z");
            assert_eq!(line(&worker, &now), format!("  old worker 4711, {age} old, 1 connection, up to date\n"));
        }
    }
}
