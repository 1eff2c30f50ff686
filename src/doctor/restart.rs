//! What a restart of `HAProxy` would load, against what it serves now; and what would keep it from starting.
//!
//! `HAProxy` loads every file of a certificate directory but dotfiles and the companions of certificates, and refuses to start because
//! of a single bad one; a crt-list must not name a file that is missing (configuration manual, section 5.1, `crt` and `crt-list`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::node::Opened;
use super::paths::file_of;
use super::{Check, Finding, count};
use crate::bundle::Bundle;
use crate::config::Node;
use crate::haproxy::ListKind;
use crate::model::{Facts, Sha1, Slot};
use crate::reconcile::View;
use crate::store::{crt_list, publish};

/// Endings of files that belong to a certificate, and are loaded with it alone.
const COMPANIONS: [&str; 4] = [".key", ".ocsp", ".sctl", ".issuer"];
/// How many differences are told one by one; more of them have one cause.
const TOLD: usize = 8;

/// What a file would do at the next start.
enum Content {
    /// It is loaded.
    Good(Sha1),
    /// `HAProxy` does not start because of it.
    Fatal(String),
}

/// Compares files and memory of one node.
pub(super) fn check(view: &View, opened: &Opened) -> Vec<Finding> {
    let node = &view.node;
    let mut fatal = Vec::new();
    let mut different = Vec::new();
    let mut compared = BTreeSet::new();
    for (list, kind) in &opened.lists {
        let Some(place) = file_of(node, list.as_str().trim_end_matches('/')) else { continue };
        match kind {
            ListKind::Directory | ListKind::Unknown if place.is_dir() => {
                for file in loaded_from(&place) {
                    let slot = slot_of(list, &file);
                    compare(view, slot.as_ref(), &file, &mut fatal, &mut different);
                    compared.extend(slot);
                }
            }
            ListKind::File | ListKind::Unknown if place.is_file() => fatal.extend(missing(node, &place)),
            _ => {}
        }
    }
    for (slot, held) in &view.actual.slots {
        let Some(file) = held.as_ref().filter(|_| !compared.contains(slot)).and_then(|_| file_of(node, slot.as_str()))
        else {
            continue;
        };
        let is_listed = view.actual.attached.get(slot).is_some_and(|lists| !lists.is_empty());
        if file.is_file() {
            compare(view, Some(slot), &file, &mut fatal, &mut different);
        } else if is_listed && file.parent().is_some_and(Path::is_dir) {
            different.push((slot.to_string(), format!("serves what no file has: {} is gone", file.display())));
        }
    }
    let mut findings = fatal;
    let more = different.len().saturating_sub(TOLD);
    let cure = "`hotcert sync` writes the files of certificates that hotcert manages; for others, put the file that you want in place, or let hotcert manage it (`hotcert push`, [[watch]])";
    for (slot, what) in different.into_iter().take(TOLD) {
        let message = format!("HAProxy {what}");
        let cause = format!("a restart would load something else into {slot} than is served now");
        findings.push(Finding::look(Check::Restart, &node.name, message, cause, cure));
    }
    if more > 0 {
        let message = format!("{} more differ between files and memory", count(more, "slot"));
        findings.push(Finding::look(Check::Restart, &node.name, message, "as above", cure));
    }
    if findings.is_empty() {
        let message = format!("a restart would load what is served now: {}", count(view.actual.slots.len(), "slot"));
        findings.push(Finding::good(Check::Restart, &node.name, message));
    }
    findings
}

/// What lies in a slot and what would.
fn compare(
    view: &View,
    slot: Option<&Slot>,
    file: &Path,
    fatal: &mut Vec<Finding>,
    different: &mut Vec<(String, String)>,
) {
    let node = &view.node.name;
    match content(file) {
        Some(Content::Fatal(why)) => {
            let message = format!("HAProxy would not start with {}", file.display());
            let cure = "move it out of the directory, or mend it, before HAProxy is restarted or reloaded; what runs goes on until then";
            fatal.push(Finding::broken(Check::Restart, node, message, why, cure));
        }
        Some(Content::Good(sha1)) => {
            let held = slot.and_then(|slot| Some((slot, view.actual.slots.get(slot)?.as_ref()?)));
            match held {
                None => {
                    different.push((file.display().to_string(), format!("has not loaded {}", file.display())));
                }
                Some((slot, held)) if held.sha1 != sha1 => {
                    let text = format!("serves another certificate in {slot} than {} has", file.display());
                    different.push((slot.to_string(), text));
                }
                Some(_) => {}
            }
        }
        // It went away meanwhile, or may not be read: whoever loads it runs as root.
        None => {}
    }
}

/// The files that `HAProxy` loads from a directory.
fn loaded_from(directory: &Path) -> Vec<PathBuf> {
    let is_loaded = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        !name.starts_with('.') && !COMPANIONS.iter().any(|end| name.ends_with(end)) && path.is_file()
    };
    let mut files: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_loaded).collect();
    files.sort();
    files
}

fn slot_of(list: &Slot, file: &Path) -> Option<Slot> {
    format!("{}/{}", list.as_str().trim_end_matches('/'), file.file_name()?.to_str()?).parse().ok()
}

/// Reads a file as `HAProxy` would; `None` when it cannot be read.
fn content(file: &Path) -> Option<Content> {
    let pem = publish::published(file).ok()??;
    let beside = {
        let mut path = file.as_os_str().to_owned();
        path.push(".key");
        publish::published(Path::new(&path)).ok().flatten()
    };
    let name = "file".parse().expect("it is a certificate name");
    let inputs: Vec<&[u8]> = std::iter::once(&pem).chain(&beside).map(|bytes| bytes.as_slice()).collect();
    Some(match Bundle::reopen(&name, &inputs) {
        Err(refusal) => Content::Fatal(format!("it loads every file there: {}", refusal.check)),
        Ok(bundle) => match Facts::read_pem(&pem) {
            // Which hotcert mends in what it takes over, and HAProxy does not.
            Some(first) if first.sha1 != bundle.facts().sha1 => {
                Content::Fatal("its first certificate is not the one that the private key belongs to".to_owned())
            }
            _ => Content::Good(bundle.facts().sha1),
        },
    })
}

/// Files that a crt-list names and that are not there.
fn missing(node: &Node, list: &Path) -> Vec<Finding> {
    let entries = match crt_list::entries(list) {
        Ok(entries) => entries,
        Err(error) => {
            let cure = format!(
                "correct {}: HAProxy's manual tells what a crt-list line may have (section 5.1)",
                list.display()
            );
            return vec![Finding::error(Check::Restart, &node.name, &error, "HAProxy would not start with it", cure)];
        }
    };
    let gone = entries.iter().filter(|entry| {
        // One of several kinds stands for `NAME.rsa` and the like; relative ones depend on `crt-base`.
        let kinds = ["", ".rsa", ".ecdsa", ".dsa"].map(|end| file_of(node, &format!("{}{end}", entry.certificate)));
        kinds.iter().flatten().next().is_some() && !kinds.iter().flatten().any(|file| file.exists())
    });
    gone.map(|entry| {
        let message = format!("HAProxy would not start: {}:{} names {}", list.display(), entry.line, entry.certificate);
        let cause = "there is no such file";
        let cure = "put the file in place, or take the line away; `hotcert sync` writes those that hotcert manages";
        Finding::broken(Check::Restart, &node.name, message, cause, cure)
    })
    .collect()
}
