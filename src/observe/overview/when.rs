//! Instants and durations for people.

use jiff::Timestamp;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An instant by the minute, in UTC.
#[must_use]
pub fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// How far an instant is, as in `in 12 days` or `3 h ago`.
#[must_use]
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = at.as_second().saturating_sub(now.as_second());
    match seconds {
        _ if seconds.abs() < MINUTE => "now".to_owned(),
        1.. => format!("in {}", lasting(seconds)),
        _ => format!("{} ago", lasting(-seconds)),
    }
}

/// So many seconds in one unit: two digits or more of the finer one, until the coarser one is exact enough.
#[must_use]
pub fn lasting(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} days", seconds / DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_as_far_as_a_person_would_say() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        for (at, said) in [
            ("2026-11-23T12:00:59Z", "now"),
            ("2026-11-23T12:01:30Z", "in 90 s"),
            ("2026-11-23T13:59:00Z", "in 119 min"),
            ("2026-11-24T12:00:00Z", "in 24 h"),
            ("2026-12-05T12:00:00Z", "in 12 days"),
            ("2026-11-23T09:00:00Z", "3 h ago"),
            ("2024-11-23T09:00:00Z", "730 days ago"),
        ] {
            assert_eq!(relative(at.parse().unwrap(), now), said);
        }
        assert_eq!(iso(now), "2026-11-23 12:00Z");
    }
}
