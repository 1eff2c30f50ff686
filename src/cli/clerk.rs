//! Who carries out, in a daemon, what its clients ask for.

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::app::{App, Stop};
use super::failure::Failure;
use super::outcome::{Note, Outcome};
use super::request::Request;
use crate::config::Config;
use crate::reconcile::{Pushes, Report};
use crate::store::Store;

/// Carries out what clients ask for, in a daemon.
///
/// Requests run at the same time, and the locks of the store keep them apart. But whoever waits for a lock asks for it again and
/// again, for a limited time and without a queue: of a thousand hooks that push at once, many would give up. So requests
/// that change something in moments wait here for their turn, in the order in which they came.
#[derive(Debug)]
pub struct Clerk {
    store: Store,
    stop: CancellationToken,
    turn: Mutex<()>,
    pushes: Pushes,
}

impl Clerk {
    /// One for this store. Once `stop` is cancelled, orders are given up.
    #[must_use]
    pub fn new(store: Store, stop: CancellationToken) -> Self {
        Self { store, stop, turn: Mutex::new(()), pushes: Pushes::default() }
    }

    /// The same, which counts there what it loads.
    #[must_use]
    pub fn counting(self, pushes: Pushes) -> Self {
        Self { pushes, ..self }
    }

    /// Does what a client asks for. Once `stop` is cancelled, no change is begun, and what changes nothing is given up.
    ///
    /// `config` is what was loaded, without what the store remembers, which is looked up each time. `cached` is how things stood a
    /// moment ago, for `status`; without it everything is looked at.
    pub async fn answer(&self, request: Request, config: &Config, cached: Option<&Report>) -> Outcome {
        let turn = async { if request.waits_its_turn() { Some(self.turn.lock().await) } else { None } };
        let _turn = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Failure::stopping().into(),
            turn = turn => turn,
        };
        let app = match App::new(config.clone(), self.store.clone(), Stop::Token(self.stop.clone())) {
            Ok(app) => App { pushes: self.pushes.clone(), ..app },
            Err(failure) => return failure.into(),
        };
        // The client has read the file itself, and told of what is odd in it.
        let recalled = app.config.warnings.iter().skip(config.warnings.len());
        let notes = recalled.map(|warning| Note::new("warning", warning)).collect();
        let given_up = async {
            self.stop.cancelled().await;
            // Half a change is worse than one that takes its time.
            if !request.is_read_only() {
                std::future::pending::<()>().await;
            }
        };
        let outcome = tokio::select! {
            outcome = request.run(app, cached) => outcome,
            () = given_up => Err(Failure::stopping()),
        };
        outcome.unwrap_or_else(Outcome::from).after(notes)
    }
}
