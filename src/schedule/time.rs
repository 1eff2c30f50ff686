//! What time it is, where the clock of the machine cannot be trusted.
//!
//! A clock that jumps ahead makes everything look due, and one that jumps back makes nothing look due. The authority tells the
//! time with every answer (`Date`); where it and the machine differ by more than an hour, the authority's time counts.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::later;

/// How far the machine's clock may be from the authority's time: more than any time zone mistake of a sane machine's clock, and
/// too little to miss a renewal by.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);

/// How far the machine's clock is from the time of an authority, as far as that is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offset {
    /// Seconds to add to the machine's clock; none while it is right.
    seconds: i64,
    /// The latest instant that was ever seen; time does not run backwards.
    seen: Option<Timestamp>,
    /// Whether the clock moved back since the authority was last asked.
    doubtful: bool,
}

impl Offset {
    /// The time of the authority, when the machine's clock shows `wall`.
    #[must_use]
    pub fn now(&self, wall: Timestamp) -> Timestamp {
        later(wall, SignedDuration::from_secs(self.seconds))
    }

    /// The instant at which the machine's clock will show that time.
    #[must_use]
    pub fn wall(&self, instant: Timestamp) -> Timestamp {
        later(instant, -SignedDuration::from_secs(self.seconds))
    }

    /// Whether the authority is to be asked what time it is.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Looks at the machine's clock. Where it has moved back by more than the tolerance, time goes on from the latest instant
    /// that was seen, until the authority is asked.
    #[must_use]
    pub fn looked(self, wall: Timestamp) -> Self {
        let now = self.now(wall);
        match self.seen {
            Some(seen) if now < later(seen, -CLOCK_TOLERANCE) => {
                Self { seconds: seen.duration_since(wall).as_secs(), doubtful: true, ..self }
            }
            // Noted by the hour: what is noted is written to disk.
            Some(seen) if now < later(seen, CLOCK_TOLERANCE) => self,
            _ => Self { seen: Some(now), ..self },
        }
    }

    /// Takes over what the authority says, when the machine's clock shows `wall`; `None` when it says nothing.
    #[must_use]
    pub fn told(self, wall: Timestamp, date: Option<Timestamp>) -> Self {
        let seconds = date.map_or(0, |date| date.duration_since(wall).as_secs());
        let seconds = if seconds.unsigned_abs() > CLOCK_TOLERANCE.as_secs().unsigned_abs() { seconds } else { 0 };
        if seconds == 0 && self.seconds == 0 && !self.doubtful {
            return self.looked(wall);
        }
        let told = Self { seconds, seen: None, doubtful: false };
        Self { seen: Some(told.now(wall)), ..told }
    }

    /// Whether the machine's clock is taken to be wrong.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.seconds != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_authority_decides_when_the_clock_is_off_by_more_than_an_hour() {
        let (wall, real) = (at("2026-02-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        let offset = Offset::default().looked(wall).told(wall, Some(real));
        assert_eq!(offset.now(wall), real);
        assert_eq!(offset.wall(real), wall);
        let close = Offset::default().told(wall, Some(at("2026-01-31T23:30:00Z")));
        assert_eq!(close.now(wall), wall);
        assert!(!close.is_wrong());
    }

    #[test]
    fn a_clock_that_jumps_back_is_doubted_and_time_goes_on() {
        let before = at("2026-02-01T00:00:00Z");
        let offset = Offset::default().looked(before);
        let wall = at("2026-01-02T00:00:00Z");
        let offset = offset.looked(wall);
        assert!(offset.is_doubtful());
        assert_eq!(offset.now(at("2026-01-02T01:00:00Z")), at("2026-02-01T01:00:00Z"));
        let asked = offset.told(wall, Some(at("2026-02-01T00:00:30Z")));
        assert!(!asked.is_doubtful());
        assert_eq!(asked.now(wall), at("2026-02-01T00:00:30Z"));
        // The clock is set right again.
        let right = at("2026-02-02T00:00:00Z");
        assert!(asked.looked(right).told(right, Some(right)).now(right) == right);
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_mended_is_doubted_too() {
        let (ahead, real) = (at("2026-02-01T00:00:00Z"), at("2026-01-01T00:00:00Z"));
        let offset = Offset::default().told(ahead, Some(real));
        let mended = offset.looked(at("2026-01-01T00:05:00Z"));
        assert!(mended.is_doubtful());
        assert!(!mended.told(at("2026-01-01T00:05:00Z"), Some(at("2026-01-01T00:05:01Z"))).is_wrong());
    }

    #[test]
    fn small_steps_are_not_worth_a_note() {
        let offset = Offset::default().looked(at("2026-01-01T00:00:00Z"));
        assert_eq!(offset.looked(at("2026-01-01T00:30:00Z")), offset);
        assert_eq!(offset.looked(at("2025-12-31T23:30:00Z")), offset);
        assert_ne!(offset.looked(at("2026-01-01T01:30:00Z")), offset);
    }
}
