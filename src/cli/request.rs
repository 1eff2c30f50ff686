//! The commands that a daemon can do as well as the program itself.

use serde::{Deserialize, Serialize};

use super::app::App;
use super::args::{Account, Delete, Dump, Internal, Issue, Renew, Revoke, Rollback, Status};
use super::failure::Failure;
use super::outcome::Outcome;
use super::{account, delete, dump, internal, issue, list, plan, push, renew, revoke, rollback, status, sync, top};
use crate::reconcile::Report;

/// A command with all that it needs from whoever typed it. There may be a private key in it.
#[derive(Serialize, Deserialize)]
pub enum Request {
    /// `hotcert issue`
    Issue(Box<Issue>),
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
    /// `hotcert top`
    Top,
    /// `hotcert list`
    List,
    /// `hotcert rollback`
    Rollback(Rollback),
    /// `hotcert delete`
    Delete(Delete),
    /// `hotcert dump`
    Dump(Dump),
    /// `hotcert revoke`
    Revoke(Revoke),
    /// `hotcert account`
    Account(Account),
    /// `hotcert internal`
    Internal(Internal),
}

impl Request {
    /// Whether an authority may be asked for something.
    pub(super) fn orders(&self) -> bool {
        matches!(self, Self::Issue(_) | Self::Renew(_) | Self::Revoke(_) | Self::Account(_))
    }

    /// Whether it is a change that takes moments, so that one can wait for the other. An order may take minutes, most of which pass
    /// without touching anything.
    pub(super) fn waits_its_turn(&self) -> bool {
        matches!(self, Self::Push(_) | Self::Sync | Self::Rollback(_) | Self::Delete(_) | Self::Dump(_))
            && !self.is_read_only()
    }

    /// Whether nothing is changed by it, so that it may be done twice.
    pub(super) fn is_read_only(&self) -> bool {
        match self {
            // What is made once, as a root is, is not made twice.
            Self::Plan | Self::Status(_) | Self::Top | Self::List | Self::Internal(_) => true,
            Self::Renew(args) => args.dry_run,
            Self::Push(input) => input.is_dry_run(),
            Self::Account(args) => matches!(args, Account::Show(_)),
            Self::Issue(_) | Self::Sync | Self::Rollback(_) | Self::Delete(_) | Self::Dump(_) | Self::Revoke(_) => {
                false
            }
        }
    }

    /// Does it. `cached` is how things stood a moment ago, where somebody keeps watch.
    pub(super) async fn run(&self, app: App, cached: Option<&Report>) -> Result<Outcome, Failure> {
        match self {
            Self::Issue(args) => issue::run(app, args).await,
            Self::Renew(args) => renew::run(app, args).await,
            Self::Push(input) => push::run(app, input).await,
            Self::Plan => plan::run(&app).await,
            Self::Sync => sync::run(app).await,
            Self::Status(args) => status::run(&app, args, cached).await,
            Self::Top => top::answer(&app).await,
            Self::List => list::run(&app),
            Self::Rollback(args) => rollback::run(app, args).await,
            Self::Delete(args) => delete::run(app, args).await,
            Self::Dump(args) => dump::run(&app, args).await,
            Self::Revoke(args) => revoke::run(app, args).await,
            Self::Account(args) => account::run(&app, args).await,
            Self::Internal(args) => internal::run(&app, args),
        }
    }
}
