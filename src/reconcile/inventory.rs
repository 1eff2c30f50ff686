//! Everything that one process of `HAProxy` has loaded, read in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::bundle::Rival;
use crate::config::Node;
use crate::haproxy::{Certificates, Entry, Error, Info, ListKind, Loaded, Session, Sni, Status};
use crate::model::{Facts, Identifier, Slot};
use crate::store::publish;

/// Everything that one process of `HAProxy` has loaded.
pub(super) struct Inventory {
    pub(super) certificates: Certificates,
    pub(super) loaded: BTreeMap<Slot, Loaded>,
    pub(super) lists: BTreeMap<Slot, Listed>,
    pub(super) sni: Vec<Sni>,
}

/// A list and what is in it.
pub(super) struct Listed {
    pub(super) kind: ListKind,
    pub(super) entries: Vec<Entry>,
}

impl Inventory {
    pub(super) async fn take(session: &mut Session) -> Result<Self, Error> {
        let certificates = session.certificates().await?;
        let known = certificates.names.iter().filter_map(|name| name.slot().cloned());
        let (slots, unspeakable): (Vec<Slot>, Vec<Slot>) = known.partition(|slot| can_describe(session.info(), slot));
        let replies = session.certificates_of(&slots).await?;
        let mut loaded: BTreeMap<Slot, Loaded> =
            slots.into_iter().zip(replies).filter_map(|(slot, loaded)| Some((slot, loaded?))).collect();
        let unknown = Loaded { status: Status::Unknown, leaf: None, chain: Vec::new() };
        loaded.extend(unspeakable.into_iter().map(|slot| (slot, unknown.clone())));
        let mut lists = BTreeMap::new();
        for list in session.lists().await? {
            let entries = session.entries(&list).await?;
            let kind = match ListKind::of(&list, &entries) {
                ListKind::Unknown if Path::new(list.as_str()).is_dir() => ListKind::Directory,
                kind => kind,
            };
            lists.insert(list, Listed { kind, entries });
        }
        let sni = session.sni().await?.unwrap_or_default();
        Ok(Self { certificates, loaded, lists, sni })
    }

    /// A list by its name, with or without a slash at the end.
    pub(super) fn list(&self, name: &str) -> Option<(&Slot, &Listed)> {
        let plain = |name: &str| name.trim_end_matches('/').to_owned();
        self.lists.iter().find(|(list, _)| plain(list.as_str()) == plain(name))
    }

    pub(super) fn is_used(&self, slot: &Slot) -> bool {
        self.loaded.get(slot).is_some_and(|loaded| loaded.status == Status::Used)
    }

    /// What a slot holds, for a certificate to be measured against.
    pub(super) fn rival(&self, slot: &Slot, node: &Node) -> Option<Rival> {
        let loaded = self.loaded.get(slot)?;
        let leaf = loaded.leaf.as_ref()?;
        let placeholder = loaded.chain.is_empty() && leaf.subject == leaf.issuer;
        Some(Rival {
            place: format!("node {} (slot {slot})", node.name),
            sha1: leaf.sha1?,
            not_before: leaf.not_before.filter(|_| !placeholder),
            names: leaf.names.clone(),
        })
    }

    pub(super) fn attached(&self) -> BTreeMap<Slot, BTreeSet<String>> {
        let mut attached: BTreeMap<Slot, BTreeSet<String>> = BTreeMap::new();
        for (list, listed) in &self.lists {
            for slot in listed.entries.iter().filter_map(|entry| entry.name.slot()) {
                attached.entry(slot.clone()).or_default().insert(list.as_str().to_owned());
            }
        }
        attached
    }

    /// What a slot answers for: the filters of its entries, or the names of its leaf where an entry has none.
    pub(super) fn names(&self, slot: &Slot, leaf: &BTreeSet<Identifier>) -> BTreeSet<Identifier> {
        let mut entries = self
            .lists
            .values()
            .flat_map(|listed| &listed.entries)
            .filter(|entry| entry.name.slot() == Some(slot))
            .peekable();
        if entries.peek().is_none() {
            return leaf.clone();
        }
        entries
            .flat_map(|entry| {
                if entry.filters.is_empty() {
                    leaf.iter().cloned().collect::<Vec<_>>()
                } else {
                    entry.filters.iter().filter_map(|filter| filter.parse().ok()).collect()
                }
            })
            .collect()
    }
}

/// Whether a node can be asked about a slot. Some versions die of a certificate with hundreds of names; as far as that can be
/// known, from the slot's own file, it is not asked about.
fn can_describe(info: &Info, slot: &Slot) -> bool {
    if info.capabilities().long_descriptions {
        return true;
    }
    let leaf = publish::published(Path::new(slot.as_str())).ok().flatten().and_then(|pem| Facts::read_pem(&pem));
    leaf.is_none_or(|facts| info.can_describe(slot, &facts).is_ok())
}
