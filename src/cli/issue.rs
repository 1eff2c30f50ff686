//! `hotcert issue`: order one certificate, store it, load it, prove it is served.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::app::App;
use super::args::Issue;
use super::failure::Failure;
use super::outcome::Outcome;
use super::rehearse;
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
    // What takes its place, where a second kind is added, has other names.
    let mut before = app.config.certificates.remove(&certificate.name);
    let members: Vec<Certificate> = certificate.members()?;
    let mut unknown = BTreeSet::new();
    for member in &members {
        let known = app.config.certificates.insert(member.name.clone(), member.clone());
        if known.or_else(|| before.take()).as_ref() != Some(member) {
            unknown.insert(&member.name);
        }
    }
    let mut app = app.with_trust()?;
    app.some_nodes()?;

    // Whatever would keep a certificate from being loaded is found before an order is spent.
    for member in &members {
        renew::check(member)?;
        let (rivals, away) = app.reconciler().rivals(&member.name, member.key_kind()).await?;
        app.away.extend(away);
        if !args.force {
            let names: BTreeSet<Identifier> = member.domains.iter().cloned().collect();
            for rival in &rivals {
                rival.keeps_names(&names).map_err(|check| Refusal { name: member.name.clone(), check })?;
            }
        }
    }
    if args.dry_run {
        return rehearse::run(&app, &members, args.force).await;
    }
    let (mut ordered, mut failures) = (Vec::new(), Vec::new());
    for (member, obtained) in members.iter().zip(obtain(&app, &members, args.force).await?) {
        match obtained {
            Err(error) => failures.push((member.name.clone(), error)),
            Ok(obtained) => {
                if unknown.contains(&member.name) {
                    remember(&app, member).await?;
                }
                ordered.extend(matches!(obtained, Obtained::Ordered(_)).then(|| member.name.clone()));
            }
        }
    }
    app.tell_failures(&failures).await;
    let mut failures: Vec<_> = failures.into_iter().map(|(_, error)| Failure::from(error)).collect();
    if failures.len() == members.len()
        && let Some(last) = failures.pop()
    {
        return Ok(Outcome::failed(failures, last, String::new()));
    }
    let scope = members.into_iter().map(|member| member.name).collect();
    let report = app.reconciler().round(Some(&scope)).await?;
    app.tell(&report).await;
    Ok(conclude(&Document { ordered, report: &report }, &report, failures))
}

/// Orders, while tokens are kept on the nodes; one that fails holds up no other. Whoever asks to stop gives the order up, so that no
/// answer to a challenge is left behind.
async fn obtain(
    app: &App,
    certificates: &[Certificate],
    force: bool,
) -> Result<Vec<Result<Obtained, renew::Error>>, Failure> {
    let renewer = app.renewer();
    let one_by_one = async {
        let mut obtained = Vec::new();
        // The second one finds the names proved already.
        for certificate in certificates {
            // On the heap, for it is large.
            obtained.push(Box::pin(renewer.obtain(certificate, force)).await);
        }
        obtained
    };
    while_kept(app, async {
        tokio::select! {
            obtained = one_by_one => return Ok(obtained),
            () = app.stop.asked() => {}
        }
        renewer.tidy().await;
        let names: Vec<_> = certificates.iter().map(|certificate| certificate.name.to_string()).collect();
        Err(Failure::interrupted(&format!("the order for {} was interrupted", names.join(", "))))
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
