//! `hotcert run`: the sidecar.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::app::{App, Stop};
use super::args::Run;
use super::failure::Failure;
use super::outcome::Outcome;
use super::request::{Request, answer};
use super::{About, Global, Output, Role};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::Server;
use crate::daemon::{self, Daemon, Desk, Loaded, Serving, Shell};
use crate::haproxy::SystemConnect;
use crate::store::Store;

/// The command line from which the daemon was started: it is how its configuration is read, each time.
struct CommandLine {
    global: Global,
    args: Run,
    /// The state directory stays the same for as long as the daemon runs.
    store: Store,
}

fn config(global: &Global, args: &Run) -> Result<Config, Failure> {
    let config = Config::load(global.config.as_deref(), &args.nodes.flags(global))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(config)
}

/// The roots to trust: also those that something remembered was ordered from.
fn loaded(config: Config, store: &Store) -> Result<Loaded, Failure> {
    let App { trust, .. } = App::new(config.clone(), store.clone(), Stop::Signals)?.with_trust()?;
    Ok(Loaded { config, trust })
}

impl Shell for CommandLine {
    fn load(&self) -> Option<Loaded> {
        match config(&self.global, &self.args).and_then(|config| loaded(config, &self.store)) {
            Ok(loaded) => Some(loaded),
            Err(failure) => {
                Output::new(&self.global).explain(&failure);
                None
            }
        }
    }

    fn serve(&self, server: Server, desk: Desk, stop: CancellationToken) -> Serving {
        let (store, role, about) = (self.store.clone(), self.args.role, desk.base.config.clone());
        let orders_stop = stop.clone();
        let handler = move |request: Request| {
            let (store, desk, stop) = (store.clone(), desk.clone(), orders_stop.clone());
            async move {
                let cached = desk.status.report();
                let outcome = answer(request, &desk.base.config, &store, &stop, cached.as_ref()).await;
                desk.stored();
                outcome
            }
        };
        Box::pin(server.run(move || About::of(&about, role), handler, stop))
    }
}

pub(super) async fn run(global: Global, args: Run) -> Result<Outcome, Failure> {
    let role = match args.role {
        Role::All => daemon::Role::All,
        Role::Agent => daemon::Role::Agent,
        Role::Loader => daemon::Role::Loader,
    };
    let config = config(&global, &args)?;
    let store = Store::open(&config.state_dir)?;
    let loaded = loaded(config, &store)?;
    let daemon = Daemon {
        role,
        store: store.clone(),
        clock: Arc::new(SystemClock),
        connect: Arc::new(SystemConnect),
        shell: Arc::new(CommandLine { global, args, store }),
    };
    daemon.run(loaded).await?;
    Ok(Outcome::script(""))
}
