//! The entries of one certificate in its list: in the running `HAProxy`, and in the crt-list file.
//!
//! A list may have several entries of one slot. Which of them are ours is noted in the store; the others are left alone. An
//! entry without options and filters is satisfied by any entry, whoever made it.

use std::collections::BTreeMap;
use std::path::Path;

use super::desire::Place;
use super::inventory::Inventory;
use crate::haproxy::Entry;
use crate::model::{KeyKind, Slot};
use crate::plan::{Attachment, Superseded};
use crate::store::Attached;
use crate::store::crt_list::{self, Names};

/// The lists of one node, whose files are read once.
pub(super) struct Lists<'a> {
    inventory: &'a Inventory,
    files: BTreeMap<String, ListFile>,
}

/// A crt-list file, as far as it can be read from here.
pub(super) enum ListFile {
    /// It is not a file, or not one that can be reached from here: it is not ours to repair.
    Elsewhere,
    /// It cannot be understood. What is to be added to it fails, and tells why.
    Bad,
    Read {
        entries: Vec<crt_list::Entry>,
        names: Names,
        /// The places of the entries, in the order of the last parts of their names.
        by_last_part: Vec<usize>,
    },
}

/// How a certificate stands in its list.
#[derive(Default)]
pub(super) struct Standing {
    /// Whether the running `HAProxy` has the entry that is wanted.
    pub(super) attached: bool,
    /// Whether the crt-list file has it, or there is none to be written.
    pub(super) listed: bool,
    /// Entries of ours that are not what is wanted.
    pub(super) superseded: Vec<Superseded>,
    /// How the lines of the file name slots.
    pub(super) names: Names,
}

impl<'a> Lists<'a> {
    pub(super) fn new(inventory: &'a Inventory) -> Self {
        Self { inventory, files: BTreeMap::new() }
    }

    /// How a certificate stands of which these entries were made.
    pub(super) fn standing(&mut self, place: &Place, made: &[Attached]) -> Standing {
        let (slot, Some(to)) = (&place.slot, &place.attachment) else {
            return Standing { attached: true, listed: true, ..Standing::default() };
        };
        let inventory = self.inventory;
        let in_memory: Vec<&Entry> = inventory.entries_of(&to.list, slot).collect();
        let file = &*self.files.entry(to.list.clone()).or_insert_with(|| ListFile::read(&to.list, inventory));
        let (in_file, names): (Vec<_>, _) = match file {
            ListFile::Read { names, .. } => (file.lines_of(slot), names.clone()),
            _ => (Vec::new(), Names::default()),
        };
        let of_slot = || made.iter().filter(|made| made.slot == *slot);
        let old: Vec<&Attached> = of_slot().filter(|made| made.to.list == to.list && !made.to.is_same(to)).collect();
        let as_made = of_slot().find(|made| made.to.is_same(to));
        let is_wanted = |entry: &Entry| {
            to.is_listed_as(&entry.options, &entry.filters)
                || as_made.is_some_and(|made| made.is_listed_as(&entry.options, &entry.filters))
        };
        let is_old = |entry: &Entry| old.iter().any(|old| old.is_listed_as(&entry.options, &entry.filters));
        let is_old_line = |entry: &crt_list::Entry| old.iter().any(|old| entry.is(slot, &old.to, &names));
        let any_will_do = to.directory || to.is_plain();
        let attached = in_memory.iter().any(|entry| is_wanted(entry) || (any_will_do && !is_old(entry)));
        let listed = match file {
            ListFile::Elsewhere => true,
            ListFile::Bad => false,
            ListFile::Read { .. } => in_file.iter().any(|entry| entry.has(to) || (any_will_do && !is_old_line(entry))),
        };
        let superseded = old.iter().map(|old| Superseded {
            from: old.to.clone(),
            in_memory: in_memory.iter().any(|entry| old.is_listed_as(&entry.options, &entry.filters)),
            in_file: in_file.iter().any(|entry| entry.is(slot, &old.to, &names)),
        });
        let superseded = superseded.filter(|old| old.in_memory || old.in_file).collect();
        Standing { attached, listed, superseded, names }
    }
}

impl ListFile {
    pub(super) fn read(list: &str, inventory: &Inventory) -> Self {
        let path = Path::new(list);
        if !path.is_absolute() || !path.is_file() {
            return Self::Elsewhere;
        }
        let Ok(entries) = crt_list::entries(path) else { return Self::Bad };
        let loaded = inventory.list(list).map_or(&[][..], |(_, listed)| &listed.entries);
        let loaded: Vec<(u32, &str)> =
            loaded.iter().filter_map(|entry| Some((entry.line, entry.name.slot()?.as_str()))).collect();
        let names = Names::compare(&entries, &loaded);
        let mut by_last_part: Vec<usize> = (0..entries.len()).collect();
        by_last_part.sort_by_key(|&at| crt_list::last_part(&entries[at].certificate));
        Self::Read { entries, names, by_last_part }
    }

    /// The lines that stand for a slot, alone or with others, in their order.
    fn lines_of(&self, slot: &Slot) -> Vec<&crt_list::Entry> {
        let Self::Read { entries, names, by_last_part } = self else { return Vec::new() };
        let last = crt_list::last_part(slot.as_str());
        // A line may leave out the kind of the key.
        let kinds = KeyKind::ALL.into_iter();
        let without = kinds.filter_map(|kind| last.strip_suffix(kind.as_str())?.strip_suffix('.'));
        let mut found: Vec<usize> = [last]
            .into_iter()
            .chain(without)
            .flat_map(|part| {
                let part_at = |at: &usize| crt_list::last_part(&entries[*at].certificate);
                let begin = by_last_part.partition_point(|at| part_at(at) < part);
                let count = by_last_part[begin..].partition_point(|at| part_at(at) == part);
                &by_last_part[begin..][..count]
            })
            .copied()
            .filter(|&at| names.stands_for(&entries[at].certificate, slot))
            .collect();
        found.sort_unstable();
        found.into_iter().map(|at| &entries[at]).collect()
    }
}

impl Inventory {
    /// The entries of a slot in a list.
    pub(super) fn entries_of<'i>(&'i self, list: &str, slot: &'i Slot) -> impl Iterator<Item = &'i Entry> {
        self.list(list).into_iter().flat_map(move |(_, listed)| listed.of(slot))
    }
}

/// The last of some entries that is just this one.
pub(super) fn last<'e>(entries: &'e [Entry], slot: &Slot, made: &Attached) -> Option<&'e Entry> {
    let is_it = |entry: &&Entry| entry.name.slot() == Some(slot) && made.is_listed_as(&entry.options, &entry.filters);
    entries.iter().filter(is_it).max_by_key(|entry| entry.line)
}

/// An entry of which nothing is noted.
pub(super) fn unnoted(slot: &Slot, to: &Attachment) -> Attached {
    Attached { slot: slot.clone(), to: to.clone(), listed_as: None }
}
