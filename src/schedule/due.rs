//! When a certificate is due.

use jiff::{SignedDuration, Timestamp};

use super::{Ari, later};

/// Below this lifetime a certificate is renewed when half of it is over, above when two thirds are: a short-lived one needs
/// a larger share of its life to survive an outage of its authority.
const SHORT_LIFETIME: SignedDuration = SignedDuration::from_hours(10 * 24);

/// One part in so many of the lifetime is left when a renewal is an emergency. An eighth of 160 hours is 20: after an outage
/// of eight hours, the longest that is known, that leaves twelve attempts at one an hour; of 90 days it is eleven days, which
/// is time for a person.
const EMERGENCY_SHARE: i32 = 8;

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

impl Life {
    /// The instant at which it is due: that which was chosen in the authority's window, else a share of the lifetime. Whatever
    /// the authority says, it is not later than the emergency.
    #[must_use]
    pub fn due(&self, ari: Option<&Ari>) -> Timestamp {
        let wanted = ari.map_or_else(|| renew_at(self.not_before, self.not_after), Ari::due);
        wanted.min(self.emergency())
    }

    /// The instant from which on little of the lifetime is left: then it is due, and attempts follow each other closely.
    #[must_use]
    pub fn emergency(&self) -> Timestamp {
        let left = self.not_after.duration_since(self.not_before) / EMERGENCY_SHARE;
        whole_second(later(self.not_after, -left))
    }
}

/// The instant at which a certificate is due, when its authority does not say so itself (RFC 9773).
#[must_use]
pub fn renew_at(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    let lifetime = not_after.duration_since(not_before);
    let left = if lifetime < SHORT_LIFETIME { lifetime / 2 } else { lifetime / 3 };
    whole_second(later(not_after, -left))
}

/// A part of a second says nothing here, and would be shown.
fn whole_second(instant: Timestamp) -> Timestamp {
    Timestamp::from_second(instant.as_second()).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::super::Window;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_long_lived_certificate_is_due_with_a_third_left_and_a_short_lived_one_with_half() {
        assert_eq!(renew_at(at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z")), at("2026-03-02T00:00:00Z"));
        assert_eq!(renew_at(at("2026-01-01T00:00:00Z"), at("2026-01-07T00:00:00Z")), at("2026-01-04T00:00:00Z"));
    }

    #[test]
    fn the_authority_decides_but_cannot_put_a_renewal_off_into_the_emergency() {
        let life = Life { not_before: at("2026-01-01T00:00:00Z"), not_after: at("2026-03-22T00:00:00Z") };
        assert_eq!(life.emergency(), at("2026-03-12T00:00:00Z"));
        let ari = |day: &str| {
            let (start, end) = (at(&format!("{day}T00:00:00Z")), at(&format!("{day}T00:00:01Z")));
            Ari::choose(None, Window::new(start, end).unwrap(), None, 0)
        };
        assert_eq!(life.due(None), at("2026-02-23T08:00:00Z"));
        assert_eq!(life.due(Some(&ari("2026-01-05"))), at("2026-01-05T00:00:00Z"));
        assert_eq!(life.due(Some(&ari("2026-03-20"))), life.emergency());
    }
}
