//! `hotcert account`: show, register, roll over, update and deactivate the accounts at authorities.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::args::Account as Args;
use super::failure::Failure;
use super::outcome::{Note, Outcome};
use crate::config::{Issuer, Method, Via};
use crate::model::{ChallengeKind, DirectoryUrl, Identifier};
use crate::renew::{self, Change, Standing};
use crate::solver;

/// What `account show` prints.
#[derive(Serialize)]
struct Shown {
    accounts: Vec<Account>,
}

/// What the others print.
#[derive(Serialize)]
struct Changed {
    /// What was done, in one word; `none` when it was so already.
    done: &'static str,
    account: Account,
    /// The lines that `HAProxy` needs from now on, where the thumbprint stands in its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    haproxy: Option<String>,
}

#[derive(Serialize)]
struct Account {
    issuer: String,
    directory: Option<DirectoryUrl>,
    /// The account's URL; `None` when there is no account.
    url: Option<String>,
    /// As the authority says; `None` when it was not asked, or could not be.
    status: Option<String>,
    /// As the authority says, or as they were last sent.
    contacts: Vec<String>,
    thumbprint: Option<String>,
    terms_agreed_at: Option<Timestamp>,
    deactivated_at: Option<Timestamp>,
    key_file: Option<PathBuf>,
    /// The records that prove names for good, as one types them into the file of a zone (draft-ietf-acme-dns-persist).
    records: Vec<String>,
    /// Why the authority could not be asked.
    problem: Option<String>,
}

pub(super) async fn run(app: &App, args: &Args) -> Result<Outcome, Failure> {
    let (which, flags) = args.flags();
    if let Args::Show(_) = args
        && which.issuer.is_none()
        && which.ca.directory.is_none()
    {
        let known = app.config.known_issuers();
        let mut issuers: Vec<Issuer> = known.into_iter().cloned().collect();
        if issuers.is_empty() {
            issuers.push(app.config.issuer(None, &flags)?);
        }
        return show(app, &issuers).await;
    }
    let issuer = app.config.issuer(which.issuer.as_deref(), &flags)?;
    let renewer = app.renewer();
    let (done, change) = match args {
        Args::Show(_) => return show(app, &[issuer]).await,
        Args::Register { .. } => ("registered", renewer.register_account(&issuer).await?),
        Args::Update { .. } => ("updated", renewer.update_contacts(&issuer).await?),
        Args::Rollover(_) => ("rolled-over", renewer.roll_over_account(&issuer).await?),
        Args::Deactivate { yes: true, .. } => ("deactivated", renewer.deactivate_account(&issuer).await?),
        Args::Deactivate { yes: false, .. } => {
            return Err(Failure::usage(
                format!("to deactivate the account at {} cannot be undone", issuer.name),
                "no certificate can be ordered, renewed or revoked by it any more: add --yes if that is meant",
            ));
        }
    };
    let (account, mut notes) = look(app, &issuer).await?;
    let haproxy = match args {
        Args::Rollover(_) => stateless_lines(app, &issuer, account.thumbprint.as_deref()),
        _ => None,
    };
    let done = if change == Change::Nothing { "none" } else { done };
    let mut text = format!("{}\n", sentence(args, change, &issuer.name));
    text.push_str(&account.text());
    if let Some(lines) = &haproxy {
        notes.push(Note::new(
            "warning",
            "the account has a new thumbprint, and HAProxy answers http-01 with the old one until its configuration says this",
        ));
        text.push_str(&format!("\n{lines}"));
    }
    Ok(Outcome::new(&Changed { done, account, haproxy }, text).after(notes))
}

async fn show(app: &App, issuers: &[Issuer]) -> Result<Outcome, Failure> {
    let (mut accounts, mut notes) = (Vec::new(), Vec::new());
    for issuer in issuers {
        let (account, said) = look(app, issuer).await?;
        accounts.push(account);
        notes.extend(said);
    }
    let text: Vec<_> = accounts.iter().map(Account::text).collect();
    Ok(Outcome::new(&Shown { accounts }, text.join("\n")).after(notes))
}

/// An account as it is stored, and as its authority says; that this cannot be asked is no reason not to show the rest.
async fn look(app: &App, issuer: &Issuer) -> Result<(Account, Vec<Note>), Failure> {
    let Standing { record, thumbprint, key_file, authorities, asked } = app.renewer().account_standing(issuer).await?;
    let mut notes = Vec::new();
    let (registration, problem) = match asked {
        Some(Ok(registration)) => (Some(registration), None),
        Some(Err(error)) => {
            let failure = Failure::from(error);
            let problem = [vec![failure.message], failure.causes].concat().join(": ");
            notes.push(Note::new(
                "warning",
                format!("what is stored is shown, for the authority cannot be asked: {problem}"),
            ));
            (None, Some(problem))
        }
        None => (None, None),
    };
    let (status, contacts) = registration.map(|found| (found.status, found.contacts)).unzip();
    // Some authorities keep no contacts, and show none.
    let contacts = contacts.filter(|contacts| !contacts.is_empty());
    let stored = || record.as_ref().map(|record| record.contact.clone()).unwrap_or_default();
    let url = record.as_ref().map(|record| record.url.as_str());
    let account = Account {
        records: url.zip(authorities.first()).map(|(url, ca)| records(app, issuer, ca, url)).unwrap_or_default(),
        issuer: issuer.name.clone(),
        directory: issuer.directory.clone(),
        url: record.as_ref().map(|record| record.url.clone()),
        contacts: contacts.unwrap_or_else(stored),
        status,
        key_file: thumbprint.is_some().then_some(key_file),
        thumbprint,
        terms_agreed_at: record.as_ref().and_then(|record| record.terms_agreed_at),
        deactivated_at: record.as_ref().and_then(|record| record.deactivated_at),
        problem,
    };
    Ok((account, notes))
}

impl Account {
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.issuer);
        let mut line = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!("  {key:<11} {value}\n"));
            }
        };
        line("directory", self.directory.as_ref().map(ToString::to_string));
        line("account", self.url.clone().or_else(|| Some("none yet".to_owned())));
        line("status", self.status.clone());
        line("deactivated", self.deactivated_at.map(|at| at.to_string()));
        line("contacts", Some(self.contacts.join(", ")).filter(|contacts| !contacts.is_empty()));
        line("terms", self.terms_agreed_at.map(|at| format!("agreed to at {at:.0}")));
        line("thumbprint", self.thumbprint.clone());
        line("key", self.key_file.as_ref().map(|file| file.display().to_string()));
        for record in &self.records {
            line("record", Some(record.clone()));
        }
        text
    }
}

fn sentence(args: &Args, change: Change, issuer: &str) -> String {
    let (done, nothing) = match args {
        Args::Register { .. } => ("is registered", "was registered already"),
        Args::Update { .. } => ("has these contacts now", "has these contacts already"),
        Args::Rollover(_) => ("has a new key", "has its key"),
        Args::Deactivate { .. } => ("is deactivated", "was deactivated already"),
        Args::Show(_) => ("is shown", "is shown"),
    };
    match change {
        Change::Done => format!("the account at {issuer} {done}"),
        Change::Nothing => format!("the account at {issuer} {nothing}"),
        Change::Finished => format!("the account at {issuer} {done}: the change that was interrupted is finished"),
    }
}

/// The records for the names that are proved by them. One for a wildcard proves its base as well.
fn records(app: &App, issuer: &Issuer, authority: &str, url: &str) -> Vec<String> {
    let mut records = BTreeSet::new();
    for certificate in app.config.certificates.values() {
        let Some(order) = &certificate.order else { continue };
        if !order.issuers.iter().any(|other| other.directory == issuer.directory) {
            continue;
        }
        let is_proved = |name: &&Identifier| {
            order.solvers.iter().any(|solver| solver.kind() == ChallengeKind::DnsPersist01 && solver.fits(name))
        };
        let has_wildcard = |name: &Identifier| {
            certificate.domains.iter().any(|other| other.to_string().strip_prefix("*.") == Some(&name.to_string()))
        };
        for name in certificate.domains.iter().filter(is_proved).filter(|name| !has_wildcard(name)) {
            let (at, text) = solver::persist_record(name, authority, url);
            records.insert(solver::txt_line(&at, &text));
        }
    }
    records.into_iter().collect()
}

/// What `HAProxy` needs where it answers by the thumbprint of this account.
fn stateless_lines(app: &App, issuer: &Issuer, thumbprint: Option<&str>) -> Option<String> {
    let mut orders = app.config.certificates.values().filter_map(|certificate| certificate.order.as_ref());
    let is_theirs = |other: &Issuer| other.directory == issuer.directory;
    let stateless = orders.find_map(|order| {
        let mut solvers = order.solvers.iter().filter(|_| order.issuers.iter().any(is_theirs));
        solvers.find(|solver| solver.method == Method::Http01(Via::Stateless))
    })?;
    Some(renew::haproxy_lines(stateless, thumbprint?, None))
}
