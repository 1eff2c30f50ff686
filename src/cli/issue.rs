//! `hotcert issue`: order one certificate, store it, load it, prove it is served.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::app::App;
use super::args::Issue;
use super::failure::Failure;
use super::outcome::Outcome;
use super::status::conclude;
use crate::bundle::Refusal;
use crate::config::{Certificate, Remembered};
use crate::model::{CertName, Identifier};
use crate::reconcile::{Keeper, Report};
use crate::renew::{self, Obtained};

/// What `issue` and `renew` print.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    /// The certificates that were ordered.
    pub(super) ordered: Vec<CertName>,
    #[serde(flatten)]
    pub(super) report: &'a Report,
}

pub(super) async fn run(mut app: App, args: &Issue) -> Result<Outcome, Failure> {
    let mut certificate = app.config.certificate_to_issue(&args.names, &args.ordering.flags(args.cert_name.clone()))?;
    if !args.nodes.sockets.is_empty() {
        certificate.nodes.clear();
    }
    let name = certificate.name.clone();
    let is_configured = app.config.certificates.get(&name).is_some_and(|known| *known == certificate);
    app.config.certificates.insert(name.clone(), certificate.clone());
    let mut app = app.with_trust()?;
    app.some_nodes()?;
    renew::check(&certificate)?;

    // Whatever would keep the certificate from being loaded is found before an order is spent.
    let rivals;
    (rivals, app.away) = app.reconciler().rivals(&name).await?;
    if !args.force {
        let names: BTreeSet<Identifier> = certificate.domains.iter().cloned().collect();
        for rival in &rivals {
            rival.keeps_names(&names).map_err(|check| Refusal { name: name.clone(), check })?;
        }
    }
    let obtained = obtain(&app, &certificate, args.force).await?;
    if !is_configured {
        remember(&app, &certificate).await?;
    }
    let report = app.reconciler().round(Some(&BTreeSet::from([name.clone()]))).await?;
    let ordered = if matches!(obtained, Obtained::Ordered(_)) { vec![name] } else { Vec::new() };
    Ok(conclude(&Document { ordered, report: &report }, &report, Vec::new()))
}

/// Orders, while tokens are kept on the nodes. Whoever asks to stop gives the order up, so that no answer to a challenge is left behind.
async fn obtain(app: &App, certificate: &Certificate, force: bool) -> Result<Obtained, Failure> {
    let renewer = app.renewer();
    while_kept(app, async {
        tokio::select! {
            obtained = renewer.obtain(certificate, force) => obtained.map_err(Failure::from),
            () = app.stop.asked() => {
                Err(Failure::interrupted(&format!("the order for {} was interrupted", certificate.name)))
            }
        }
    })
    .await
}

/// Does something that may need tokens on the nodes, while they are kept there.
pub(super) async fn while_kept<T>(app: &App, work: impl Future<Output = T>) -> T {
    let reconciler = app.reconciler();
    let stop = CancellationToken::new();
    let work = async {
        let outcome = work.await;
        stop.cancel();
        outcome
    };
    let keeper = Keeper { reconciler: &reconciler };
    tokio::join!(work, keeper.run(stop.clone())).0
}

/// Remembers how the certificate was ordered, for commands without a configuration.
pub(super) async fn remember(app: &App, certificate: &Certificate) -> Result<(), Failure> {
    let remembered = Remembered::of(&app.config, certificate);
    if app.store.remembered::<Remembered>(&certificate.name)?.as_ref() != Some(&remembered) {
        let lock = app.renewer().lock(&certificate.name).await?;
        app.store.remember(&lock, &remembered)?;
    }
    Ok(())
}
