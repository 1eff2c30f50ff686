//! Standard output, and errors on standard error.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::failure::Failure;
use super::{Color, Global};

/// How a command talks to its user.
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) color: bool,
}

#[derive(Serialize)]
struct ErrorDocument<'a> {
    error: &'a Failure,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org
            Color::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self { json: global.json, color }
    }

    /// Prints the result: the document where JSON is wanted, else the text.
    pub(super) fn result(&self, document: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            let json = serde_json::to_string_pretty(document).unwrap_or_else(|_| "{}".to_owned());
            print((json + "\n").as_bytes());
        } else {
            print(text().as_bytes());
        }
    }

    /// Says something on standard error that is no failure.
    pub(super) fn say(&self, label: &str, text: &str) {
        let mut stderr = std::io::stderr().lock();
        let _ = if self.color {
            writeln!(stderr, "\u{1b}[1;33m{label}:\u{1b}[0m {text}")
        } else {
            writeln!(stderr, "{label}: {text}")
        };
    }

    /// Prints why a command failed, and tells its exit code.
    pub(super) fn failure(&self, failure: &Failure) -> ExitCode {
        if self.json {
            self.result(&ErrorDocument { error: failure }, String::new);
        }
        self.explain(failure);
        failure.exit.into()
    }

    /// The failure on standard error.
    pub(super) fn explain(&self, failure: &Failure) {
        let mut stderr = std::io::stderr().lock();
        let (red, bold, plain) = if self.color { ("\u{1b}[1;31m", "\u{1b}[1m", "\u{1b}[0m") } else { ("", "", "") };
        for place in failure.causes.iter().filter(|_| failure.is_list) {
            let _ = writeln!(stderr, "{place}");
        }
        let _ = writeln!(stderr, "{red}error:{plain} {}", failure.message);
        for cause in failure.causes.iter().filter(|_| !failure.is_list) {
            let _ = writeln!(stderr, "  {bold}caused by:{plain} {cause}");
        }
        if let Some(hint) = &failure.hint {
            let _ = writeln!(stderr, "  {bold}hint:{plain} {hint}");
        }
    }
}

/// Writes to standard output. A reader who has gone away (`| head -1`) is no failure.
pub(super) fn print(bytes: &[u8]) {
    let _ = std::io::stdout().lock().write_all(bytes);
}
