//! When to renew, when to try again, and how much may be asked of an authority.
//!
//! Pure: the present instant is given, and so is chance, as a number. What is remembered between two looks is kept by
//! `store`, in the types of this module.
//!
//! ```text
//!  due: the instant chosen in the authority's window (ari.rs), else a share of the lifetime,
//!       but never later than the emergency          -> due.rs
//!  after a failure: Again                           -> back_off.rs
//!  before each order: Events, Limits                -> budget.rs
//!  keys that are used in turn                       -> rotation.rs
//!  what time it is at all: Offset                   -> time.rs
//! ```

mod ari;
mod back_off;
mod budget;
mod due;
mod rotation;
mod time;

pub use ari::{Ari, Window, ask_again};
pub use back_off::{Again, EMERGENCY_PAUSE, LONGEST_PAUSE};
pub use budget::{Event, Events, Kind, Left, Limit, Purpose, Spent};
pub use due::{Life, renew_at};
pub use rotation::rotation_due;
pub use time::{CLOCK_TOLERANCE, Offset};

use jiff::{SignedDuration, Timestamp};

/// When a failed operation may be tried again. Every adapter error answers with one, and tasks decide from that alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// At once: it failed by chance (a lost race, a used nonce).
    Now,
    /// After a while that grows with each failure.
    Backoff,
    /// Not before this instant, because the other side said so (`Retry-After`).
    NotBefore(Timestamp),
    /// Not until somebody has changed something.
    Never,
}

/// A share of a span, chosen by chance, in whole seconds: from none of it to all but the last second.
fn share(span: SignedDuration, random: u32) -> SignedDuration {
    let seconds = (i128::from(span.as_secs()) * i128::from(random)) >> u32::BITS;
    SignedDuration::from_secs(i64::try_from(seconds).expect("a share is no longer than its whole"))
}

/// An instant and a span later; the end of time where there is none.
fn later(instant: Timestamp, span: SignedDuration) -> Timestamp {
    instant.checked_add(span).unwrap_or(if span.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}
