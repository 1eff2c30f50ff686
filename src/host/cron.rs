//! What cron runs: lines of tables, and programs in directories (`crontab(5)`, `run-parts(8)`); on Debian, Red Hat and Alpine.

use std::path::{Path, PathBuf};

use super::text;
use crate::model::printable;

/// The most of a line that is kept, in characters.
pub(super) const SHOWN: usize = 200;

const TABLES: [&str; 2] = ["etc/crontab", "etc/anacrontab"];
const TABLE_DIRECTORIES: [&str; 4] = ["etc/cron.d", "var/spool/cron/crontabs", "var/spool/cron", "etc/crontabs"];
const PROGRAM_DIRECTORIES: [&str; 9] = [
    "etc/cron.hourly",
    "etc/cron.daily",
    "etc/cron.weekly",
    "etc/cron.monthly",
    "etc/periodic/15min",
    "etc/periodic/hourly",
    "etc/periodic/daily",
    "etc/periodic/weekly",
    "etc/periodic/monthly",
];

/// Something that cron runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CronJob {
    /// A line of a table.
    Line {
        /// The table, as it is called on that machine.
        table: PathBuf,
        /// The line, shortened.
        line: String,
    },
    /// A program in a directory, as it is called on that machine.
    Program(PathBuf),
}

/// What cron runs of a program on the machine whose files are below `root`: the lines in which its name stands, and what is called
/// after it.
#[must_use]
pub fn cron_jobs(root: &Path, name: &str) -> Vec<CronJob> {
    let mut found = Vec::new();
    for table in tables(root) {
        let Some(content) = text::of(root, &table) else { continue };
        let lines = content.lines().map(str::trim).filter(|line| !line.starts_with('#') && line.contains(name));
        let job = |line| CronJob::Line { table: text::shown(root, &table), line: printable(line, SHOWN) };
        found.extend(lines.map(job));
    }
    let programs = programs(root).map(|program| text::shown(root, &program));
    found.extend(
        programs
            .filter(|program| program.file_name().is_some_and(|own| own.to_string_lossy().contains(name)))
            .map(CronJob::Program),
    );
    found
}

/// The tables.
pub(super) fn tables(root: &Path) -> impl Iterator<Item = PathBuf> {
    let below = TABLE_DIRECTORIES.into_iter().flat_map(|place| text::entries(&root.join(place)));
    TABLES.into_iter().map(|table| root.join(table)).chain(below)
}

/// What lies in the directories of programs, whether it can be run or not.
pub(super) fn programs(root: &Path) -> impl Iterator<Item = PathBuf> {
    PROGRAM_DIRECTORIES.into_iter().flat_map(|place| text::entries(&root.join(place)))
}
