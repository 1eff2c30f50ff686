//! `hotcert sync`: one reconcile round.

use super::app::App;
use super::args::Nodes;
use super::failure::{Exit, Failure};
use super::status::conclude;
use super::{Global, Output};
use crate::reconcile::Keeper;

pub(super) async fn run(global: &Global, nodes: &Nodes, output: &Output) -> Result<Exit, Failure> {
    let app = App::load(global, &nodes.flags(global), output)?;
    app.some_nodes()?;
    let reconciler = app.reconciler();
    let report = reconciler.round(None).await?;
    // Tokens that an order left behind are taken away as well.
    if let Err(error) = (Keeper { reconciler: &reconciler }).round().await {
        tracing::warn!(%error, "http-01 tokens are not as they should be on every node");
    }
    conclude(output, &report, &report, Vec::new())
}
