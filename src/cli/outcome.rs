//! What a command has to say when it has ended, whoever ran it.
//!
//! Nothing is printed while a command works: what it found is handed over as a whole, so that a daemon can send it to whoever
//! typed the command.

use serde::{Deserialize, Serialize};

use super::failure::{Exit, Failure};

/// What a command has to say.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// For programs: one JSON document, as text, so that its fields keep their order on the way.
    pub(super) document: String,
    /// For people.
    pub(super) text: String,
    /// What is no failure, and not what was asked for.
    pub(super) notes: Vec<Note>,
    /// What failed; the last one gave the document and the exit code.
    pub(super) failures: Vec<Failure>,
    pub(super) exit: Exit,
}

/// Something said besides.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// What sort of note it is, as in `warning`.
    pub(super) label: String,
    pub(super) text: String,
}

/// The document of a command that failed.
#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: Problem<'a>,
}

#[derive(Serialize)]
struct Problem<'a> {
    message: &'a str,
    causes: &'a [String],
    hint: Option<&'a str>,
    kind: &'a str,
}

impl Outcome {
    /// A command that is done, and found this.
    pub(super) fn new(document: &impl Serialize, text: impl Into<String>) -> Self {
        Self {
            document: serde_json::to_string_pretty(document).unwrap_or_else(|_| "{}".to_owned()),
            text: text.into(),
            notes: Vec::new(),
            failures: Vec::new(),
            exit: Exit::Done,
        }
    }

    /// Text that is for programs as it is.
    pub(super) fn script(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { document: text.clone(), text, notes: Vec::new(), failures: Vec::new(), exit: Exit::Done }
    }

    /// The same, with another exit code.
    pub(super) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The same, with notes before its own.
    pub(super) fn after(mut self, notes: Vec<Note>) -> Self {
        self.notes.splice(0..0, notes);
        self
    }

    /// Failures, of which the last counts.
    pub(super) fn failed(mut others: Vec<Failure>, counting: Failure, text: String) -> Self {
        let Failure { message, causes, hint, kind, .. } = &counting;
        let error = Problem { message, causes, hint: hint.as_deref(), kind };
        let outcome = Self::new(&ErrorDocument { error }, text).exit(counting.exit);
        others.push(counting);
        Self { failures: others, ..outcome }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::failed(Vec::new(), failure, String::new())
    }
}

impl Note {
    pub(super) fn new(label: &str, text: impl Into<String>) -> Self {
        Self { label: label.to_owned(), text: text.into() }
    }
}
