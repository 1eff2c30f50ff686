//! Room on the disks: an order that cannot be stored is lost.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Check, Finding};
use crate::config::Config;

/// With less, the next renewals may fail: some hundred generations take a few megabytes, and others write there too.
const LITTLE: u64 = 64 << 20;
/// With less, nothing can be stored.
const NONE: u64 = 1 << 20;
/// A generation has six files and three directories.
const INODES: u64 = 100;

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let directories = config.nodes.values().filter_map(|node| node.crt_dir.as_deref());
    let mut devices = BTreeSet::new();
    let mut findings = Vec::new();
    for directory in std::iter::once(config.state_dir.as_path()).chain(directories) {
        let Some(place) = directory.ancestors().find(|path| path.exists()) else { continue };
        if fs::metadata(place).is_ok_and(|found| devices.insert(found.dev())) {
            findings.extend(one(directory, place));
        }
    }
    findings
}

fn one(directory: &Path, place: &Path) -> Option<Finding> {
    let (check, subject) = (Check::DiskSpace, directory.display());
    let found = rustix::fs::statvfs(place).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let message = format!("{} free", size(free));
    let cause = "every renewal stores a generation, and publishes a file";
    let cure = format!("make room on its file system: `df -h {0}`, `du -xsh {0}`", place.display());
    // File systems that make inodes as they need them say zero.
    let few = found.f_files > 0 && found.f_favail < INODES;
    Some(if free < NONE {
        Finding::broken(check, subject, message, cause, cure)
    } else if few {
        let message = format!("only {} more files can be made", found.f_favail);
        Finding::look(check, subject, message, cause, format!("remove small files there: `df -i {}`", place.display()))
    } else if free < LITTLE {
        Finding::look(check, subject, message, cause, cure)
    } else {
        Finding::good(check, subject, message)
    })
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mega @ 10_240.. => format!("{} GiB", mega >> 10),
        mega @ 1.. => format!("{mega} MiB"),
        0 => format!("{bytes} bytes"),
    }
}
