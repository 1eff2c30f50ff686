//! The command line: one file for each command.
//!
//! Owns rendering and exit codes. Standard output carries data and nothing else; what is said on the way are logs, on standard
//! error. Errors are printed once, here, with their causes and a hint.

mod account;
mod app;
mod args;
mod clerk;
mod completions;
mod config;
mod daemon;
mod delete;
mod doctor;
mod dump;
mod failure;
mod import;
mod internal;
mod issue;
mod list;
mod outcome;
mod output;
mod plan;
mod push;
mod rehearse;
mod renew;
mod request;
mod revoke;
mod rollback;
mod run;
mod secret;
mod status;
mod sync;
mod top;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tracing::level_filters::LevelFilter;

use app::App;
use args::Nodes;
pub use args::{Cli, Color, Command, Global};
pub use clerk::Clerk;
pub use daemon::About;
use failure::{Exit, Failure};
use outcome::Note;
pub use outcome::Outcome;
use output::Output;
pub use request::Request;

use crate::config::Config;
use crate::observe::Logs;

/// How long threads that are stuck in the system's resolver may hold up the end of the program.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(100);

/// Runs the program with these arguments, the first of which is its own name. `log` starts logging.
pub fn run(args: impl IntoIterator<Item = OsString>, log: impl FnOnce(Logs)) -> ExitCode {
    keep_out_of_core_dumps();
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return wrong_usage(&error, args.iter().any(|arg| arg == "--json")),
    };
    let output = Output::new(&cli.global);
    log(logs(&cli, output.color));

    // One provider for everything that speaks TLS; a second installation in one process (tests) is harmless.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = Failure::from(anyhow::Error::new(error).context("cannot start"));
            return output.end(&failure.into());
        }
    };
    let outcome = runtime.block_on(execute(cli, &output)).unwrap_or_else(Outcome::from);
    runtime.shutdown_timeout(SHUTDOWN_DEADLINE);
    output.end(&outcome)
}

async fn execute(cli: Cli, output: &Output) -> Result<Outcome, Failure> {
    let Cli { global, command } = cli;
    let (nodes, request) = match command {
        Command::Config(args) => return config::run(&global, &args, output).await,
        Command::Doctor(nodes) => return doctor::run(&global, &nodes, output).await,
        Command::Completions { shell } => return Ok(completions::shell(shell)),
        Command::Man => return completions::man(),
        Command::Run(args) => return run::run(global, args).await,
        Command::Import(args) => {
            let config = Config::load(global.config.as_deref(), &args.nodes.flags(&global))?;
            return import::run(App::open(config, output)?, &args).await;
        }
        Command::Top(nodes) => return top::run(&global, nodes).await,
        Command::Issue(args) => (args.nodes.clone(), Request::Issue(args)),
        Command::Renew(args) => (args.nodes.clone(), Request::Renew(args)),
        Command::Push(args) => (args.nodes.clone(), Request::Push(push::Input::read(args)?)),
        Command::Plan(nodes) => (nodes, Request::Plan),
        Command::Sync(nodes) => (nodes, Request::Sync),
        Command::Status(args) => (args.nodes.clone(), Request::Status(args)),
        Command::List => (Nodes::default(), Request::List),
        Command::Rollback(args) => (args.nodes.clone(), Request::Rollback(args)),
        Command::Delete(args) => (args.nodes.clone(), Request::Delete(args)),
        Command::Dump(args) => (args.nodes.clone(), Request::Dump(args)),
        Command::Revoke(args) => (args.nodes.clone(), Request::Revoke(args)),
        Command::Account(args) => (Nodes::default(), Request::Account(args)),
        Command::Internal(args) => (Nodes::default(), Request::Internal(args)),
    };
    let config = Config::load(global.config.as_deref(), &nodes.flags(&global))?;
    if let Some(outcome) = daemon::ask(&config, &request).await? {
        let warnings = config.warnings.iter().map(|warning| Note::new("warning", warning));
        return Ok(outcome.after(warnings.collect()));
    }
    if request.is_read_only() && !config.state_dir.exists() {
        output.say("notice", &format!("there is no state directory {} yet", config.state_dir.display()));
    }
    let app = App::open(config, output)?;
    app.listen().await;
    request.run(app, None).await
}

/// Keys are in our memory: neither a crash nor another process of the same user gets to see it (`prctl(2)`, `PR_SET_DUMPABLE`).
fn keep_out_of_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // Less is always allowed; where even that is refused, the other one still holds.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

fn logs(cli: &Cli, color: bool) -> Logs {
    let Cli { global, command } = cli;
    let is_service = matches!(command, Command::Run(_));
    let terminal = std::io::stderr().is_terminal();
    let level = match (global.quiet, global.verbose) {
        // What is said on standard error would stand in the picture.
        _ if matches!(command, Command::Top(_)) && top::is_live(global) => LevelFilter::OFF,
        (true, _) => LevelFilter::ERROR,
        // A person and a journal want to see progress; a mail from cron should have warnings only.
        (false, 0) if terminal || is_service => LevelFilter::INFO,
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
        return Output { json: true, color: false, quiet: false }.end(&failure.into());
    }
    let _ = error.print();
    Exit::Usage.into()
}
