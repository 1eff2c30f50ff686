//! What can go wrong between us and an authority.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use rustls::CertificateError;

use super::problem::{Problem, sanitised};
use crate::model::{Identifier, Invalid, distrust};

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
    #[error("the certificate of {host} is not trusted: it {}", distrust(reason))]
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

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { sanitised(&names.join(", ")) }
}

fn failed(failures: &[(Identifier, String)]) -> impl fmt::Display + use<> {
    failures.iter().map(|(name, reason)| format!("{}: {reason}", name.human())).collect::<Vec<_>>().join("; ")
}
