//! The commands that a daemon can do as well as the program itself.

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::app::{App, Stop};
use super::args::{Issue, Renew, Rollback, Status};
use super::failure::Failure;
use super::outcome::{Note, Outcome};
use super::{issue, list, plan, push, renew, rollback, status, sync};
use crate::config::Config;
use crate::reconcile::Report;
use crate::store::Store;

/// A command with all that it needs from whoever typed it. There may be a private key in it.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// `hotcert issue`
    Issue(Issue),
    /// `hotcert renew`
    Renew(Renew),
    /// `hotcert push`
    Push(push::Input),
    /// `hotcert plan`
    Plan,
    /// `hotcert sync`
    Sync,
    /// `hotcert status`
    Status(Status),
    /// `hotcert list`
    List,
    /// `hotcert rollback`
    Rollback(Rollback),
}

impl Request {
    /// Whether an authority may be asked for a certificate.
    pub(super) fn orders(&self) -> bool {
        matches!(self, Self::Issue(_) | Self::Renew(_))
    }

    /// Whether nothing is changed by it, so that it may be done twice.
    pub(super) fn is_read_only(&self) -> bool {
        match self {
            Self::Plan | Self::Status(_) | Self::List => true,
            Self::Renew(args) => args.dry_run,
            Self::Push(input) => input.is_dry_run(),
            Self::Issue(_) | Self::Sync | Self::Rollback(_) => false,
        }
    }

    /// Does it. `cached` is how things stood a moment ago, where somebody keeps watch.
    pub(super) async fn run(&self, app: App, cached: Option<&Report>) -> Result<Outcome, Failure> {
        match self {
            Self::Issue(args) => issue::run(app, args).await,
            Self::Renew(args) => renew::run(app, args).await,
            Self::Push(input) => push::run(app, input).await,
            Self::Plan => plan::run(&app).await,
            Self::Sync => sync::run(&app).await,
            Self::Status(args) => status::run(&app, args, cached).await,
            Self::List => list::run(&app),
            Self::Rollback(args) => rollback::run(app, args).await,
        }
    }
}

/// Does what a client asks for, in a daemon.
///
/// `config` is what was loaded, without what the store remembers, which is looked up each time. `cached` is how things stood a
/// moment ago, for `status`; without it everything is looked at. Once `stop` is cancelled, orders are given up.
pub async fn answer(
    request: Request,
    config: &Config,
    store: &Store,
    stop: &CancellationToken,
    cached: Option<&Report>,
) -> Outcome {
    let app = match App::new(config.clone(), store.clone(), Stop::Token(stop.clone())) {
        Ok(app) => app,
        Err(failure) => return failure.into(),
    };
    // The client has read the file itself, and told of what is odd in it.
    let recalled = app.config.warnings.iter().skip(config.warnings.len());
    let notes = recalled.map(|warning| Note::new("warning", warning)).collect();
    request.run(app, cached).await.unwrap_or_else(Outcome::from).after(notes)
}
