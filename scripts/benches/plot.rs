//! Plots as SVG: bars, or lines on logarithmic axes. Colours suit light and dark pages.

use crate::report::{Chart, Series};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 60.0;
const TOP: f64 = 64.0;
const COLOURS: [&str; 6] = ["#3b82f6", "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#6b7280"];

/// Draws a chart; numbers are on a logarithmic axis, for programs differ by orders of magnitude.
pub fn draw(chart: &Chart) -> String {
    let values = || chart.series.iter().flat_map(|series| series.points.iter().map(|(_, value)| *value));
    let (low, high) = (values().fold(f64::MAX, f64::min).max(1e-3), values().fold(1e-3, f64::max));
    let (low, high) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
    let y = |value: f64| {
        let share = (value.max(1e-3).log10() - low) / (high - low);
        HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#6b7280\"><title>{0}</title><text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{0} ({1})</text>\n",
        escaped(&chart.title),
        escaped(&chart.unit)
    );
    let mut power = low;
    while power <= high {
        let at = y(10f64.powf(power));
        let right = WIDTH - 10.0;
        svg.push_str(&format!(
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#9ca3af\" stroke-opacity=\"0.4\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 6.0,
            at + 4.0,
            10f64.powf(power)
        ));
        power += 1.0;
    }
    let labels: Vec<&str> = labels(&chart.series);
    let step = (WIDTH - LEFT - 20.0) / f64::from(u32::try_from(labels.len()).unwrap().max(1));
    let x = |label: &str| {
        let at = labels.iter().position(|known| *known == label).unwrap_or(0);
        LEFT + step * (f64::from(u32::try_from(at).unwrap()) + 0.5)
    };
    for label in &labels {
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            x(label),
            HEIGHT - BOTTOM + 18.0,
            escaped(label)
        ));
    }
    if let Some(along) = &chart.along {
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
            WIDTH / 2.0,
            HEIGHT - 14.0,
            escaped(along)
        ));
    }
    let count = f64::from(u32::try_from(chart.series.len()).unwrap());
    let mut legend = LEFT;
    // Over all bars, so that none hides the figure of its neighbour.
    let mut figures = String::new();
    for (at, (series, colour)) in chart.series.iter().zip(COLOURS.iter().cycle()).enumerate() {
        svg.push_str(&format!(
            "<rect x=\"{legend:.1}\" y=\"32\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"41\">{}</text>\n",
            legend + 14.0,
            escaped(&series.name)
        ));
        legend += 32.0 + 6.6 * f64::from(u32::try_from(series.name.len()).unwrap());
        if chart.along.is_some() {
            let points: String =
                series.points.iter().map(|(label, value)| format!("{:.1},{:.1} ", x(label), y(*value))).collect();
            svg.push_str(&format!(
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n"
            ));
            for (label, value) in &series.points {
                svg.push_str(&dot(x(label), y(*value), colour, *value));
            }
        } else {
            let width = (step * 0.8 / count).min(60.0);
            for (label, value) in &series.points {
                let left = x(label) + width * (f64::from(u32::try_from(at).unwrap()) - count / 2.0);
                let top = y(*value);
                svg.push_str(&format!(
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n",
                    width - 2.0,
                    HEIGHT - BOTTOM - top,
                ));
                figures.push_str(&format!(
                    "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"8\">{}</text>\n",
                    left + width / 2.0,
                    top - 3.0,
                    short(*value)
                ));
            }
        }
    }
    svg + &figures + "</svg>\n"
}

fn dot(x: f64, y: f64, colour: &str, value: f64) -> String {
    format!(
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>\
         <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"10\">{}</text>\n",
        y - 8.0,
        short(value)
    )
}

fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// The labels of all series, in the order in which they first come.
fn labels(series: &[Series]) -> Vec<&str> {
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in series.iter().flat_map(|series| &series.points) {
        if !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    labels
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
