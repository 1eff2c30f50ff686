//! Loading certificates, in batches: each is staged on every node before it is committed on any.
//!
//! What disks take long for is done ahead and for a batch at once ([`prepare`]): reading bundles, the files for the next start beside
//! their places, the note of what is going to be staged. Then each certificate is opened on all its nodes, its files are renamed, and it
//! is committed on all nodes ([`together`]); at full pace those of a single node follow each other without a pause ([`stream`]). A single
//! certificate is a batch of one. Whatever goes wrong with one certificate holds up no other.

mod pace;
mod prepare;
mod stream;
mod together;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

pub(super) use prepare::ownership;
pub(super) use work::Work;

use super::observe::View;
use super::{Error, Failure, Reconciler};
use crate::bundle::Bundle;
use crate::haproxy::{Failed, Session};
use crate::model::{CertName, NodeName, Slot};
use crate::schedule::Retry;
use crate::store::{Generation, NodeLock, publish};
use pace::Pace;
use prepare::{Ahead, Ready, Wish};
use together::Open;

/// The locks under which nodes are changed.
pub(super) type Locks = BTreeMap<NodeName, Arc<NodeLock>>;

/// Sessions of the nodes that still answer, and the locks under which they are used.
pub(super) struct Nodes<'a> {
    pub(super) views: &'a BTreeMap<NodeName, View>,
    pub(super) sessions: BTreeMap<NodeName, Session>,
    pub(super) locks: &'a Locks,
}

impl Nodes<'_> {
    /// Why a step of a transaction failed; the session stays with the node where it can still be used.
    fn keep(&mut self, name: &NodeName, failed: Failed) -> Error {
        let Failed { error, session } = failed;
        self.sessions.extend(session.map(|session| (name.clone(), session)));
        Error::node(&self.views[name].node, error)
    }
}

/// A certificate with all that it takes to load it.
pub(super) struct Job {
    certificate: CertName,
    number: u64,
    bundle: Bundle,
    works: BTreeMap<NodeName, Work>,
    files: Vec<(NodeName, publish::Prepared)>,
    /// Since when it is being loaded.
    began: Instant,
    /// Whether it was tried in a stream.
    was_streamed: bool,
}

impl Reconciler<'_> {
    /// Brings certificates to every node that lacks them, in this order, each with its generation.
    pub(super) async fn load(&self, certificates: Vec<(CertName, Generation)>, nodes: &mut Nodes<'_>) -> Vec<Failure> {
        let mut failures = Vec::new();
        let mut works = work::all(nodes);
        let mut jobs: VecDeque<Wish> = VecDeque::new();
        let mut works_of = |certificate: &CertName| -> BTreeMap<NodeName, Work> {
            works.iter_mut().filter_map(|(node, works)| Some((node.clone(), works.remove(certificate)?))).collect()
        };
        for (certificate, generation) in certificates {
            let works = works_of(&certificate);
            if !works.is_empty() {
                jobs.push_back(Wish::new(certificate, generation, works, nodes));
            }
        }
        let mut pace = Pace::new(jobs.iter(), nodes);
        let mut ahead = Ahead::new(self, jobs, nodes);
        // There is nothing yet to be done meanwhile.
        let mut batch = ahead.next_batch();
        while !batch.is_empty() {
            let (changed, next);
            if ahead.is_done() {
                changed = self.load_batch(batch, nodes, &mut pace, &mut failures).await;
                next = Vec::new();
            } else {
                let preparing = prepare::in_background(ahead);
                let loading = self.load_batch(batch, nodes, &mut pace, &mut failures);
                (changed, (ahead, next)) = tokio::join!(loading, preparing);
            }
            ahead.unsynced.extend(changed);
            if self.stop.is_cancelled() {
                break;
            }
            batch = next;
        }
        failures.extend(ahead.sync().err().map(|error| Failure { certificate: None, node: None, error: error.into() }));
        // Where a session is left, no transaction of ours is open.
        for node in ahead.noted().filter(|node| nodes.sessions.contains_key(*node)) {
            if let Err(error) = self.store.clear_staging(&nodes.locks[node]) {
                let error = Error::from(error).into();
                failures.push(Failure { certificate: None, node: Some(node.clone()), error });
            }
        }
        failures
    }

    /// Loads what was prepared; returns the directories in which something was changed that is to last.
    async fn load_batch(
        &self,
        batch: Vec<Result<Ready, Failure>>,
        nodes: &mut Nodes<'_>,
        pace: &mut Pace,
        failures: &mut Vec<Failure>,
    ) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        let mut jobs = VecDeque::new();
        for ready in batch {
            match ready.and_then(|ready| ready.judged(nodes)) {
                Ok(job) => jobs.push_back(job),
                Err(failure) => failures.push(failure),
            }
        }
        while !self.stop.is_cancelled()
            && let Some(mut job) = jobs.pop_front()
        {
            if let Some(name) = job.streamed_to(nodes) {
                jobs.push_front(job);
                self.stream(&name, &mut jobs, nodes, &mut changed, failures).await;
                continue;
            }
            if !job.works.keys().any(|name| nodes.sessions.contains_key(name)) {
                // They went away, which was told of another certificate.
                continue;
            }
            job.began = Instant::now();
            let open = match self.stage(&job, nodes).await {
                Ok(open) => open,
                Err(failure) if failure.error.meets_another() && pace.waits_for_another().await => {
                    jobs.push_front(job);
                    continue;
                }
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            let accepted = self.store.accepted(&job.certificate);
            // Only what HAProxy has accepted is published, so that a reload never fails on our file.
            if let Err(error) =
                job.publish(nodes, &open, &mut changed).and_then(|()| self.accept_job(&job, &mut changed))
            {
                self.undo(&job, open, nodes).await;
                self.take_back(&job.certificate, &mut job.works, nodes).await;
                failures.push(Failure::of(&job.certificate, None, error));
                continue;
            }
            let failed = self.commit(open, &job, nodes).await;
            failures.extend(self.finish(&mut job, accepted, failed, nodes).await);
            pace.rest(nodes, &self.stop).await;
        }
        changed
    }

    /// Makes what was committed serve; what is new and can never serve is taken back.
    async fn finish(
        &self,
        job: &mut Job,
        accepted: Option<u64>,
        mut failures: Vec<Failure>,
        nodes: &mut Nodes<'_>,
    ) -> Vec<Failure> {
        let certificate = &job.certificate;
        let mut is_refused = false;
        for (name, work) in job.works.iter().filter(|(_, work)| !work.entries.is_empty()) {
            if !failures.iter().any(|failure| failure.node.as_ref() == Some(name))
                && let Err(error) = self.enlist(certificate, name, &work.entries, nodes).await
            {
                is_refused |= work.create && error.retry() == Retry::Never;
                failures.push(Failure::of(certificate, Some(name), error));
            }
        }
        if is_refused {
            // It is left behind on no node.
            self.take_back(certificate, &mut job.works, nodes).await;
            if let Err(error) = self.store.accept(certificate, accepted) {
                failures.push(Failure::of(certificate, None, error.into()));
            }
            return failures;
        }
        for name in job.replaced() {
            if let Some(session) = nodes.sessions.get_mut(name) {
                failures.extend(nodes.views[name].expect_stapled(certificate, session).await);
            }
        }
        failures
    }

    /// Notes that a certificate of several nodes was staged on all of them.
    fn accept_job(&self, job: &Job, changed: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
        if self.is_accepted_together(&job.certificate) {
            changed.extend(self.store.accept_soon(&job.certificate, job.number)?);
        }
        Ok(())
    }
}

impl Job {
    /// The nodes on which it is put into its slot.
    fn replaced(&self) -> impl Iterator<Item = &NodeName> {
        self.works.iter().filter(|(_, work)| work.replace).map(|(name, _)| name)
    }

    /// The slot into which it is put on a node.
    fn slot<'v>(&self, name: &NodeName, views: &'v BTreeMap<NodeName, View>) -> &'v Slot {
        &views[name].desired.certificates[&self.certificate].slot
    }

    /// Puts the files of the nodes that are still there into their places.
    fn publish(&mut self, nodes: &Nodes<'_>, open: &Open, changed: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
        for (name, file) in self.files.drain(..) {
            if nodes.sessions.contains_key(&name) || open.contains_key(&name) {
                put(file, changed)?;
            }
        }
        Ok(())
    }
}

/// Puts a file into its place, in a directory that is to be synced then.
fn put(file: publish::Prepared, changed: &mut BTreeSet<PathBuf>) -> Result<(), Error> {
    let directory = file.directory().to_owned();
    file.rename()?;
    changed.insert(directory);
    Ok(())
}
