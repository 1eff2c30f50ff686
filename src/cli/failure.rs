//! Errors as users see them: a message, its causes, a hint, a kind, an exit code.

use std::borrow::Cow;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::bundle::Refusal;
use crate::model::{Invalid, causes};
use crate::reconcile;
use crate::schedule::Retry;
use crate::store::Revocation;
use crate::{acme, config, daemon, renew, store};

/// The exit codes, which scripts and timers rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// A check found something.
    Found = 2,
    /// Wrong usage (`EX_USAGE` of sysexits).
    Usage = 64,
    /// Try again later (`EX_TEMPFAIL`).
    Later = 75,
    /// Wrong configuration (`EX_CONFIG`).
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command failed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    /// What failed.
    pub(super) message: String,
    /// Why, from the outermost to the innermost cause.
    pub(super) causes: Vec<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
    /// What sort of failure it is, for programs.
    pub(super) kind: Cow<'static, str>,
    /// Whether the causes are places in a file, which editors and people read best as they are.
    pub(super) is_list: bool,
    pub(super) exit: Exit,
}

impl Failure {
    const STOPPING: &'static str = "stopping";

    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            hint: Some(hint.into()),
            kind: "usage".into(),
            is_list: false,
            exit: Exit::Usage,
        }
    }

    /// Something was not done, for this reason.
    pub(super) fn failed(message: String, hint: &str, kind: &'static str) -> Self {
        let kind = kind.into();
        Self { message, causes: Vec::new(), hint: Some(hint.to_owned()), kind, is_list: false, exit: Exit::Failed }
    }

    /// What is revoked is not loaded again.
    pub(super) fn revoked(what: &str, revocation: &Revocation) -> Self {
        let message = format!("{what} was revoked at {} ({})", revocation.at, revocation.reason);
        Self::failed(message, "take another one, or order a new one by `hotcert renew --force`", "revoked")
    }

    /// A file that was given on the command line cannot be read.
    pub(super) fn unreadable(path: &Path, error: std::io::Error) -> Self {
        let error = anyhow::Error::new(error).context(format!("cannot read {}", path.display()));
        let hint = format!("look at it by `ls -l {}`: it must be a PEM file that this user may read", path.display());
        Self::of(error.as_ref(), Some(hint), "failed", Exit::Failed)
    }

    /// A file with roots cannot be used.
    pub(super) fn roots(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        let error = anyhow::Error::new(error).context(format!("cannot read the roots {}", path.display()));
        let hint = "give a PEM file with certificates by --root-ca, root_ca or trust".to_owned();
        Self::of(error.as_ref(), Some(hint), "config", Exit::Config)
    }

    /// A signal ended the work on a certificate.
    pub(super) fn interrupted(what: &str) -> Self {
        Self {
            message: what.to_owned(),
            causes: Vec::new(),
            hint: Some("run the same command again: it continues the order".to_owned()),
            kind: "interrupted".into(),
            is_list: false,
            exit: Exit::Later,
        }
    }

    /// A daemon that is about to end does not begin anything.
    pub(super) fn stopping() -> Self {
        Self {
            message: "the daemon is stopping".to_owned(),
            causes: Vec::new(),
            hint: Some("run the command again once it has ended".to_owned()),
            kind: Self::STOPPING.into(),
            is_list: false,
            exit: Exit::Later,
        }
    }

    /// Something that may work when it is done again.
    pub(super) fn later(error: &(dyn std::error::Error + 'static), hint: &str, kind: &'static str) -> Self {
        Self::of(error, Some(hint.to_owned()), kind, Exit::Later)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.kind == Self::STOPPING
    }

    fn of(error: &(dyn std::error::Error + 'static), hint: Option<String>, kind: &'static str, exit: Exit) -> Self {
        Self { message: error.to_string(), causes: causes(error), hint, kind: kind.into(), is_list: false, exit }
    }
}

/// Whether waiting may help.
fn whether_later(retry: Retry) -> Exit {
    if retry == Retry::Never { Exit::Failed } else { Exit::Later }
}

impl From<config::Error> for Failure {
    fn from(error: config::Error) -> Self {
        let (kind, exit) = match &error {
            config::Error::Missing { .. } => ("usage", Exit::Usage),
            _ => ("config", Exit::Config),
        };
        let mut failure = Self::of(&error, error.hint(), kind, exit);
        if let config::Error::Problems(problems) = &error {
            failure.causes = problems.iter().map(ToString::to_string).collect();
            failure.is_list = true;
        }
        failure
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::of(&error, error.hint(), "store", Exit::Failed)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::of(&refusal, Some(refusal.check.hint().to_owned()), "refused", Exit::Failed)
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::of(&invalid, Some("see `hotcert --help`".to_owned()), "usage", Exit::Usage)
    }
}

impl From<reconcile::Error> for Failure {
    fn from(error: reconcile::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&reconcile::Error> for Failure {
    fn from(error: &reconcile::Error) -> Self {
        let is_ours = matches!(error, reconcile::Error::Store(_));
        let exit = if is_ours { Exit::Failed } else { whether_later(error.retry()) };
        Self::of(error, error.hint(), error.kind(), exit)
    }
}

impl From<renew::Error> for Failure {
    fn from(error: renew::Error) -> Self {
        use renew::Error as E;
        let exit = match &error {
            E::NotOrdered { .. } | E::Unprovable { .. } => Exit::Usage,
            E::NoStaging { .. }
            | E::ContactMissing { .. }
            | E::TermsNotAgreed { .. }
            | E::InternalIssuer { .. }
            | E::RootCa { .. }
            | E::ExternalKeyMissing { .. } => Exit::Config,
            E::TokenNotPlaced { hindrance: Some(hindrance), .. } if hindrance.lasts => Exit::Failed,
            E::Busy { .. }
            | E::AccountBusy { .. }
            | E::ListenerBusy { .. }
            | E::Spent { .. }
            | E::TokenNotPlaced { .. } => Exit::Later,
            E::Held { .. } => whether_later(error.retry()),
            E::Record { source, .. } if source.is_ours() => Exit::Config,
            E::Record { source, .. } => whether_later(source.retry()),
            E::Dns { source, .. } => whether_later(source.retry()),
            E::Acme { source, .. } => authority(source),
            E::NoAccount { .. }
            | E::AccountDeactivated { .. }
            | E::Misrouted(_)
            | E::Obstacle(_)
            | E::Solver(_)
            | E::Issued { .. }
            | E::Internal { .. }
            | E::Key { .. }
            | E::Store(_) => Exit::Failed,
        };
        Self::of(&error, error.hint(), error.kind(), exit)
    }
}

/// What an authority has judged stays so until something is changed; what it could not do may work later.
fn authority(error: &acme::Error) -> Exit {
    use acme::Error as E;
    match error {
        E::TermsNotAgreed { .. }
        | E::ExternalAccountRequired
        | E::ExternalAccountKey
        | E::UnknownProfile { .. }
        | E::RootCa(_) => Exit::Config,
        E::Refused(_) | E::AuthorizationFailed { .. } | E::OrderInvalid { .. } | E::BadToken { .. } => Exit::Failed,
        other => whether_later(other.retry()),
    }
}

impl From<daemon::Error> for Failure {
    fn from(error: daemon::Error) -> Self {
        Self::of(&error, None, "daemon", Exit::Failed)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::of(error.as_ref(), None, "failed", Exit::Failed)
    }
}
