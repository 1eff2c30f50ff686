//! When to try again after a failure.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{later, share};

/// The pauses after the first, second, third and every further failure, without the part that chance adds.
const PAUSES: [SignedDuration; 4] = [
    SignedDuration::from_mins(1),
    SignedDuration::from_mins(10),
    SignedDuration::from_mins(100),
    SignedDuration::from_hours(5),
];
/// One part in so many of a pause is added by chance, so that not everybody comes back in the same second.
const JITTER_SHARE: i32 = 5;
/// The longest pause with what chance adds: six hours. A day would be too long for a certificate of 160 hours.
pub const LONGEST_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// The longest pause, with what chance adds, when little of the lifetime is left.
pub const EMERGENCY_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// When something that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// Usually.
    usually: Timestamp,
    /// When little of a certificate's lifetime is left.
    in_emergency: Timestamp,
}

impl Again {
    /// Tries again after a pause that grows with the number of failures in a row: 1, 10, 100 minutes, then five to six hours;
    /// in an emergency at most one hour.
    #[must_use]
    pub fn after(failures: u32, now: Timestamp, random: u32) -> Self {
        let index = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES.len() - 1);
        let with_chance = |pause: SignedDuration| pause + share(pause / JITTER_SHARE, random);
        let pause = PAUSES[index];
        // What chance adds to this makes up the longest pause.
        let longest = EMERGENCY_PAUSE * JITTER_SHARE / (JITTER_SHARE + 1);
        Self { usually: later(now, with_chance(pause)), in_emergency: later(now, with_chance(pause.min(longest))) }
    }

    /// Tries again at an instant that somebody else has named, emergency or not.
    #[must_use]
    pub fn at(instant: Timestamp) -> Self {
        Self { usually: instant, in_emergency: instant }
    }

    /// The instant.
    #[must_use]
    pub fn instant(&self, in_emergency: bool) -> Timestamp {
        if in_emergency { self.in_emergency } else { self.usually }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_six_hours_and_in_an_emergency_to_one() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let minutes = |failures, random, in_emergency| {
            Again::after(failures, now, random).instant(in_emergency).duration_since(now).as_mins()
        };
        let longest = u32::MAX;
        for (failures, least, most) in [(1, 1, 1), (2, 10, 11), (3, 100, 119), (4, 300, 359), (1000, 300, 359)] {
            assert_eq!((minutes(failures, 0, false), minutes(failures, longest, false)), (least, most), "{failures}");
        }
        for (failures, least, most) in [(1, 1, 1), (2, 10, 11), (3, 50, 59), (4, 50, 59)] {
            assert_eq!((minutes(failures, 0, true), minutes(failures, longest, true)), (least, most), "{failures}");
        }
        assert!(Again::after(9, now, longest).instant(false) < now + LONGEST_PAUSE);
        assert!(Again::after(9, now, longest).instant(true) < now + EMERGENCY_PAUSE);
    }

    #[test]
    fn what_somebody_else_named_holds_in_an_emergency_too() {
        let instant: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(Again::at(instant).instant(true), Again::at(instant).instant(false));
    }
}
