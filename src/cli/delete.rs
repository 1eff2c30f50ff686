//! `hotcert delete`: forget a certificate, and take it out of `HAProxy` if asked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::app::App;
use super::args::Delete;
use super::failure::Failure;
use super::outcome::{Note, Outcome};
use super::plan::Described;
use crate::config::Certificate;
use crate::config::kinds::member;
use crate::model::{CertName, KeyKind, NodeName};
use crate::plan::Step;
use crate::reconcile::Removal;

/// What `delete` prints.
#[derive(Serialize)]
struct Document {
    deleted: CertName,
    /// Whether it was taken out of `HAProxy`, too.
    detached: bool,
    nodes: Vec<NodeSteps>,
    /// Files that stay, for hotcert has not written them.
    kept: Vec<PathBuf>,
    /// The watched files from which it comes back.
    watched: Vec<PathBuf>,
}

#[derive(Serialize)]
pub(super) struct NodeSteps {
    name: NodeName,
    steps: Vec<Described<Step>>,
}

pub(super) async fn run(mut app: App, args: &Delete) -> Result<Outcome, Failure> {
    let name = &args.certificate;
    // What a crash left of a certificate that was deleted already.
    app.store.clear_forgotten()?;
    let names = named(&app, name)?;
    if args.detach {
        app.some_nodes()?;
    }
    let mut watched = Vec::new();
    let mut locks = Vec::new();
    for name in names.keys() {
        let taken = app.store.taken(name)?.map(|taken| taken.file);
        watched.extend(
            taken.filter(|file| file.is_file() && app.config.watches.iter().any(|watch| file.starts_with(&watch.dir))),
        );
        locks.push(app.renewer().lock(name).await?);
    }
    let forget = || locks.iter().try_for_each(|lock| app.store.forget(lock));
    let mut removals = Vec::new();
    if args.detach {
        let certificates = &mut app.config.certificates;
        for (name, kind) in &names {
            let unknown = || Certificate { kind: *kind, ..Certificate::new(name.clone()) };
            certificates.entry(name.clone()).or_insert_with(unknown);
        }
        removals = app.reconciler().remove(&names.into_keys().collect(), forget).await?;
    } else {
        forget()?;
    }
    drop(locks);
    tracing::info!(certificate = %name, detached = args.detach, "forgotten");
    Ok(tell(name, args.detach, removals, watched))
}

/// What a name stands for: a certificate or both kinds of it, also one that only the store knows.
fn named(app: &App, name: &CertName) -> Result<BTreeMap<CertName, Option<KeyKind>>, Failure> {
    let names = app.config.named(name);
    if let Some(configured) = names.iter().find(|name| !app.config.remembered.contains(*name)) {
        let configured = app.config.certificates[configured].configured_name();
        return Err(Failure::usage(
            format!("certificate {configured} stands in {}", place_in_file(app, &configured)),
            "take it out of that file first; otherwise it would be ordered again",
        ));
    }
    if !names.is_empty() {
        return Ok(names.into_iter().map(|name| (name, None)).collect());
    }
    let stored = app.store.names()?;
    if stored.contains(name) {
        return Ok(BTreeMap::from([(name.clone(), one_of_two(app, name))]));
    }
    let members = KeyKind::ALL.into_iter().filter_map(|kind| Some((member(name, kind).ok()?, Some(kind))));
    let members: BTreeMap<_, _> = members.filter(|(name, _)| stored.contains(name)).collect();
    if members.is_empty() {
        app.known(name)?;
    }
    Ok(members)
}

/// Which kind a certificate is of that only the store knows, if it is one of two: name and key say so.
fn one_of_two(app: &App, name: &CertName) -> Option<KeyKind> {
    let key = app.store.current(name).ok().flatten()?.facts.kind()?;
    let ending = name.as_str().rsplit_once('.').map(|(_, ending)| ending);
    (ending == Some(key.as_str())).then_some(key)
}

/// What was taken out of each node: for programs, for people, and what should be known besides.
pub(super) struct Detached {
    pub(super) nodes: Vec<NodeSteps>,
    pub(super) kept: Vec<PathBuf>,
    pub(super) text: String,
    pub(super) said: Vec<Note>,
}

impl Detached {
    pub(super) fn of(removals: Vec<Removal>) -> Self {
        let kept: Vec<PathBuf> = removals.iter().filter_map(|removal| removal.kept.clone()).collect();
        let stays = |file: &PathBuf| {
            let file = file.display();
            Note::new(
                "warning",
                format!("{file} was not written by hotcert and stays; HAProxy may read it at its next start"),
            )
        };
        let said = kept.iter().map(stays).collect();
        let mut text = String::new();
        for removal in &removals {
            text.push_str(&format!("node {}:\n", removal.node));
            let steps: Vec<_> = removal.steps.iter().map(|step| format!("  {step}\n")).collect();
            text.push_str(&if steps.is_empty() { "  it was not there\n".to_owned() } else { steps.concat() });
        }
        let nodes = removals.into_iter().map(|removal| NodeSteps {
            name: removal.node,
            steps: removal.steps.into_iter().map(Described::of).collect(),
        });
        Self { nodes: nodes.collect(), kept, text, said }
    }
}

fn tell(name: &CertName, detached: bool, removals: Vec<Removal>, watched: Vec<PathBuf>) -> Outcome {
    let mut said = Vec::new();
    if !detached {
        said.push(Note::new("notice", format!("HAProxy goes on serving {name}, and it is no longer renewed")));
    }
    let of_nodes = Detached::of(removals);
    said.extend(of_nodes.said);
    said.extend(watched.iter().map(|file| {
        Note::new(
            "warning",
            format!("{name} is taken again from {}, which is watched: remove that file", file.display()),
        )
    }));
    let text = format!("forgot certificate {name}\n{}", of_nodes.text);
    let Detached { nodes, kept, .. } = of_nodes;
    let document = Document { deleted: name.clone(), detached, nodes, kept, watched };
    Outcome::new(&document, text).after(said)
}

/// Where a certificate is configured, as far as that is known.
fn place_in_file(app: &App, name: &CertName) -> String {
    let mut places = app.config.settings.iter().filter(|setting| setting.key.starts_with("certificate["));
    let is_it = |value: &str| {
        value == name.as_str() || value.trim_matches(['[', ']']).split(", ").next() == Some(name.as_str())
    };
    let found = places.find(|setting| {
        (setting.key.ends_with("].name") || setting.key.ends_with("].domains")) && is_it(&setting.value)
    });
    found.map_or_else(|| "the configuration file".to_owned(), |setting| setting.origin.clone())
}
