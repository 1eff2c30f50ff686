//! `hotcert internal`: the private authority of our own.

use std::path::PathBuf;

use serde::Serialize;

use super::app::App;
use super::args::Internal as Args;
use super::failure::Failure;
use super::outcome::Outcome;

/// What `internal root` prints.
#[derive(Serialize)]
struct Root {
    issuer: String,
    pem: String,
    /// Where the root is kept, with its key.
    file: PathBuf,
}

pub(super) fn run(app: &App, args: &Args) -> Result<Outcome, Failure> {
    let Args::Root { issuer } = args;
    let issuer = app.config.internal_issuer(issuer.as_deref())?;
    let pem = app.renewer().internal_root(&issuer)?.certificate_pem();
    let file = app.store.internal_root_file(&issuer.name);
    Ok(Outcome::new(&Root { issuer: issuer.name, pem: pem.clone(), file }, pem))
}
