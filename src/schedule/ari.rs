//! What an authority says about the right time for a renewal (ACME Renewal Information, RFC 9773).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{later, share};

/// How often an authority is asked that does not say when to ask again (RFC 9773, section 4.3.3).
const ASKED_EVERY: SignedDuration = SignedDuration::from_hours(6);
/// The shortest wait that is believed: an authority that says less would be asked in a busy loop.
const SHORTEST_WAIT: SignedDuration = SignedDuration::from_mins(1);
/// The longest wait that is believed: an authority must be able to call for renewals within a day (revocations of the
/// CA/Browser Forum's Baseline Requirements, section 4.9.1.1, leave one).
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24);
/// Renewals for which the authority gives no explanation happen at most once in this time: an authority whose windows always
/// lie in the past would otherwise be asked for a certificate every minute.
const UNEXPLAINED_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// And those that it explains, at most once in this time: enough for an authority that calls for renewals in haste twice a day.
const EXPLAINED_EVERY: SignedDuration = SignedDuration::from_hours(6);

/// The time in which an authority suggests to renew (RFC 9773, section 4.2); it ends after it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

impl Window {
    /// A window; `None` when it does not end after it starts, which counts as no answer.
    #[must_use]
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Its first instant, and the one after its last.
    #[must_use]
    pub fn ends(&self) -> (Timestamp, Timestamp) {
        (self.start, self.end)
    }

    /// Whether an instant lies in it: then a renewal that names what it replaces is exempt from Let's Encrypt's limits.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }
}

/// A window, and the instant that was chosen in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ari {
    /// The authority's window.
    pub window: Window,
    /// The instant chosen in it, in whole seconds. One in the past means now.
    pub chosen: Timestamp,
    /// Where the authority explains its window.
    pub explanation: Option<String>,
    /// When the authority's word last led to a renewal of the certificate.
    #[serde(default)]
    last: Option<Timestamp>,
}

impl Ari {
    /// Takes an answer over. The instant is uniformly random in the window, and chosen again only when the window has changed
    /// (RFC 9773, section 4.2).
    #[must_use]
    pub fn choose(before: Option<&Self>, window: Window, explanation: Option<String>, random: u32) -> Self {
        match before {
            Some(before) if before.window == window => Self { explanation, ..before.clone() },
            _ => {
                let chosen = later(window.start, share(window.end.duration_since(window.start), random));
                Self { window, chosen, explanation, last: None }
            }
        }
    }

    /// Keeps a certificate from being renewed time and again for windows that lie in the past: `last` is when the authority's
    /// word last led to a renewal of it.
    #[must_use]
    pub fn after_renewal(self, last: Option<Timestamp>) -> Self {
        Self { last, ..self }
    }

    /// When the certificate is to be renewed.
    #[must_use]
    pub fn due(&self) -> Timestamp {
        let pause = if self.explanation.is_some() { EXPLAINED_EVERY } else { UNEXPLAINED_EVERY };
        self.last.map_or(self.chosen, |last| self.chosen.max(later(last, pause)))
    }
}

/// When to ask again: when the authority says (`Retry-After`), within bounds, else after six hours.
#[must_use]
pub fn ask_again(now: Timestamp, retry_after: Option<Timestamp>) -> Timestamp {
    match retry_after {
        Some(instant) => instant.clamp(later(now, SHORTEST_WAIT), later(now, LONGEST_WAIT)),
        None => later(now, ASKED_EVERY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(start: &str, end: &str) -> Window {
        Window::new(at(start), at(end)).unwrap()
    }

    #[test]
    fn a_window_that_does_not_end_after_it_starts_is_no_answer() {
        let (one, other) = (at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z"));
        assert!(Window::new(other, one).is_none());
        assert!(Window::new(one, one).is_none());
        let window = Window::new(one, other).unwrap();
        assert!(window.contains(one) && !window.contains(other));
    }

    #[test]
    fn the_instant_lies_in_the_window_wherever_chance_puts_it_and_stays_while_the_window_does() {
        let one = window("2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z");
        let chosen = |random| Ari::choose(None, one, None, random).chosen;
        assert_eq!(chosen(0), at("2026-01-01T00:00:00Z"));
        assert_eq!(chosen(1 << 31), at("2026-01-01T01:30:00Z"));
        assert_eq!(chosen(u32::MAX), at("2026-01-01T02:59:59Z"));

        let first = Ari::choose(None, one, None, 7 << 20);
        let explained = Ari::choose(Some(&first), one, Some("https://ca.test/why".to_owned()), u32::MAX);
        assert_eq!(explained.chosen, first.chosen);
        assert!(explained.explanation.is_some());
        let moved = window("2026-01-01T00:00:00Z", "2026-01-01T03:00:01Z");
        assert_ne!(Ari::choose(Some(&first), moved, None, u32::MAX).chosen, first.chosen);
    }

    #[test]
    fn windows_in_the_past_renew_once_a_day_at_most_and_those_with_an_explanation_every_six_hours() {
        let past = window("2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z");
        let last = at("2026-01-05T12:00:00Z");
        let unexplained = Ari::choose(None, past, None, 0).after_renewal(Some(last));
        assert_eq!(unexplained.due(), at("2026-01-06T12:00:00Z"));
        let explained = Ari::choose(Some(&unexplained), past, Some("https://ca.test/why".to_owned()), 0);
        assert_eq!(explained.due(), at("2026-01-05T18:00:00Z"));
        assert_eq!(Ari::choose(None, past, None, 0).after_renewal(None).due(), at("2026-01-01T00:00:00Z"));
    }

    #[test]
    fn the_authority_says_when_to_ask_again_within_a_minute_and_a_day() {
        let now = at("2026-01-01T00:00:00Z");
        for (said, expected) in [
            (None, "2026-01-01T06:00:00Z"),
            (Some("2026-01-01T00:00:00Z"), "2026-01-01T00:01:00Z"),
            (Some("2025-12-01T00:00:00Z"), "2026-01-01T00:01:00Z"),
            (Some("2026-01-01T02:00:00Z"), "2026-01-01T02:00:00Z"),
            (Some("2026-01-08T00:00:00Z"), "2026-01-02T00:00:00Z"),
        ] {
            assert_eq!(ask_again(now, said.map(at)), at(expected), "{said:?}");
        }
    }
}
