//! `hotcert config`: check, show and write the configuration, and the lines that `HAProxy` needs.

mod draft;
mod file;
mod find;
mod haproxy;
mod init;
mod missing;
mod solver;

use std::path::Path;

use serde::Serialize;

use super::app::App;
use super::args::{Config as Args, Nodes};
use super::failure::Failure;
use super::outcome::{Note, Outcome};
use super::{Global, Output};
use crate::config::{Config, DEFAULT_FILE, Flags, Setting};
use crate::model::printable;
use crate::observe::overview::count;

/// Characters of a note, which may have names from foreign files in it.
const SHOWN: usize = 1000;

#[derive(Serialize)]
struct Checked {
    ok: bool,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Shown {
    settings: Vec<Setting>,
}

pub(super) async fn run(global: &Global, args: &Args, output: &Output) -> Result<Outcome, Failure> {
    match args {
        Args::Check => check(global),
        Args::Show(nodes) => show(global, nodes, output),
        Args::Init(args) => init::run(global, args).await,
        Args::Haproxy(args) => haproxy::run(global, &args.nodes, &args.ordering, output).await,
    }
}

fn check(global: &Global) -> Result<Outcome, Failure> {
    let file = global.config.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
    let config = Config::load(Some(file), &Flags::default())?;
    if !config.unreadable.is_empty() {
        return Err(crate::config::Error::Problems(config.unreadable).into());
    }
    let certificates = count(config.configured_names().len(), "certificate");
    let counts = format!("{certificates} on {}", count(config.nodes.len(), "node"));
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

/// Something that is told besides, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Advice {
    what: String,
    cure: Option<String>,
}

impl Advice {
    fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: Some(cure.into()) }
    }

    fn note(&self) -> Note {
        let cure = self.cure.iter().map(|cure| format!("; {cure}"));
        Note::new("note", printable(&format!("{}{}", self.what, cure.collect::<String>()), SHOWN))
    }
}
