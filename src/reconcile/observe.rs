//! What a node serves now, beside what it should serve.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::companions::{Companions, Directories};
use super::desire::{self, Place, Unplaced};
use super::entries::Lists;
use super::few::Slots;
use super::inventory::Inventory;
use super::{Foreign, Reconciler, Stored, Workers, verify};
use crate::bundle::Bundle;
use crate::config::Node;
use crate::haproxy::{Error, Info, Loaded, Name, Session, Sni, Status};
use crate::model::{CertName, Identifier, Serial, Sha1, Sha256, Slot};
use crate::plan::{self, Actual, Contested, Desired, Held, Plan, Want};
use crate::store::{Attached, Generation, Source, in_parallel, publish};

/// One node as it was seen, and what follows from that.
#[derive(Debug, Clone)]
pub struct View {
    /// Its configuration.
    pub node: Node,
    /// Who answered.
    pub info: Info,
    /// What it should serve.
    pub desired: Desired,
    /// What it serves.
    pub actual: Actual,
    /// The steps between.
    pub plan: Plan,
    /// The slot of an open transaction that is not ours.
    pub foreign_transaction: Option<String>,
    /// Its old workers, where a master socket is configured.
    pub workers: Workers,
    /// Certificates that have no place on it.
    pub unplaced: BTreeMap<CertName, Unplaced>,
    /// The certificate that should serve each name which it shares with another slot.
    pub(crate) rightful: BTreeMap<Contested, CertName>,
    pub(crate) places: BTreeMap<CertName, Place>,
    /// What lies beside the files of certificates.
    pub(crate) companions: BTreeMap<CertName, Companions>,
    /// Serial number, and end of validity, of what is in memory.
    pub(crate) leaves: BTreeMap<Slot, (Serial, Option<Timestamp>)>,
    pub(crate) foreign: Vec<Foreign>,
    /// All that it has loaded.
    pub(super) slots: Slots,
}

impl View {
    /// The certificate that should serve a name of another one, where several of its kind cover it.
    pub(super) fn owner(&self, want: &Want, name: &Identifier) -> Option<&CertName> {
        want.kinds().find_map(|kind| self.rightful.get(&(name.clone(), kind)))
    }

    /// Puts what was seen of few certificates in place of what was seen of them before. No other has changed meanwhile, and nothing but
    /// what their slots and files hold.
    pub(super) fn amend_by(&mut self, few: Self) {
        self.info = few.info;
        self.desired.certificates.extend(few.desired.certificates);
        self.actual.slots.extend(few.actual.slots);
        self.actual.published.extend(few.actual.published);
        self.leaves.extend(few.leaves);
        self.companions.extend(few.companions);
        self.plan.steps = few.plan.steps;
    }
}

impl Reconciler<'_> {
    /// Looks at one node.
    pub(super) async fn observe(&self, session: &mut Session, node: &Node, stored: &Stored) -> Result<View, Error> {
        let inventory = match self.few.map(|few| few.slots(&node.name)) {
            None => Inventory::take(session).await?,
            Some(slots) => Inventory::take_of(session, |slot| slots.contains(slot)).await?,
        };
        let now = self.clock.now();
        let mut view = View {
            node: node.clone(),
            info: session.info().clone(),
            desired: Desired::default(),
            actual: Actual { attached: inventory.attached(), ..Actual::default() },
            plan: Plan::default(),
            foreign_transaction: None,
            workers: Workers::default(),
            unplaced: BTreeMap::new(),
            rightful: BTreeMap::new(),
            places: BTreeMap::new(),
            companions: BTreeMap::new(),
            leaves: BTreeMap::new(),
            foreign: Vec::new(),
            slots: Slots::of(&inventory.certificates),
        };
        self.desire(&mut view, &inventory, stored, now);
        if self.few.is_none() {
            view.foreign = self.foreign(node, &inventory);
        }
        self.look_at_open_transaction(&mut view, session, &inventory).await?;

        let ours: BTreeMap<Slot, &Want> =
            view.desired.certificates.values().map(|want| (want.slot.clone(), want)).collect();
        for (slot, loaded) in &inventory.loaded {
            let want = ours.get(slot).copied();
            let leaf = loaded.leaf.as_ref();
            view.leaves.extend(leaf.map(|leaf| (slot.clone(), (leaf.serial.clone(), leaf.not_after))));
            view.actual.slots.insert(slot.clone(), held(slot, loaded, want, &inventory, now));
        }
        drop(ours);
        view.look_at_staples(session).await?;
        let ours: BTreeSet<Slot> = view.desired.certificates.values().map(|want| want.slot.clone()).collect();
        let mut directories = Directories::default();
        let contested: BTreeSet<Identifier> = view.desired.certificates.values().flat_map(Want::answers).collect();
        for (slot, held) in &mut view.actual.slots {
            if let Some(held) = held
                && !ours.contains(slot)
                && !held.names.is_disjoint(&contested)
            {
                held.reloadable = own_file(slot).is_some_and(|bundle| {
                    let beside = directories.beside(Path::new(slot.as_str()), bundle.facts(), now);
                    let kills = beside.is_some_and(|beside| beside.timestamps.is_some());
                    bundle.facts().sha1 == held.sha1 && !kills
                });
            }
        }
        view.rightful = plan::rightful(&view.desired, &view.actual);
        view.actual.shown = self.shown(&view, &inventory).await;
        view.plan = plan::plan(&view.desired, &view.actual);
        // Most nodes have none: no room is kept for it.
        view.workers = Box::pin(self.old_workers(&view)).await;
        Ok(view)
    }

    /// Fills in what the node should serve, and what of it stands in files already.
    fn desire(&self, view: &mut View, inventory: &Inventory, stored: &Stored, now: Timestamp) {
        let mut directories = Directories::default();
        let mut lists = Lists::new(inventory);
        let mut owners: BTreeMap<Slot, CertName> = BTreeMap::new();
        let mut placed = Vec::new();
        for (name, generation) in &stored.generations {
            let certificate = &self.config.certificates[name];
            if !certificate.nodes.is_empty() && !certificate.nodes.contains(&view.node.name) {
                continue;
            }
            let place = desire::place(certificate, generation.facts.kind(), &view.node, inventory).and_then(|place| {
                let owner = owners.entry(place.slot.clone()).or_insert_with(|| name.clone());
                if owner == name { Ok(place) } else { Err(Unplaced::Taken { slot: place.slot, by: owner.clone() }) }
            });
            match place {
                Ok(place) => placed.push((name, generation, place)),
                Err(why) => _ = view.unplaced.insert(name.clone(), why),
            }
        }
        let published = in_parallel(&placed, |(name, generation, place)| {
            place.file.as_ref().is_some_and(|file| self.is_published(name, generation, file))
        });
        for ((name, generation, mut place), is_published) in placed.into_iter().zip(published) {
            let facts = generation.facts.clone();
            let publish = self.config.certificates[name].publish && place.file.is_some();
            if is_published {
                view.actual.published.insert(name.clone());
            }
            let beside = place.file.as_ref().and_then(|file| directories.beside(file, &facts, now));
            view.companions.extend(beside.map(|beside| (name.clone(), beside)));
            // Entries of a directory are not noted.
            let is_noted = place.attachment.as_ref().is_some_and(|to| !to.directory);
            let made = if is_noted { self.made(&view.node, name) } else { Vec::new() };
            let standing = lists.standing(&place, &made);
            if standing.listed {
                view.actual.listed.insert(name.clone());
            }
            if !standing.attached
                && let (Some(to), Some(lists)) = (&place.attachment, view.actual.attached.get_mut(&place.slot))
            {
                lists.remove(&to.list);
            }
            if !standing.superseded.is_empty() {
                view.actual.superseded.insert(name.clone(), standing.superseded);
            }
            place.names = standing.names;
            view.desired.certificates.insert(
                name.clone(),
                Want {
                    slot: place.slot.clone(),
                    expired: facts.not_after <= now,
                    facts,
                    staple: None,
                    attachment: place.attachment.clone(),
                    publish,
                },
            );
            view.places.insert(name.clone(), place);
        }
    }

    /// What the node has loaded that no certificate of ours is meant for.
    fn foreign(&self, node: &Node, inventory: &Inventory) -> Vec<Foreign> {
        let certificates = self.config.certificates.values();
        let meant = certificates.filter(|certificate| self.config.nodes_of(certificate).any(|of| of.name == node.name));
        let ours: BTreeSet<Slot> =
            meant.filter_map(|certificate| desire::slot(certificate, None, node, inventory).ok()).collect();
        let foreign = |name: &Name| {
            let slot = name.slot();
            let leaf = slot.and_then(|slot| inventory.loaded.get(slot)?.leaf.as_ref());
            let lists = slot.into_iter().flat_map(|slot| inventory.lists_of(slot));
            Foreign {
                slot: name.to_string(),
                lists: lists.map(|(list, _)| list.to_string()).collect(),
                serial: leaf.map(|leaf| leaf.serial.clone()),
                not_after: leaf.and_then(|leaf| leaf.not_after),
            }
        };
        let names = inventory.certificates.names.iter();
        names.filter(|name| name.slot().is_none_or(|slot| !ours.contains(slot))).map(foreign).collect()
    }

    /// The entries of lists that were made for a certificate. Without the note, they are taken for somebody else's.
    pub(super) fn made(&self, node: &Node, name: &CertName) -> Vec<Attached> {
        self.store.attached(&node.socket.to_string(), name).unwrap_or_else(|error| {
            tracing::warn!(node = %node.name, %error, "the note of what was attached cannot be read");
            Vec::new()
        })
    }

    /// Whether a file is as it should be for `HAProxy`'s next start. In a directory where others write, whatever they wrote is
    /// for `watch` to take or to refuse: only what we wrote ourselves, an earlier generation, is ours to replace.
    pub(super) fn is_published(&self, name: &CertName, generation: &Generation, file: &Path) -> bool {
        let found = publish::published(file).ok().flatten().map(|bytes| Sha256::of(&bytes));
        if found == Some(generation.published) {
            return true;
        }
        let is_ours = || {
            let numbers = self.store.generations(name).unwrap_or_default();
            numbers.into_iter().any(|number| {
                let known = self.store.generation(name, number).ok();
                known.is_some_and(|known| found == Some(known.published))
            })
        };
        // One that is gone was taken from there, or was never there.
        let is_wished = found.is_some() || generation.meta.source == Source::Watch;
        is_wished && file.parent().is_some_and(|directory| self.config.is_watched(directory)) && !is_ours()
    }

    /// Tells a transaction that our own dead process left open from one of another program: ours was noted on disk before it
    /// was opened, in this very process of `HAProxy`, with these contents.
    async fn look_at_open_transaction(
        &self,
        view: &mut View,
        session: &mut Session,
        inventory: &Inventory,
    ) -> Result<(), Error> {
        let Some(open) = &inventory.certificates.open else { return Ok(()) };
        let note = self.store.staging(&view.node.socket.to_string()).unwrap_or_else(|error| {
            tracing::warn!(node = %view.node.name, %error, "the note of what was being loaded cannot be read");
            None
        });
        if let (Some(slot), Some(note)) = (open.slot(), note)
            && note.haproxy_pid == view.info.pid
            && let Some(sha1) = note.slots.get(slot)
        {
            let staged = session.transaction(slot).await?;
            if staged.and_then(|loaded| loaded.leaf).is_some_and(|leaf| leaf.sha1 == Some(*sha1)) {
                view.actual.stale = Some(slot.clone());
                return Ok(());
            }
        }
        view.foreign_transaction = Some(open.to_string());
        Ok(())
    }

    /// What clients are shown for names that a certificate of ours shares with another slot: by handshake where an address is
    /// known, else as far as `HAProxy` tells (3.2).
    async fn shown(&self, view: &View, inventory: &Inventory) -> BTreeMap<Contested, Sha1> {
        let mut shown = BTreeMap::new();
        for (contested, owner) in &view.rightful {
            let (name, kind) = contested;
            let rightful = view.desired.certificates[owner].facts.sha1;
            for address in &view.node.verify {
                if let Ok(served) = verify::shake(address, name, Some(*kind)).await {
                    let sha1 = Sha1::of(&served.leaf);
                    // Of several addresses the one that is wrong counts.
                    if shown.get(contested).is_none_or(|seen| *seen == rightful) {
                        shown.insert(contested.clone(), sha1);
                    }
                }
            }
            if view.node.verify.is_empty() || verify::cannot_ask() {
                let is_asked = |sni: &&Sni| sni.sni == name.to_string() && sni.kind.is_none_or(|of| of == *kind);
                let answering = inventory.sni.iter().find(is_asked).and_then(|sni| sni.name.slot());
                let held = answering.and_then(|slot| view.actual.slots.get(slot)?.as_ref());
                shown.extend(held.map(|held| (contested.clone(), held.sha1)));
            }
        }
        shown
    }
}

fn held(slot: &Slot, loaded: &Loaded, want: Option<&Want>, inventory: &Inventory, now: Timestamp) -> Option<Held> {
    let leaf = loaded.leaf.as_ref()?;
    let mut held = Held {
        // Without a fingerprint (a certificate of very many names, cut short) it is at least none that we know.
        sha1: leaf.sha1.unwrap_or_else(|| Sha1::of(leaf.serial.to_string().as_bytes())),
        chain_length: loaded.chain.len(),
        names: inventory.names(slot, &leaf.names),
        kind: leaf.kind,
        expired: leaf.not_after.is_some_and(|end| end <= now),
        staple: None,
        used: loaded.status == Status::Used,
        reloadable: false,
    };
    if let Some(want) = want.filter(|want| loaded.is(&want.facts)) {
        held.sha1 = want.facts.sha1;
        held.chain_length = want.facts.chain_length;
    }
    Some(held)
}

/// Reads a foreign slot's own file, as `HAProxy` would: the key may stand beside it.
pub(super) fn own_file(slot: &Slot) -> Option<Bundle> {
    let path = PathBuf::from(slot.as_str());
    if !path.is_absolute() {
        return None;
    }
    let pem = publish::published(&path).ok()??;
    let name = "foreign".parse().expect("it is a certificate name");
    if let Ok(bundle) = Bundle::reopen(&name, &[&pem]) {
        return Some(bundle);
    }
    let key = publish::published(&PathBuf::from(format!("{slot}.key"))).ok()??;
    Bundle::reopen(&name, &[&pem, &key]).ok()
}
