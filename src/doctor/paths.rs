//! Paths: what hotcert calls `crt_dir`, and what `HAProxy` calls it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::node::Opened;
use super::{Check, Finding, count};
use crate::config::{Config, Node};
use crate::haproxy::ListKind;
use crate::model::Slot;
use crate::reconcile::View;

/// Where a slot's file is for us, if it is a file.
pub(super) fn file_of(node: &Node, slot: &str) -> Option<PathBuf> {
    if let (Some(theirs), Some(ours)) = (&node.haproxy_crt_dir, &node.crt_dir)
        && let Some(rest) = slot.strip_prefix(theirs.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/'))
    {
        return Some(ours.join(rest));
    }
    Some(PathBuf::from(slot)).filter(|path| path.is_absolute())
}

/// Whether both mean the same.
pub(super) fn check(config: &Config, view: &View, opened: &Opened) -> Vec<Finding> {
    let (check, node) = (Check::Paths, &view.node);
    let directories: Vec<&str> =
        opened.lists.iter().filter(|(_, kind)| **kind == ListKind::Directory).map(|(list, _)| plain(list)).collect();
    let Some(directory) = node.directory() else { return without_directory(config, view, &directories) };
    let ours = node.crt_dir.as_deref().unwrap_or(Path::new(""));
    if let Some(list) = &node.crt_list
        && !opened.lists.keys().any(|known| known.as_str() == list.as_str())
    {
        let known: Vec<_> = opened.lists.keys().map(ToString::to_string).collect();
        let message = format!("HAProxy has no crt-list {list}");
        let cause = format!("it has {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") });
        let cure = format!(
            "write `crt_list` just as the bind line of HAProxy has it, or let that say `ssl crt-list {list}` and reload HAProxy once"
        );
        return vec![Finding::broken(check, &node.name, message, cause, cure)];
    }
    let is_read = opened.lists.keys().any(|list| plain(list) == directory);
    if is_read || node.crt_list.is_some() {
        let how = if is_read { "as a certificate directory" } else { "by its crt-list" };
        let message = match &node.haproxy_crt_dir {
            Some(_) => format!("HAProxy reads {directory} {how}, which is {} here", ours.display()),
            None => format!("HAProxy reads {directory} {how}"),
        };
        return vec![Finding::good(check, &node.name, message)];
    }
    let below = |slot: &&Slot| slot.as_str().rsplit_once('/').is_some_and(|(parent, _)| parent == directory);
    let held = view.actual.slots.keys().filter(below).count();
    if held > 0 {
        let lists: BTreeSet<&String> = view.actual.attached.values().flatten().collect();
        let listed = lists.into_iter().find(|list| !directories.contains(&list.as_str()));
        let message = format!(
            "HAProxy has {} from {directory}, and reads it neither as a directory nor by a crt-list that is configured",
            count(held, "certificate")
        );
        let cause = "those can be replaced, and new ones can be added to nothing";
        let cure = match listed {
            Some(list) => format!("set `crt_list = \"{list}\"` for node {}", node.name),
            None => format!("let the bind line say `ssl crt {directory}/ strict-sni`, and reload HAProxy once"),
        };
        return vec![Finding::look(check, &node.name, message, cause, cure)];
    }
    vec![elsewhere(view, ours, &directory, &directories)]
}

/// `HAProxy` knows nothing of the directory: maybe by another name.
fn elsewhere(view: &View, ours: &Path, directory: &str, directories: &[&str]) -> Finding {
    let node = &view.node;
    let files: BTreeSet<_> = std::fs::read_dir(ours)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    let names_below = |directory: &str| {
        let name = |slot: &Slot| Some(slot.as_str().strip_prefix(directory)?.strip_prefix('/')?.to_owned());
        view.actual.slots.keys().filter_map(name).collect::<BTreeSet<_>>()
    };
    let message = format!("HAProxy reads no directory {directory}");
    let twin = directories.iter().find(|theirs| !names_below(theirs).is_disjoint(&files));
    let (cause, cure) = match (twin, directories) {
        (Some(theirs), _) => (
            format!(
                "it has the files of {} under {theirs}: a chroot, a container or a mount gives it another path",
                ours.display()
            ),
            format!("set `haproxy_crt_dir = \"{theirs}\"` for node {}", node.name),
        ),
        (None, [only]) => (
            format!("it reads {only}"),
            format!(
                "set `crt_dir = \"{only}\"` for node {0}; or, where that is {1} under another name, `haproxy_crt_dir = \"{only}\"`",
                node.name,
                ours.display()
            ),
        ),
        (None, others) => (
            format!("it reads {}", if others.is_empty() { "none at all".to_owned() } else { others.join(", ") }),
            format!(
                "let the bind line say `ssl crt {directory}/ strict-sni`, and reload HAProxy once; `hotcert config haproxy` prints it"
            ),
        ),
    };
    Finding::broken(Check::Paths, &node.name, message, cause, cure)
}

/// Nothing says where files for the next start belong.
fn without_directory(config: &Config, view: &View, directories: &[&str]) -> Vec<Finding> {
    let (check, node) = (Check::Paths, &view.node);
    let has_file = |name| view.places.get(name).is_some_and(|place| place.file.is_some());
    let lost = view.desired.certificates.keys().filter(|name| !has_file(name)).count();
    if lost == 0 && !view.desired.certificates.is_empty() {
        return vec![Finding::good(
            check,
            &node.name,
            "every certificate has a file that HAProxy reads at its next start",
        )];
    }
    if config.certificates.is_empty() && config.issuers.is_empty() && directories.is_empty() {
        return Vec::new();
    }
    let message = "it is not known where HAProxy finds certificates at its next start";
    let cause = match lost {
        0 => "no `crt_dir` is configured, so there is no place for a new certificate".to_owned(),
        _ => format!("no `crt_dir` is configured, so {} would be lost by a restart", count(lost, "certificate")),
    };
    let guess = directories.first().copied().unwrap_or("/etc/haproxy/certs");
    let cure = format!("set `crt_dir = \"{guess}\"` for node {} (or --crt-dir {guess})", node.name);
    vec![Finding::look(check, &node.name, message, cause, cure)]
}

fn plain(list: &Slot) -> &str {
    list.as_str().trim_end_matches('/')
}
