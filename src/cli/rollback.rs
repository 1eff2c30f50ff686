//! `hotcert rollback`: go back to an earlier generation.

use std::collections::BTreeSet;

use super::app::App;
use super::args::Rollback;
use super::failure::Failure;
use super::outcome::Outcome;
use super::status::{conclude, take_back};
use crate::bundle::Gate;
use crate::clock::Clock;
use crate::model::{CertName, Identifier};
use crate::store;

pub(super) async fn run(app: App, args: &Rollback) -> Result<Outcome, Failure> {
    let app = app.with_trust()?;
    let named = app.named_with(&args.certificate, args.to)?;
    let targets = named.iter().map(|name| Ok((name, target(&app, name, args)?)));
    let mut marks = Vec::new();
    for (name, number) in targets.collect::<Result<Vec<_>, Failure>>()? {
        marks.push((name, app.store.mark(name)?));
        let lock = app.renewer().lock(name).await?;
        app.store.select(&lock, number)?;
        drop(lock);
        tracing::info!(certificate = %name, generation = number, "going back");
    }
    let outcome = app.reconciler().round(Some(&named)).await;
    let mut taken_back = Vec::new();
    for (name, mark) in marks {
        // What no node takes is not what should be served.
        if !outcome.as_ref().is_ok_and(|report| report.has_taken(name)) {
            let lock = app.renewer().lock(name).await?;
            app.store.go_back(&lock, &mark)?;
            taken_back.push(name);
        }
    }
    let mut report = outcome?;
    let notes = taken_back.into_iter().map(|name| take_back(&mut report, name)).collect();
    app.tell(&report).await;
    Ok(conclude(&report, &report, Vec::new()).after(notes))
}

/// The generation to go to, which must be fit to be served.
fn target(app: &App, name: &CertName, args: &Rollback) -> Result<u64, Failure> {
    let chosen = args.to.map_or_else(|| app.store.previous(name), |number| Ok(Some(number)))?;
    let Some(number) = chosen else {
        let what = format!("certificate {name} has no earlier generation");
        return Err(Failure::usage(what, offer(name, &app.store.generations(name)?)));
    };
    let generation = match app.store.generation(name, number) {
        Err(error @ store::Error::NoGeneration { .. }) => {
            let hint = Some(offer(name, &app.store.generations(name)?));
            return Err(Failure { hint, ..Failure::from(error) });
        }
        found => found?,
    };
    if let Some(revocation) = &generation.revoked {
        return Err(Failure::revoked(&format!("generation {number} of certificate {name}"), revocation));
    }
    let target = app.store.bundle(name, &generation)?;
    let certificate = &app.config.certificates[name];
    let required: BTreeSet<Identifier> = certificate.domains.iter().cloned().collect();
    // To go back is to load something older, so age is no reason to refuse; having expired is.
    let gate = Gate {
        name,
        kind: certificate.kind,
        now: app.clock.now(),
        trust: &app.trust,
        required: &required,
        rivals: &[],
        force: args.force,
    };
    let fullchain = [target.leaf_pem(), target.chain_pem()].concat();
    gate.admit(&[fullchain.as_bytes(), target.key().pem().as_bytes()])?;
    Ok(number)
}

/// What `--to` may name.
fn offer(name: &CertName, stored: &[u64]) -> String {
    match stored {
        [] | [_] => format!("no other one is stored: push another, or order one by `hotcert renew {name} --force`"),
        stored => {
            let numbers: Vec<_> = stored.iter().map(ToString::to_string).collect();
            format!("name one by --to: {} are stored", numbers.join(", "))
        }
    }
}
