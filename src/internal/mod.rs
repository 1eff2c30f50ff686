//! A private authority of our own, for development and inside networks: no network, no account, no challenge.
//!
//! Owns the [`Root`] and what it signs. A root is made once, lasts ten years and says by its name where it comes from, so that whoever
//! meets it in a trust store years later knows what it is. Leaves are short-lived, so that nobody has to revoke one. There are no
//! intermediates: the root's key has to be where leaves are signed anyway. Nothing here reads or writes a file: the text of a root is
//! kept by the [`store`](crate::store).

mod leaf;
mod root;

pub use leaf::LIFETIME;
pub use root::Root;

use jiff::{SignedDuration, Timestamp};
use rcgen::CertificateParams;

use crate::bundle::KeyError;

/// How far validity begins in the past, for clients whose clocks are slow.
const BACKDATED: SignedDuration = SignedDuration::from_secs(90);

/// Bytes of a serial number: as many random ones as nobody guesses, and few enough to stay positive in 20 (RFC 5280, section 4.1.2.2).
const SERIAL_BYTES: usize = 16;

/// The private authority cannot do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stored root is not what was stored.
    #[error("the root of the private authority cannot be used: {reason}")]
    BadRoot {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The root has expired, or is not valid yet.
    #[error("the root of the private authority is valid from {not_before} to {not_after}, and it is {now:.0}")]
    RootNotValid {
        /// The start of its validity.
        not_before: Timestamp,
        /// The end of its validity.
        not_after: Timestamp,
        /// The present instant.
        now: Timestamp,
    },
    /// No key could be generated.
    #[error("no key could be generated")]
    Key(#[from] KeyError),
    /// Nothing could be signed.
    #[error("a certificate could not be signed")]
    Sign(#[from] rcgen::Error),
}

impl Error {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::BadRoot { .. } => {
                "put the file back from a backup; or remove it, and the next order makes another root, which every client has to learn to trust".to_owned()
            }
            Self::RootNotValid { .. } => {
                "is the clock of this machine right? If the root has expired, remove its file: the next order makes another one, which every client has to learn to trust".to_owned()
            }
            Self::Key(_) | Self::Sign(_) => return None,
        })
    }
}

/// Sets a random serial number and a validity from now on.
fn stamp(params: &mut CertificateParams, now: Timestamp, lifetime: SignedDuration) {
    let mut serial = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).expect("the system's random numbers are available");
    params.serial_number = Some(serial.to_vec().into());
    // The library's type of instants is reached by arithmetic alone.
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let instant = |at: Timestamp| epoch + std::time::Duration::from_secs(at.as_second().unsigned_abs());
    params.not_before = instant(now - BACKDATED);
    params.not_after = instant(now + lifetime);
}

#[cfg(test)]
mod tests;
