//! `hotcert run`: the sidecar.

use std::sync::Arc;

use super::app::{App, Stop};
use super::args::Run;
use super::failure::Failure;
use super::outcome::Outcome;
use super::{Global, Output, Role};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::daemon::{self, Daemon, Loaded, Shell};
use crate::haproxy::SystemConnect;
use crate::store::Store;

/// The command line from which the daemon was started: it is how its configuration is read, each time.
struct CommandLine {
    global: Global,
    args: Run,
}

impl CommandLine {
    fn load(&self) -> Result<Loaded, Failure> {
        let config = Config::load(self.global.config.as_deref(), &self.args.nodes.flags(&self.global))?;
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let store = Store::open(&config.state_dir)?;
        // Also those are trusted that something remembered was ordered from.
        let App { trust, .. } = App::new(config.clone(), store, Stop::Signals)?.with_trust()?;
        Ok(Loaded { config, trust })
    }
}

impl Shell for CommandLine {
    fn load(&self) -> Option<Loaded> {
        match self.load() {
            Ok(loaded) => Some(loaded),
            Err(failure) => {
                Output::new(&self.global).explain(&failure);
                None
            }
        }
    }
}

pub(super) async fn run(global: Global, args: Run) -> Result<Outcome, Failure> {
    let role = match args.role {
        Role::All => daemon::Role::All,
        Role::Agent => daemon::Role::Agent,
        Role::Loader => daemon::Role::Loader,
    };
    let shell = CommandLine { global, args };
    let loaded = shell.load()?;
    let daemon = Daemon {
        role,
        store: Store::open(&loaded.config.state_dir)?,
        clock: Arc::new(SystemClock),
        connect: Arc::new(SystemConnect),
        shell: Arc::new(shell),
    };
    daemon.run(loaded).await?;
    Ok(Outcome::script(""))
}
