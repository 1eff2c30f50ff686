//! `hotcert config haproxy`: the lines that `HAProxy` needs; where its configuration is found, only those that are missing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::app::App;
use super::super::args::{Nodes, Ordering};
use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::super::{Global, Output};
use super::find;
use super::missing::Findings;
use crate::config::{Config, Issuer, Method, Node, Order, Solver, Via};
use crate::haproxy::{Session, SystemConnect, socket_lines};
use crate::host::{Host, Instance};
use crate::model::{ChallengeKind, chain};
use crate::renew;
use crate::solver::TLS_BIND;

#[derive(Serialize)]
struct Lines<'a> {
    lines: &'a str,
    /// What was compared with the configuration of each node that was found.
    nodes: BTreeMap<&'a str, Compared>,
}

#[derive(Serialize)]
struct Compared {
    files: Vec<String>,
    #[serde(flatten)]
    findings: Findings,
}

/// A way to answer challenges, with what it needs.
struct Challenge {
    solver: Solver,
    thumbprint: String,
}

type Version = Option<(u32, u32)>;

pub(super) async fn run(
    global: &Global,
    nodes: &Nodes,
    ordering: &Ordering,
    output: &Output,
) -> Result<Outcome, Failure> {
    let app = App::load(global, &nodes.flags(global), output)?;
    let mut challenges = Vec::new();
    for (issuer, solver) in chosen(&app.config, ordering)? {
        let thumbprint = match (&solver.method, &issuer.directory) {
            (Method::Http01(Via::Stateless), Some(directory)) => {
                app.renewer().account_key(directory, &issuer).await?.thumbprint().to_owned()
            }
            _ => String::new(),
        };
        challenges.push(Challenge { solver, thumbprint });
    }
    let host = Host::look();
    let (mut text, mut compared, mut newest) = (String::new(), BTreeMap::new(), None);
    let mut is_unknown = app.config.nodes.is_empty();
    for node in app.config.nodes.values() {
        let answer = Session::open(&SystemConnect, node.endpoint()).await;
        let info = answer.as_ref().ok().map(Session::info);
        let version = info.map(|info| (info.version.branch.0.into(), info.version.branch.1.into()));
        newest = newest.max(version);
        if let Err(error) = &answer {
            tracing::warn!(node = %node.name, error = %chain(&error), "the version is not known");
        }
        // Of one that is elsewhere, or was only just written down, nothing is known.
        let found = find::instance(&host, &node.socket).filter(|found| !found.configuration.sections.is_empty());
        if let Some(instance) = found {
            let findings = compare(&app.config, node, instance, &challenges, version);
            text.push_str(&told(node, instance, &findings, app.config.nodes.len() > 1));
            let files = instance.configuration.shown_files();
            compared.insert(node.name.as_str(), Compared { files, findings });
        } else {
            is_unknown = true;
            text.push_str(&all(&app.config, node, info.is_some(), &challenges));
        }
    }
    if is_unknown {
        for challenge in &challenges {
            text.push_str(&renew::haproxy_lines(&challenge.solver, &challenge.thumbprint, newest));
        }
    }
    Ok(Outcome::new(&Lines { lines: &text, nodes: compared }, text.as_str()))
}

/// What is missing in a configuration that was found.
fn compare(config: &Config, node: &Node, instance: &Instance, challenges: &[Challenge], version: Version) -> Findings {
    let mut findings = Findings::default();
    findings.socket(instance, &node.socket);
    for keys in config.ticket_keys.iter().filter(|keys| config.ticket_nodes(keys).any(|of| of.name == node.name)) {
        findings.tickets(instance, &keys.file.to_string());
    }
    let before = findings.missing.len();
    for challenge in challenges {
        let lines = renew::haproxy_lines(&challenge.solver, &challenge.thumbprint, version);
        findings.challenges(instance, &challenge.solver, &challenge.thumbprint, &lines);
    }
    // The frontend before it takes over the address of the one that ends TLS.
    let moves = challenges.iter().any(is_behind) && findings.missing.len() > before;
    if !moves || !findings.takes_place(instance, TLS_BIND, node.directory().as_deref()) {
        findings.certificates(instance, node.directory().as_deref(), node.crt_list.as_deref());
    }
    findings
}

fn told(node: &Node, instance: &Instance, findings: &Findings, is_one_of_many: bool) -> String {
    let files = instance.configuration.shown_files().join(", ");
    let mut out = if is_one_of_many { format!("# Node {}\n", node.name) } else { String::new() };
    if findings.missing.is_empty() {
        out.push_str(&format!("# Nothing is missing in {files}\n"));
    }
    out.push_str(&findings.text(&instance.configuration));
    for problem in &instance.configuration.problems {
        out.push_str(&format!("# Not looked at: {problem}\n"));
    }
    out
}

/// Everything that a node needs, beside what is for challenges.
fn all(config: &Config, node: &Node, is_open: bool, challenges: &[Challenge]) -> String {
    let mut out = String::new();
    if !is_open {
        out.push_str(&format!("{}\n", socket_lines(&node.socket)));
    }
    for keys in config.ticket_keys.iter().filter(|keys| config.ticket_nodes(keys).any(|of| of.name == node.name)) {
        out.push_str(&format!(
            "# On bind lines with `ssl`; the file has to be there when HAProxy starts, and `hotcert sync` writes it:\n#   tls-ticket-keys {}\n\n",
            keys.file
        ));
    }
    out.extend(bind_lines(node, challenges));
    out
}

fn bind_lines(node: &Node, challenges: &[Challenge]) -> Option<String> {
    let (place, bind) =
        if challenges.iter().any(is_behind) { ("that ends TLS", TLS_BIND) } else { ("on port 443", ":443") };
    let directory = node.directory()?;
    Some(format!(
        "# In the frontend {place}; strict-sni lets HAProxy start before there is a certificate:\nbind {bind} ssl crt {directory}/ strict-sni\n\n"
    ))
}

fn is_behind(challenge: &Challenge) -> bool {
    challenge.solver.kind() == ChallengeKind::TlsAlpn01
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
