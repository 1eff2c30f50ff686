//! `hotcert import`: take over what another program manages.
//!
//! It works on the store by itself, also where a daemon runs: the files are those of whoever typed it, and the daemon sees what is
//! stored.

mod advice;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::args::Import as Args;
use super::failure::{Exit, Failure};
use super::outcome::{Note, Outcome};
use crate::clock::Clock;
use crate::config::OrderFlags;
use crate::import::{self, AccountFate, Adopted, Fate, Importer, Inventory, Program};
use crate::model::{CertName, DirectoryUrl, Identifier, KeyType};

/// What `import` prints.
#[derive(Serialize)]
struct Document {
    source: &'static str,
    directory: String,
    /// Whether nothing was written.
    dry_run: bool,
    certificates: Vec<Line>,
    accounts: Vec<Account>,
    /// What is still to be done.
    notices: Vec<String>,
}

/// A certificate of the other program.
#[derive(Serialize)]
struct Line {
    /// Where its files are.
    from: String,
    name: Option<CertName>,
    state: State,
    domains: Vec<Identifier>,
    /// Who renews it from now on.
    issuer: Option<String>,
    key: Option<KeyType>,
    not_after: Option<Timestamp>,
    /// Why it is skipped.
    problem: Option<String>,
    hint: Option<String>,
}

/// An account of the other program.
#[derive(Serialize)]
struct Account {
    from: String,
    directory: Option<DirectoryUrl>,
    url: Option<String>,
    state: State,
    problem: Option<String>,
}

/// What became of something.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It is stored now, or would be.
    Adopted,
    /// It was stored before.
    Present,
    /// What is stored is newer.
    Older,
    /// It is not taken.
    Skipped,
}

pub(super) async fn run(mut app: App, args: &Args) -> Result<Outcome, Failure> {
    let flags = args.ordering.flags(None);
    app.config.trust.extend(flags.root_ca.clone());
    if !args.nodes.sockets.is_empty() {
        app.config.certificates.values_mut().for_each(|certificate| certificate.nodes.clear());
    }
    let app = app.with_trust()?;
    let inventory = import::read(args.program, &args.from, &authorities(&app, &flags))?;
    let contacts = contacts(&inventory);
    let mut importer = Importer {
        store: &app.store,
        clock: &app.clock,
        trust: &app.trust,
        config: &app.config,
        flags: &flags,
        contacts,
        served: BTreeMap::new(),
        dry_run: args.dry_run,
    };
    let strangers: Vec<_> = inventory.certificates.iter().filter_map(|lineage| importer.stranger(lineage)).collect();
    if !strangers.is_empty() && !app.config.nodes.is_empty() {
        importer.served = app.reconciler().rivals_of(&strangers).await;
    }

    // A renewal that comes in between finds the account.
    let mut accounts = Vec::new();
    for account in &inventory.accounts {
        let fate = importer.account(account).await?;
        let (state, problem) = match fate {
            AccountFate::Adopted => (State::Adopted, None),
            AccountFate::Present => (State::Present, None),
            AccountFate::Skipped(why) => (State::Skipped, Some(why.to_string())),
        };
        let (from, directory, url) = (account.place.clone(), account.directory.clone(), account.url.clone());
        accounts.push(Account { from, directory, url: url.filter(|_| state != State::Skipped), state, problem });
    }
    let (mut certificates, mut adopted) = (Vec::new(), Vec::new());
    for lineage in &inventory.certificates {
        match importer.certificate(lineage).await {
            Ok(taken) => {
                certificates.push(Line::of(lineage.place.clone(), &taken));
                adopted.push((lineage, taken));
            }
            // A disk that fails does so for all.
            Err(import::NotAdopted::Store(error)) => return Err(error.into()),
            Err(error) => certificates.push(Line::skipped(lineage, &error)),
        }
    }

    let mut notices = advice::notices(&app, args, &flags, &inventory, &adopted, &accounts)?;
    for (_, taken) in &adopted {
        let name = &taken.certificate.name;
        notices.extend(taken.notices.iter().map(|notice| format!("certificate {name}: {notice}")));
    }
    let exit = if certificates.iter().any(|line| line.state == State::Skipped) { Exit::Found } else { Exit::Done };
    let document = Document {
        source: args.program.as_str(),
        directory: args.from.display().to_string(),
        dry_run: args.dry_run,
        certificates,
        accounts,
        notices,
    };
    let said = document.notices.iter().map(|notice| Note::new("notice", notice)).collect();
    Ok(Outcome::new(&document, text(&document, app.clock.now())).exit(exit).after(said))
}

/// The directories of authorities that are known: files may name them by their host alone.
fn authorities(app: &App, flags: &OrderFlags) -> Vec<DirectoryUrl> {
    let configured = app.config.known_issuers().into_iter().filter_map(|issuer| issuer.directory.clone());
    let public = DirectoryUrl::NAMES.iter().filter_map(|(name, _)| name.parse().ok());
    flags.directory.clone().into_iter().chain(configured).chain(public).collect()
}

/// The mail addresses of the accounts, by authority.
fn contacts(inventory: &Inventory) -> BTreeMap<DirectoryUrl, Vec<String>> {
    let mut contacts = BTreeMap::new();
    for account in inventory.accounts.iter().filter(|account| !account.contact.is_empty()) {
        if let Some(directory) = &account.directory {
            contacts.entry(directory.clone()).or_insert_with(|| account.contact.clone());
        }
    }
    contacts
}

impl Line {
    fn of(from: String, taken: &Adopted) -> Self {
        let Adopted { certificate, fate, facts, .. } = taken;
        let issuers = certificate.order.as_ref().map(|order| order.issuers.as_slice()).unwrap_or_default();
        Self {
            from,
            name: Some(certificate.configured_name()),
            state: match fate {
                Fate::Adopted => State::Adopted,
                Fate::Present => State::Present,
                Fate::Older => State::Older,
            },
            domains: certificate.domains.clone(),
            issuer: issuers.first().map(|issuer| issuer.name.clone()),
            key: facts.key_type,
            not_after: Some(facts.not_after),
            problem: None,
            hint: None,
        }
    }

    fn skipped(lineage: &import::Lineage, error: &import::NotAdopted) -> Self {
        Self {
            from: lineage.place.clone(),
            name: lineage.name.clone().ok(),
            state: State::Skipped,
            domains: Vec::new(),
            issuer: None,
            key: None,
            not_after: None,
            problem: Some(error.to_string()),
            hint: error.hint(),
        }
    }
}

fn text(document: &Document, now: Timestamp) -> String {
    let done = if document.dry_run { "would be adopted" } else { "adopted" };
    let certificates = document.certificates.iter().map(|line| {
        let name = line.name.as_ref().map_or_else(|| line.from.clone(), ToString::to_string);
        if let Some(problem) = &line.problem {
            let hint = line.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            return format!("{name}: not adopted: {problem}{hint}\n");
        }
        let state = match line.state {
            State::Older => "kept as it is: what is stored is newer",
            State::Present => "is stored already",
            State::Adopted | State::Skipped => done,
        };
        let kind = line.key.map(|key| format!(", {key}")).unwrap_or_default();
        let days = line.not_after.map(|end| end.duration_since(now).as_hours() / 24).unwrap_or_default();
        let domains: Vec<_> = line.domains.iter().map(Identifier::human).collect();
        let issuer = line.issuer.as_deref().unwrap_or("nobody");
        format!("{name}: {state}: {}{kind}, {days} days left, renewed from {issuer}\n", domains.join(", "))
    });
    let accounts = document.accounts.iter().map(|account| {
        let at = account.directory.as_ref().map_or(account.from.as_str(), DirectoryUrl::short);
        let state = match (account.state, &account.problem) {
            (State::Skipped, Some(problem)) => format!("not adopted: {problem}"),
            (State::Present, _) => "is stored already".to_owned(),
            _ => done.to_owned(),
        };
        format!("account at {at}: {state}\n")
    });
    certificates.chain(accounts).collect()
}

impl From<import::Error> for Failure {
    fn from(error: import::Error) -> Self {
        let exit = if matches!(error, import::Error::Directory { .. }) { Exit::Failed } else { Exit::Usage };
        let hint = error.hint();
        Self { hint: Some(hint), exit, ..anyhow::Error::new(error).into() }
    }
}

/// How people call what a program runs by itself.
fn renewals_of(program: Program) -> String {
    match program {
        Program::Certbot => "certbot renew".to_owned(),
        Program::AcmeSh => "acme.sh --cron".to_owned(),
        Program::Lego => "lego renew".to_owned(),
        Program::Dehydrated => "dehydrated --cron".to_owned(),
    }
}
