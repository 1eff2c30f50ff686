//! When keys are replaced that are used for a while and then forgotten.

use jiff::{SignedDuration, Timestamp};

use super::{CLOCK_TOLERANCE, later};

/// The instant at which the next rotation is to be noted; `None` while none is due.
///
/// After a long stop one rotation is due after the other, but no more than `keys`: then nothing is left of what there was. A clock
/// that was set back by more than a little says nothing about the age of keys, so one rotation starts the count anew.
#[must_use]
pub fn rotation_due(last: Timestamp, now: Timestamp, every: SignedDuration, keys: u32) -> Option<Timestamp> {
    if now < last {
        return (last.duration_since(now) > CLOCK_TOLERANCE).then_some(now);
    }
    if now.duration_since(last) < every {
        return None;
    }
    let earliest = later(now, -(every * i32::try_from(keys.saturating_sub(1)).unwrap_or(i32::MAX)));
    Some(later(last, every).max(earliest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: SignedDuration = SignedDuration::from_hours(12);

    fn at(hours: i64) -> Timestamp {
        later("2026-11-22T00:00:00Z".parse().unwrap(), SignedDuration::from_hours(hours))
    }

    /// The instants of all rotations that are done at once.
    fn rotations(last: Timestamp, now: Timestamp) -> Vec<Timestamp> {
        std::iter::successors(rotation_due(last, now, EVERY, 3), |last| rotation_due(*last, now, EVERY, 3)).collect()
    }

    #[test]
    fn a_rotation_is_due_when_its_time_has_come_and_keeps_to_the_hour() {
        assert_eq!(rotations(at(0), at(11)), []);
        assert_eq!(rotations(at(0), at(12)), [at(12)]);
        assert_eq!(rotations(at(0), at(13)), [at(12)]);
        assert_eq!(rotations(at(0), at(30)), [at(12), at(24)]);
    }

    #[test]
    fn a_long_stop_replaces_every_key_and_no_more() {
        for hours in [36, 40, 1000] {
            assert_eq!(rotations(at(0), at(hours)), [at(hours - 24), at(hours - 12), at(hours)], "{hours}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_keep_keys_for_ever() {
        assert_eq!(rotations(at(100), at(50)), [at(50)]);
        let moment = SignedDuration::from_secs(5);
        assert_eq!(rotations(later(at(0), moment), at(0)), [], "a small step is none");
    }
}
