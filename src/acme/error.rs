//! What can go wrong between us and an authority.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rustls::CertificateError;

use super::problem::{Problem, UNPROVED, sanitised};
use crate::model::{Identifier, Invalid};
use crate::schedule::Retry;

/// An exchange with an authority failed. Text that came from a server is bounded and free of control characters.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no root certificate to trust.
    #[error("no trusted root certificate was found on this system")]
    NoRoots,
    /// The additional roots are not PEM certificates.
    #[error("the additional root certificates are not valid PEM certificates")]
    RootCa(#[source] Box<dyn StdError + Send + Sync>),
    /// An account key cannot be used.
    #[error("the account key is not a P-256 key in PKCS#8 PEM")]
    AccountKey(#[source] Option<Box<dyn StdError + Send + Sync>>),
    /// The certificate signing request could not be made from the certificate's key.
    #[error("the certificate signing request could not be made")]
    Csr(#[source] Box<dyn StdError + Send + Sync>),

    /// No connection, or it broke.
    #[error("{host} cannot be reached")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server's certificate was refused.
    #[error("the certificate of {host} is not trusted: {reason}")]
    Untrusted {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        reason: CertificateError,
    },
    /// No complete answer in time. Whether the request was carried out is unknown.
    #[error("{host} did not answer within {after:?}")]
    Slow {
        /// Host and port.
        host: String,
        /// How long was waited.
        after: Duration,
    },
    /// A URL that is not `https`; nothing was sent.
    #[error("the authority names a URL that is not https: {url}")]
    NotHttps {
        /// The URL.
        url: String,
    },
    /// The answer is a redirect; it was not followed (ACME knows none).
    #[error("{url} redirects to {location}")]
    Redirected {
        /// What was asked for.
        url: String,
        /// Where it points.
        location: String,
    },
    /// The answer is longer than any ACME object.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The bound in bytes.
        limit: usize,
    },
    /// Something answers that is no ACME authority: a proxy, a login page, a wrong URL.
    #[error("{host} does not answer as an ACME authority does: HTTP status {status}, {content_type}")]
    NotAcme {
        /// Host and port.
        host: String,
        /// HTTP status.
        status: u16,
        /// Its content type, or `no content type`.
        content_type: String,
    },
    /// The authority is down or overloaded: HTTP status 5xx.
    #[error("{host} is not available: HTTP status {status}, {detail}")]
    Unavailable {
        /// Host and port.
        host: String,
        /// HTTP status.
        status: u16,
        /// What it says, or the content type of what it says.
        detail: String,
        /// When to ask again (`Retry-After`).
        retry_at: Option<Timestamp>,
        /// How long that is from the answer on, by the authority's own clock.
        wait: Option<Duration>,
    },
    /// An answer is not what RFC 8555 prescribes.
    #[error("the authority's answer is not as RFC 8555 prescribes: {what}")]
    Incomplete {
        /// What is missing or wrong.
        what: &'static str,
    },

    /// Too many used nonces in a row (RFC 8555, section 6.5).
    #[error("the authority refused every nonce, {attempts} times in a row")]
    BadNonce {
        /// How often it was tried.
        attempts: u32,
    },
    /// A limit of the authority is reached.
    #[error("the authority's rate limit is reached: {detail}")]
    RateLimited {
        /// What it says.
        detail: String,
        /// When to ask again (`Retry-After`).
        retry_at: Option<Timestamp>,
    },
    /// The authority paused issuance after many failures, until a person follows the link in its text.
    #[error("the authority paused issuance: {detail}")]
    Paused {
        /// What it says, with the link.
        detail: String,
    },
    /// The terms of service must be agreed to first.
    #[error("the authority's terms of service are not agreed to: {url}")]
    TermsNotAgreed {
        /// Where they are.
        url: String,
    },
    /// The authority knows its customers by an external account (RFC 8555, section 7.3.4).
    #[error("the authority requires an external account binding, and none is configured")]
    ExternalAccountRequired,
    /// The key for that is not base64.
    #[error("the key for the external account binding is not base64 of 1 to 512 bytes")]
    ExternalAccountKey,
    /// The authority does not take the binding.
    #[error("the authority refused the external account binding: {detail}")]
    ExternalAccountRefused {
        /// What it says.
        detail: String,
    },
    /// The authority does not offer what RFC 8555 asks of it.
    #[error("the authority offers no {what}")]
    NotOffered {
        /// What is missing in its directory.
        what: &'static str,
    },
    /// The key of a certificate is of a kind that cannot sign a request.
    #[error("the certificate's key is neither ECDSA on P-256 or P-384 nor RSA, and cannot sign a request")]
    CertificateKey,
    /// The authority does not know the account (any more).
    #[error("the authority does not know the account: {detail}")]
    AccountGone {
        /// What it says.
        detail: String,
    },
    /// The authority does not offer the profile; it would have been ignored silently.
    #[error("the authority does not offer the profile {profile:?}; it offers {}", list(offered))]
    UnknownProfile {
        /// What was asked for.
        profile: String,
        /// The names that it offers.
        offered: Vec<String>,
    },
    /// The authority does not take the order because of the certificate that it names as the one before (RFC 9773, section 5),
    /// mostly because that was replaced already: order without naming it.
    #[error("the authority refuses what the order is to replace: {detail}")]
    ReplacesRefused {
        /// What it says.
        detail: String,
    },
    /// Any other refusal (RFC 8555, section 6.7).
    #[error("the authority refused: {0}")]
    Refused(Box<Problem>),

    /// The order, or an authorization of it, is other than what was asked for. It is given up.
    #[error("the order {url} is not to be trusted: {what}")]
    Untrustworthy {
        /// Its URL.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The order does not exist (any more): begin a new one.
    #[error("the authority does not know the order {url}")]
    OrderGone {
        /// Its URL.
        url: String,
    },
    /// The order failed, for no reason that an authorization tells.
    #[error("the order {url} failed: {reason}")]
    OrderInvalid {
        /// Its URL.
        url: String,
        /// What the authority says.
        reason: String,
    },
    /// The order did not get further in time; it can be resumed.
    #[error("the order {url} is still {status} after {after:?}")]
    OrderSlow {
        /// Its URL.
        url: String,
        /// Its status.
        status: super::Status,
        /// How long was waited.
        after: Duration,
        /// When to ask again (`Retry-After`).
        retry_at: Option<Timestamp>,
    },
    /// Names could not be validated.
    #[error("validation failed for {}", failed(failures))]
    AuthorizationFailed {
        /// Each name with the authority's reason.
        failures: Vec<(Identifier, String)>,
    },
    /// The authority offers no challenge that is answered here.
    #[error("the authority offers no challenge for {identifier} that a solver answers; it offers {}", list(offered))]
    NoChallenge {
        /// The name.
        identifier: Identifier,
        /// What it offers.
        offered: Vec<String>,
    },
    /// A token that could be something else than a token; refused, because it becomes part of paths and commands.
    #[error("the authority sent a challenge for {identifier} that is not safe to answer")]
    BadToken {
        /// The name.
        identifier: Identifier,
        /// What is wrong with it.
        #[source]
        source: Invalid,
    },
}

impl Error {
    /// Whether and when it makes sense to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        let at = |instant: &Option<Timestamp>| instant.map_or(Retry::Backoff, Retry::NotBefore);
        match self {
            Self::OrderGone { .. } | Self::ReplacesRefused { .. } => Retry::Now,
            Self::Unavailable { retry_at, .. }
            | Self::RateLimited { retry_at, .. }
            | Self::OrderSlow { retry_at, .. } => at(retry_at),
            Self::NoRoots
            | Self::RootCa(_)
            | Self::AccountKey(_)
            | Self::Csr(_)
            | Self::NotHttps { .. }
            | Self::Paused { .. }
            | Self::TermsNotAgreed { .. }
            | Self::ExternalAccountRequired
            | Self::ExternalAccountKey
            | Self::ExternalAccountRefused { .. }
            | Self::NotOffered { .. }
            | Self::CertificateKey
            | Self::AccountGone { .. }
            | Self::UnknownProfile { .. }
            | Self::NoChallenge { .. }
            // Expired or not yet valid may be our clock at boot, and passes; an unknown issuer does not.
            | Self::Untrusted { reason: CertificateError::UnknownIssuer, .. } => Retry::Never,
            Self::Refused(problem) if problem.is_final() => Retry::Never,
            Self::Refused(_)
            | Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Slow { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::NotAcme { .. }
            | Self::Incomplete { .. }
            | Self::BadNonce { .. }
            | Self::OrderInvalid { .. }
            | Self::Untrustworthy { .. }
            | Self::AuthorizationFailed { .. }
            | Self::BadToken { .. } => Retry::Backoff,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoRoots => "install the package ca-certificates, or set root_ca",
            Self::NotOffered { .. } => "ask the authority how it wants this to be done",
            Self::RootCa(_) => "root_ca is a file with one or more `-----BEGIN CERTIFICATE-----` blocks",
            Self::AccountKey(_) => "keys of other programs' accounts are RSA: let hotcert register its own account",
            Self::Untrusted { reason: CertificateError::UnknownIssuer, .. } => {
                "for a private authority, give its root certificate by root_ca (--root-ca)"
            }
            Self::Untrusted { reason, .. } if about_time(reason) => "is the clock of this machine right?",
            Self::Redirected { .. } | Self::NotAcme { .. } | Self::NotHttps { .. } | Self::Incomplete { .. } => {
                "is the directory URL right, and does no proxy or login page answer in its place?"
            }
            Self::Unreachable { .. } | Self::Slow { .. } => {
                "is the directory URL right, and may this machine connect to it? Then try again later"
            }
            Self::Unavailable { .. } | Self::BadNonce { .. } | Self::TooLarge { .. } => {
                "the authority has a problem of its own: try again later"
            }
            Self::RateLimited { .. } => "try again later, or choose another authority for as long",
            Self::UnknownProfile { .. } => "choose one that it offers by profile (--profile), or none",
            Self::OrderSlow { .. } => "run the same command again: it continues this order",
            Self::OrderGone { .. } | Self::OrderInvalid { .. } => "run the same command again: it begins a new order",
            Self::Paused { .. } => "follow the link, then order again",
            Self::TermsNotAgreed { .. } => "read them, then set terms_agreed = true (--agree-terms)",
            Self::ExternalAccountRequired => {
                "make a key at the authority's site, save it in a file, then set eab = { kid = \"…\", hmac_key_file = \"…\" } in the issuer, or --eab-kid and --eab-hmac-key-file"
            }
            Self::ExternalAccountKey => {
                "hmac_key_file holds what the authority shows as the HMAC key, and nothing else"
            }
            Self::ExternalAccountRefused { .. } => {
                "do eab.kid and eab.hmac_key_file belong together? Many such keys expire, or are good for one account: make a new one at the authority's site"
            }
            Self::CertificateKey => "revoke it by the account: --with account",
            Self::AccountGone { .. } => {
                "it was deactivated, or belongs to another directory; `hotcert account register` makes a new one"
            }
            Self::AuthorizationFailed { .. } => UNPROVED,
            Self::NoChallenge { identifier, .. } if identifier.is_wildcard() => {
                "authorities validate wildcards through DNS only"
            }
            Self::NoChallenge { .. } => "configure a solver of one of these types, or choose another authority",
            Self::Untrustworthy { .. } | Self::BadToken { .. } => {
                "the authority made a mistake, or is not the one that you mean: it is tried again later with a new order"
            }
            Self::ReplacesRefused { .. } => "run the same command again: it orders without naming the old certificate",
            Self::Csr(_) => "choose another type of key by `key` in the configuration",
            Self::Refused(problem) => problem.hint(),
            Self::Untrusted { .. } => "look at its certificate by `openssl s_client -connect HOST:PORT -showcerts`",
        };
        Some(text.to_owned())
    }

    /// Whether the order has ended without a certificate, so that it cannot be continued.
    #[must_use]
    pub fn order_is_over(&self) -> bool {
        matches!(
            self,
            Self::OrderGone { .. }
                | Self::OrderInvalid { .. }
                | Self::Untrustworthy { .. }
                | Self::AuthorizationFailed { .. }
                | Self::BadToken { .. }
        )
    }

    /// Whether it would meet every other order of the account as well: nothing but time, or a person, helps.
    #[must_use]
    pub fn is_of_authority(&self) -> bool {
        /// The words in which Boulder, Let's Encrypt's software, tells a limit on one certificate or one domain from those on
        /// an account (`ratelimits/transaction.go`).
        const OF_ONE: [&str; 3] = ["exact set of", "failed authorizations", "already issued for"];
        match self {
            Self::RateLimited { detail, .. } => !OF_ONE.iter().any(|words| detail.contains(words)),
            Self::Unreachable { .. }
            | Self::Untrusted { .. }
            | Self::Slow { .. }
            | Self::Redirected { .. }
            | Self::TooLarge { .. }
            | Self::NotAcme { .. }
            | Self::Unavailable { .. }
            | Self::Incomplete { .. }
            | Self::BadNonce { .. }
            | Self::AccountGone { .. }
            | Self::TermsNotAgreed { .. }
            | Self::ExternalAccountRequired
            | Self::ExternalAccountKey
            | Self::ExternalAccountRefused { .. } => true,
            _ => false,
        }
    }

    /// Whether the account is unknown, over or not entitled (RFC 8555, sections 6.7 and 7.3.6).
    #[must_use]
    pub fn says_account_is_over(&self) -> bool {
        match self {
            Self::AccountGone { .. } => true,
            Self::Refused(problem) => problem.kind == "unauthorized",
            _ => false,
        }
    }

    /// Whether another authority may issue the certificate all the same: what this one judged is no proof that failed, and nothing
    /// that is wrong with us.
    #[must_use]
    pub fn may_pass_elsewhere(&self) -> bool {
        match self {
            // A CAA record is about one authority, and is looked at when the names are proved.
            Self::AuthorizationFailed { failures } => failures.iter().all(|(_, reason)| reason.ends_with("(caa)")),
            Self::Csr(_) => false,
            _ => true,
        }
    }

    /// Whether the authority has answered in the words of ACME, so that it is known that nothing was done.
    #[must_use]
    pub fn is_an_answer(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::RateLimited { .. }
                | Self::ReplacesRefused { .. }
                | Self::Paused { .. }
                | Self::UnknownProfile { .. }
                | Self::AccountGone { .. }
                | Self::ExternalAccountRequired
                | Self::ExternalAccountRefused { .. }
                | Self::TermsNotAgreed { .. }
        )
    }

    /// Turns instant-acme's opaque error into ours. What our [`Http`](super::Http) said comes back out of it unchanged.
    pub(super) fn from_library(error: instant_acme::Error) -> Self {
        match error {
            instant_acme::Error::Other(inner) => match inner.downcast::<Self>() {
                Ok(ours) => *ours,
                Err(_) => Self::Incomplete { what: "unexpected contents" },
            },
            instant_acme::Error::Api(problem) => Self::Refused(Box::new(Problem::from_library(&problem))),
            instant_acme::Error::Json(_) => Self::Incomplete { what: "not the JSON object that was asked for" },
            instant_acme::Error::Str(what) => Self::Incomplete { what },
            instant_acme::Error::KeyRejected | instant_acme::Error::Crypto => Self::AccountKey(None),
            _ => Self::Incomplete { what: "unexpected contents" },
        }
    }
}

fn about_time(reason: &CertificateError) -> bool {
    matches!(
        reason,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { sanitised(&names.join(", ")) }
}

fn failed(failures: &[(Identifier, String)]) -> impl fmt::Display + use<> {
    failures.iter().map(|(name, reason)| format!("{}: {reason}", name.human())).collect::<Vec<_>>().join("; ")
}
