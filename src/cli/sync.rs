//! `hotcert sync`: one reconcile round.

use super::app::App;
use super::failure::{Exit, Failure};
use super::outcome::Outcome;
use super::status::conclude;
use crate::model::chain;
use crate::reconcile::{Keeper, TicketKeeper};

pub(super) async fn run(app: App) -> Result<Outcome, Failure> {
    app.some_nodes()?;
    let (app, problems) = app.look_at_files().await?;
    let reconciler = app.reconciler();
    // First, for they keep nobody waiting, and whoever is revoked should not come in any longer.
    let client_files = reconciler.load_client_files().await;
    let mut report = reconciler.round(None).await?;
    report.add_client_files(&client_files);
    report.problems.extend(problems);
    let with_tickets = TicketKeeper { reconciler: &reconciler }.round().await;
    let tickets_are_wrong = !with_tickets.is_empty();
    report.problems.extend(with_tickets);
    // Tokens that an order left behind are taken away as well.
    if let Err(error) = (Keeper { reconciler: &reconciler }).round().await {
        tracing::warn!(error = %chain(&error), "http-01 tokens are not as they should be on every node");
    }
    app.tell(&report).await;
    let outcome = conclude(&report, &report, Vec::new());
    Ok(if tickets_are_wrong && outcome.exit == Exit::Done { outcome.exit(Exit::Found) } else { outcome })
}
