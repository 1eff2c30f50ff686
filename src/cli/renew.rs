//! `hotcert renew`: order what is due, and load it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::args::Renew;
use super::failure::Failure;
use super::issue::{Document, while_kept};
use super::outcome::Outcome;
use super::status::conclude;
use crate::config::Certificate;
use crate::model::CertName;
use crate::renew::{Due, Forecast, Renewer, Why};

/// What `renew --dry-run` prints.
#[derive(Serialize)]
struct Outlook {
    due: Vec<DueCertificate>,
    later: Vec<LaterCertificate>,
}

#[derive(Serialize)]
struct DueCertificate {
    name: CertName,
    /// Who would be asked for it.
    issuer: Option<String>,
    reason: &'static str,
}

/// A certificate that would not be ordered now.
#[derive(Serialize)]
struct LaterCertificate {
    name: CertName,
    /// When it would be; `None` when only a person can help.
    at: Option<Timestamp>,
    /// What keeps it from being ordered though it is due.
    problem: Option<String>,
}

pub(super) async fn run(app: App, args: &Renew) -> Result<Outcome, Failure> {
    let app = app.with_trust()?;
    let named = app.all_named(&args.certificates)?;
    let is_chosen = |name: &CertName| args.certificates.is_empty() || named.contains(name);
    let chosen = || app.config.certificates.values().filter(|certificate| is_chosen(&certificate.name));
    if args.dry_run {
        let outlook = look(&app.renewer(), chosen(), args.force)?;
        return Ok(Outcome::new(&outlook, text(&outlook)));
    }

    let (app, problems) = app.look_at_files().await?;
    let chosen = || app.config.certificates.values().filter(|certificate| is_chosen(&certificate.name));
    let renewer = app.renewer();
    // Collected, for rustc cannot prove a future with the closure in it to be `Send`.
    let certificates: Vec<_> = chosen().collect();
    let round = while_kept(&app, async {
        tokio::select! {
            round = renewer.round(certificates, args.force) => return Ok(round),
            () = app.stop.asked() => {}
        }
        renewer.tidy().await;
        Err(Failure::interrupted("the renewal was interrupted"))
    })
    .await?;
    let failures = round.failures.into_iter().chain(round.held).map(|(_, error)| Failure::from(error)).collect();
    let scope: BTreeSet<CertName> = chosen().map(|certificate| certificate.name.clone()).collect();
    let mut report = app.reconciler().round(Some(&scope)).await?;
    report.problems.extend(problems);
    app.tell(&report).await;
    Ok(conclude(&Document { ordered: round.ordered, report: &report }, &report, failures))
}

fn look<'c>(
    renewer: &Renewer<'_>,
    certificates: impl Iterator<Item = &'c Certificate>,
    force: bool,
) -> Result<Outlook, Failure> {
    let mut outlook = Outlook { due: Vec::new(), later: Vec::new() };
    for certificate in certificates {
        let name = certificate.name.clone();
        let Some(Forecast { due, hold, issuer }) = renewer.forecast(certificate)? else { continue };
        // Who insists is not held.
        let first = || certificate.order.as_ref().and_then(|order| Some(order.issuers.first()?.name.clone()));
        match (due, hold) {
            (Due::Now(_), Some(hold)) if !force => {
                outlook.later.push(LaterCertificate { name, at: hold.until, problem: Some(hold.problem) });
            }
            (Due::Now(why), None) => outlook.due.push(DueCertificate { name, issuer, reason: why.as_str() }),
            (Due::Now(why), Some(_)) => {
                outlook.due.push(DueCertificate { name, issuer: first(), reason: why.as_str() });
            }
            (Due::NotBefore(_), _) if force => {
                outlook.due.push(DueCertificate { name, issuer: first(), reason: Why::Forced.as_str() });
            }
            (Due::NotBefore(at), _) => outlook.later.push(LaterCertificate { name, at: Some(at), problem: None }),
        }
    }
    Ok(outlook)
}

fn text(outlook: &Outlook) -> String {
    let due = outlook.due.iter().map(|due| {
        let from = due.issuer.as_ref().map(|issuer| format!(" from {issuer}")).unwrap_or_default();
        format!("{}: would be ordered{from}, {}\n", due.name, due.reason)
    });
    let later = outlook.later.iter().map(|later| match (&later.problem, later.at) {
        (None, at) => format!("{}: is due at {}\n", later.name, at.unwrap_or_default()),
        (Some(problem), Some(at)) => format!("{}: is due, and tried again at {at:.0}: {problem}\n", later.name),
        (Some(problem), None) => format!("{}: is due, and waits for somebody to act: {problem}\n", later.name),
    });
    let nothing = if outlook.due.is_empty() { "nothing is due\n" } else { "" };
    std::iter::once(nothing.to_owned()).chain(due).chain(later).collect()
}
