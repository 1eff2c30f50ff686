//! `hotcert config init`: from what is on the machine to a configuration.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::Global;
use super::super::args::Init;
use super::super::failure::Failure;
use super::super::outcome::Outcome;
use super::draft::{Draft, Given};
use super::file::{self, Contents};
use super::missing::Findings;
use super::{Advice, find, solver};
use crate::config::{DEFAULT_FILE, OrderFlags, Solver, absolute_address};
use crate::host::{Host, Instance};
use crate::model::{Address, NodeName};
use crate::store::write_config;

/// Files that cannot be read, which are told: further ones say the same.
const MAX_HIDDEN: usize = 3;

#[derive(Serialize)]
struct Found<'a> {
    file: Option<&'a Path>,
    nodes: &'a [Draft],
    solver: &'a Solver,
    notes: &'a [Advice],
    configuration: &'a str,
}

pub(super) async fn run(global: &Global, args: &Init) -> Result<Outcome, Failure> {
    let output = args.output.as_deref().or(global.config.as_deref()).unwrap_or(Path::new(DEFAULT_FILE));
    let file = (output != Path::new("-")).then_some(output);
    if let Some(file) = file.filter(|file| !args.force && file.symlink_metadata().is_ok()) {
        return Err(exists(file));
    }
    let flags = OrderFlags { profile: args.profile.clone(), ..args.answering.flags(&args.ca, &args.terms) };
    let (issuer, mut answerer) = flags.ordering()?;
    let host = Host::look();
    let mut advice = Vec::new();
    let (nodes, instances) = nodes(&host, args, &mut advice).await?;
    let mut about = Vec::new();
    solver::adopt(&mut answerer, &flags, instances.iter().copied().flatten(), &mut about);
    let state_dir =
        global.state_dir.as_deref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let contents =
        Contents { state_dir: state_dir.as_deref(), issuer: &issuer, solver: &answerer, nodes: &nodes, notes: &about };
    let text = file::text(&contents);
    if let Some(file) = file {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        if !write_config(&file, &text, args.force)? {
            return Err(exists(&file));
        }
    }
    advice.extend(about);
    advice.extend(nodes.iter().flat_map(|node| node.notes.iter().cloned()));
    let said = advice.iter().map(Advice::note).collect();
    let found = Found { file, nodes: &nodes, solver: &answerer, notes: &advice, configuration: &text };
    let shown = match file {
        Some(file) => summary(file, &nodes, &answerer, &instances),
        None => text.clone(),
    };
    Ok(Outcome::new(&found, shown).after(said))
}

/// The nodes: those of the flags, else every `HAProxy` that may be trusted.
async fn nodes<'a>(
    host: &'a Host,
    args: &Init,
    advice: &mut Vec<Advice>,
) -> Result<(Vec<Draft>, Vec<Option<&'a Instance>>), Failure> {
    let mut names = Names::default();
    let mut out = Vec::new();
    let mut instances = Vec::new();
    let crt_dir =
        args.nodes.crt_dir.as_deref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
    let given = Given { socket: None, crt_dir: crt_dir.as_deref(), verify: &args.nodes.verify };
    for socket in &args.nodes.sockets {
        if matches!(socket, Address::Tls(_)) || !socket.is_local() {
            let what = format!("{socket} is not on this machine, where `config init` looks");
            return Err(Failure::usage(what, "write the table of that node by hand: see docs/tls-nodes.md"));
        }
        let socket = absolute_address(socket);
        let instance = find::instance(host, &socket);
        let given = Given { socket: Some(&socket), ..given };
        out.push(Draft::of(names.of(instance), instance, &given).await);
        instances.push(instance);
    }
    if !out.is_empty() {
        // Whose files are hidden may be the one that was meant.
        if instances.iter().any(Option::is_none) {
            let hidden = host.instances.iter().flat_map(|instance| &instance.configuration.problems);
            let hidden = hidden.filter(|problem| problem.is_hidden()).take(MAX_HIDDEN);
            advice.extend(hidden.map(|problem| Advice { what: problem.to_string(), cure: problem.hint() }));
        }
        return Ok((out, instances));
    }
    for instance in &host.instances {
        if let Some(main) = instance.main().filter(|_| !instance.is_trusted()) {
            advice.push(Advice::new(
                format!(
                    "process {} is a HAProxy of user {}, and is not taken into the configuration",
                    main.pid, main.uid
                ),
                "if it is yours, name its stats socket by --socket",
            ));
            continue;
        }
        out.push(Draft::of(names.of(Some(instance)), Some(instance), &given).await);
        instances.push(Some(instance));
    }
    if out.is_empty() {
        let hint = "start HAProxy, or name its stats socket: `hotcert config init --socket /run/haproxy/admin.sock`";
        return Err(Failure::failed("no HAProxy was found on this machine".to_owned(), hint, "haproxy"));
    }
    Ok((out, instances))
}

/// Names of nodes, each once.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Names {
    /// As it calls itself (`node`), else as its first file is called.
    fn of(&mut self, instance: Option<&Instance>) -> NodeName {
        let stem = |file: &PathBuf| Some(file.file_stem()?.to_str()?.to_owned());
        let own = instance.and_then(|instance| {
            let node = instance.configuration.global().node;
            node.or_else(|| instance.configuration.files.first().and_then(stem))
        });
        let own = own
            .filter(|name| name.len() < 60 && name.parse::<NodeName>().is_ok())
            .unwrap_or_else(|| "haproxy".to_owned());
        let mut name = own.clone();
        let mut count = 1;
        while !self.0.insert(name.clone()) {
            count += 1;
            name = format!("{own}-{count}");
        }
        name.parse().expect("a short name with a number is a node name")
    }
}

fn exists(file: &Path) -> Failure {
    Failure::failed(
        format!("{} is there already", file.display()),
        "write another file by --output, or overwrite this one by --force",
        "exists",
    )
}

/// What was done, and what comes next.
fn summary(file: &Path, nodes: &[Draft], solver: &Solver, instances: &[Option<&Instance>]) -> String {
    let mut out = format!("{}: written\n", file.display());
    for node in nodes {
        let address = node.socket.as_ref().or(node.master.as_ref()).map(ToString::to_string).unwrap_or_default();
        let version = node.haproxy.version.as_deref().unwrap_or("of an unknown version");
        let directory = node.crt_dir.display();
        out.push_str(&format!("  {}: HAProxy {version} at {address}, certificates in {directory}\n", node.name));
    }
    let is_complete = |(node, instance): (&Draft, Option<&Instance>)| {
        instance.is_some_and(|instance| {
            let mut findings = Findings::default();
            findings.certificates(instance, Some(&node.directory()), node.crt_list.as_deref());
            findings.challenges(instance, solver, "", "");
            findings.missing.is_empty()
        })
    };
    out.push_str("next:\n");
    let is_usual = file == Path::new(DEFAULT_FILE);
    let config = if is_usual { String::new() } else { format!(" --config {}", file.display()) };
    if !nodes.iter().zip(instances.iter().copied()).all(is_complete) {
        out.push_str(&format!(
            "  hotcert config haproxy{config}       # prints what is missing in HAProxy's configuration\n"
        ));
    }
    out.push_str(&format!("  hotcert issue example.org{config}    # orders a certificate and loads it\n"));
    out
}
