//! What can keep a certificate from being ordered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::preflight::{Misrouted, Obstacle};
use crate::bundle::{Check, Refusal};
use crate::config::Issuer;
use crate::model::{CertName, DnsName, Identifier, Token};
use crate::schedule::Retry;
use crate::solver::dns;
use crate::store::{Hindrance, Hold};
use crate::{acme, bundle, internal, probe, solver, store};

/// A certificate could not be ordered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is one that is only pushed.
    #[error("certificate {name} is not ordered by hotcert: it was pushed")]
    NotOrdered {
        /// Which certificate.
        name: CertName,
    },
    /// A private authority of our own knows its users by nothing but its key.
    #[error("issuer {issuer} is of type internal: it has no accounts, and revokes nothing")]
    InternalIssuer {
        /// Which issuer.
        issuer: String,
    },
    /// A private authority of our own cannot issue.
    #[error("{issuer} cannot issue with {}", file.display())]
    Internal {
        /// Which issuer.
        issuer: String,
        /// Where its root is.
        file: PathBuf,
        /// Why.
        source: internal::Error,
    },
    /// A name that no solver of the certificate can prove.
    #[error("{reason}")]
    Unprovable {
        /// The name.
        name: Identifier,
        /// Why, in words.
        reason: String,
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
    /// There is nowhere to rehearse.
    #[error("no staging directory of issuer {issuer} is known")]
    NoStaging {
        /// Which issuer.
        issuer: String,
    },
    /// There is no account.
    #[error("there is no account at {issuer}")]
    NoAccount {
        /// Which issuer.
        issuer: String,
    },
    /// The account was given up.
    #[error("the account at {issuer} was deactivated at {at:.0}")]
    AccountDeactivated {
        /// Which issuer.
        issuer: String,
        /// When.
        at: Timestamp,
    },
    /// There is no file with the key of the external account.
    #[error("the key of the external account at {issuer} is missing: there is no {}", path.display())]
    ExternalKeyMissing {
        /// Which issuer.
        issuer: String,
        /// Which file.
        path: std::path::PathBuf,
    },
    /// It failed a while ago, and is not tried again yet.
    #[error("certificate {name} is not ordered {}: {problem}", before(*.until))]
    Held {
        /// Which certificate.
        name: CertName,
        /// Until when; `None` when only a person can help.
        until: Option<Timestamp>,
        /// What failed.
        problem: String,
    },
    /// A limit of the authority is reached by our own count, so that it was not asked.
    #[error("certificate {name}: {issuer} allows {limit}, and the next order is possible at {until:.0}")]
    Spent {
        /// Which certificate.
        name: CertName,
        /// Which issuer.
        issuer: String,
        /// The limit, in words.
        limit: String,
        /// When the next order is possible.
        until: Timestamp,
    },
    /// Another process of ours is ordering it.
    #[error("certificate {name}: another hotcert has been at work on it for {} s", .waited.as_secs())]
    Busy {
        /// Which certificate.
        name: CertName,
        /// How long was waited.
        waited: Duration,
    },
    /// Another process of ours registers the account or changes it, or uses it while it is to be changed.
    #[error("another hotcert has been at work with the account for {} s", .waited.as_secs())]
    AccountBusy {
        /// How long was waited.
        waited: Duration,
    },
    /// Another process of ours answers challenges at the address.
    #[error("another hotcert has been answering challenges at {address} for {} s", .waited.as_secs())]
    ListenerBusy {
        /// The address.
        address: SocketAddr,
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
    /// What the DNS says is in the way, and no order was spent to find out.
    #[error(transparent)]
    Obstacle(Box<Obstacle>),
    /// A token did not reach every node.
    #[error("the http-01 token {token} did not reach every HAProxy")]
    TokenNotPlaced {
        /// The token.
        token: Token,
        /// Why, as far as whoever brings it there has found out.
        #[source]
        hindrance: Option<Hindrance>,
    },
    /// A challenge cannot be answered.
    #[error("challenges cannot be answered")]
    Solver(#[from] solver::Error),
    /// A record that proves a name cannot be added.
    #[error("the record {record} cannot be added")]
    Record {
        /// The name to be proved.
        name: Identifier,
        /// The record.
        record: DnsName,
        /// Why.
        source: Box<dns::Error>,
    },
    /// The DNS does not show the record of a name, or does not tell where it has to be.
    #[error("{} cannot be proved by a record", .name.human())]
    Dns {
        /// The name to be proved.
        name: Identifier,
        /// Why.
        source: Box<probe::dns::Error>,
    },
    /// The authority refused, or cannot be reached.
    #[error("{doing} {issuer} failed")]
    Acme {
        /// What was wanted, such as `ordering from`.
        doing: &'static str,
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
        Self::Acme { doing: "ordering from", issuer: issuer.name.clone(), source: Box::new(source) }
    }

    /// The same, for what is no order.
    pub(super) fn asking(issuer: &Issuer, source: acme::Error) -> Self {
        Self::Acme { doing: "asking", issuer: issuer.name.clone(), source: Box::new(source) }
    }

    pub(super) fn held(name: &CertName, hold: Hold) -> Self {
        Self::Held { name: name.clone(), until: hold.until, problem: hold.problem }
    }

    /// Whether the authority wants a person to act before it is asked again.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self, Self::Acme { source, .. } if matches!(source.as_ref(), acme::Error::Paused { .. }))
    }

    /// Whether the account is what cannot do it.
    pub(super) fn is_of_account(&self) -> bool {
        match self {
            Self::NoAccount { .. } | Self::AccountDeactivated { .. } => true,
            Self::Acme { source, .. } => source.says_account_is_over(),
            _ => false,
        }
    }

    /// Whether it would meet every other certificate of the authority as well.
    pub(super) fn is_of_authority(&self) -> bool {
        matches!(self, Self::Acme { source, .. } if source.is_of_authority())
    }

    /// Whether it lies with the issuer, so that another one may issue nevertheless.
    pub(super) fn is_of_issuer(&self) -> bool {
        match self {
            Self::Acme { source, .. } => source.is_of_authority() || source.may_pass_elsewhere(),
            // A CAA record, or one that stays, is about one authority.
            Self::Obstacle(obstacle) => obstacle.is_of_issuer(),
            Self::Internal { .. }
            | Self::ContactMissing { .. }
            | Self::TermsNotAgreed { .. }
            | Self::NoAccount { .. }
            | Self::AccountDeactivated { .. }
            | Self::ExternalKeyMissing { .. }
            | Self::Spent { .. }
            | Self::AccountBusy { .. }
            | Self::RootCa { .. }
            | Self::Issued { .. } => true,
            _ => false,
        }
    }

    /// The names that the authority could not validate.
    pub(super) fn unproved(&self) -> Vec<&Identifier> {
        match self {
            Self::Acme { source, .. } => match source.as_ref() {
                acme::Error::AuthorizationFailed { failures } => failures.iter().map(|(name, _)| name).collect(),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// The names that another solver may prove: those, and the one whose record could not be made to appear.
    pub(super) fn not_proved(&self) -> Vec<&Identifier> {
        match self {
            Self::Record { name, .. } | Self::Dns { name, .. } => vec![name],
            _ => self.unproved(),
        }
    }

    /// Whether the order has failed for good, so that only another one can help.
    pub(super) fn order_is_over(&self) -> bool {
        matches!(self, Self::Acme { source, .. } if source.order_is_over())
    }

    /// When it is worth trying again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            // The next order may get a better one.
            Self::Issued { .. } => Retry::Backoff,
            Self::Busy { .. } | Self::AccountBusy { .. } | Self::ListenerBusy { .. } | Self::TokenNotPlaced { .. } => {
                Retry::Backoff
            }
            Self::Held { until: Some(until), .. } | Self::Spent { until, .. } => Retry::NotBefore(*until),
            Self::Acme { source, .. } => source.retry(),
            Self::Solver(source) => source.retry(),
            Self::Record { source, .. } => source.retry(),
            Self::Dns { source, .. } => source.retry(),
            Self::Store(source) => source.retry(),
            _ => Retry::Never,
        }
    }

    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotOrdered { .. } => "push a newer one, or order it by `hotcert issue`".to_owned(),
            Self::Internal { source, .. } => return source.hint(),
            Self::InternalIssuer { .. } => "name an issuer with a directory".to_owned(),
            Self::Unprovable { name, .. } if name.is_wildcard() => {
                "wildcards are proved through the DNS: configure a [solver.NAME] with type = \"dns-01\"".to_owned()
            }
            Self::Unprovable { name: Identifier::Ip(_), .. } => {
                "addresses are proved by http-01 and tls-alpn-01: configure a solver of that type".to_owned()
            }
            Self::Unprovable { .. } => "add the name to the `names` of a solver, or configure another one".to_owned(),
            Self::ContactMissing { .. } => {
                "--contact admin@example.org, or contact = [\"admin@example.org\"] in the issuer".to_owned()
            }
            Self::TermsNotAgreed { .. } => {
                "read them at the authority's site, then --agree-terms, or terms_agreed = true in the issuer".to_owned()
            }
            Self::NoStaging { issuer } => format!(
                "set staging = \"https://…\" in [issuer.{issuer}] to the directory of its test environment, or rehearse elsewhere by \
                 --directory letsencrypt"
            ),
            Self::NoAccount { .. } | Self::AccountDeactivated { .. } => {
                "`hotcert account register` makes a new one".to_owned()
            }
            Self::ExternalKeyMissing { .. } => {
                "save the HMAC key that the authority's site shows in that file, readable by hotcert alone".to_owned()
            }
            Self::Held { name, .. } => format!("after mending the cause, `hotcert renew {name} --force` tries at once"),
            Self::Spent { .. } => "it is renewed by itself then; until then, another issuer may help".to_owned(),
            Self::Busy { .. } | Self::AccountBusy { .. } | Self::ListenerBusy { .. } => {
                "look by `ps` for a hotcert that hangs".to_owned()
            }
            Self::RootCa { .. } => "give a PEM file by --root-ca or root_ca".to_owned(),
            Self::Misrouted(misrouted) => return Some(misrouted.hint()),
            Self::Obstacle(obstacle) => obstacle.hint(),
            Self::TokenNotPlaced { hindrance: Some(hindrance), .. } => return hindrance.hint.clone(),
            Self::TokenNotPlaced { hindrance: None, .. } => {
                "see by `hotcert status` which node cannot be reached, and whether its configuration has the map"
                    .to_owned()
            }
            Self::Solver(source) => return source.hint(),
            Self::Record { source, .. } => return source.hint(),
            Self::Dns { source, .. } => source.hint(),
            Self::Acme { source, .. } => return source.hint(),
            Self::Issued { source, .. } => issued_hint(&source.check).to_owned(),
            Self::Key { .. } => return None,
            Self::Store(source) => return source.hint(),
        })
    }
}

/// What to do about a certificate that an authority issued, and that nobody here can mend.
fn issued_hint(check: &Check) -> &'static str {
    match check {
        Check::NotYetValid { .. } | Check::Expired { .. } => {
            "is the clock of this machine right? Nothing was stored, and the next attempt orders anew"
        }
        Check::Chainless { .. } => {
            "for a private authority that signs leaves itself, set `trust` in the configuration to its root"
        }
        _ => {
            "the authority made a mistake: nothing was stored, and the next attempt orders anew; another authority may help"
        }
    }
}

fn before(instant: Option<Timestamp>) -> String {
    instant.map_or_else(|| "until somebody has acted".to_owned(), |instant| format!("before {instant}"))
}
