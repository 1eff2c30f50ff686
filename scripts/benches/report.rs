//! From figures to pages: tables, plots and aims of each part, kept as JSON between parts and runs.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{machine, plot};

/// What one part has measured.
#[derive(Default, Serialize, Deserialize)]
pub struct Section {
    pub title: String,
    pub text: String,
    pub tables: Vec<Table>,
    pub charts: Vec<Chart>,
    pub aims: Vec<Aim>,
}

/// Figures in rows.
#[derive(Serialize, Deserialize)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// Figures in a plot.
#[derive(Serialize, Deserialize)]
pub struct Chart {
    pub file: String,
    pub title: String,
    /// What the numbers count.
    pub unit: String,
    /// Bars where there is nothing along which they grow.
    pub along: Option<String>,
    pub series: Vec<Series>,
}

/// One line, or the bars of one colour.
#[derive(Serialize, Deserialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<(String, f64)>,
}

/// What was aimed at.
#[derive(Serialize, Deserialize)]
pub struct Aim {
    pub what: String,
    pub wanted: String,
    pub measured: String,
    pub is_met: bool,
    /// Where it is missed.
    pub why: String,
}

impl Section {
    pub fn new(title: &str, text: &str) -> Self {
        Self { title: title.to_owned(), text: text.to_owned(), ..Self::default() }
    }

    pub fn table(&mut self, columns: &[&str], rows: Vec<Vec<String>>) {
        for row in &rows {
            println!("  {}", row.join(" | "));
        }
        self.tables.push(Table { columns: columns.iter().map(ToString::to_string).collect(), rows });
    }

    /// An aim that a figure has to stay below, or above.
    pub fn aim(&mut self, what: &str, aim: &str, measured: String, is_met: bool, why: &str) {
        println!("  aim {what}: {aim}, measured {measured}: {}", if is_met { "met" } else { "missed" });
        let (what, wanted, why) = (what.to_owned(), aim.to_owned(), why.to_owned());
        self.aims.push(Aim { what, wanted, measured, is_met, why });
    }

    fn render(&self, directory: &Path) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.text);
        for table in &self.tables {
            text.push('\n');
            text.push_str(&row(&table.columns));
            text.push_str(&format!("|{}\n", "---|".repeat(table.columns.len())));
            table.rows.iter().for_each(|cells| text.push_str(&row(cells)));
        }
        for chart in &self.charts {
            fs::write(directory.join(&chart.file), plot::draw(chart)).unwrap();
            text.push_str(&format!("\n![{}]({})\n", chart.title, chart.file));
        }
        text
    }
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

/// Writes the page of what is there of the parts, in this order.
pub fn write(directory: &Path, parts: &[&str]) {
    let mut sections = String::new();
    let mut aims = Vec::new();
    for part in parts {
        match fs::read_to_string(directory.join(format!("{part}.json"))) {
            Ok(json) => {
                let section: Section = serde_json::from_str(&json).unwrap();
                sections.push_str(&format!("\n{}", section.render(directory)));
                aims.extend(section.aims);
            }
            Err(_) => sections.push_str(&format!("\n## {part}\n\nNot measured in the last run.\n")),
        }
    }
    let mut text = INTRODUCTION.to_owned();
    text.push_str(&format!("\nMeasured on {}.\n", machine::described()));
    let rows = aims.iter().map(|aim| {
        let outcome = if aim.is_met { "met".to_owned() } else { format!("missed: {}", aim.why) };
        row(&[aim.what.clone(), aim.wanted.clone(), aim.measured.clone(), outcome])
    });
    text.push_str("\n## Aims\n\n| what | aim | measured | |\n|---|---|---|---|\n");
    text.extend(rows);
    text.push_str(&sections);
    fs::write(directory.join("README.md"), text).unwrap();
}

const INTRODUCTION: &str = "# Benchmarks\n\n\
`scripts/bench` writes this page, and the plots on it, each part from one run beside real HAProxy servers; `scripts/bench quick` does it with \
fewer certificates in a few minutes. The figures of a row were measured in turn, in the same run, on one machine \
that hotcert, HAProxy and all clients share. Ratios carry over to other machines; absolute figures do not. `TMPDIR` says where the files \
are.\n\n\
Each certificate is an ECDSA P-256 leaf with a key of its own and one intermediate, about 2 kB of PEM. HAProxy has two threads and \
one bind line with a certificate directory unless a row says otherwise.\n";

pub fn ms(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1000.0;
    match milliseconds {
        0.0..10.0 => format!("{milliseconds:.2} ms"),
        10.0..1000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{:.2} s", milliseconds / 1000.0),
    }
}

pub fn mb(bytes: u64) -> String {
    format!("{:.1} MB", number(bytes) / 1e6)
}

/// A count as a number for ratios.
pub fn number(count: impl TryInto<u32>) -> f64 {
    f64::from(count.try_into().unwrap_or(u32::MAX))
}

/// How many in a second.
pub fn rate(count: usize, duration: Duration) -> f64 {
    number(count) / duration.as_secs_f64()
}

pub fn median(durations: &mut [Duration]) -> Duration {
    durations.sort_unstable();
    durations[durations.len() / 2]
}
