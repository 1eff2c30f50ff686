//! A word for each kind of failure, for programs and for counting.

use super::Error;

impl Error {
    /// What kind of failure it is, in a word that stays the same.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotOrdered { .. } | Self::Unprovable { .. } => "usage",
            Self::NoStaging { .. }
            | Self::ContactMissing { .. }
            | Self::TermsNotAgreed { .. }
            | Self::InternalIssuer { .. }
            | Self::RootCa { .. }
            | Self::ExternalKeyMissing { .. } => "config",
            Self::NoAccount { .. } | Self::AccountDeactivated { .. } => "account",
            Self::Busy { .. } | Self::AccountBusy { .. } | Self::ListenerBusy { .. } => "busy",
            Self::Held { .. } => "held",
            Self::Spent { .. } => "budget",
            Self::Misrouted(_) | Self::Obstacle(_) => "preflight",
            Self::TokenNotPlaced { .. } => "node",
            Self::Solver(_) => "solver",
            Self::Record { .. } | Self::Dns { .. } => "dns",
            Self::Acme { .. } => "authority",
            Self::Issued { .. } => "refused",
            Self::Internal { .. } => "internal",
            Self::Key { .. } => "failed",
            Self::Store(_) => "store",
        }
    }
}
