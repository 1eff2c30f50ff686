//! What can keep a certificate from being ordered.

use std::time::Duration;

use super::preflight::Misrouted;
use crate::bundle::Refusal;
use crate::config::Issuer;
use crate::model::{CertName, Identifier, Token};
use crate::schedule::Retry;
use crate::{acme, bundle, solver, store};

/// A certificate could not be ordered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is one that is only pushed.
    #[error("certificate {name} is not ordered by hotcert: it was pushed")]
    NotOrdered {
        /// Which certificate.
        name: CertName,
    },
    /// Two key kinds side by side.
    #[error("certificate {name} is configured with two key types, which this version cannot order")]
    SecondKeyKind {
        /// Which certificate.
        name: CertName,
    },
    /// A private authority of our own.
    #[error("issuer {issuer} is of type internal, which this version cannot run")]
    InternalIssuer {
        /// Which issuer.
        issuer: String,
    },
    /// A wildcard, and no challenge that could prove it.
    #[error("{domain} is a wildcard, and http-01 cannot prove one")]
    Wildcard {
        /// The name.
        domain: Identifier,
    },
    /// There is no account yet, and no contact to register one with.
    #[error("contact missing: there is no account at {issuer} yet, and no mail address to register one with")]
    ContactMissing {
        /// Which issuer.
        issuer: String,
    },
    /// There is no account yet, and nobody agreed to the terms.
    #[error("terms of service not agreed: there is no account at {issuer} yet, and its terms were not agreed to")]
    TermsNotAgreed {
        /// Which issuer.
        issuer: String,
    },
    /// Another process of ours is ordering it.
    #[error("certificate {name}: another hotcert has been at work on it for {} s", .waited.as_secs())]
    Busy {
        /// Which certificate.
        name: CertName,
        /// How long was waited.
        waited: Duration,
    },
    /// Another process of ours is registering the account.
    #[error("another hotcert has been registering the account for {} s", .waited.as_secs())]
    AccountBusy {
        /// How long was waited.
        waited: Duration,
    },
    /// The file with the authority's roots cannot be read.
    #[error("cannot read the roots {}", path.display())]
    RootCa {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The road to us is wrong, and no order was spent to find out.
    #[error(transparent)]
    Misrouted(Box<Misrouted>),
    /// A token did not reach every node in time.
    #[error("the http-01 token {token} did not reach every HAProxy within {} s", .waited.as_secs())]
    TokenNotPlaced {
        /// The token.
        token: Token,
        /// How long was waited.
        waited: Duration,
    },
    /// A challenge cannot be answered.
    #[error("challenges cannot be answered")]
    Solver(#[from] solver::Error),
    /// The authority refused, or cannot be reached.
    #[error("ordering from {issuer} failed")]
    Acme {
        /// Which issuer.
        issuer: String,
        /// Why.
        source: Box<acme::Error>,
    },
    /// What the authority issued is not fit to be served.
    #[error("what {issuer} issued is not fit to be served")]
    Issued {
        /// Which issuer.
        issuer: String,
        /// Which check it did not pass.
        source: Box<Refusal>,
    },
    /// A key could not be generated.
    #[error("no key for certificate {name}")]
    Key {
        /// Which certificate.
        name: CertName,
        /// Why.
        source: bundle::KeyError,
    },
    /// Something on disk.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    pub(super) fn acme(issuer: &Issuer, source: acme::Error) -> Self {
        Self::Acme { issuer: issuer.name.clone(), source: Box::new(source) }
    }

    /// Whether the order has failed for good, so that only another one can help.
    pub(super) fn order_is_over(&self) -> bool {
        matches!(self, Self::Acme { source, .. } if source.order_is_over())
    }

    /// When it is worth trying again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Busy { .. } | Self::AccountBusy { .. } | Self::TokenNotPlaced { .. } => Retry::Backoff,
            Self::Acme { source, .. } => source.retry(),
            Self::Solver(source) => source.retry(),
            Self::Store(source) => source.retry(),
            _ => Retry::Never,
        }
    }

    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotOrdered { .. } => "push a newer one, or order it by `hotcert issue`".to_owned(),
            Self::SecondKeyKind { .. } => "configure one key type".to_owned(),
            Self::InternalIssuer { .. } => "name an issuer with a directory".to_owned(),
            Self::Wildcard { domain } => format!(
                "wildcards are proven through the DNS (dns-01), which this version cannot do yet: name the hosts one by one, such as www{}",
                &domain.to_string()[1..]
            ),
            Self::ContactMissing { .. } => {
                "--contact admin@example.org, or contact = [\"admin@example.org\"] in the issuer".to_owned()
            }
            Self::TermsNotAgreed { .. } => {
                "read them at the authority's site, then --agree-terms, or terms_agreed = true in the issuer".to_owned()
            }
            Self::Busy { .. } | Self::AccountBusy { .. } => "look by `ps` for a hotcert that hangs".to_owned(),
            Self::RootCa { .. } => "give a PEM file by --root-ca or root_ca".to_owned(),
            Self::Misrouted(misrouted) => return Some(misrouted.hint()),
            Self::TokenNotPlaced { .. } => {
                "see by `hotcert status` which node cannot be reached, and whether its configuration has the map"
                    .to_owned()
            }
            Self::Solver(source) => return source.hint(),
            Self::Acme { source, .. } => return source.hint(),
            Self::Issued { source, .. } => source.check.hint().to_owned(),
            Self::Key { .. } => return None,
            Self::Store(source) => return source.hint(),
        })
    }
}
