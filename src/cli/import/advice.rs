//! What is still to be done after an import, and by whom.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Account, App, Args, State, renewals_of};
use crate::cli::failure::Failure;
use crate::config::{Method, OrderFlags, Via};
use crate::import::{self, Adopted, Inventory, Lineage, Proof};
use crate::model::{DirectoryUrl, printable};

/// Longest part of a foreign file that is told, in characters.
const SHOWN: usize = 200;
/// Names that are told in one notice.
const NAMES: usize = 5;

type Taken<'a> = (&'a Lineage, Adopted);

pub(super) fn notices(
    app: &App,
    args: &Args,
    flags: &OrderFlags,
    inventory: &Inventory,
    adopted: &[Taken<'_>],
    accounts: &[Account],
) -> Result<Vec<String>, Failure> {
    let mut notices = Vec::new();
    if adopted.is_empty() {
        return Ok(notices);
    }
    notices.extend(renewals(args, inventory));
    notices.extend(watched(app, args));
    notices.extend(proofs(adopted, flags));
    notices.extend(missing_accounts(app, args, adopted, accounts)?);
    if !args.dry_run {
        let node = if app.config.nodes.is_empty() { " --socket /run/haproxy/admin.sock --crt-dir DIR" } else { "" };
        notices.push(format!("HAProxy gets them by `hotcert sync{node}`, or at once where `hotcert run` runs"));
    }
    Ok(notices)
}

/// What else would renew them.
fn renewals(args: &Args, inventory: &Inventory) -> Vec<String> {
    let (program, command) = (args.program, renewals_of(args.program));
    let jobs = import::jobs(program, Path::new("/"));
    let mut notices: Vec<String> =
        jobs.into_iter().map(|job| format!("{program} must not renew them any more: switch off {job}")).collect();
    if notices.is_empty() {
        notices.push(format!(
            "{program} must not renew them any more: switch off what runs `{command}`; no timer and no line of cron with {program} was found here"
        ));
    }
    let own = inventory.certificates.iter().filter_map(|lineage| lineage.hook.as_ref());
    let hooks: BTreeSet<String> = inventory.hooks.iter().chain(own).map(|hook| printable(hook, SHOWN)).collect();
    notices.extend(hooks.into_iter().map(|hook| {
        format!("{program} runs {hook:?} after a renewal, which hotcert does not: if it loads them into HAProxy, it is not needed any more")
    }));
    notices
}

/// A directory that is watched gives the same certificates by another way.
fn watched(app: &App, args: &Args) -> Option<String> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let own = real(&args.from);
    let watch = app.config.watches.iter().find(|watch| real(&watch.dir).starts_with(&own))?;
    Some(format!("remove [[watch]] of {}: hotcert renews these certificates itself from now on", watch.dir.display()))
}

/// How names are proved from now on, where that is another way than before.
fn proofs(adopted: &[Taken<'_>], flags: &OrderFlags) -> Vec<String> {
    let mut notices = Vec::new();
    let mut by_proof: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (lineage, taken) in adopted {
        let name = taken.certificate.configured_name();
        let unprovable: Vec<String> = import::unprovable(&taken.certificate).into_iter().collect();
        if !unprovable.is_empty() {
            notices.push(format!(
                "certificate {name} cannot be renewed yet, for http-01 proves no wildcard: before {}, write it into the configuration with a solver of type dns-01 for {}",
                taken.facts.not_after,
                unprovable.join(", ")
            ));
            continue;
        }
        let mut solvers = taken.certificate.order.iter().flat_map(|order| &order.solvers);
        let listens = solvers.any(|solver| matches!(solver.method, Method::Http01(Via::Listener { .. })));
        let is_chosen = flags.http_01_listen.is_some() || !listens;
        let (said, cure) = match &lineage.proof {
            _ if is_chosen => continue,
            Proof::Http => (String::new(), String::new()),
            Proof::Webroot(path) => {
                let path = printable(path, SHOWN);
                (format!("by files in {path}"), format!("import again with --webroot {path} to go on like that"))
            }
            Proof::Dns(by) => (
                format!("by dns-01 ({})", printable(by, SHOWN)),
                "to go on like that, write them into the configuration with a solver of type dns-01".to_owned(),
            ),
            Proof::TlsAlpn => {
                ("by tls-alpn-01".to_owned(), "import again with --tls-alpn-01-listen to go on like that".to_owned())
            }
        };
        let before = if said.is_empty() { String::new() } else { format!("; so far {said}: {cure}") };
        by_proof.entry(before).or_default().insert(name.to_string());
    }
    notices.extend(by_proof.into_iter().map(|(before, names)| {
        let more = names.len().saturating_sub(NAMES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let names = names.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
        format!(
            "{names}{more}: names are proved by http-01 through hotcert's listener from now on, for which HAProxy needs the lines that `hotcert config haproxy` prints{before}"
        )
    }));
    notices
}

/// Authorities at which the first renewal needs an account that is not there.
fn missing_accounts(
    app: &App,
    args: &Args,
    adopted: &[Taken<'_>],
    accounts: &[Account],
) -> Result<Vec<String>, Failure> {
    let mut notices = Vec::new();
    let mut seen: BTreeSet<DirectoryUrl> = BTreeSet::new();
    let orders = adopted.iter().filter_map(|(_, taken)| taken.certificate.order.as_ref());
    for issuer in orders.flat_map(|order| &order.issuers) {
        let Some(directory) = issuer.directory.clone().filter(|directory| seen.insert(directory.clone())) else {
            continue;
        };
        let is_there = app.store.account(directory.as_str())?.is_some_and(|account| account.record.is_some());
        let comes = accounts
            .iter()
            .any(|account| account.directory.as_ref() == Some(&directory) && account.state == State::Adopted);
        if is_there || comes {
            continue;
        }
        let why = accounts.iter().find(|account| account.directory.as_ref() == Some(&directory));
        let why = why.and_then(|account| account.problem.as_ref());
        let why = why.map_or_else(
            || format!("{} has no account at {}", args.program, issuer.name),
            |why| format!("the account of {} at {} is not adopted: {why}", args.program, issuer.name),
        );
        let mail = issuer.contact.first().map_or("MAIL", String::as_str);
        let next = if issuer.terms_agreed && !issuer.contact.is_empty() {
            "the first renewal registers a new one".to_owned()
        } else {
            let root_ca =
                issuer.root_ca.as_ref().map(|file| format!(" --root-ca {}", file.display())).unwrap_or_default();
            format!(
                "register a new one before the first renewal by `hotcert account register --directory {}{root_ca} --contact {mail} --agree-terms`",
                directory.short()
            )
        };
        notices.push(format!("{why}; {next}"));
    }
    Ok(notices)
}
