//! `hotcert revoke`: revoke a certificate at its authority, and stop serving it if asked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::args::{Revoke, With};
use super::delete::{Detached, NodeSteps};
use super::failure::Failure;
use super::outcome::{Note, Outcome};
use crate::acme::Revoked;
use crate::clock::Clock;
use crate::config::{Issuer, OrderFlags};
use crate::model::{CertName, RevocationReason, Serial};
use crate::renew::By;
use crate::store::{CertLock, Generation, Revocation};

/// What `revoke` prints.
#[derive(Serialize)]
struct Document {
    revoked: Vec<One>,
    /// Whether it was taken out of `HAProxy`, too.
    detached: bool,
    nodes: Vec<NodeSteps>,
    /// Files that stay, for hotcert has not written them.
    kept: Vec<PathBuf>,
}

/// A generation that is revoked.
#[derive(Serialize)]
struct One {
    name: CertName,
    generation: u64,
    serial: Serial,
    issuer: String,
    reason: RevocationReason,
    at: Timestamp,
    /// Whether it was revoked before.
    before: bool,
}

/// A generation that is to be revoked.
struct Target {
    lock: CertLock,
    generation: Generation,
    issuer: Issuer,
    is_current: bool,
}

pub(super) async fn run(app: App, args: &Revoke) -> Result<Outcome, Failure> {
    let named = app.named_with(&args.certificate, args.generation)?;
    if args.detach {
        app.some_nodes()?;
    }
    let mut targets = BTreeMap::new();
    for name in &named {
        let lock = app.renewer().lock(name).await?;
        let current = app.store.current(name)?;
        let is_current = args.generation.is_none_or(|number| current.as_ref().is_some_and(|at| at.number == number));
        let generation = match (args.generation, current) {
            (Some(number), _) => app.store.generation(name, number)?,
            (None, Some(current)) => current,
            (None, None) => {
                let hint = "`hotcert status` shows what is stored";
                return Err(Failure::usage(format!("nothing is stored of certificate {name}"), hint));
            }
        };
        let issuer = issuer(&app, name, &generation, args)?;
        targets.insert(name.clone(), Target { lock, generation, issuer, is_current });
    }
    let mut revoked = Vec::new();
    for (name, target) in &mut targets {
        revoked.push(revoke(&app, name, target, args).await?);
    }
    let mut removals = Vec::new();
    if args.detach {
        let withdraw = || {
            targets.values().try_for_each(|Target { lock, generation, .. }| {
                let Some(revocation) = generation.revoked.clone() else { return Ok(()) };
                app.store.forget_attached(lock)?;
                app.store.note_revoked(lock, generation.number, &Revocation { detached: true, ..revocation })
            })
        };
        removals = app.reconciler().remove(&named, withdraw).await?;
    }
    let is_served = !args.detach && targets.values().any(|target| target.is_current);
    drop(targets);
    Ok(tell(args, is_served, revoked, removals))
}

/// Revokes one generation, and notes it. One of which it is noted already is left alone.
async fn revoke(app: &App, name: &CertName, target: &mut Target, args: &Revoke) -> Result<One, Failure> {
    let Target { lock, generation, issuer, .. } = target;
    let mut before = true;
    if generation.revoked.is_none() {
        let by = match args.with {
            None => By::Either,
            Some(With::Account) => By::Account,
            Some(With::Certificate) => By::Certificate,
        };
        let bundle = app.store.bundle(name, generation)?;
        before = app.renewer().revoke(issuer, &bundle, args.reason, by).await? == Revoked::Before;
        let revocation = Revocation { at: app.clock.now(), reason: args.reason, detached: false };
        app.store.note_revoked(lock, generation.number, &revocation)?;
        tracing::info!(certificate = %name, generation = generation.number, reason = %args.reason, "revoked");
        generation.revoked = Some(revocation);
    }
    let revocation = generation.revoked.as_ref();
    Ok(One {
        name: name.clone(),
        generation: generation.number,
        serial: generation.facts.serial.clone(),
        issuer: issuer.name.clone(),
        reason: revocation.map_or(args.reason, |revocation| revocation.reason),
        at: revocation.map_or_else(|| app.clock.now(), |revocation| revocation.at),
        before,
    })
}

/// The authority that issued a generation, or the one that the user names.
fn issuer(app: &App, name: &CertName, generation: &Generation, args: &Revoke) -> Result<Issuer, Failure> {
    let flags =
        OrderFlags { directory: args.ca.directory.clone(), root_ca: args.ca.root_ca.clone(), ..OrderFlags::default() };
    if args.issuer.is_some() || args.ca.directory.is_some() {
        return Ok(app.config.issuer(args.issuer.as_deref(), &flags)?);
    }
    let Some(by) = &generation.meta.issuer else {
        return Err(Failure::usage(
            format!("generation {} of certificate {name} was not ordered by hotcert", generation.number),
            "say who issued it by --issuer or --directory; it is revoked in the name of its key",
        ));
    };
    // The certificate may be remembered with an authority that no other has.
    let own = app.config.certificates.get(name).and_then(|certificate| certificate.order.as_ref());
    if let Some(issuer) = own.and_then(|order| order.issuers.iter().find(|issuer| issuer.name == *by))
        && args.ca.root_ca.is_none()
    {
        return Ok(issuer.clone());
    }
    match by.parse() {
        // What was ordered without a configuration is by an authority that is named after its directory.
        Ok(directory) if !app.config.issuers.contains_key(by) => {
            Ok(app.config.issuer(None, &OrderFlags { directory: Some(directory), ..flags })?)
        }
        _ => Ok(app.config.issuer(Some(by), &flags)?),
    }
}

fn tell(args: &Revoke, is_served: bool, revoked: Vec<One>, removals: Vec<crate::reconcile::Removal>) -> Outcome {
    let mut said = Vec::new();
    let mut text = String::new();
    for One { name, generation, issuer, reason, before, at, .. } in &revoked {
        if *before {
            said.push(Note::new("notice", format!("generation {generation} of {name} was revoked already")));
        }
        text.push_str(&format!(
            "revoked generation {generation} of certificate {name} at {issuer} ({reason}, {at:.0})\n"
        ));
    }
    let Detached { nodes, kept, text: detached, said: stays } = Detached::of(removals);
    text.push_str(&detached);
    said.extend(stays);
    let name = &args.certificate;
    if is_served {
        said.push(Note::new(
            "warning",
            format!("HAProxy goes on serving it: `hotcert renew {name} --force` orders another one, with a new key"),
        ));
    }
    if args.detach {
        said.push(Note::new(
            "notice",
            format!(
                "{name} is served again once it is renewed: at once by `hotcert renew {name} --force`; `hotcert delete {name}` forgets it"
            ),
        ));
    }
    Outcome::new(&Document { revoked, detached: args.detach, nodes, kept }, text).after(said)
}
