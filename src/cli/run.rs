//! `hotcert run`: the sidecar.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::app::{App, Stop};
use super::args::Run;
use super::failure::Failure;
use super::outcome::Outcome;
use super::{About, Clerk, Global, Output, Request, top};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::Server;
use crate::daemon::{Context, Daemon, Loaded, Serving, Shell};
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
    Ok(Loaded::new(config, trust))
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

    fn serve(&self, server: Server, context: Context, stop: CancellationToken) -> Serving {
        let (role, about) = (self.args.role, context.base.config.clone());
        let clerk = Clerk::new(self.store.clone(), stop.clone()).counting(context.pushes.clone());
        let (store, clerk) = (self.store.clone(), Arc::new(clerk));
        let handler = move |request: Request| {
            let (clerk, context, store) = (Arc::clone(&clerk), context.clone(), store.clone());
            async move {
                if matches!(request, Request::Status(_)) {
                    context.settle(&store).await;
                }
                if matches!(request, Request::Top)
                    && let Some(overview) = context.overview()
                {
                    return top::outcome(&overview).unwrap_or_else(Outcome::from);
                }
                let cached = context.status.report();
                let outcome = clerk.answer(request, &context.base.config, cached.as_ref()).await;
                context.stored();
                outcome
            }
        };
        Box::pin(server.run(move || About::of(&about, role), handler, stop))
    }
}

pub(super) async fn run(global: Global, args: Run) -> Result<Outcome, Failure> {
    let config = config(&global, &args)?;
    let store = Store::open(&config.state_dir)?;
    let loaded = loaded(config, &store)?;
    let daemon = Daemon {
        role: args.role,
        store: store.clone(),
        clock: Arc::new(SystemClock),
        connect: Arc::new(SystemConnect),
        shell: Arc::new(CommandLine { global, args, store }),
    };
    daemon.run(loaded).await?;
    Ok(Outcome::script(""))
}
