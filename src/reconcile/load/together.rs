//! One certificate on all its nodes: its transactions are opened on all of them, then committed on all.

use std::collections::BTreeMap;
use std::path::Path;

use futures_util::future::join_all;

use super::{Job, Nodes};
use crate::bundle::Bundle;
use crate::haproxy::{Failed, Staged};
use crate::model::{NodeName, Slot};
use crate::reconcile::companions::Directories;
use crate::reconcile::{Error, Failure, Pushes, Reconciler, staples};
use crate::store::Staging;

/// The transactions that are open for one certificate, each in the session in which it was opened.
pub(super) type Open = BTreeMap<NodeName, Staged>;

impl Reconciler<'_> {
    /// Opens the transactions of one certificate; one refusal, and nothing is changed anywhere.
    pub(super) async fn stage(&self, job: &Job, nodes: &mut Nodes<'_>) -> Result<Open, Failure> {
        let views = nodes.views;
        let mut opening = Vec::new();
        for name in job.replaced() {
            let Some(mut session) = nodes.sessions.remove(name) else { continue };
            let (slot, create) = (job.slot(name, views), job.works[name].create);
            opening.push(async move {
                if create && let Err(error) = session.create(slot).await {
                    return (name, Err(Box::new(Failed { error, session: Some(session) })));
                }
                (name, session.stage(slot, &job.bundle).await)
            });
        }
        let (mut open, mut refused) = (Open::new(), None);
        for (name, outcome) in join_all(opening).await {
            match outcome {
                Ok(staged) => _ = open.insert(name.clone(), staged),
                Err(failed) => {
                    let error = nodes.keep(name, *failed);
                    refused.get_or_insert((error, name));
                }
            }
        }
        if let Some((error, name)) = refused {
            if !error.meets_another() {
                self.pushes.note(name, error.kind(), job.began.elapsed());
            }
            self.undo(job, open, nodes).await;
            return Err(Failure::of(&job.certificate, Some(name), error));
        }
        for (name, staged) in &mut open {
            staples::add(views[name].companions.get(&job.certificate), staged).await;
        }
        Ok(open)
    }

    /// Commits what is open for a certificate. A node on which that fails is brought round by a later round; the others keep the new
    /// certificate.
    pub(super) async fn commit(&self, open: Open, job: &Job, nodes: &mut Nodes<'_>) -> Vec<Failure> {
        let commits = open.into_iter().map(|(name, staged)| {
            tracing::info!(node = %name, slot = %staged.slot(), certificate = %job.certificate, "loading the certificate");
            async move { (name, staged.commit().await) }
        });
        let mut failures = Vec::new();
        for (name, outcome) in join_all(commits).await {
            let error = match outcome {
                Ok(session) => {
                    nodes.sessions.insert(name.clone(), session);
                    None
                }
                Err(failed) => Some(nodes.keep(&name, *failed)),
            };
            self.pushes.note(&name, error.as_ref().map_or(Pushes::LOADED, Error::kind), job.began.elapsed());
            failures.extend(error.map(|error| Failure::of(&job.certificate, Some(&name), error)));
        }
        failures
    }

    /// Takes back what was begun for a certificate that cannot be loaded everywhere: transactions, and slots that were made for it.
    pub(super) async fn undo(&self, job: &Job, open: Open, nodes: &mut Nodes<'_>) {
        let aborts = open.into_iter().map(|(name, staged)| async move { (name, staged.abort().await) });
        for (name, aborted) in join_all(aborts).await {
            match aborted {
                Ok(session) => _ = nodes.sessions.insert(name, session),
                // The note on disk tells the next round that the transaction is ours.
                Err(failed) => {
                    tracing::warn!(node = %name, error = %failed.error, "our transaction could not be aborted");
                }
            }
        }
        for name in job.works.iter().filter(|(_, work)| work.create).map(|(name, _)| name) {
            let slot = job.slot(name, nodes.views);
            // Where the slot was not made yet, or HAProxy went away, there is nothing to delete.
            if let Some(session) = nodes.sessions.get_mut(name)
                && let Err(error) = session.delete(slot).await
            {
                tracing::debug!(node = %name, %slot, %error, "the new slot was not deleted");
            }
        }
    }

    /// Loads a foreign slot again with what it holds, so that it gives way.
    pub(in crate::reconcile) async fn reload_foreign(
        &self,
        slot: &Slot,
        bundle: &Bundle,
        nodes: &mut Nodes<'_>,
        name: &NodeName,
    ) -> Result<(), Error> {
        let lock = &nodes.locks[name];
        let Some(session) = nodes.sessions.get(name) else { return Ok(()) };
        tracing::info!(node = %name, %slot, "loading a certificate again unchanged, so that it gives way");
        let beside = Directories::default().beside(Path::new(slot.as_str()), bundle.facts(), self.clock.now());
        let staging = Staging {
            haproxy_pid: session.info().pid,
            since: self.clock.now(),
            slots: BTreeMap::from([(slot.clone(), bundle.facts().sha1)]),
        };
        self.store.note_staging(lock, &staging)?;
        let Some(session) = nodes.sessions.remove(name) else { return Ok(()) };
        let outcome = match session.stage(slot, bundle).await {
            Ok(mut staged) => {
                staples::add(beside.as_ref(), &mut staged).await;
                staged.commit().await
            }
            Err(failed) => Err(failed),
        };
        match outcome {
            Ok(session) => {
                nodes.sessions.insert(name.clone(), session);
                Ok(self.store.clear_staging(lock)?)
            }
            Err(failed) => Err(nodes.keep(name, *failed)),
        }
    }
}
