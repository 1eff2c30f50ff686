//! Standard output, and talk on standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use super::failure::{Exit, Failure};
use super::outcome::Outcome;
use super::{Color, Global};

/// How the program talks to its user.
pub(super) struct Output {
    pub(super) json: bool,
    pub(super) color: bool,
    pub(super) quiet: bool,
}

impl Output {
    pub(super) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org
            Color::Auto => io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self { json: global.json, color, quiet: global.quiet }
    }

    /// Prints what a command has to say, and tells its exit code.
    pub(super) fn end(&self, outcome: &Outcome) -> ExitCode {
        let printed = if self.json {
            print(format!("{}\n", outcome.document.trim_end()).as_bytes())
        } else {
            print(outcome.text.as_bytes())
        };
        for note in &outcome.notes {
            self.say(&note.label, &note.text);
        }
        for failure in &outcome.failures {
            self.explain(failure);
        }
        match printed {
            // A reader who has gone away (`| head -1`) has read what they wanted.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                let what = "what was found could not be written to standard output";
                let hint = "look at where standard output goes; what the command has changed stays changed".to_owned();
                self.explain(&Failure { hint: Some(hint), ..Failure::from(anyhow::Error::new(error).context(what)) });
                if outcome.failures.is_empty() { Exit::Failed } else { outcome.exit }.into()
            }
            _ => outcome.exit.into(),
        }
    }

    /// Says something on standard error that is no failure.
    pub(super) fn say(&self, label: &str, text: &str) {
        if self.quiet {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = if self.color {
            writeln!(stderr, "\u{1b}[1;33m{label}:\u{1b}[0m {text}")
        } else {
            writeln!(stderr, "{label}: {text}")
        };
    }

    /// The failure on standard error.
    pub(super) fn explain(&self, failure: &Failure) {
        let mut stderr = io::stderr().lock();
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

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}
