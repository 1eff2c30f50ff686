//! `hotcert list`: the certificates, one a line.

use jiff::Timestamp;
use serde::Serialize;

use super::app::App;
use super::failure::{Exit, Failure};
use super::{Global, Output};
use crate::config::Flags;
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

pub(super) fn run(global: &Global, output: &Output) -> Result<Exit, Failure> {
    let flags = Flags { state_dir: global.state_dir.clone(), ..Flags::default() };
    let app = App::load(global, &flags, output)?;
    let mut certificates = Vec::new();
    for certificate in app.config.certificates.values() {
        let stored = app.store.current(&certificate.name)?;
        certificates.push(Line {
            name: certificate.name.clone(),
            domains: certificate.domains.clone(),
            source: stored.as_ref().map(|stored| stored.meta.source),
            not_after: stored.as_ref().map(|stored| stored.facts.not_after),
            generation: stored.as_ref().map(|stored| stored.number),
        });
    }
    let document = Document { certificates };
    output.result(&document, || {
        let line = |line: &Line| {
            let expires = line.not_after.map_or_else(|| "-".to_owned(), |end| end.strftime("%Y-%m-%d").to_string());
            let domains: Vec<_> = line.domains.iter().map(Identifier::human).collect();
            format!("{}\t{expires}\t{}\n", line.name, domains.join(", "))
        };
        document.certificates.iter().map(line).collect()
    });
    Ok(Exit::Done)
}
