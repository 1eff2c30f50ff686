//! When to renew, and when to try again. Pure: the present instant is given.

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

/// Below this lifetime a certificate is renewed when half of it is over, above when two thirds are: a short-lived one needs
/// a larger share of its life to survive an outage of its authority.
const SHORT_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 24);

/// The instant at which a certificate is due, when its authority does not say so itself (RFC 9773).
#[must_use]
pub fn renew_at(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let lifetime = not_after.duration_since(not_before);
    let left = if lifetime < SHORT_LIFETIME { lifetime / 2 } else { lifetime / 3 };
    let at = not_after.checked_sub(left).unwrap_or(not_after);
    // A part of a second says nothing here, and would be shown.
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_lived_certificate_is_due_with_a_third_left_and_a_short_lived_one_with_half() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(renew_at(at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z")), at("2026-03-02T00:00:00Z"));
        assert_eq!(renew_at(at("2026-01-01T00:00:00Z"), at("2026-01-07T00:00:00Z")), at("2026-01-04T00:00:00Z"));
    }
}
