//! Old workers: after a reload they finish their connections, with what they had loaded.
//!
//! They are seen through the master's socket alone. What an old worker holds of ours is brought up to date there, too, once the
//! current worker has it: by a transaction on a slot that it has already. Nothing is created, attached, published or deleted for
//! it. It accepts no new connections, so whatever goes wrong with it is told, and is no failure of a round; that it ends is what
//! it is there for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::load::Locks;
use super::observe::View;
use super::report::Problem;
use super::{Error, Reconciler, Seen, Stored, staples};
use crate::haproxy::{self, Failed, Session};
use crate::model::{CertName, Serial, Slot};
use crate::store::{NodeLock, Staging};

/// What was seen of a node's old workers.
#[derive(Debug, Clone, Default)]
pub struct Workers {
    /// The old workers, as their master lists them.
    pub list: Vec<OldWorker>,
    /// Why nobody could be asked.
    problem: Option<String>,
}

/// A worker that finishes its connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OldWorker {
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// Connections of clients that it still serves.
    pub connections: u32,
    /// How many of them are encrypted, towards clients or servers.
    pub tls_connections: u32,
    /// Certificates of ours of which it holds another version than the one that should be served.
    pub outdated: Vec<Outdated>,
    /// What is wrong, in words.
    pub detail: Option<String>,
    /// The slot of a transaction that our own process left open there, having died.
    #[serde(skip)]
    pub(crate) stale: Option<Slot>,
    /// Whether another program has a transaction open there.
    #[serde(skip)]
    pub(crate) in_use: bool,
}

/// A certificate of which an old worker holds another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outdated {
    /// The certificate.
    pub certificate: CertName,
    /// Its slot.
    pub slot: Slot,
    /// The serial number of what the slot holds.
    pub serial: Serial,
}

impl Workers {
    /// The first thing that needs a look.
    pub(super) fn detail(&self) -> Option<String> {
        let of = |worker: &OldWorker| match (worker.outdated.first(), &worker.detail) {
            (None, None) => None,
            (None, Some(detail)) => Some(format!("old worker {}: {detail}", worker.pid)),
            (Some(Outdated { certificate, serial, .. }), detail) => {
                let why = detail.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                let pid = worker.pid;
                Some(format!("old worker {pid} still serves serial {serial} of certificate {certificate}{why}"))
            }
        };
        self.problem.clone().or_else(|| self.list.iter().find_map(of))
    }
}

impl Reconciler<'_> {
    /// Looks at the old workers of a node. One that ends meanwhile is left out.
    pub(super) async fn old_workers(&self, view: &View) -> Workers {
        let mut workers = Workers::default();
        let Some(master) = view.node.master() else { return workers };
        let found = match haproxy::OldWorker::all(self.connect, master).await {
            Ok(found) => found,
            Err(error) => {
                workers.problem = Some(format!("old workers cannot be seen: {}", in_words(&error)));
                return workers;
            }
        };
        // When all of HAProxy stops, the worker that was asked does, too.
        for found in found.into_iter().filter(|found| found.pid != view.info.pid) {
            let mut worker = OldWorker {
                pid: found.pid,
                started_at: found.started_at,
                connections: found.connections,
                tls_connections: found.tls_connections,
                outdated: Vec::new(),
                detail: None,
                stale: None,
                in_use: false,
            };
            match self.look_into(view, &mut worker).await {
                Ok(()) => {}
                Err(haproxy::Error::WorkerGone { .. }) => continue,
                Err(error) => worker.detail = Some(in_words(&error)),
            }
            workers.list.push(worker);
        }
        workers
    }

    /// Finds what an old worker holds of ours, and its open transaction.
    async fn look_into(&self, view: &View, worker: &mut OldWorker) -> Result<(), haproxy::Error> {
        let Some(mut session) = self.session_with(view, worker).await? else { return Ok(()) };
        let certificates = session.certificates().await?;
        let wants: Vec<_> = view
            .desired
            .certificates
            .iter()
            .filter(|(_, want)| certificates.contains(&want.slot))
            .filter(|(_, want)| session.info().can_describe(&want.slot, &want.facts).is_ok())
            .collect();
        let slots: Vec<_> = wants.iter().map(|(_, want)| want.slot.clone()).collect();
        let held = session.certificates_of(&slots).await?;
        for ((name, want), held) in wants.into_iter().zip(held) {
            // An empty slot serves nobody.
            if let Some(held) = held.filter(|held| !held.is(&want.facts))
                && let Some(leaf) = held.leaf
            {
                let (certificate, slot) = (name.clone(), want.slot.clone());
                worker.outdated.push(Outdated { certificate, slot, serial: leaf.serial });
            }
        }
        if let Some(open) = certificates.open {
            worker.stale = match open.slot() {
                Some(slot) => self.is_left_by_us(view, &mut session, slot).await?.then(|| slot.clone()),
                None => None,
            };
            worker.in_use = worker.stale.is_none();
            if worker.in_use && !worker.outdated.is_empty() {
                worker.detail = Some(format!("a certificate transaction that is not ours is open there on {open}"));
            }
        }
        Ok(())
    }

    /// Whether our own dead process has left a transaction open: it was noted before it was opened, with these contents.
    async fn is_left_by_us(&self, view: &View, session: &mut Session, slot: &Slot) -> Result<bool, haproxy::Error> {
        let note = self.store.staging(&view.node.socket.to_string()).ok().flatten();
        let note = note.filter(|note| note.haproxy_pid == session.info().pid);
        let Some(sha1) = note.and_then(|note| note.slots.get(slot).copied()) else { return Ok(false) };
        let staged = session.transaction(slot).await?;
        Ok(staged.and_then(|loaded| loaded.leaf).is_some_and(|leaf| leaf.sha1 == Some(sha1)))
    }

    /// Ends what our own dead process has left open, while the note still says that it is ours.
    pub(super) async fn abort_stale_in_old_workers(&self, view: &View) {
        for worker in &view.workers.list {
            let Some(slot) = &worker.stale else { continue };
            let pid = worker.pid;
            tracing::info!(node = %view.node.name, pid, %slot, "aborting our own transaction in an old worker, left by a process that died");
            let abort = async {
                match self.session_with(view, worker).await? {
                    Some(mut session) => session.abort_stale(slot).await,
                    None => Ok(()),
                }
            };
            if let Err(error) = abort.await {
                tracing::debug!(node = %view.node.name, pid, %error, "the old worker's transaction was not aborted");
            }
        }
    }

    /// Brings what old workers hold of ours up to date, as far as the current worker has it. How they stand then is in `seen`.
    pub(super) async fn update_old_workers(&self, stored: &Stored, seen: &mut Seen, locks: &Locks) {
        for (name, view) in &mut seen.views {
            // Ended since, or it would not have come so far.
            if view.workers.list.iter().any(|worker| worker.stale.is_some()) {
                view.workers = self.old_workers(view).await;
            }
            let mut failures = BTreeMap::new();
            let mut tried = false;
            for worker in view.workers.list.iter().filter(|worker| !worker.outdated.is_empty() && !worker.in_use) {
                // The note on disk is for one transaction at a time.
                if self.stop.is_cancelled() || view.actual.stale.is_some() || worker.stale.is_some() {
                    continue;
                }
                tried = true;
                if let Err(error) = self.update(stored, view, worker, &locks[name]).await {
                    failures.insert(worker.pid, in_words(&error));
                }
            }
            if !tried {
                continue;
            }
            view.workers = self.old_workers(view).await;
            for worker in &mut view.workers.list {
                if let Some(failure) = failures.remove(&worker.pid).filter(|_| !worker.outdated.is_empty()) {
                    worker.detail = Some(failure);
                }
            }
        }
    }

    async fn update(&self, stored: &Stored, view: &View, worker: &OldWorker, lock: &NodeLock) -> Result<(), Error> {
        let (node, pid) = (&view.node, worker.pid);
        let fail = |source| Error::node(node, source);
        let Some(mut session) = self.session_with(view, worker).await.map_err(fail)? else { return Ok(()) };
        for Outdated { certificate, slot, .. } in &worker.outdated {
            let generation = stored.generations.get(certificate);
            // What the current worker has not taken may not be good.
            let is_served =
                view.desired.certificates.get(certificate).is_some_and(|want| want.is_held_in(&view.actual));
            let Some(generation) = generation.filter(|_| is_served) else { continue };
            view.refuse_to_kill(certificate)?;
            let bundle = self.store.bundle(certificate, generation)?;
            if let Err(limit) = session.info().fits(slot, &bundle) {
                return Err(Error::TooLarge { certificate: certificate.clone(), node: node.name.clone(), limit });
            }
            tracing::info!(node = %node.name, pid, %slot, %certificate, "loading the certificate into an old worker");
            let slots = BTreeMap::from([(slot.clone(), bundle.facts().sha1)]);
            self.store.note_staging(lock, &Staging { haproxy_pid: pid, since: self.clock.now(), slots })?;
            let outcome = match session.stage(slot, &bundle).await {
                Ok(mut staged) => {
                    staples::add(view.companions.get(certificate), &mut staged).await;
                    staged.commit().await
                }
                Err(failed) => Err(failed),
            };
            session = match outcome {
                Ok(session) => session,
                Err(failed) => {
                    let Failed { error, session } = *failed;
                    // Else the note tells the next round whose transaction it finds.
                    if session.is_some() || matches!(error, haproxy::Error::WorkerGone { .. }) {
                        self.store.clear_staging(lock)?;
                    }
                    return Err(fail(error));
                }
            };
            self.store.clear_staging(lock)?;
        }
        Ok(())
    }

    /// A session with an old worker; `None` when another process has its number by now.
    async fn session_with(&self, view: &View, worker: &OldWorker) -> Result<Option<Session>, haproxy::Error> {
        let Some(master) = view.node.master() else { return Ok(None) };
        let session = Session::open_worker(self.connect, master, worker.pid).await?;
        let is_same = session.info().started_at == Some(worker.started_at) && session.info().stopping;
        Ok(is_same.then_some(session))
    }
}

/// An error with its causes.
fn in_words(error: &dyn std::error::Error) -> String {
    Problem::of(None, None, error).message
}
