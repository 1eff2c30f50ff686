//! The wall clock, as a seam: tests decide what time it is.
//!
//! Waiting is not done here but with tokio's timers, which tests pause.

use jiff::Timestamp;

/// Tells the time of day.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
