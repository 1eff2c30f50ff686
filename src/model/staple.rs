//! How fresh an OCSP response is.

use jiff::Timestamp;

/// When an OCSP response was known to be true, and for how long it may be shown (RFC 6960, section 2.4): one response for a
/// certificate is told from another by it, and fresher ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Staple {
    /// The time at which it was known to be true.
    pub this_update: Timestamp,
    /// The time at which a newer one is available at the latest.
    pub next_update: Timestamp,
}
