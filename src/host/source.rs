//! Reads the files of a configuration, with bounds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::configuration::{Configuration, absolute};
use super::error::Problem;
use super::view::{View, read};
use super::words::Variables;

/// Largest file of a configuration that is read, in bytes: a hundred times what the largest sites have.
const MAX_FILE: usize = 32 * 1024 * 1024;
/// Bytes of all files of one configuration.
const MAX_ALL: usize = 64 * 1024 * 1024;
/// Files of one configuration; directories may hold many.
const MAX_FILES: usize = 10_000;

/// Where the files are, and what is known of how they are read.
pub(super) struct Reading<'a> {
    pub(super) view: &'a View,
    /// Where relative names begin.
    pub(super) base: Option<&'a Path>,
    pub(super) variables: Variables,
    /// Whose they are, for messages.
    pub(super) pid: u32,
}

/// Reads files and directories as `HAProxy` does (management guide, section 3, `-f`): a directory stands for its files that end in
/// `.cfg` and begin with no dot, sorted by name.
pub(super) fn configuration(names: &[PathBuf], reading: Reading<'_>) -> Configuration {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for name in names {
        let Some(path) = absolute(reading.base, name) else {
            problems.push(Problem::Relative { path: name.clone(), pid: reading.pid });
            continue;
        };
        match expand(&path, reading.view) {
            Ok(found) => files.extend(found),
            Err(error) => problems.push(Problem::Unreadable { path, kind: error.kind() }),
        }
    }
    let mut left = MAX_ALL;
    let mut sources = Vec::new();
    for (index, path) in files.into_iter().enumerate() {
        if index >= MAX_FILES {
            problems.push(Problem::TooMuch { path, limit: "10,000 files" });
            break;
        }
        match reading.view.here(&path).and_then(|here| read(&here, MAX_FILE.min(left))) {
            Ok(bytes) => {
                left -= bytes.len();
                sources.push((path, bytes));
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                problems.push(Problem::TooMuch { path, limit: "32 MiB, and 64 MiB of all files" });
            }
            Err(error) => problems.push(Problem::Unreadable { path, kind: error.kind() }),
        }
    }
    let mut out = Configuration::parse(&sources, reading.base, reading.variables);
    for problem in problems {
        out.problem(problem);
    }
    out
}

fn expand(path: &Path, view: &View) -> io::Result<Vec<PathBuf>> {
    let here = view.here(path)?;
    if !fs::metadata(&here)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&here)?.take(MAX_FILES) {
        let Ok(name) = entry?.file_name().into_string() else { continue };
        // It looks for the first `.cfg` in a name, so that `a.cfg.cfg` is none.
        let has_ending = name.find(".cfg").is_some_and(|at| at + ".cfg".len() == name.len());
        if has_ending && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    let files = names.into_iter().map(|name| path.join(name));
    Ok(files.filter(|file| view.here(file).and_then(fs::metadata).is_ok_and(|found| found.is_file())).collect())
}
