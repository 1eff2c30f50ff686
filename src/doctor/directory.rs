//! The certificate directories: what hotcert publishes there holds private keys, and `HAProxy` loads whatever lies there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::who::{Person, SEARCH, Who};
use super::{Check, Finding, count};
use crate::config::Config;
use crate::store::publish;

/// How many files are looked at.
const FILES: usize = 100_000;

pub(super) fn check(config: &Config, who: &Who) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    // In the order of the nodes, which is the same on every machine.
    let directories = config.nodes.values().filter_map(|node| node.crt_dir.as_deref());
    directories.filter(|directory| seen.insert(*directory)).flat_map(|directory| one(directory, who)).collect()
}

fn one(directory: &Path, who: &Who) -> Vec<Finding> {
    let (check, subject) = (Check::CrtDir, directory.display());
    if let Err(error) = publish::check_directory(directory) {
        let owner = fs::metadata(directory)
            .map_or_else(|error| error.to_string(), |found| format!("it is {}", who.owner_of(&found)));
        let cure = match fs::metadata(directory) {
            Err(_) => format!("mkdir -p {subject}; with the same path on a `bind … ssl crt` line of HAProxy"),
            Ok(_) => error.hint().unwrap_or_else(|| format!("namei -l {subject}")),
        };
        return vec![Finding::broken(check, &subject, error.to_string(), owner, cure)];
    }
    let mut findings = Vec::new();
    let found = fs::metadata(directory);
    let stranger = Person { uid: u32::MAX, groups: BTreeSet::new() };
    let is_open =
        found.as_ref().is_ok_and(|found| stranger.may(SEARCH, found)) && stranger.stopped_at(directory).is_none();
    let open: Vec<_> = if is_open { readable_by_all(directory) } else { Vec::new() };
    if let Some(first) = open.first() {
        let message = format!("every user of this machine may read {}: {first} …", count(open.len(), "private key"));
        let cause = "their mode lets others read; HAProxy reads them as root, before it gives up its rights";
        findings.push(Finding::broken(check, &subject, message, cause, format!("chmod o-rwx {subject}/*")));
    }
    let left = publish::abandoned(directory).unwrap_or_default();
    if !left.is_empty() {
        let message = format!("{} left by a hotcert that was killed", count(left.len(), "temporary file"));
        let cause = "HAProxy does not read dotfiles, so they do no harm";
        findings.push(Finding::look(
            check,
            &subject,
            message,
            cause,
            "nothing: the next `hotcert sync` that writes there takes them away",
        ));
    }
    if findings.is_empty() {
        let owner = found.map_or_else(|error| error.to_string(), |found| who.owner_of(&found));
        findings.push(Finding::good(
            check,
            &subject,
            format!("{owner}; it can be written to, and its keys are private"),
        ));
    }
    findings
}

/// The files that hold a key and that everybody may read.
fn readable_by_all(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().take(FILES);
    let open = entries.filter(|entry| entry.metadata().is_ok_and(|found| found.is_file() && found.mode() & 0o004 != 0));
    let has_key = |path: &Path| {
        publish::published(path).ok().flatten().is_some_and(|bytes| {
            const MARK: &[u8] = b"PRIVATE KEY-----";
            bytes.windows(MARK.len()).any(|window| window == MARK)
        })
    };
    let mut keys: Vec<_> =
        open.filter(|entry| has_key(&entry.path())).map(|entry| entry.path().display().to_string()).collect();
    keys.sort();
    keys
}
