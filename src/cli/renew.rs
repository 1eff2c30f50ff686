//! `hotcert renew`: order what is due, and load it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::app::App;
use super::args::Renew;
use super::failure::Failure;
use super::issue::{Document, obtain};
use super::outcome::Outcome;
use super::status::conclude;
use crate::model::CertName;
use crate::renew::{Due, Obtained, Why};

/// What `renew --dry-run` prints.
#[derive(Serialize)]
struct Forecast {
    due: Vec<DueCertificate>,
}

#[derive(Serialize)]
struct DueCertificate {
    name: CertName,
    reason: &'static str,
}

pub(super) async fn run(app: App, args: &Renew) -> Result<Outcome, Failure> {
    let app = app.with_trust()?;
    for name in &args.certificates {
        app.known(name)?;
    }
    let chosen = |name: &CertName| args.certificates.is_empty() || args.certificates.contains(name);
    let mut due = Vec::new();
    for certificate in app.config.certificates.values().filter(|certificate| chosen(&certificate.name)) {
        let Some(order) = &certificate.order else { continue };
        match app.renewer().due(certificate, order)? {
            Due::Now(why) => due.push((certificate, why)),
            Due::NotBefore(_) if args.force => due.push((certificate, Why::Forced)),
            Due::NotBefore(_) => {}
        }
    }
    if args.dry_run {
        let due = due
            .iter()
            .map(|(certificate, why)| DueCertificate { name: certificate.name.clone(), reason: why.as_str() });
        let forecast = Forecast { due: due.collect() };
        let lines = forecast.due.iter().map(|due| format!("{}: would be ordered, {}\n", due.name, due.reason));
        let text = if forecast.due.is_empty() { "nothing is due\n".to_owned() } else { lines.collect() };
        return Ok(Outcome::new(&forecast, text));
    }

    let mut ordered = Vec::new();
    let mut failures: Vec<Failure> = Vec::new();
    for (certificate, _) in &due {
        match obtain(&app, certificate, args.force).await {
            Ok(Obtained::Ordered(_)) => ordered.push(certificate.name.clone()),
            Ok(Obtained::Kept(_)) => {}
            Err(failure) if failure.is_interruption() => return Err(failure),
            // One certificate that fails holds up no other.
            Err(failure) => failures.push(failure),
        }
    }
    let scope: BTreeSet<CertName> = app.config.certificates.keys().filter(|name| chosen(name)).cloned().collect();
    let report = app.reconciler().round(Some(&scope)).await?;
    Ok(conclude(&Document { ordered, report: &report }, &report, failures))
}
