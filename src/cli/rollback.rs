//! `hotcert rollback`: go back to an earlier generation.

use std::collections::BTreeSet;

use super::app::App;
use super::args::Rollback;
use super::failure::Failure;
use super::outcome::Outcome;
use super::status::conclude;
use crate::bundle::Gate;
use crate::clock::Clock;
use crate::model::Identifier;
use crate::reconcile::Report;

pub(super) async fn run(app: App, args: &Rollback) -> Result<Outcome, Failure> {
    let app = app.with_trust()?;
    let name = &args.certificate;
    app.known(name)?;
    let number = match args.to {
        Some(number) => number,
        None => app.store.previous(name)?.ok_or_else(|| {
            Failure::usage(format!("certificate {name} has no earlier generation"), "name one by --to")
        })?,
    };
    let target = app.store.bundle(name, number)?;
    let required: BTreeSet<Identifier> = app.config.certificates[name].domains.iter().cloned().collect();
    // To go back is to load something older, so age is no reason to refuse; having expired is.
    let gate =
        Gate { name, now: app.clock.now(), trust: &app.trust, required: &required, rivals: &[], force: args.force };
    let fullchain = [target.leaf_pem(), target.chain_pem()].concat();
    gate.admit(&[fullchain.as_bytes(), target.key().pem().as_bytes()])?;

    let before = app.store.mark(name)?;
    let lock = app.renewer().lock(name).await?;
    app.store.select(&lock, number)?;
    drop(lock);
    let outcome = app.reconciler().round(Some(&BTreeSet::from([name.clone()]))).await;
    if !outcome.as_ref().is_ok_and(Report::is_taken) {
        // What no node takes is not what should be served.
        let lock = app.renewer().lock(name).await?;
        app.store.go_back(&lock, &before)?;
    }
    let report = outcome?;
    tracing::info!(certificate = %name, generation = number, "went back");
    Ok(conclude(&report, &report, Vec::new()))
}
