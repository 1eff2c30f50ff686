//! What an error of an authority means: whether to try again, what it is about, and what a person can do.

use jiff::Timestamp;
use rustls::CertificateError;

use super::Error;
use super::problem::UNPROVED;
use crate::schedule::Retry;

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
