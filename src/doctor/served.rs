//! What is served, against what is stored: differences, expiry, and renewals that fail.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Check, Finding, Nodes, Verdict, count, gather};
use crate::config::Config;
use crate::model::CertName;
use crate::reconcile::{CertState, Error, Report, Verified};
use crate::schedule::Life;
use crate::store::Store;

/// How many steps of a plan are told.
const STEPS: usize = 3;
/// Certificates that hotcert does not manage are told of when they expire within this time: who renews them has had weeks.
const FOREIGN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Whether what is stored is served, on each node.
pub(super) fn check(config: &Config, nodes: &Nodes) -> Vec<Finding> {
    let check = Check::Served;
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for failure in &nodes.report.failures {
        // These have checks of their own.
        if matches!(&*failure.error, Error::Node { .. } | Error::Twins { .. } | Error::TooLarge { .. }) {
            continue;
        }
        let subject = match (&failure.certificate, &failure.node) {
            (Some(certificate), _) => certificate.to_string(),
            (None, Some(node)) => node.to_string(),
            (None, None) => "store".to_owned(),
        };
        let hint = failure.error.hint().unwrap_or_else(|| "`hotcert status` and the log say more".to_owned());
        let otherwise = "clients do not get what is stored";
        if told.insert((subject.clone(), failure.error.to_string())) {
            findings.push(Finding::error(check, subject, &*failure.error, otherwise, hint));
        }
    }
    for problem in nodes.report.problems.iter().filter(|problem| problem.file.is_some()) {
        let subject = problem.file.as_deref().map(|file| file.display().to_string()).unwrap_or_default();
        let cure = problem.hint.clone().unwrap_or_else(|| "look at the file, and at whoever writes it".to_owned());
        findings.push(Finding::look(check, subject, &problem.message, "the file lies beside a certificate", cure));
    }
    for view in nodes.views.values() {
        let (node, plan) = (&view.node.name, &view.plan);
        for conflict in &plan.conflicts {
            let cause = "two certificates answer for one name, and one of them is not hotcert's to change";
            let cure = "take the name out of the other certificate, or the other certificate out of HAProxy; or let hotcert manage both";
            findings.push(Finding::look(check, node, conflict.to_string(), cause, cure));
        }
        if !plan.steps.is_empty() {
            let steps: Vec<_> = plan.steps.iter().take(STEPS).map(ToString::to_string).collect();
            let more = if plan.steps.len() > STEPS { "; …" } else { "" };
            let message = format!("it takes {} to serve what is stored", count(plan.steps.len(), "step"));
            let cause = format!(
                "HAProxy was restarted or changed by somebody else, or nothing was synced since: {}{more}",
                steps.join("; ")
            );
            findings.push(Finding::look(check, node, message, cause, "hotcert sync"));
        } else if findings.iter().all(|finding| finding.verdict == Verdict::Good) {
            findings.push(Finding::good(check, node, in_sync(config, nodes, node)));
        }
    }
    findings
}

fn in_sync(config: &Config, nodes: &Nodes, node: &crate::model::NodeName) -> String {
    let served: Vec<_> =
        nodes.report.certificates.iter().flat_map(|of| &of.nodes).filter(|of| of.name == *node).collect();
    if served.is_empty() {
        return "nothing is stored for it".to_owned();
    }
    let proved = served.iter().filter(|of| of.verified == Verified::Handshake).count();
    let more = config.certificates.len().saturating_sub(nodes.report.certificates.len());
    let how = match proved {
        0 => "as HAProxy says (with `verify`, handshakes would prove it)".to_owned(),
        proved => format!("{proved} of them proved by handshakes"),
    };
    let rest = if more > 0 { format!("; {more} more were not asked for") } else { String::new() };
    format!("{} as stored, {how}{rest}", count(served.len(), "certificate"))
}

/// When certificates expire: those that are stored, and others that the nodes hold.
pub(super) fn expiry(config: &Config, store: &Store, nodes: &Nodes, now: Timestamp) -> Vec<Finding> {
    let check = Check::Expiry;
    let (mut findings, mut good) = (Vec::new(), Vec::new());
    for name in config.certificates.keys() {
        let Some(facts) = store.current(name).ok().flatten().map(|generation| generation.facts) else { continue };
        let life = Life { not_before: facts.not_before, not_after: facts.not_after };
        let renew = cure(config, name);
        if facts.not_after <= now {
            let message = format!("it has expired at {}", facts.not_after);
            findings.push(Finding::broken(check, name, message, "it was not renewed in time", renew));
        } else if life.emergency() <= now {
            let message =
                format!("it expires at {}, in {}", facts.not_after, span(facts.not_after.duration_since(now)));
            let cause = "less than an eighth of its lifetime is left, and it was not renewed";
            findings.push(Finding::look(check, name, message, cause, renew));
        } else {
            good.push((facts.not_after, name));
        }
    }
    for (node, foreign) in nodes.report.nodes.iter().flat_map(|node| node.foreign.iter().map(move |of| (node, of))) {
        let Some(end) = foreign.not_after.filter(|end| end.duration_since(now) < FOREIGN) else { continue };
        // What is in no list serves nobody, unless a bind line names it, which HAProxy does not tell.
        let when = if end <= now { format!("has expired at {end}") } else { format!("expires at {end}") };
        let message = format!("what node {} holds there {when}", node.name);
        let cause = "hotcert does not manage it";
        let cure = "renew it by the program that it came from; or let hotcert do it: `hotcert import`, `hotcert push`, or `hotcert issue` for its names";
        findings.push(Finding::look(check, &foreign.slot, message, cause, cure));
    }
    good.sort();
    if let Some((end, first)) = good.first() {
        let message = format!("the first to expire is {first}, in {} ({end})", span(end.duration_since(now)));
        findings.push(Finding::good(check, count(good.len(), "certificate"), message));
    }
    findings
}

fn cure(config: &Config, name: &CertName) -> String {
    match config.certificates.get(name).and_then(|certificate| certificate.order.as_ref()) {
        Some(_) => format!("hotcert renew {name} --force   (what it says is why it was not renewed)"),
        None => "push a newer one, mend what writes its file, or order it by `hotcert issue`".to_owned(),
    }
}

/// How renewals stand, as far as is noted.
pub(super) fn renewal(report: &Report) -> Vec<Finding> {
    let check = Check::Renewal;
    let (mut findings, mut good) = (Vec::new(), Vec::new());
    for certificate in &report.certificates {
        let name = &certificate.name;
        if let Some(problem) = &certificate.problem {
            let next = match certificate.next_try {
                Some(at) => format!("it is tried again at {at}; "),
                None => String::new(),
            };
            let message = "it could not be renewed, or is not to be served any more";
            let cure = format!("{next}after mending the cause, `hotcert renew {name} --force` tries at once");
            findings.push(Finding::look(check, name, message, problem, cure));
        } else if certificate.state == CertState::Missing && certificate.next_issuer.is_some() {
            let message = "there is no certificate yet";
            let cure = format!("`hotcert renew {name}` orders it now, and `hotcert run` does it by itself");
            findings.push(Finding::look(check, name, message, "it is configured, and was never ordered", cure));
        } else if let Some(at) = certificate.renew_at {
            good.push((name.to_string(), format!("due at {at}")));
        }
    }
    gather(check, "certificate", &good, findings)
}

/// As in `3 days` and `5 hours`.
fn span(duration: SignedDuration) -> String {
    match duration.as_hours() {
        hours @ 48.. => format!("{} days", hours / 24),
        hours @ 2.. => format!("{hours} hours"),
        _ => format!("{} minutes", duration.as_mins()),
    }
}
