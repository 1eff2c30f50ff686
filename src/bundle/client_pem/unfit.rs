//! Why a file for clients is not loaded, and what cures it.

use jiff::Timestamp;

use crate::bundle::pem::Malformed;
use crate::model::ClientFile;

/// Why a file is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It is no PEM, or only a part of one.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Something else is in it.
    #[error("line {line} begins a block of type {label}, and a {kind} has {wanted} alone")]
    Stray {
        /// The line, from 1.
        line: usize,
        /// The label of the block.
        label: String,
        /// The kind of file.
        kind: ClientFile,
        /// What belongs there.
        wanted: &'static str,
    },
    /// A block is not what its label says.
    #[error("the block of line {line} is damaged: it is no {wanted}")]
    Damaged {
        /// The line, from 1.
        line: usize,
        /// What it should be.
        wanted: &'static str,
    },
    /// `HAProxy` dies when it is asked about such a list (seen on 2.6 to 3.2).
    #[error("the CRL of line {line}, by {issuer}, does not say when the next one comes (nextUpdate)")]
    Endless {
        /// The line, from 1.
        line: usize,
        /// Who made it.
        issuer: String,
    },
    /// None of the authorities made it.
    #[error("its CRL by {issuer} belongs to no CA in ca_file")]
    Foreign {
        /// Who made it.
        issuer: String,
    },
    /// An authority of that name did not sign it.
    #[error("its CRL by {issuer} is not signed by the CA of that name in ca_file")]
    Forged {
        /// Who is said to have made it.
        issuer: String,
    },
    /// Its time is over.
    #[error("its CRL by {issuer} has expired: the next one was due at {since}")]
    Expired {
        /// Who made it.
        issuer: String,
        /// Its end.
        since: Timestamp,
    },
    /// Its time has not come.
    #[error("its CRL by {issuer} is not yet valid: it was made for {from}")]
    Early {
        /// Who made it.
        issuer: String,
        /// Its beginning.
        from: Timestamp,
    },
    /// A later one is served.
    #[error("its CRL by {issuer} is of {found}, and HAProxy has one of {served}")]
    Older {
        /// Who made it.
        issuer: String,
        /// When the one in the file was made.
        found: Timestamp,
        /// When the one in memory was made.
        served: Timestamp,
    },
    /// The clients of an authority would be refused.
    #[error("it has no CRL by {issuer}, and without one HAProxy would refuse all clients of that CA")]
    Lost {
        /// The authority.
        issuer: String,
    },
}

impl Unfit {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Stray { .. } | Self::Damaged { .. } => {
                "write the whole file beside its place and rename it, with PEM blocks of the right type only"
            }
            Self::Endless { .. } => {
                "let the CA say it (crlDays, default_crl_days): HAProxy dies when it shows a list without"
            }
            Self::Foreign { .. } | Self::Forged { .. } => "put the CRL of the right CA there, or its CA into ca_file",
            Self::Expired { .. } => "let the CA make a new CRL: with an expired one HAProxy refuses every client",
            Self::Early { .. } => "correct the clock of this machine, or of the CA",
            Self::Older { .. } => "put the latest CRL there; an older one would let revoked clients in",
            Self::Lost { .. } => "put the CRLs of all CAs into the file, or take that CA out of ca_file",
        }
    }
}
