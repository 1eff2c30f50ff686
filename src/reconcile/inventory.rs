//! Everything that one process of `HAProxy` has loaded, read in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use crate::bundle::Rival;
use crate::config::Node;
use crate::haproxy::{Certificates, Entry, Error, Info, Leaf, ListKind, Loaded, Name, Session, Sni, Status};
use crate::model::{Facts, Identifier, Slot};
use crate::store::crt_list::last_part;
use crate::store::publish;

/// Everything that one process of `HAProxy` has loaded.
pub(super) struct Inventory {
    pub(super) certificates: Certificates,
    pub(super) loaded: BTreeMap<Slot, Loaded>,
    pub(super) lists: BTreeMap<Slot, Listed>,
    pub(super) sni: Vec<Sni>,
    /// Slots by the last part of their path, and by the first name of their leaf, for whoever looks for one of them.
    by_last_part: OnceLock<BTreeMap<String, Vec<Slot>>>,
    by_first_name: OnceLock<BTreeMap<Identifier, Vec<Slot>>>,
}

/// A list and what is in it.
pub(super) struct Listed {
    pub(super) kind: ListKind,
    pub(super) entries: Vec<Entry>,
    /// The places of the entries, in the order of their slots.
    by_slot: Vec<usize>,
}

impl Listed {
    fn new(kind: ListKind, entries: Vec<Entry>) -> Self {
        let mut by_slot: Vec<usize> = (0..entries.len()).collect();
        by_slot.sort_by_key(|&at| entries[at].name.slot());
        Self { kind, entries, by_slot }
    }

    /// The entries of a slot, in their order.
    pub(super) fn of(&self, slot: &Slot) -> impl Iterator<Item = &Entry> + use<'_> {
        let slot_at = |at: &usize| self.entries[*at].name.slot();
        let begin = self.by_slot.partition_point(|at| slot_at(at) < Some(slot));
        let count = self.by_slot[begin..].partition_point(|at| slot_at(at) == Some(slot));
        self.by_slot[begin..][..count].iter().map(|&at| &self.entries[at])
    }
}

impl Inventory {
    /// Everything.
    pub(super) async fn take(session: &mut Session) -> Result<Self, Error> {
        let mut all = Self::take_of(session, |_| true).await?;
        // It tells who answers where several do.
        all.sni = session.sni().await?.unwrap_or_default();
        Ok(all)
    }

    /// All but what the other slots hold.
    pub(super) async fn take_of(session: &mut Session, is_asked_for: impl Fn(&Slot) -> bool) -> Result<Self, Error> {
        let certificates = session.certificates().await?;
        let known = certificates.names.iter().filter_map(Name::slot).filter(|slot| is_asked_for(slot)).cloned();
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
            lists.insert(list, Listed::new(kind, entries));
        }
        let (sni, by_last_part, by_first_name) = Default::default();
        Ok(Self { certificates, loaded, lists, sni, by_last_part, by_first_name })
    }

    /// The slots whose path ends in the same part as this one.
    pub(super) fn ending_like(&self, path: &str) -> &[Slot] {
        let all = self.by_last_part.get_or_init(|| {
            let mut all: BTreeMap<String, Vec<Slot>> = BTreeMap::new();
            for slot in self.loaded.keys() {
                all.entry(last_part(slot.as_str()).to_owned()).or_default().push(slot.clone());
            }
            all
        });
        all.get(last_part(path)).map_or(&[], Vec::as_slice)
    }

    /// The slots whose leaves are for just these names.
    pub(super) fn with_names<'i>(&'i self, names: &'i [Identifier]) -> impl Iterator<Item = (&'i Slot, &'i Leaf)> {
        let all = self.by_first_name.get_or_init(|| {
            let mut all: BTreeMap<Identifier, Vec<Slot>> = BTreeMap::new();
            for (slot, loaded) in &self.loaded {
                if let Some(first) = loaded.leaf.as_ref().and_then(|leaf| leaf.names.first()) {
                    all.entry(first.clone()).or_default().push(slot.clone());
                }
            }
            all
        });
        let candidates = names.iter().min().and_then(|first| all.get(first)).into_iter().flatten();
        let leaves = candidates.filter_map(|slot| Some((slot, self.loaded.get(slot)?.leaf.as_ref()?)));
        leaves.filter(|(_, leaf)| leaf.names.len() == names.len() && names.iter().all(|name| leaf.names.contains(name)))
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

    /// The lists in which a slot has an entry.
    pub(super) fn lists_of(&self, slot: &Slot) -> impl Iterator<Item = (&Slot, &Listed)> {
        self.lists.iter().filter(|(_, listed)| listed.of(slot).next().is_some())
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
        let mut entries = self.lists.values().flat_map(|listed| listed.of(slot)).peekable();
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
