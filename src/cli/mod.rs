//! The command line: one file for each command.
//!
//! Owns rendering and exit codes. Standard output carries data and nothing else; what is said on the way are logs, on standard
//! error. Errors are printed once, here, with their causes and a hint.

mod app;
mod args;
mod completions;
mod config;
mod failure;
mod issue;
mod list;
mod output;
mod plan;
mod push;
mod renew;
mod rollback;
mod status;
mod sync;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tracing::level_filters::LevelFilter;

pub use args::{Cli, Color, Command, Global};
use failure::{Exit, Failure};
use output::Output;

use crate::observe::Logs;

/// How long threads that are stuck in the system's resolver may hold up the end of the program.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(100);

/// Runs the program with these arguments, the first of which is its own name. `log` starts logging.
pub fn run(args: impl IntoIterator<Item = OsString>, log: impl FnOnce(Logs)) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error, args.iter().any(|arg| arg == "--json")),
    };
    let output = Output::new(&cli.global);
    log(logs(&cli.global, output.color));

    // One provider for everything that speaks TLS; a second installation in one process (tests) is harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.failure(&Failure::from(anyhow::Error::new(error).context("cannot start"))),
    };
    let outcome = runtime.block_on(execute(&cli, &output));
    runtime.shutdown_timeout(SHUTDOWN_DEADLINE);
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => output.failure(&failure),
    }
}

async fn execute(cli: &Cli, output: &Output) -> Result<Exit, Failure> {
    match &cli.command {
        Command::Issue(args) => issue::run(&cli.global, args, output).await,
        Command::Renew(args) => renew::run(&cli.global, args, output).await,
        Command::Push(args) => push::run(&cli.global, args, output).await,
        Command::Plan(nodes) => plan::run(&cli.global, nodes, output).await,
        Command::Sync(nodes) => sync::run(&cli.global, nodes, output).await,
        Command::Status(args) => status::run(&cli.global, args, output).await,
        Command::List => list::run(&cli.global, output),
        Command::Rollback(args) => rollback::run(&cli.global, args, output).await,
        Command::Config(args) => config::run(&cli.global, args, output).await,
        Command::Completions { shell } => completions::shell(*shell),
        Command::Man => completions::man(),
    }
}

fn logs(global: &Global, color: bool) -> Logs {
    let terminal = std::io::stderr().is_terminal();
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        // A person wants to see progress; a mail from cron should have warnings only.
        (false, 0) if terminal => LevelFilter::INFO,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    Logs { level, color, terminal: terminal || global.verbose < 2 }
}

fn wrong_usage(error: &clap::Error, json: bool) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    if json {
        // What is missing or wrong may follow on lines of its own; after a blank line comes what a person wants to know besides.
        let text = error.render().to_string();
        let text = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let message = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        let failure = Failure::usage(message, "see `hotcert --help`");
        return Output { json: true, color: false }.failure(&failure);
    }
    let _ = error.print();
    Exit::Usage.into()
}
