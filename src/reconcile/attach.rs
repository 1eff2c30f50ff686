//! Making a slot serve by an entry of a list, taking entries of ours away, and undoing both for a certificate that is new.
//!
//! The entry that serves comes first and the one before it goes then, so that there is no gap. In the file the new line takes
//! the place of the old one: the first of a crt-list is the default of its bind. What is ours is noted before it is made.

use std::collections::BTreeMap;

use super::entries::{last, unnoted};
use super::load::{Nodes, Work};
use super::observe::View;
use super::{Error, Reconciler};
use crate::config::Node;
use crate::haproxy::{Filter, Options, Rejection, Session};
use crate::model::{CertName, Invalid, NodeName, Slot};
use crate::plan::{Attachment, Superseded};
use crate::store::{Attached, NodeLock, crt_list};

/// The entry that makes a slot serve, and where it is missing.
pub(super) struct Entry {
    pub(super) to: Attachment,
    pub(super) in_memory: bool,
    pub(super) in_file: bool,
}

/// What of a certificate's entries has to change on one node.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) attach: Option<Entry>,
    pub(super) detach: Vec<Superseded>,
}

impl Entries {
    pub(super) fn is_empty(&self) -> bool {
        self.attach.is_none() && self.detach.is_empty()
    }

    /// The crt-list files that have to be edited.
    pub(super) fn edited(&self) -> impl Iterator<Item = &str> {
        let to = self.attach.iter().filter(|entry| entry.in_file).map(|entry| &entry.to);
        let from = self.detach.iter().filter(|old| old.in_file).map(|old| &old.from);
        to.chain(from).map(|entry| entry.list.as_str())
    }
}

impl Reconciler<'_> {
    /// Changes the entries of one certificate on one node.
    pub(super) async fn enlist(
        &self,
        certificate: &CertName,
        name: &NodeName,
        entries: &Entries,
        nodes: &mut Nodes<'_>,
    ) -> Result<(), Error> {
        let (view, lock) = (&nodes.views[name], &nodes.locks[name]);
        let Some(session) = nodes.sessions.get_mut(name) else { return Ok(()) };
        let place = &view.places[certificate];
        let mut made = self.made(&view.node, certificate);
        if let Some(entry) = &entries.attach {
            self.make(certificate, &place.slot, entry, &mut made, session, view, lock).await?;
        }
        let mut is_default = None;
        for old in entries.detach.iter().filter(|old| old.in_memory) {
            let is_it = |made: &&Attached| made.slot == place.slot && made.to.is_same(&old.from);
            let of = made.iter().find(is_it).cloned();
            match take(session, &view.node, &place.slot, &of.unwrap_or_else(|| unnoted(&place.slot, &old.from))).await {
                Err(Error::Node { source, .. }) if source.rejection() == Some(&Rejection::DefaultCertificate) => {
                    is_default = Some(&old.from);
                }
                outcome => outcome?,
            }
        }
        if let (Some(_), Some(Entry { to, in_memory: true, .. })) = (is_default, &entries.attach) {
            // With the old one in front of it, it would not be seen.
            take(session, &view.node, &place.slot, &unnoted(&place.slot, to)).await?;
        }
        let mut to_add = entries.attach.as_ref().filter(|entry| entry.in_file);
        for old in entries.detach.iter().filter(|old| old.in_file) {
            match to_add.take() {
                Some(new) => crt_list::replace_entry(&place.slot, &old.from, &new.to, &place.names)?,
                None => crt_list::remove_entry(&place.slot, &old.from, &place.names)?,
            };
        }
        if let Some(entry) = to_add {
            crt_list::add_entry(&place.slot, &entry.to, &place.names)?;
        }
        if let Some(list) = is_default.map(|from| from.list.clone()) {
            let (certificate, node) = (certificate.clone(), name.clone());
            return Err(Error::DefaultEntry { certificate, node, list });
        }
        // Those of another slot or list are still ours, should somebody ask for their end.
        let is_kept = |made: &Attached| {
            let to = place.attachment.as_ref();
            to.is_none_or(|to| made.slot != place.slot || made.to.list != to.list || made.to.is_same(to))
        };
        made.retain(is_kept);
        Ok(self.store.note_attached(lock, certificate, &made)?)
    }

    /// Makes an entry in the running `HAProxy`, where it is missing there.
    #[expect(clippy::too_many_arguments, reason = "each is a part of one node, which the caller has borrowed")]
    async fn make(
        &self,
        certificate: &CertName,
        slot: &Slot,
        Entry { to, in_memory, .. }: &Entry,
        made: &mut Vec<Attached>,
        session: &mut Session,
        view: &View,
        lock: &NodeLock,
    ) -> Result<(), Error> {
        let node = &view.node;
        if !to.directory && !made.iter().any(|made| made.slot == *slot && made.to.is_same(to)) {
            made.push(unnoted(slot, to));
            self.store.note_attached(lock, certificate, made)?;
        }
        if !in_memory {
            return Ok(());
        }
        tracing::info!(node = %node.name, %slot, list = to.list, "attaching the certificate");
        let invalid = |error| Error::Unattachable { node: node.name.clone(), source: error };
        let list: Slot = to.list.parse().map_err(invalid)?;
        let options: Option<Options> = (!to.option_words().is_empty())
            .then(|| to.option_words().join(" ").parse())
            .transpose()
            .map_err(invalid)?;
        let filters = to
            .filters
            .iter()
            .map(|filter| filter.parse())
            .collect::<Result<Vec<Filter>, Invalid>>()
            .map_err(invalid)?;
        let failed = |error| Error::node(node, error);
        session.attach(&list, slot, options.as_ref(), &filters).await.map_err(failed)?;
        if options.is_some() {
            // Where it is listed in other words, those have to be known for it to be found again.
            let listing = session.entries(&list).await.map_err(failed)?;
            let newest = listing.iter().filter(|entry| entry.name.slot() == Some(slot)).max_by_key(|entry| entry.line);
            if let Some(entry) = newest.filter(|entry| !to.is_listed_as(&entry.options, &entry.filters)) {
                let ours = made.iter_mut().filter(|made| made.slot == *slot && made.to.is_same(to));
                ours.for_each(|made| made.listed_as = Some(entry.options.clone()));
                self.store.note_attached(lock, certificate, made)?;
            }
        }
        Ok(())
    }

    /// Takes back what this round has made of a certificate that is new on a node: its entries, its slot, its file.
    pub(super) async fn take_back(
        &self,
        certificate: &CertName,
        works: &mut BTreeMap<NodeName, Work>,
        nodes: &mut Nodes<'_>,
    ) {
        for (name, work) in works.iter_mut().filter(|(_, work)| work.create) {
            if let Err(error) = self.take_back_on(certificate, name, work, nodes).await {
                tracing::warn!(node = %name, %certificate, %error, "what was begun could not be taken back");
            }
        }
    }

    async fn take_back_on(
        &self,
        certificate: &CertName,
        name: &NodeName,
        work: &mut Work,
        nodes: &mut Nodes<'_>,
    ) -> Result<(), Error> {
        let (view, lock) = (&nodes.views[name], &nodes.locks[name]);
        let place = &view.places[certificate];
        let entry = work.entries.attach.as_ref();
        let in_memory = match nodes.sessions.get_mut(name) {
            Some(session) => take_slot(session, &view.node, &place.slot, entry).await,
            None => Ok(()),
        };
        if let Some(entry) = entry.filter(|entry| entry.in_file) {
            crt_list::remove_entry(&place.slot, &entry.to, &place.names)?;
        }
        if let Some(former) = work.former.take() {
            former.put_back()?;
        }
        self.store.note_attached(lock, certificate, &[])?;
        in_memory
    }
}

/// Takes a slot that is new out of the running `HAProxy`, with its entry.
async fn take_slot(session: &mut Session, node: &Node, slot: &Slot, entry: Option<&Entry>) -> Result<(), Error> {
    if let Some(entry) = entry.filter(|entry| entry.in_memory) {
        // The slot is new, and so is every entry of it.
        while take_any(session, node, slot, &entry.to).await? {}
    }
    match session.delete(slot).await {
        Err(error) if error.rejection() != Some(&Rejection::NoSlot) => Err(Error::node(node, error)),
        _ => Ok(()),
    }
}

/// Takes an entry of a slot out of the running `HAProxy`; nothing is done when it is not there.
pub(super) async fn take(session: &mut Session, node: &Node, slot: &Slot, made: &Attached) -> Result<(), Error> {
    let invalid = |error| Error::Unattachable { node: node.name.clone(), source: error };
    let list: Slot = made.to.list.parse().map_err(invalid)?;
    let failed = |error| Error::node(node, error);
    // Numbers of lines are those of this moment.
    let listing = session.entries(&list).await.map_err(failed)?;
    let Some(entry) = last(&listing, slot, made) else { return Ok(()) };
    tracing::info!(node = %node.name, %slot, list = made.to.list, "detaching the certificate");
    session.detach(&list, slot, entry.line).await.map_err(failed)
}

/// Takes one entry of a slot out of a list, whatever its options; `false` when there is none.
async fn take_any(session: &mut Session, node: &Node, slot: &Slot, of: &Attachment) -> Result<bool, Error> {
    let list: Slot = of.list.parse().map_err(|source| Error::Unattachable { node: node.name.clone(), source })?;
    let failed = |error| Error::node(node, error);
    let listing = session.entries(&list).await.map_err(failed)?;
    let Some(entry) = listing.iter().find(|entry| entry.name.slot() == Some(slot)) else { return Ok(false) };
    session.detach(&list, slot, entry.line).await.map_err(failed)?;
    Ok(true)
}
