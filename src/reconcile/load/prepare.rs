//! What is done on disk before `HAProxy` hears of a batch, while the batch before is loaded.
//!
//! A full disk or a missing right shows here. The files of a batch are written, then synced together; one note for each node tells
//! whoever comes after a crash which transactions were ours. Both last before the first certificate of the batch is staged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Job, Nodes, Work};
use crate::bundle::Bundle;
use crate::config::Node;
use crate::model::{CertName, NodeName, Sha1, Slot};
use crate::reconcile::{Error, Failure, Reconciler};
use crate::store::publish::{self, Draft, Former, Ownership};
use crate::store::{Generation, NodeLock, Staging, Store, crt_list};

/// The most files of a batch, each of which is open until it is in its place: two batches stay far below the 1024 that a process may
/// commonly have, and enough are synced together that the disk is quicker than `HAProxy`.
const FILES: usize = 256;
/// The most certificates of a batch where none has a file.
const CERTIFICATES: usize = 256;
/// The most bytes of PEM in a batch, for they are held in memory.
const BYTES: usize = 4 * 1024 * 1024;

/// A certificate that is to be loaded.
pub(super) struct Wish {
    certificate: CertName,
    generation: Generation,
    works: BTreeMap<NodeName, Work>,
    files: Vec<File>,
    /// The nodes on which it is put into a slot.
    slots: Vec<(NodeName, Slot)>,
}

/// A file that is to be published.
struct File {
    node: NodeName,
    directory: PathBuf,
    name: String,
    ownership: Ownership,
}

/// A certificate whose files are complete beside their places.
pub(super) struct Ready {
    wish: Wish,
    bundle: Bundle,
    drafts: Vec<(NodeName, Draft)>,
    files: Vec<(NodeName, publish::Prepared)>,
}

/// Certificates that are still to be prepared, and what was noted for those that were.
pub(super) struct Ahead {
    store: Store,
    since: Timestamp,
    queue: VecDeque<Wish>,
    /// The lock and the process of each node.
    nodes: BTreeMap<NodeName, (Arc<NodeLock>, u32)>,
    /// What is noted of each node for the batch that is being loaded.
    noted: BTreeMap<NodeName, BTreeMap<Slot, Sha1>>,
    /// Directories and lists that were looked at already.
    swept: BTreeSet<PathBuf>,
    checked: BTreeSet<String>,
    /// Directories in which files were renamed since.
    pub(super) unsynced: BTreeSet<PathBuf>,
    /// Why the last directories could not be synced.
    failed: Option<Error>,
}

/// Prepares the next batch beside whatever else is done.
pub(super) async fn in_background(mut ahead: Ahead) -> (Ahead, Vec<Result<Ready, Failure>>) {
    let (subscriber, span) = (tracing::dispatcher::get_default(Clone::clone), tracing::Span::current());
    let prepare = move || {
        let batch = tracing::dispatcher::with_default(&subscriber, || span.in_scope(|| ahead.next_batch()));
        (ahead, batch)
    };
    match tokio::task::spawn_blocking(prepare).await {
        Ok(prepared) => prepared,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

impl Wish {
    pub(super) fn new(
        certificate: CertName,
        generation: Generation,
        works: BTreeMap<NodeName, Work>,
        nodes: &Nodes<'_>,
    ) -> Self {
        let published = works.iter().filter(|(_, work)| work.publish).filter_map(|(node, _)| {
            let view = &nodes.views[node];
            let file = view.places[&certificate].file.as_deref()?;
            let (directory, name) = (file.parent()?.to_owned(), file.file_name()?.to_str()?.to_owned());
            Some(File { node: node.clone(), directory, name, ownership: ownership(&view.node) })
        });
        let slot = |node: &NodeName| nodes.views[node].desired.certificates[&certificate].slot.clone();
        let replaced = works.iter().filter(|(_, work)| work.replace).map(|(node, _)| (node.clone(), slot(node)));
        let (files, slots) = (published.collect(), replaced.collect());
        Self { certificate, generation, works, files, slots }
    }

    /// Whether a node hears of it.
    pub(super) fn is_staged(&self) -> bool {
        !self.slots.is_empty()
    }
}

/// To whom the files of a node belong.
pub(in crate::reconcile) fn ownership(node: &Node) -> Ownership {
    Ownership { mode: node.mode, owner: node.owner.clone(), group: node.group.clone() }
}

impl Ahead {
    pub(super) fn new(reconciler: &Reconciler<'_>, queue: VecDeque<Wish>, nodes: &Nodes<'_>) -> Self {
        let of = |(name, session): (&NodeName, &crate::haproxy::Session)| {
            (name.clone(), (Arc::clone(&nodes.locks[name]), session.info().pid))
        };
        Self {
            store: reconciler.store.clone(),
            since: reconciler.clock.now(),
            queue,
            nodes: nodes.sessions.iter().map(of).collect(),
            noted: BTreeMap::new(),
            swept: BTreeSet::new(),
            checked: BTreeSet::new(),
            unsynced: BTreeSet::new(),
            failed: None,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.queue.is_empty()
    }

    /// The nodes on which there is a note.
    pub(super) fn noted(&self) -> impl Iterator<Item = &NodeName> {
        self.noted.keys()
    }

    /// Prepares the next batch; empty when there is none.
    pub(super) fn next_batch(&mut self) -> Vec<Result<Ready, Failure>> {
        self.failed = self.sync().err();
        let mut batch = Vec::new();
        let (mut files, mut bytes) = (0, 0);
        while files < FILES
            && bytes < BYTES
            && batch.len() < CERTIFICATES
            && let Some(wish) = self.queue.pop_front()
        {
            let ready = self.write(wish);
            if let Ok(ready) = &ready {
                files += ready.drafts.len();
                bytes += ready.bundle.combined_pem().len();
            }
            batch.push(ready);
        }
        sync_drafts(&mut batch);
        self.note(&mut batch);
        batch
    }

    /// Makes the renames of earlier batches last.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        let directories: Vec<PathBuf> = std::mem::take(&mut self.unsynced).into_iter().collect();
        match self.failed.take() {
            Some(error) => Err(error),
            None if directories.is_empty() => Ok(()),
            None => Ok(publish::sync_directories(&directories)?),
        }
    }

    /// Writes the files of one certificate beside their places, and looks whether the lists can be edited.
    fn write(&mut self, mut wish: Wish) -> Result<Ready, Failure> {
        let bundle = self.store.bundle(&wish.certificate, &wish.generation);
        let bundle = bundle.map_err(|error| Failure::of(&wish.certificate, None, error.into()))?;
        let mut drafts = Vec::new();
        for (node, work) in &wish.works {
            for list in work.entries.edited().filter(|list| !self.checked.contains(*list)).collect::<Vec<_>>() {
                let checked = crt_list::check(list.as_ref());
                checked.map_err(|error| Failure::of(&wish.certificate, Some(node), error.into()))?;
                self.checked.insert(list.to_owned());
            }
        }
        for File { node, directory, name, ownership } in &wish.files {
            let mut write = || {
                publish::check_directory(directory)?;
                if self.swept.insert(directory.clone()) {
                    publish::sweep(directory)?;
                }
                let work = wish.works.get_mut(node).filter(|work| work.create);
                if let Some(work) = work {
                    work.former = Some(Former::of(&directory.join(name))?);
                }
                publish::draft(directory, name, bundle.combined_pem(), ownership)
            };
            let draft = write().map_err(|error| Failure::of(&wish.certificate, Some(node), error.into()))?;
            drafts.extend(draft.map(|draft| (node.clone(), draft)));
        }
        Ok(Ready { wish, bundle, drafts, files: Vec::new() })
    }

    /// Notes what is going to be staged, beside what may still be from the batch before.
    fn note(&mut self, batch: &mut [Result<Ready, Failure>]) {
        let mut slots: BTreeMap<NodeName, BTreeMap<Slot, Sha1>> = BTreeMap::new();
        for Ready { wish, bundle, .. } in batch.iter().flatten() {
            for (node, slot) in &wish.slots {
                slots.entry(node.clone()).or_default().insert(slot.clone(), bundle.facts().sha1);
            }
        }
        for (node, slots) in slots {
            let (lock, pid) = &self.nodes[&node];
            let before = self.noted.insert(node.clone(), slots.clone()).unwrap_or_default();
            let slots = before.into_iter().chain(slots).collect();
            let staging = Staging { haproxy_pid: *pid, since: self.since, slots };
            if let Err(error) = self.store.note_staging(lock, &staging) {
                let error = Arc::new(Error::from(error));
                for ready in batch.iter_mut() {
                    if let Ok(Ready { wish, .. }) = ready
                        && wish.slots.iter().any(|(of, _)| *of == node)
                    {
                        let (certificate, node) = (Some(wish.certificate.clone()), Some(node.clone()));
                        *ready = Err(Failure { certificate, node, error: Arc::clone(&error) });
                    }
                }
            }
        }
    }
}

/// Syncs the files of a batch together.
fn sync_drafts(batch: &mut [Result<Ready, Failure>]) {
    let mut owners = Vec::new();
    let mut drafts = Vec::new();
    for (at, ready) in batch.iter_mut().enumerate() {
        for (node, draft) in ready.iter_mut().flat_map(|ready| ready.drafts.drain(..)) {
            owners.push((at, node));
            drafts.push(draft);
        }
    }
    if drafts.is_empty() {
        return;
    }
    for ((at, node), synced) in owners.into_iter().zip(Draft::sync_all(drafts)) {
        let Ok(ready) = &mut batch[at] else { continue };
        match synced {
            Ok(file) => ready.files.push((node, file)),
            Err(error) => batch[at] = Err(Failure::of(&ready.wish.certificate, Some(&node), error.into())),
        }
    }
}

impl Ready {
    /// Judges whether all nodes would take it, without asking them.
    pub(super) fn judged(self, nodes: &Nodes<'_>) -> Result<Job, Failure> {
        let Self { wish: Wish { certificate, generation, works, .. }, bundle, files, .. } = self;
        for (name, work) in &works {
            let view = &nodes.views[name];
            if let Err(limit) = view.info.fits(&view.desired.certificates[&certificate].slot, &bundle) {
                let error = Error::TooLarge { certificate: certificate.clone(), node: name.clone(), limit };
                return Err(Failure::of(&certificate, Some(name), error));
            }
            if work.replace || !work.entries.detach.is_empty() {
                let refused = view.refuse_to_kill(&certificate);
                refused.map_err(|error| Failure::of(&certificate, Some(name), error))?;
            }
        }
        Ok(Job {
            certificate,
            number: generation.number,
            bundle,
            works,
            files,
            began: Instant::now(),
            was_streamed: false,
        })
    }
}
