//! `hotcert dump`: write what `HAProxy` holds in memory and no file has to disk.

use serde::Serialize;

use super::app::App;
use super::args::Dump;
use super::failure::Failure;
use super::outcome::Outcome;
use crate::reconcile::{DumpOptions, DumpOutcome, Dumped};

#[derive(Serialize)]
struct Document {
    slots: Vec<Dumped>,
}

pub(super) async fn run(app: &App, args: &Dump) -> Result<Outcome, Failure> {
    app.some_nodes()?;
    let options = DumpOptions { only: args.certificate.as_deref(), to: args.to.as_deref(), force: args.force };
    let (slots, errors) = app.reconciler().dump(options).await;
    let mut failures: Vec<Failure> = errors.iter().map(Failure::from).collect();
    if let (Some(only), true, true) = (options.only, slots.is_empty(), failures.is_empty()) {
        return Err(Failure::usage(
            format!("no HAProxy has a certificate or slot {only}"),
            "`hotcert status --json` shows the slots, also those that hotcert does not manage",
        ));
    }
    failures.extend(slots.iter().filter_map(unsaved));
    let text = slots.iter().map(line).collect::<String>();
    let is_empty = text.is_empty() && failures.is_empty();
    let text = if is_empty { "there is nothing to save\n".to_owned() } else { text };
    let Some(counting) = failures.pop() else { return Ok(Outcome::new(&Document { slots }, text)) };
    Ok(Outcome::failed(failures, counting, text))
}

fn line(dumped: &Dumped) -> String {
    let Dumped { node, slot, file, outcome } = dumped;
    let file = file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let what = match outcome {
        DumpOutcome::Written => format!("written to {file}"),
        DumpOutcome::Same => format!("{file} has it already"),
        DumpOutcome::Stored => "hotcert has it in its store".to_owned(),
        DumpOutcome::Kept => format!("not saved: {file} holds something else"),
        DumpOutcome::Nowhere => "not saved: it has no file of that name".to_owned(),
    };
    format!("{slot} on {node}: {what}\n")
}

/// What was asked for and not done.
fn unsaved(dumped: &Dumped) -> Option<Failure> {
    let Dumped { node, slot, file, outcome } = dumped;
    let file = file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
    let (why, hint) = match outcome {
        DumpOutcome::Kept => {
            (format!("{file} holds something else"), "overwrite it by --force, or choose a directory by --to")
        }
        DumpOutcome::Nowhere => ("HAProxy does not tell its file".to_owned(), "choose a directory by --to"),
        _ => return None,
    };
    Some(Failure::failed(format!("{slot} of node {node} was not saved: {why}"), hint, "dump"))
}
