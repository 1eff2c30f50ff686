//! What the figures were measured on, in words.

use std::fs;
use std::path::Path;
use std::thread;

/// Processors, kernel and file system.
pub fn described() -> String {
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo").lines().find_map(|line| {
        let (key, model) = line.split_once(':')?;
        (key.trim() == "model name").then(|| model.trim().to_owned())
    });
    let model = model.unwrap_or_else(|| "of an unknown model".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
    format!("{processors} processors ({model}), Linux {kernel}, files on {}", file_system(&std::env::temp_dir()))
}

/// The file system of a directory. One of ext4 without a journal is told apart: it passes over inodes that were freed a moment ago,
/// so that replacing thousands of files gets slower with each.
fn file_system(directory: &Path) -> String {
    let directory = fs::canonicalize(directory).unwrap();
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let holding = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        directory.starts_with(place).then(|| (place.len(), device.to_owned(), kind.to_owned()))
    });
    let Some((_, device, kind)) = holding.max() else { return "an unknown file system".to_owned() };
    let device = device.rsplit('/').next().unwrap_or_default().to_owned() + "-";
    let journals = fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
    let has_journal = journals.into_iter().any(|journal| journal.file_name().to_string_lossy().starts_with(&device));
    if kind == "ext4" && !has_journal { "ext4 without a journal".to_owned() } else { kind }
}
