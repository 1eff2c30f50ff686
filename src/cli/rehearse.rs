//! `hotcert issue --dry-run`: the whole order at a staging environment, of which nothing is kept.

use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::failure::Failure;
use super::issue::while_kept;
use super::outcome::Outcome;
use crate::config::Certificate;
use crate::model::{CertName, DirectoryUrl, Identifier};
use crate::renew::{Due, Forecast, Rehearsal, Why};

/// What `issue --dry-run` prints.
#[derive(Serialize)]
struct Document {
    dry_run: bool,
    rehearsed: Vec<Rehearsed>,
}

/// One certificate that could be had.
#[derive(Serialize)]
struct Rehearsed {
    name: CertName,
    /// The names that were proved.
    proved: Vec<Identifier>,
    /// The staging environment.
    issuer: String,
    directory: DirectoryUrl,
    not_after: Timestamp,
    next: Next,
}

/// What the same command would do without the flag.
#[derive(Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum Next {
    /// Order it.
    Order { issuer: Option<String>, reason: &'static str },
    /// Nothing yet, for it was put off.
    Wait { until: Option<Timestamp>, problem: String },
    /// Nothing: what is stored is good until then.
    Keep { until: Timestamp },
}

pub(super) async fn run(app: &App, certificates: &[Certificate], force: bool) -> Result<Outcome, Failure> {
    let renewer = app.renewer();
    let one_by_one = async {
        let mut outcomes = Vec::new();
        for certificate in certificates {
            outcomes.push(Box::pin(renewer.rehearse(certificate)).await);
        }
        outcomes
    };
    let outcomes = while_kept(app, async {
        tokio::select! {
            outcomes = one_by_one => Ok(outcomes),
            () = app.stop.asked() => Err(Failure::interrupted("the rehearsal was interrupted")),
        }
    })
    .await?;
    let (mut rehearsed, mut failures) = (Vec::new(), Vec::new());
    for (certificate, outcome) in certificates.iter().zip(outcomes) {
        match outcome {
            Err(error) => failures.push(Failure::from(error)),
            Ok(Rehearsal { issuer, directory, not_after }) => rehearsed.push(Rehearsed {
                name: certificate.name.clone(),
                proved: certificate.domains.clone(),
                issuer,
                directory,
                not_after,
                next: next(renewer.forecast(certificate)?, certificate, force),
            }),
        }
    }
    let nodes = app.config.nodes_of(&certificates[0]).map(|node| node.name.to_string()).collect::<Vec<_>>().join(", ");
    let text = rehearsed.iter().map(|rehearsed| text(rehearsed, &nodes)).collect::<String>();
    match failures.pop() {
        Some(last) => Ok(Outcome::failed(failures, last, text)),
        None => Ok(Outcome::new(&Document { dry_run: true, rehearsed }, text)),
    }
}

fn next(forecast: Option<Forecast>, certificate: &Certificate, force: bool) -> Next {
    let first = certificate.order.as_ref().and_then(|order| Some(order.issuers.first()?.name.clone()));
    match forecast {
        Some(Forecast { due: Due::NotBefore(until), .. }) if !force => Next::Keep { until },
        // A person who asks waits only for what the other side has demanded.
        Some(Forecast { due: Due::Now(_), hold: Some(hold), .. }) if hold.demanded && !force => {
            Next::Wait { until: hold.until, problem: hold.problem }
        }
        Some(Forecast { due: Due::Now(why), issuer, .. }) => {
            Next::Order { issuer: issuer.or(first), reason: why.as_str() }
        }
        _ => Next::Order { issuer: first, reason: Why::Forced.as_str() },
    }
}

fn text(rehearsed: &Rehearsed, nodes: &str) -> String {
    let Rehearsed { name, proved, issuer, not_after, next, .. } = rehearsed;
    let names = proved.iter().map(Identifier::human).collect::<Vec<_>>().join(", ");
    let (count, noun) = (proved.len(), if proved.len() == 1 { "name" } else { "names" });
    let next = match next {
        Next::Order { issuer, reason } => {
            let from = issuer.as_ref().map(|issuer| format!(" from {issuer}")).unwrap_or_default();
            format!("order it{from} ({reason}), and load it into {nodes}")
        }
        Next::Wait { until: Some(until), problem } => format!("not order it before {until:.0}: {problem}"),
        Next::Wait { until: None, problem } => format!("wait for somebody to act: {problem}"),
        Next::Keep { until } => format!("order nothing: the stored certificate is good until {until:.0}"),
    };
    format!(
        "{name}: {count} {noun} proved, certificate for {names} by {issuer}, valid until {not_after}; nothing was stored or loaded\n\
         {name}: without --dry-run, this command would {next}\n"
    )
}
