//! `hotcert list`: the certificates, one a line.

use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::failure::Failure;
use super::outcome::Outcome;
use crate::model::{CertName, Identifier};
use crate::store::Source;

#[derive(Serialize)]
struct Document {
    certificates: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: CertName,
    domains: Vec<Identifier>,
    source: Option<Source>,
    not_after: Option<Timestamp>,
    generation: Option<u64>,
}

pub(super) fn run(app: &App) -> Result<Outcome, Failure> {
    let mut certificates = Vec::new();
    for certificate in app.config.certificates.values() {
        let stored = app.store.current(&certificate.name)?;
        certificates.push(Line {
            name: certificate.configured_name(),
            domains: certificate.domains.clone(),
            source: stored.as_ref().map(|stored| stored.meta.source),
            not_after: stored.as_ref().map(|stored| stored.facts.not_after),
            generation: stored.as_ref().map(|stored| stored.number),
        });
    }
    // Of two kinds the one that is missing, or ends first, is told.
    certificates.sort_by(|a: &Line, b| (&a.name, a.not_after).cmp(&(&b.name, b.not_after)));
    certificates.dedup_by(|one, other| one.name == other.name);
    let line = |line: &Line| {
        let expires = line.not_after.map_or_else(|| "-".to_owned(), |end| end.strftime("%Y-%m-%d").to_string());
        let domains: Vec<_> = line.domains.iter().map(Identifier::human).collect();
        format!("{}\t{expires}\t{}\n", line.name, domains.join(", "))
    };
    let text: String = certificates.iter().map(line).collect();
    Ok(Outcome::new(&Document { certificates }, text))
}
