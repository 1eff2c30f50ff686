//! `hotcert push`: load a certificate file now.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::app::App;
use super::args::Push;
use super::failure::Failure;
use super::issue::remember;
use super::outcome::{Note, Outcome};
use super::plan::{NodePlan, describe};
use super::secret;
use super::status::{conclude, take_back};
use crate::bundle::{Bundle, Gate, pem};
use crate::clock::Clock;
use crate::config::Certificate;
use crate::model::{CertName, Identifier, KeyKind};
use crate::reconcile::Report;
use crate::store::{Meta, Source};

/// What `push` prints.
#[derive(Serialize)]
struct Document<'a> {
    /// What was repaired.
    notices: Vec<String>,
    #[serde(flatten)]
    report: &'a Report,
}

/// What `push --dry-run` prints.
#[derive(Serialize)]
struct Preview {
    certificate: CertName,
    notices: Vec<String>,
    nodes: Vec<NodePlan>,
}

/// What `push` works with: whoever runs it opens no file of whoever typed it.
#[derive(Serialize, Deserialize)]
pub struct Input {
    args: Push,
    /// What is in the files that the arguments name.
    #[serde(with = "secret")]
    pem: Zeroizing<Vec<u8>>,
    #[serde(with = "secret")]
    key: Zeroizing<Vec<u8>>,
}

impl Input {
    /// Reads the files.
    pub(super) fn read(args: Push) -> Result<Self, Failure> {
        let pem = read(&args.pem)?;
        let key = args.key.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(Self { args, pem, key })
    }

    /// Whether it is only to be shown what would change.
    pub(super) fn is_dry_run(&self) -> bool {
        self.args.dry_run
    }
}

pub(super) async fn run(app: App, input: &Input) -> Result<Outcome, Failure> {
    let mut notes = Vec::new();
    let outcome = load(app, input, &mut notes).await;
    // What was repaired is told whatever became of it.
    Ok(outcome.unwrap_or_else(Outcome::from).after(notes))
}

async fn load(app: App, Input { args, pem, key }: &Input, said: &mut Vec<Note>) -> Result<Outcome, Failure> {
    let inputs = if args.key.is_some() { vec![pem.as_slice(), key.as_slice()] } else { vec![pem.as_slice()] };
    let mut app = app.with_trust()?;
    app.some_nodes()?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => name_of(&args.pem, &inputs)?,
    };
    let kind = Bundle::reopen(&name, &inputs).ok().and_then(|bundle| bundle.facts().kind());
    let name = one_of_two(&app, name, kind);
    let known = app.config.certificates.get(&name).cloned();
    let is_configured = known.as_ref().is_some_and(|known| known.order.is_some());
    let mut certificate = known.unwrap_or_else(|| Certificate::new(name.clone()));
    if !is_configured {
        // What is pushed says itself what it covers.
        certificate.domains = Bundle::reopen(&name, &inputs).map(|bundle| bundle.names()).unwrap_or_default();
    }
    if !args.nodes.sockets.is_empty() {
        certificate.nodes.clear();
    }
    certificate.publish = !args.no_publish;
    if args.attach.is_some() {
        certificate.crt_list.clone_from(&args.attach);
    }
    app.config.certificates.insert(name.clone(), certificate.clone());

    let rivals;
    (rivals, app.away) = app.reconciler().rivals(&name, kind).await?;
    let required: BTreeSet<Identifier> = certificate.domains.iter().cloned().collect();
    let gate = Gate {
        name: &name,
        kind: certificate.kind,
        now: app.clock.now(),
        trust: &app.trust,
        required: &required,
        rivals: &rivals,
        force: args.force,
    };
    let admitted = gate.admit(&inputs)?;
    if let Some(revocation) = app.store.revocation(&name, admitted.bundle.facts().sha256)? {
        return Err(Failure::revoked("this certificate", &revocation));
    }
    let notices: Vec<String> = admitted.notices.iter().map(ToString::to_string).collect();
    said.extend(notices.iter().map(|notice| Note::new("notice", notice)));
    if args.dry_run {
        let views = app.reconciler().preview(&name, &admitted.bundle).await?;
        let nodes: Vec<NodePlan> = views.values().map(NodePlan::of).collect();
        let text = describe(&nodes);
        return Ok(Outcome::new(&Preview { certificate: name, notices, nodes }, text));
    }

    let before = app.store.mark(&name)?;
    let stored = store(&app, &certificate, &admitted.bundle, !is_configured).await;
    if let Err(failure) = stored {
        let lock = app.renewer().lock(&name).await?;
        app.store.go_back(&lock, &before)?;
        return Err(failure);
    }
    let outcome = app.reconciler().round(Some(&BTreeSet::from([name.clone()]))).await;
    let is_taken = outcome.as_ref().is_ok_and(|report| report.has_taken(&name));
    if !is_taken {
        // What was good before stays what should be served, and whoever pushed this one still has the file.
        let lock = app.renewer().lock(&name).await?;
        app.store.go_back(&lock, &before)?;
    }
    let mut report = outcome?;
    app.tell(&report).await;
    if !is_taken {
        said.push(take_back(&mut report, &name));
    }
    Ok(conclude(&Document { notices, report: &report }, &report, Vec::new()))
}

async fn store(app: &App, certificate: &Certificate, bundle: &Bundle, to_remember: bool) -> Result<(), Failure> {
    let lock = app.renewer().lock(&certificate.name).await?;
    let meta = Meta { source: Source::Push, issuer: None, created: app.clock.now() };
    app.store.add(&lock, bundle, &meta)?;
    drop(lock);
    if to_remember {
        remember(app, certificate).await?;
    }
    Ok(())
}

/// Reads a file, up to a little more than is allowed, so that the gate can say that it is too long.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let limit = pem::MAX_INPUT + 1;
    // It never grows, which would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    std::fs::File::open(path)
        .and_then(|file| file.take(limit as u64).read_to_end(&mut bytes))
        .map_err(|error| Failure::unreadable(path, error))?;
    Ok(bytes)
}

/// Where a name stands for a certificate of each kind, the one with such a key is meant.
fn one_of_two(app: &App, name: CertName, kind: Option<KeyKind>) -> CertName {
    if app.config.certificates.contains_key(&name) {
        return name;
    }
    let mut members = app.config.kinds_of(&name);
    // A key of another kind is refused under the name of either.
    let meant = members.clone().find(|member| member.kind == kind).or_else(|| members.next());
    meant.map_or(name, |member| member.name.clone())
}

/// Names a certificate after its first DNS name; what is refused before it can be read goes by the name of its file.
fn name_of(path: &Path, inputs: &[&[u8]]) -> Result<CertName, Failure> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
    let provisional = stem.unwrap_or_else(|| "certificate".parse().expect("it is a certificate name"));
    let bundle = Bundle::reopen(&provisional, inputs)?;
    let cure = "name it by --name";
    let first =
        bundle.first_name().ok_or_else(|| Failure::usage("the certificate has no DNS name to be named after", cure))?;
    CertName::of(&first).map_err(|invalid| {
        Failure::usage(format!("the certificate cannot be named after {}: {invalid}", first.human()), cure)
    })
}
