//! Where a certificate belongs on a node: its slot, its list and its file.

use std::path::{Path, PathBuf};

use super::inventory::Inventory;
use crate::config::{Certificate, Node};
use crate::haproxy::{Leaf, ListKind};
use crate::model::{CertName, Invalid, KeyKind, Slot};
use crate::plan::Attachment;
use crate::store::crt_list::{Names, last_part, same_path};
use crate::store::publish;

/// The place of a certificate on a node.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) slot: Slot,
    pub(crate) attachment: Option<Attachment>,
    /// The file that `HAProxy` reads at its next start; `None` when it cannot be reached from here.
    pub(crate) file: Option<PathBuf>,
    /// How the lines of its crt-list name it.
    pub(crate) names: Names,
}

/// A certificate has no place on a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplaced {
    /// The slot's name cannot be used.
    #[error(transparent)]
    Slot(#[from] Invalid),
    /// Several slots could be meant.
    #[error("HAProxy has several slots that could be meant: {found}")]
    Ambiguous {
        /// The slots.
        found: String,
    },
    /// There is no slot for it and no directory to make one in.
    #[error("HAProxy has no slot for it, and no directory is given in which to make one")]
    NoDirectory,
    /// The crt-list is not one that `HAProxy` has.
    #[error("HAProxy has no crt-list {list}; it has {known}")]
    UnknownList {
        /// The list that was asked for.
        list: String,
        /// The lists that there are.
        known: String,
    },
    /// Nothing would make a new slot serve.
    #[error(
        "HAProxy reads neither {directory} as a certificate directory nor one crt-list to which the slot could be added; it has {known}"
    )]
    NoList {
        /// The directory of the slot.
        directory: String,
        /// The lists that there are.
        known: String,
    },
    /// There is no such alias.
    #[error("HAProxy has no slot {slot}, and an alias comes only from its configuration")]
    NoAlias {
        /// The alias.
        slot: Slot,
    },
    /// The file of an alias has a key file beside it.
    #[error("{} holds a certificate without its key: the key is loaded from another file", file.display())]
    KeyElsewhere {
        /// The file.
        file: PathBuf,
    },
    /// Options or filters cannot be given there.
    #[error("{list} is a certificate directory, in which entries have neither options nor filters")]
    Bare {
        /// The directory.
        list: String,
    },
    /// Another certificate of ours has the slot.
    #[error("its slot {slot} is that of certificate {by}")]
    Taken {
        /// The slot.
        slot: Slot,
        /// The other one.
        by: CertName,
    },
}

impl Unplaced {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Slot(_) => "choose another name by --name or --cert-name, or another directory".to_owned(),
            Self::Ambiguous { .. } | Self::NoDirectory => {
                "say by --crt-dir (or crt_dir in the configuration) which directory HAProxy reads certificates from"
                    .to_owned()
            }
            Self::NoAlias { slot } => format!(
                "add a `load` line for {slot} to a crt-store of HAProxy (3.0 and up) and reload it once, or correct `slot`"
            ),
            Self::KeyElsewhere { file } => format!(
                "put certificate and key into {} and take `key` off the `load` line, so that both are replaced at once",
                file.display()
            ),
            Self::Bare { .. } => "take `options` and `filters` away, or use a crt-list".to_owned(),
            Self::Taken { by, .. } => format!("give this certificate or {by} another name, `slot` or directory"),
            Self::UnknownList { .. } => "use the path exactly as HAProxy's `bind` line has it".to_owned(),
            Self::NoList { directory, .. } => format!(
                "let the bind line say `ssl crt {directory}/` and reload HAProxy once, or name a crt-list by --attach or crt_list"
            ),
        }
    }
}

/// Finds the place of a certificate.
///
/// The slot is the one that is configured, else `<crt_dir>/<name>.pem`, with the kind of the key behind it for one of two kinds.
/// Where no directory is configured: a slot of that file name, else the one slot that has the same names, and the same `kind` of
/// key, else a new one in the only directory that `HAProxy` reads.
pub(crate) fn place(
    certificate: &Certificate,
    kind: Option<KeyKind>,
    node: &Node,
    inventory: &Inventory,
) -> Result<Place, Unplaced> {
    let slot = slot(certificate, kind, node, inventory)?;
    let attachment = attachment(certificate, node, inventory, &slot)?;
    let file = file(certificate, node, &slot);
    if let Some(file) = file.as_ref().filter(|file| is_alias(&slot) && lacks_key(file)) {
        return Err(Unplaced::KeyElsewhere { file: file.clone() });
    }
    Ok(Place { slot, attachment, file, names: Names::default() })
}

/// The slot of a certificate, whether it is there already or not.
pub(super) fn slot(
    certificate: &Certificate,
    kind: Option<KeyKind>,
    node: &Node,
    inventory: &Inventory,
) -> Result<Slot, Unplaced> {
    let file_name = certificate.file_name();
    match (&certificate.slot, node.directory()) {
        (Some(slot), _) if is_alias(slot) && !inventory.loaded.contains_key(slot) => {
            Err(Unplaced::NoAlias { slot: slot.clone() })
        }
        (Some(slot), _) => Ok(as_loaded(slot.clone(), inventory)),
        (None, Some(directory)) => Ok(as_loaded(slot_in(&directory, &file_name)?, inventory)),
        (None, None) => find(certificate, kind.or(certificate.key_kind()), &file_name, inventory),
    }
}

/// Whether a slot may be that of a certificate, as far as its name tells.
pub(super) fn may_be(certificate: &Certificate, node: &Node, slot: &Slot) -> bool {
    let is_called = |name: &str| last_part(slot.as_str()) == last_part(name);
    match (&certificate.slot, node.directory()) {
        (Some(meant), _) => is_called(meant.as_str()),
        (None, Some(_)) => is_called(&certificate.file_name()),
        (None, None) => true,
    }
}

/// The file that `HAProxy` reads at its next start, where it can be reached from here.
pub(super) fn file(certificate: &Certificate, node: &Node, slot: &Slot) -> Option<PathBuf> {
    let is_there = |path: &PathBuf| path.parent().is_some_and(Path::is_dir);
    match certificate.file_on(node) {
        // A directory that is configured and not there is told of.
        Some(file) if certificate.slot.is_none() || certificate.file.is_some() => Some(file),
        Some(file) => Some(file).filter(is_there),
        None => Some(PathBuf::from(slot.as_str())).filter(|path| path.is_absolute()).filter(is_there),
    }
}

/// Whether it is a name of a crt-store (configuration manual, section 11, `crt-store`).
pub(super) fn is_alias(slot: &Slot) -> bool {
    slot.as_str().starts_with('@')
}

/// The slot that `HAProxy` has for the same path, written in its own way.
fn as_loaded(slot: Slot, inventory: &Inventory) -> Slot {
    if is_alias(&slot) || inventory.loaded.contains_key(&slot) {
        return slot;
    }
    let same = inventory.ending_like(slot.as_str()).iter().find(|other| same_path(other.as_str(), slot.as_str()));
    same.cloned().unwrap_or(slot)
}

/// Whether a certificate file has no key in it, so that `HAProxy` takes it from elsewhere.
fn lacks_key(file: &Path) -> bool {
    let found = publish::published(file).ok().flatten();
    let has = |pem: &[u8], what: &[u8]| pem.windows(what.len()).any(|part| part == what);
    found.is_some_and(|pem| has(&pem, b"BEGIN CERTIFICATE") && !has(&pem, b"PRIVATE KEY"))
}

fn slot_in(directory: &str, file_name: &str) -> Result<Slot, Invalid> {
    format!("{}/{file_name}", directory.trim_end_matches('/')).parse()
}

fn find(
    certificate: &Certificate,
    kind: Option<KeyKind>,
    file_name: &str,
    inventory: &Inventory,
) -> Result<Slot, Unplaced> {
    let one_of = |candidates: Vec<&Slot>| match candidates.as_slice() {
        [] => Ok(None),
        [slot] => Ok(Some((*slot).clone())),
        several => Err(Unplaced::Ambiguous { found: join(several.iter()) }),
    };
    let of_that_name = inventory.ending_like(file_name).iter().filter(|slot| slot.file_name() == file_name);
    if let Some(slot) = one_of(of_that_name.collect())? {
        return Ok(slot);
    }
    let mut same: Vec<_> = inventory.with_names(&certificate.domains).collect();
    // Whoever serves both kinds has a slot for each. A single certificate may get a key of another kind, and keep its slot.
    let is_other = |leaf: &Leaf| leaf.kind.zip(kind).is_some_and(|(found, kind)| found != kind);
    if certificate.kind.is_some() || same.len() > 1 {
        same.retain(|(_, leaf)| !is_other(leaf));
    }
    if let Some(slot) = one_of(same.into_iter().map(|(slot, _)| slot).collect())? {
        return Ok(slot);
    }
    let directories: Vec<_> =
        inventory.lists.iter().filter(|(_, entries)| entries.kind == ListKind::Directory).collect();
    match directories.as_slice() {
        [(directory, _)] => Ok(slot_in(directory.as_str(), file_name)?),
        _ => Err(Unplaced::NoDirectory),
    }
}

fn attachment(
    certificate: &Certificate,
    node: &Node,
    inventory: &Inventory,
    slot: &Slot,
) -> Result<Option<Attachment>, Unplaced> {
    let to = |list: &str, directory: bool| {
        let Certificate { options, filters, .. } = certificate.clone();
        let to = Attachment { list: list.to_owned(), directory, options, filters };
        if directory && !to.is_plain() { Err(Unplaced::Bare { list: to.list }) } else { Ok(Some(to)) }
    };
    let known = || match inventory.lists.len() {
        0 => "none".to_owned(),
        _ => join(inventory.lists.keys()),
    };
    if let Some(list) = certificate.crt_list.as_ref().or(node.crt_list.as_ref()) {
        return match inventory.list(list) {
            Some((name, seen)) => to(name.as_str(), seen.kind == ListKind::Directory),
            None => Err(Unplaced::UnknownList { list: list.clone(), known: known() }),
        };
    }
    let directory = slot.as_str().rsplit_once('/').map_or("", |(directory, _)| directory);
    if let Some((name, _)) = inventory.list(directory).filter(|_| !is_alias(slot)) {
        return to(name.as_str(), true);
    }
    if let Some((list, seen)) = inventory.lists_of(slot).next() {
        return to(list.as_str(), seen.kind == ListKind::Directory);
    }
    if inventory.is_used(slot) {
        return Ok(None);
    }
    let files: Vec<&Slot> =
        inventory.lists.iter().filter(|(_, seen)| seen.kind != ListKind::Directory).map(|(list, _)| list).collect();
    match files.as_slice() {
        [list] => to(list.as_str(), false),
        _ => Err(Unplaced::NoList { directory: directory.to_owned(), known: known() }),
    }
}

fn join(names: impl Iterator<Item = impl ToString>) -> String {
    names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}
