//! `hotcert config`: check and show the configuration, and the lines that `HAProxy` needs.

use std::path::Path;

use serde::Serialize;

use super::app::App;
use super::args::{Config as Args, Nodes, Ordering};
use super::failure::Failure;
use super::outcome::{Note, Outcome};
use super::{Global, Output};
use crate::config::{Config, DEFAULT_FILE, Flags, Issuer, Method, Order, Setting, Solver, Via};
use crate::haproxy::{Session, SystemConnect, socket_lines};
use crate::model::ChallengeKind;
use crate::renew;
use crate::solver::TLS_BIND;

#[derive(Serialize)]
struct Checked {
    ok: bool,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Shown {
    settings: Vec<Setting>,
}

#[derive(Serialize)]
struct Lines<'a> {
    lines: &'a str,
}

pub(super) async fn run(global: &Global, args: &Args, output: &Output) -> Result<Outcome, Failure> {
    match args {
        Args::Check => check(global),
        Args::Show(nodes) => show(global, nodes, output),
        Args::Haproxy(args) => haproxy(global, &args.nodes, &args.ordering, output).await,
    }
}

fn check(global: &Global) -> Result<Outcome, Failure> {
    let file = global.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let config = Config::load(Some(file), &Flags::default())?;
    if !config.unreadable.is_empty() {
        return Err(crate::config::Error::Problems(config.unreadable).into());
    }
    let counts = format!("{} certificates on {} nodes", config.configured_names().len(), config.nodes.len());
    let checked = Checked { ok: true, warnings: config.warnings };
    let notes = checked.warnings.iter().map(|warning| Note::new("warning", warning)).collect();
    let text = format!("{}: good, with {counts}\n", file.display());
    Ok(Outcome::new(&checked, text).after(notes))
}

fn show(global: &Global, nodes: &Nodes, output: &Output) -> Result<Outcome, Failure> {
    let app = App::load(global, &nodes.flags(global), output)?;
    let shown = Shown { settings: app.config.settings };
    let line = |setting: &Setting| format!("{} = {}    # {}\n", setting.key, setting.value, setting.origin);
    let text: String = shown.settings.iter().map(line).collect();
    Ok(Outcome::new(&shown, text))
}

async fn haproxy(global: &Global, nodes: &Nodes, ordering: &Ordering, output: &Output) -> Result<Outcome, Failure> {
    let app = App::load(global, &nodes.flags(global), output)?;
    let chosen = chosen(&app.config, ordering)?;
    let is_behind = chosen.iter().any(|(_, solver)| solver.kind() == ChallengeKind::TlsAlpn01);
    let (place, bind) = if is_behind { ("that ends TLS", TLS_BIND) } else { ("on port 443", ":443") };
    let mut version = None;
    let mut text = String::new();
    for node in app.config.nodes.values() {
        match Session::open(&SystemConnect, node.endpoint()).await {
            Ok(session) => {
                let (major, minor) = session.info().version.branch;
                version = version.max(Some((major.into(), minor.into())));
            }
            Err(error) => {
                tracing::warn!(node = %node.name, %error, "the version is not known");
                text.push_str(&format!("{}\n", socket_lines(&node.socket)));
            }
        }
        let tickets =
            app.config.ticket_keys.iter().filter(|keys| app.config.ticket_nodes(keys).any(|of| of.name == node.name));
        for keys in tickets {
            text.push_str(&format!(
                "# On bind lines with `ssl`; the file has to be there when HAProxy starts, and `hotcert sync` writes it:\n#   tls-ticket-keys {}\n\n",
                keys.file
            ));
        }
        if let Some(directory) = node.directory() {
            text.push_str(&format!(
                "# In the frontend {place}; strict-sni lets HAProxy start before there is a certificate:\nbind {bind} ssl crt {directory}/ strict-sni\n\n"
            ));
        }
    }
    for (issuer, solver) in chosen {
        let thumbprint = match (&solver.method, &issuer.directory) {
            (Method::Http01(Via::Stateless), Some(directory)) => {
                app.renewer().account_key(directory, &issuer).await?.thumbprint().to_owned()
            }
            _ => String::new(),
        };
        text.push_str(&renew::haproxy_lines(&solver, &thumbprint, version));
    }
    Ok(Outcome::new(&Lines { lines: &text }, text.as_str()))
}

/// Every pair of issuer and solver that is in use; what the flags say when nothing is configured.
fn chosen(config: &Config, ordering: &Ordering) -> Result<Vec<(Issuer, Solver)>, Failure> {
    let mut chosen: Vec<(Issuer, Solver)> = Vec::new();
    let mut add = |order: &Order| {
        for (issuer, solver) in order
            .issuers
            .iter()
            .filter(|of| of.directory.is_some())
            .flat_map(|of| order.solvers.iter().map(move |solver| (of, solver)))
        {
            // An account has one thumbprint, and a solver one set of lines, however many certificates use them.
            let is_same = |(known, other): &&(Issuer, Solver)| {
                known.directory == issuer.directory && other.method == solver.method
            };
            if !chosen.iter().any(|pair| is_same(&pair)) {
                chosen.push((issuer.clone(), solver.clone()));
            }
        }
    };
    let flags = ordering.flags(None);
    let given = flags.is_given();
    if !given {
        config.certificates.values().filter_map(|certificate| certificate.order.as_ref()).for_each(&mut add);
    }
    if given || config.certificates.is_empty() {
        let example = "example.org".parse().map_err(Failure::from)?;
        let certificate = config.certificate_to_issue(&[example], &flags)?;
        certificate.order.iter().for_each(&mut add);
    }
    Ok(chosen)
}
