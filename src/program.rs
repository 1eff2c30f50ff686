//! Programs of the user's: run without a shell, in a process group and with an environment of their own, for a bounded time.
//!
//! Owns their start and their end, with all that they started, and the end of what they print, which is all that is kept of it.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::model::printable;

/// How long its output may stay open after its end, by what it left running.
const LINGER: Duration = Duration::from_millis(500);
/// How much of the end of what it printed is kept, in bytes.
const KEPT: usize = 1000;
/// Where programs are looked for, when nobody said it.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program did not do what it was run for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be run.
    #[error("cannot run {}", program.display())]
    Run {
        /// Which program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It failed.
    #[error("{} failed ({status}){}", program.display(), printed(output))]
    Failed {
        /// Which program.
        program: PathBuf,
        /// How it ended.
        status: String,
        /// The end of what it printed, without control characters.
        output: String,
    },
    /// It did not end.
    #[error("{} has not ended within {} s, and was killed{}", program.display(), .waited.as_secs(), printed(output))]
    Endless {
        /// Which program.
        program: PathBuf,
        /// How long was waited.
        waited: Duration,
        /// The end of what it printed, without control characters.
        output: String,
    },
}

impl Error {
    /// The same, where something of what was printed must not be told.
    #[must_use]
    pub fn masked(mut self, mask: impl FnOnce(&str) -> String) -> Self {
        if let Self::Failed { output, .. } | Self::Endless { output, .. } = &mut self {
            *output = mask(output);
        }
        self
    }

    /// What a person can do about it; whoever runs it knows more of one that ran and failed.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let Self::Run { program, source } = self else { return None };
        Some(match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOEXEC) => "let its first line name the program that runs it, such as `#!/bin/sh`",
            Some(Errno::NOENT) if program.exists() => "the program that its first line (`#!`) names is not there",
            Some(Errno::NOENT) => "correct its path in the configuration",
            _ => "it has to be an executable file, and hotcert's user has to be allowed to run it",
        })
    }
}

fn printed(output: &str) -> String {
    if output.is_empty() { String::new() } else { format!(", and printed: {output}") }
}

/// A command whose environment has a `PATH`, and nothing else of ours.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_else(|| PATH.into()));
    command
}

/// Runs a [`command`] to its end, and not for longer than `deadline`; success is the exit code 0. Without `input` its standard input is
/// empty. Errors call it `program`.
pub async fn run(program: &Path, command: &mut Command, input: Option<&[u8]>, deadline: Duration) -> Result<(), Error> {
    let failed = |source| Error::Run { program: program.to_owned(), source };
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut group = Group(command.spawn().map_err(failed)?);
    let out = group.0.stdout.take().expect("it is piped");
    let err = group.0.stderr.take().expect("it is piped");
    let stdin = group.0.stdin.take();
    let feeding = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // Who does not read it does not want it.
            let _ = stdin.write_all(input).await;
        }
    };
    let mut tail = Tail::default();
    let ended = {
        let mut reading = pin!(tail.read(out, err));
        let ending = async {
            tokio::select! {
                () = &mut reading => group.0.wait().await,
                status = group.0.wait() => {
                    // What it printed last may still be on its way; without this, the end of the story would be missing.
                    let _ = timeout(LINGER, &mut reading).await;
                    status
                }
            }
        };
        timeout(deadline, async { tokio::join!(feeding, ending).1 }).await
    };
    let output = tail.text();
    match ended {
        Ok(status) => match status.map_err(failed)? {
            status if status.success() => Ok(()),
            status => Err(Error::Failed { program: program.to_owned(), status: status.to_string(), output }),
        },
        Err(_) => Err(Error::Endless { program: program.to_owned(), waited: deadline, output }),
    }
}

/// A process with its descendants: dropped before its end, all are killed.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // There is no number any more once it was waited for.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            // It leads a group of this number, or it is just about to end by itself.
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

/// The end of what a program prints on both streams.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    async fn read(&mut self, mut out: impl AsyncRead + Unpin, mut err: impl AsyncRead + Unpin) {
        let (mut from_out, mut from_err) = ([0; KEPT], [0; KEPT]);
        let (mut out_is_open, mut err_is_open) = (true, true);
        while out_is_open || err_is_open {
            tokio::select! {
                read = out.read(&mut from_out), if out_is_open => {
                    let count = read.unwrap_or_default();
                    out_is_open = count > 0;
                    self.add(&from_out[..count]);
                }
                read = err.read(&mut from_err), if err_is_open => {
                    let count = read.unwrap_or_default();
                    err_is_open = count > 0;
                    self.add(&from_err[..count]);
                }
            }
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(KEPT);
        self.0.drain(..excess);
    }

    /// The text on one line, fit for a terminal.
    fn text(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let lines = text.split(['\n', '\r']).map(|line| line.replace(char::is_control, ""));
        let lines: Vec<_> = lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        printable(&lines.join(" / "), 4 * KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn shell(script: &str, deadline: Duration) -> Result<(), Error> {
        run(Path::new("/bin/sh"), command("/bin/sh").args(["-c", script]), None, deadline).await
    }

    #[tokio::test]
    async fn a_failure_tells_the_end_of_what_was_printed() {
        const DEADLINE: Duration = Duration::from_mins(1);
        shell("exit 0", DEADLINE).await.unwrap();
        let error = shell("printf 'one\\n\\033[31mtwo\\n' >&2; exit 3", DEADLINE).await.unwrap_err().to_string();
        assert_eq!(error, "/bin/sh failed (exit status: 3), and printed: one / [31mtwo");
        let error = shell("yes | head -c 100000; echo last; kill $$", DEADLINE).await.unwrap_err().to_string();
        assert!(error.len() < 4 * KEPT && error.contains("signal: 15") && error.ends_with("last"), "{error}");
    }

    #[tokio::test]
    async fn nothing_of_a_program_outlives_its_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, 0o600.into()).unwrap();
        // The descendant holds the pipe open for writing for as long as it lives.
        let script = format!("sleep 1000 >'{}' & echo begun; sleep 1000", pipe.display());
        let reader = std::thread::spawn(move || std::fs::read(pipe));
        let error = shell(&script, Duration::from_millis(300)).await.unwrap_err();
        assert!(matches!(&error, Error::Endless { output, .. } if output == "begun"), "{error}");
        assert_eq!(reader.join().unwrap().unwrap(), b"");
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_is_not_waited_for() {
        shell("sleep 5 & exit 0", Duration::from_secs(4)).await.unwrap();
    }
}
