//! `hotcert sync`: one reconcile round.

use super::app::App;
use super::failure::Failure;
use super::outcome::Outcome;
use super::status::conclude;
use crate::reconcile::Keeper;

pub(super) async fn run(app: App) -> Result<Outcome, Failure> {
    app.some_nodes()?;
    let (app, problems) = app.look_at_files().await?;
    let reconciler = app.reconciler();
    let mut report = reconciler.round(None).await?;
    report.problems.extend(problems);
    // Tokens that an order left behind are taken away as well.
    if let Err(error) = (Keeper { reconciler: &reconciler }).round().await {
        tracing::warn!(%error, "http-01 tokens are not as they should be on every node");
    }
    Ok(conclude(&report, &report, Vec::new()))
}
