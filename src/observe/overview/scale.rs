//! The scale of a time line: which instants it shows, where each lies, and which are labelled.

use jiff::{SignedDuration, Timestamp};

use super::Certificate;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The steps between labels, in seconds; a month and a year of average length would not fall on dates, so weeks go on.
const STEPS: [i64; 10] = [HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 28 * DAY, 91 * DAY, 364 * DAY];
/// A Monday, at which weeks begin.
const MONDAY: i64 = 4 * DAY;
/// The longest lifetime that is shown as a whole: what public authorities ever gave, and a day. Private roots last for decades.
const LONGEST: i64 = 399 * DAY;
/// The shortest one: below that all bars are long.
const SHORTEST: i64 = DAY;

/// How much time is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Span {
    /// As much as the longest lifetime needs.
    #[default]
    Fit,
    /// About a week each way, for certificates of some days.
    Weeks,
    /// About three months ahead.
    Months,
    /// About a year ahead.
    Years,
}

/// The instants between two ends, on a line from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// The left end.
    pub from: Timestamp,
    /// The right end.
    pub to: Timestamp,
}

/// A labelled instant.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Where, from 0 to 1.
    pub at: f64,
    /// Its label.
    pub label: String,
}

impl Scale {
    /// The scale for these certificates: two thirds of a lifetime back, after which a renewal begins a new bar, and one ahead.
    #[must_use]
    pub fn of<'a>(certificates: impl IntoIterator<Item = &'a Certificate>, span: Span, now: Timestamp) -> Self {
        let lifetimes = certificates.into_iter().filter_map(|certificate| {
            let (from, to) = certificate.life?;
            Some(to.as_second() - from.as_second())
        });
        let ahead = match span {
            Span::Fit => lifetimes.max().unwrap_or(90 * DAY).clamp(SHORTEST, LONGEST),
            Span::Weeks => 8 * DAY,
            Span::Months => 100 * DAY,
            Span::Years => LONGEST,
        };
        let shift = |seconds| now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
        Self { from: shift(-ahead * 2 / 3), to: shift(ahead + ahead / 20) }
    }

    /// Where an instant lies: from 0 to 1, and at an end what lies beyond it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a plot is not exact to the nanosecond")]
    pub fn place(&self, at: Timestamp) -> f64 {
        let length = (self.to.as_second() - self.from.as_second()).max(1);
        ((at.as_second() - self.from.as_second()) as f64 / length as f64).clamp(0.0, 1.0)
    }

    /// At most so many labelled instants, at full hours, days or weeks.
    #[must_use]
    pub fn ticks(&self, most: i64) -> Vec<Tick> {
        let (from, to) = (self.from.as_second(), self.to.as_second());
        let step = STEPS.into_iter().find(|step| (to - from) / step < most).unwrap_or(STEPS[STEPS.len() - 1]);
        let base = if step < 7 * DAY { 0 } else { MONDAY };
        let first = (from - base).div_euclid(step) * step + base + step;
        let format = if step < DAY {
            "%m-%d %H:%M"
        } else if to - from > LONGEST {
            "%Y-%m-%d"
        } else {
            "%m-%d"
        };
        let mut ticks = Vec::new();
        let mut at = first;
        while at < to {
            let Ok(instant) = Timestamp::from_second(at) else { break };
            ticks.push(Tick { at: self.place(instant), label: instant.strftime(format).to_string() });
            at += step;
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(days: i64) -> Scale {
        let from: Timestamp = "2026-11-23T10:30:00Z".parse().unwrap();
        Scale { from, to: from.saturating_add(SignedDuration::from_hours(days * 24)).unwrap() }
    }

    #[test]
    fn ticks_fall_on_full_hours_days_and_mondays_and_are_few() {
        for days in [1, 2, 6, 10, 47, 90, 150, 400, 660] {
            let ticks = scale(days).ticks(8);
            assert!((2..=8).contains(&ticks.len()), "{days} days: {ticks:?}");
            assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)));
        }
        let labels = |days: i64| scale(days).ticks(8).into_iter().map(|tick| tick.label).collect::<Vec<_>>();
        assert_eq!(labels(6), ["11-24", "11-25", "11-26", "11-27", "11-28", "11-29"]);
        assert_eq!(labels(47)[..2], ["11-30", "12-07"], "Mondays");
        assert_eq!(labels(1)[0], "11-23 12:00");
    }

    #[test]
    fn what_lies_beyond_an_end_is_at_that_end() {
        let scale = scale(10);
        assert!(scale.place(Timestamp::MIN).abs() < f64::EPSILON);
        assert!((scale.place(Timestamp::MAX) - 1.0).abs() < f64::EPSILON);
    }
}
