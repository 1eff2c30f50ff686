//! From the file to a [`Config`]: a file for each kind of table.

mod certificate;
mod dns;
mod group;
mod issuer;
mod node;
mod observe;
mod receiver;
mod resolver;
mod solver;
#[cfg(test)]
mod testing;
mod tickets;
mod tls;
mod watch;

use std::collections::BTreeSet;
use std::path::Path;

use toml::de::DeValue;

use super::read::{Reader, one_or_more, parsed, path, text};
use super::{Config, DEFAULT_STATE_DIR, Error};
use crate::model::Slot;
pub use issuer::check_mail;

/// The only version of the file's syntax.
const VERSION: &str = "1";

/// Reads a whole file; `Err` has every problem.
pub(super) fn parse(file: &Path, content: &str) -> Result<Config, Error> {
    let mut reader = Reader::new(file, content);
    let mut top = reader.document();

    top.require(&mut reader, "version", |value| match value {
        DeValue::Integer(number) if number.as_str() == VERSION => Ok(()),
        _ => Err(format!("must be {VERSION}, the only version there is")),
    });
    let state_dir = top.get_or(&mut reader, "state_dir", DEFAULT_STATE_DIR.to_owned(), text).into();
    let trust = top.get(&mut reader, "trust", |value| one_or_more(value, path)).unwrap_or_default();
    let resolver = resolver::resolver(&mut top, &mut reader);
    let issuers = issuer::issuers(&mut top, &mut reader);
    let solvers = solver::solvers(&mut top, &mut reader);
    let nodes = node::nodes(&mut top, &mut reader);
    let groups = group::groups(&mut top, &mut reader, &nodes);
    let certificates = certificate::certificates(&mut top, &mut reader, &issuers, &solvers, &groups);
    let ticket_keys = tickets::tickets(&mut top, &mut reader, &groups);
    let watches = watch::watches(&mut top, &mut reader);
    let receivers = receiver::receivers(&mut top, &mut reader);
    let observe = observe::observe(&mut top, &mut reader);
    let require = top.get(&mut reader, "require", parsed).unwrap_or_default();
    top.finish(&mut reader);

    if !reader.problems.is_empty() {
        reader.problems.sort_by_key(|problem| (problem.line, problem.column));
        return Err(Error::Problems(reader.problems));
    }
    Ok(Config {
        state_dir,
        trust,
        resolver,
        issuers,
        solvers,
        nodes,
        certificates,
        remembered: BTreeSet::new(),
        ticket_keys,
        watches,
        receivers,
        observe,
        require,
        settings: reader.settings,
        warnings: reader.warnings,
        unreadable: reader.unreadable,
    })
}

/// Text that becomes part of a slot or the name of a list.
fn slot_text(value: &DeValue<'_>) -> Result<String, String> {
    let text = text(value)?;
    text.parse::<Slot>().map_err(|error| error.reason.to_owned())?;
    Ok(text)
}

fn join(names: impl Iterator<Item = impl ToString>) -> String {
    names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}
