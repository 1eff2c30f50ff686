//! The time line as a plot: a bar for each lifetime, all on one scale, and for many a profile of when they are renewed and end.
//!
//! Each row draws its own part with places in per cent, so that the plot fits any width without a script. What it shows is said in
//! words beside it; the plot itself is hidden from screen readers.

use jiff::Timestamp;

use super::html::Esc;
use crate::observe::overview::{Certificate, Scale, iso};

/// How many labelled instants the axis has at most; on a phone there is room for every second one.
const TICKS: i64 = 9;
/// How many columns a profile has.
const COLUMNS: usize = 90;
/// How high a profile is, in pixels.
const HEIGHT: usize = 72;

/// A place on the scale, in per cent.
fn percent(scale: &Scale, at: Timestamp) -> f64 {
    scale.place(at) * 100.0
}

/// What all rows have in common: the grid, the line of the present instant, the hatching.
pub(super) fn definitions(scale: &Scale, now: Timestamp) -> String {
    let mut grid = String::new();
    for tick in scale.ticks(TICKS) {
        let at = tick.at * 100.0;
        grid.push_str(&format!("<line class=\"grid\" x1=\"{at:.2}%\" x2=\"{at:.2}%\" y1=\"0\" y2=\"100%\"/>"));
    }
    let now = percent(scale, now);
    format!(
        "<svg class=\"defs\" width=\"0\" height=\"0\" aria-hidden=\"true\" focusable=\"false\"><defs>\
         <pattern id=\"hatch\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect class=\"hatch\" width=\"2\" height=\"5\"/></pattern>\
         <g id=\"grid\">{grid}</g>\
         <g id=\"now\"><line class=\"now\" x1=\"{now:.2}%\" x2=\"{now:.2}%\" y1=\"0\" y2=\"100%\"/></g></defs></svg>"
    )
}

/// The labels of the scale.
pub(super) fn axis(scale: &Scale, now: Timestamp) -> String {
    let mut axis =
        String::from("<svg class=\"axis\" width=\"100%\" height=\"30\" aria-hidden=\"true\" focusable=\"false\">");
    let now = percent(scale, now);
    for (number, tick) in scale.ticks(TICKS).into_iter().enumerate() {
        let at = tick.at * 100.0;
        // Half a label would be cut off.
        if (3.0..=96.0).contains(&at) {
            let class = if number % 2 == 0 { "tick" } else { "tick odd" };
            axis.push_str(&format!("<text class=\"{class}\" x=\"{at:.2}%\" y=\"26\">{}</text>", tick.label));
        }
    }
    axis.push_str(&format!("<text class=\"tick now-label\" x=\"{now:.2}%\" y=\"11\">now</text></svg>"));
    axis
}

/// The bar of a certificate, and what it shows in words.
pub(super) fn bar(certificate: &Certificate, scale: &Scale, now: Timestamp) -> String {
    let mut svg = String::from(
        "<svg class=\"bar\" width=\"100%\" height=\"100%\" aria-hidden=\"true\" focusable=\"false\"><use href=\"#grid\"/>",
    );
    let Some((begin, end)) = certificate.life else {
        svg.push_str("<use href=\"#now\"/></svg><span class=\"sr\">no certificate yet</span>");
        return svg;
    };
    let mut part = |class: &str, from: Timestamp, to: Timestamp| {
        let (from, to) = (percent(scale, from), percent(scale, to));
        let width = to - from;
        // A pattern is found by the document's address, and not by that of its style.
        let fill = if class == "window" { " fill=\"url(#hatch)\"" } else { "" };
        if width > 0.0 {
            svg.push_str(&format!(
                "<rect class=\"{class}\"{fill} x=\"{from:.2}%\" width=\"{width:.2}%\" y=\"50%\" height=\"12\" \
                 transform=\"translate(0 -6)\"/>"
            ));
        }
    };
    part("life", begin, end);
    part("past", begin, now.min(end));
    let mut said = format!("valid from {} to {}", iso(begin), iso(end));
    if let Some(renew_at) = certificate.renew_at {
        part("window", renew_at, end);
        if let Some(emergency) = certificate.emergency_at {
            part("emergency", emergency.max(renew_at), end);
        }
        said.push_str(&format!(", due {}", iso(renew_at)));
        if (scale.from..=scale.to).contains(&renew_at) {
            let at = percent(scale, renew_at);
            svg.push_str(&format!(
                "<svg class=\"due\" x=\"{at:.2}%\" y=\"50%\"><path d=\"M0 -9 L5 0 L0 9 L-5 0 Z\"/></svg>"
            ));
        }
    }
    if let Some((from, to)) = certificate.window {
        let (left, right) = (percent(scale, from), percent(scale, to));
        if right > left {
            // Below the diamond; its round ends show also one of a day.
            svg.push_str(&format!(
                "<line class=\"suggested\" x1=\"{left:.2}%\" x2=\"{right:.2}%\" y1=\"50%\" y2=\"50%\" \
                 transform=\"translate(0 11)\"/>"
            ));
        }
        said.push_str(&format!(", the authority suggests to renew from {} to {}", iso(from), iso(to)));
    }
    svg.push_str("<use href=\"#now\"/></svg>");
    format!("{svg}<span class=\"sr\">{}</span>", Esc(&said))
}

/// When so many certificates are renewed, and when they end: a column for each stretch of the scale.
pub(super) fn profile(certificates: &[&Certificate], scale: &Scale, now: Timestamp) -> String {
    let due = columns(scale, certificates.iter().filter_map(|certificate| certificate.renew_at));
    let end = columns(scale, certificates.iter().filter_map(|certificate| Some(certificate.life?.1)));
    let most = due.iter().chain(&end).copied().max().unwrap_or(0).max(1);
    let mut svg = format!(
        "<svg class=\"profile\" width=\"100%\" height=\"{HEIGHT}\" aria-hidden=\"true\" focusable=\"false\"><use href=\"#grid\"/>"
    );
    #[expect(clippy::cast_precision_loss, reason = "a column number is small")]
    let place = |column: usize| column as f64 * 100.0 / COLUMNS as f64;
    for column in 0..COLUMNS {
        for (class, number, shift, width) in [("ends", end[column], 0.55, 0.45), ("dues", due[column], 0.05, 0.5)] {
            if number > 0 {
                let height = (number * HEIGHT).div_ceil(most);
                let (x, y) = (place(column) + shift * place(1), HEIGHT - height);
                let width = width * place(1);
                svg.push_str(&format!(
                    "<rect class=\"{class}\" x=\"{x:.2}%\" width=\"{width:.2}%\" y=\"{y}\" height=\"{height}\"/>"
                ));
            }
        }
    }
    svg.push_str("<use href=\"#now\"/></svg>");
    let soon = |instants: &mut dyn Iterator<Item = Timestamp>, days: i64| {
        let until = now.as_second() + days * 86400;
        instants.filter(|at| at.as_second() <= until).count()
    };
    let dues = |days| soon(&mut certificates.iter().filter_map(|certificate| certificate.renew_at), days);
    let ends = |days| soon(&mut certificates.iter().filter_map(|certificate| Some(certificate.life?.1)), days);
    format!(
        "{svg}<figcaption><span class=\"key dues\"></span>due: {} within a day, {} within a week, {} within 30 days. \
         <span class=\"key ends\"></span>end: {} within a day, {} within a week, {} within 30 days. The highest column stands \
         for {most}.</figcaption>",
        dues(1),
        dues(7),
        dues(30),
        ends(1),
        ends(7),
        ends(30),
    )
}

/// How many instants fall into each column; what lies beyond an end is not there.
fn columns(scale: &Scale, instants: impl Iterator<Item = Timestamp>) -> [usize; COLUMNS] {
    let mut columns = [0; COLUMNS];
    for at in instants.filter(|at| (scale.from..scale.to).contains(at)) {
        let length = (scale.to.as_second() - scale.from.as_second()).max(1);
        let column = i128::from(at.as_second() - scale.from.as_second()) * COLUMNS as i128 / i128::from(length);
        if let Some(count) = usize::try_from(column).ok().and_then(|column| columns.get_mut(column)) {
            *count += 1;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::overview::{Overview, Span};
    use crate::observe::testing::{at, certificate, report};
    use crate::schedule::Window;

    #[test]
    fn the_window_of_the_authority_is_drawn_and_said() {
        let mut shop = certificate("shop.test");
        shop.renewal_window = Window::new(at("2026-12-30T00:00:00Z"), at("2027-01-05T00:00:00Z"));
        let shown = Overview::of(&report(vec![shop], vec![]), None).certificates.remove(0);
        let now = at("2026-12-01T00:00:00Z");
        let drawn = bar(&shown, &Scale::of([&shown], Span::Fit, now), now);
        let (before, said) = drawn.split_once("<line class=\"suggested\"").unwrap();
        assert!(before.contains("class=\"due\""), "{drawn}");
        // After the diamond, from which it is told by its place and form.
        let place = " x1=\"57.61%\" x2=\"61.49%\" y1=\"50%\" y2=\"50%\" transform=\"translate(0 11)\"/>";
        assert!(said.starts_with(place), "{said}");
        let words = said.split_once("<span class=\"sr\">").unwrap().1;
        insta::assert_snapshot!(words, @"valid from 2026-11-01 00:00Z to 2027-01-30 00:00Z, due 2027-01-01 00:00Z, the authority suggests to renew from 2026-12-30 00:00Z to 2027-01-05 00:00Z</span>");
        let unknown = bar(&Certificate { window: None, ..shown.clone() }, &Scale::of([&shown], Span::Fit, now), now);
        assert!(!unknown.contains("suggest"), "{unknown}");
    }
}
