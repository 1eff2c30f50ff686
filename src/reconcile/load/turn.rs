//! From one certificate to the next: committing what is open, and opening what follows, on all nodes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::future::join_all;

use super::{Job, Nodes};
use crate::bundle::Bundle;
use crate::haproxy::{self, Failed, Session, Staged};
use crate::model::{NodeName, Slot};
use crate::reconcile::companions::Directories;
use crate::reconcile::{Error, Failure, Pushes, Reconciler, staples};
use crate::store::Staging;

/// The transactions that are open for one certificate, each in the session in which it was opened.
pub(super) type Open = BTreeMap<NodeName, Staged>;

/// What is wanted of one node next.
struct Wanted<'a> {
    slot: &'a Slot,
    bundle: &'a Bundle,
    create: bool,
}

/// What came of it on one node.
#[derive(Default)]
struct Turned {
    committed: Option<haproxy::Error>,
    opened: Option<Result<Staged, haproxy::Error>>,
    session: Option<Session>,
}

impl Reconciler<'_> {
    /// Opens the transactions of one certificate; one refusal, and nothing is changed anywhere.
    pub(super) async fn begin(&self, job: &Job, nodes: &mut Nodes<'_>) -> Result<Open, Failure> {
        self.turn(Open::new(), Some(job), job, nodes).await.1.unwrap_or_else(|| Ok(Open::new()))
    }

    /// Commits what is open for `job`, and opens the transactions of the next one. A node on which the commit fails is brought round by
    /// a later round; the others keep the new certificate. What is opened is opened on all nodes, or on none.
    pub(super) async fn turn(
        &self,
        mut open: Open,
        next: Option<&Job>,
        job: &Job,
        nodes: &mut Nodes<'_>,
    ) -> (Vec<Failure>, Option<Result<Open, Failure>>) {
        let views = nodes.views;
        for (name, staged) in &open {
            tracing::info!(node = %name, slot = %staged.slot(), certificate = %job.certificate, "loading the certificate");
        }
        let committed: BTreeSet<NodeName> = open.keys().cloned().collect();
        let wanted = |name: &NodeName| {
            let next = next.filter(|next| next.works.get(name).is_some_and(|work| work.replace))?;
            let slot = &views[name].desired.certificates[&next.certificate].slot;
            Some(Wanted { slot, bundle: &next.bundle, create: next.works[name].create })
        };
        let involved: BTreeSet<NodeName> =
            open.keys().chain(next.into_iter().flat_map(Job::replaced)).cloned().collect();
        let turns: Vec<_> = involved
            .into_iter()
            .map(|name| {
                // It stays where it is unless a transaction takes it, so that what follows can still use it.
                let (staged, wanted) = (open.remove(&name), wanted(&name));
                let session = if staged.is_none() && wanted.is_some() { nodes.sessions.remove(&name) } else { None };
                async move { (name, Turned::of(staged, session, wanted).await) }
            })
            .collect();

        let (mut failures, mut opened, mut refused) = (Vec::new(), Open::new(), None);
        for (name, turned) in join_all(turns).await {
            let failed = |error| Error::node(&views[&name].node, error);
            let error = turned.committed.map(failed);
            if committed.contains(&name) {
                self.pushes.note(&name, error.as_ref().map_or(Pushes::LOADED, Error::kind), job.began.elapsed());
            }
            failures.extend(error.map(|error| Failure::of(&job.certificate, Some(&name), error)));
            nodes.sessions.extend(turned.session.map(|session| (name.clone(), session)));
            match turned.opened {
                Some(Ok(staged)) => _ = opened.insert(name, staged),
                Some(Err(error)) if refused.is_none() => refused = Some((failed(error), name)),
                _ => {}
            }
        }
        let Some(next) = next else { return (failures, None) };
        if let Some((error, name)) = refused {
            if !error.meets_another() {
                self.pushes.note(&name, error.kind(), next.began.elapsed());
            }
            self.undo(next, opened, nodes).await;
            return (failures, Some(Err(Failure::of(&next.certificate, Some(&name), error))));
        }
        for (name, staged) in &mut opened {
            staples::add(views[name].companions.get(&next.certificate), staged).await;
        }
        (failures, Some(Ok(opened)))
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
            let slot = &nodes.views[name].desired.certificates[&job.certificate].slot;
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
        let (view, lock) = (&nodes.views[name], &nodes.locks[name]);
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
            Err(failed) => {
                let Failed { error, session } = *failed;
                nodes.sessions.extend(session.map(|session| (name.clone(), session)));
                Err(Error::node(&view.node, error))
            }
        }
    }
}

impl Turned {
    async fn of(staged: Option<Staged>, session: Option<Session>, wanted: Option<Wanted<'_>>) -> Self {
        match (staged, session, wanted) {
            (Some(staged), _, Some(Wanted { slot, bundle, .. })) => {
                let (committed, next) = staged.commit_and_stage(slot, bundle).await;
                Self { committed: committed.err(), ..Self::opened(next) }
            }
            (Some(staged), _, None) => match staged.commit().await {
                Ok(session) => Self { session: Some(session), ..Self::default() },
                Err(failed) => Self { committed: Some(failed.error), session: failed.session, opened: None },
            },
            (None, Some(mut session), Some(Wanted { slot, bundle, create })) => {
                if create && let Err(error) = session.create(slot).await {
                    return Self { opened: Some(Err(error)), session: Some(session), committed: None };
                }
                Self::opened(session.stage(slot, bundle).await)
            }
            // The node went away before.
            (None, ..) => Self::default(),
        }
    }

    fn opened(outcome: Result<Staged, Box<Failed>>) -> Self {
        match outcome {
            Ok(staged) => Self { opened: Some(Ok(staged)), ..Self::default() },
            Err(failed) => Self { opened: Some(Err(failed.error)), session: failed.session, committed: None },
        }
    }
}
