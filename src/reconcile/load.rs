//! Loading one certificate: staged on every node before it is committed on any.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::time::Instant;

use super::attach::{Entries, Entry};
use super::companions::{Companions, Directories};
use super::observe::View;
use super::{Error, Failure, Pushes, Reconciler, staples};
use crate::bundle::Bundle;
use crate::config::Node;
use crate::haproxy::{Failed, Session, Staged};
use crate::model::{CertName, NodeName, Slot};
use crate::plan::{Contents, Step, Superseded};
use crate::schedule::Retry;
use crate::store::{NodeLock, Staging, publish};

/// What has to be done for one certificate on one node.
#[derive(Default)]
pub(super) struct Work {
    pub(super) create: bool,
    replace: bool,
    publish: bool,
    pub(super) entries: Entries,
    /// The file that is replaced, where the slot is new.
    pub(super) former: Option<publish::Former>,
}

/// Sessions of the nodes that still answer, and the locks under which they are used.
pub(super) struct Nodes<'a> {
    pub(super) views: &'a BTreeMap<NodeName, View>,
    pub(super) sessions: BTreeMap<NodeName, Session>,
    pub(super) locks: &'a BTreeMap<NodeName, NodeLock>,
}

impl Reconciler<'_> {
    /// Brings one certificate to every node that lacks it.
    pub(super) async fn load(
        &self,
        certificate: &CertName,
        number: u64,
        bundle: &Bundle,
        nodes: &mut Nodes<'_>,
    ) -> Vec<Failure> {
        let mut works: BTreeMap<NodeName, Work> = nodes
            .sessions
            .keys()
            .map(|name| (name.clone(), work(&nodes.views[name], certificate)))
            .filter(|(_, work)| work.create || work.replace || work.publish || !work.entries.is_empty())
            .collect();
        for name in works.keys() {
            let view = &nodes.views[name];
            if let Err(limit) = view.info.fits(&view.desired.certificates[certificate].slot, bundle) {
                let error = Error::TooLarge { certificate: certificate.clone(), node: name.clone(), limit };
                return vec![Failure::of(certificate, Some(name), error)];
            }
        }
        let frees = |work: &Work| work.replace || !work.entries.detach.is_empty();
        for name in works.iter().filter(|(_, work)| frees(work)).map(|(name, _)| name) {
            if let Err(error) = nodes.views[name].refuse_to_kill(certificate) {
                return vec![Failure::of(certificate, Some(name), error)];
            }
        }
        // A full disk or a missing right shows here, before HAProxy has heard of anything.
        let mut files = Vec::new();
        for (name, work) in &mut works {
            match work.prepare(&nodes.views[name], certificate, bundle) {
                Ok(prepared) => files.extend(prepared),
                Err(error) => return vec![Failure::of(certificate, Some(name), error)],
            }
        }

        let began = Instant::now();
        let staged = match self.stage_all(certificate, bundle, &works, nodes).await {
            Ok(staged) => staged,
            Err(failure) => {
                if let Some(name) = &failure.node {
                    self.pushes.note(name, failure.error.kind(), began.elapsed());
                }
                return vec![failure];
            }
        };
        let accepted = self.store.accepted(certificate);
        // Only what HAProxy has accepted is published, so that a reload never fails on our file.
        let published = files.into_iter().try_for_each(publish::Prepared::publish).map_err(Error::from);
        if let Err(error) = published.and_then(|()| self.accept(certificate, number)) {
            self.undo(certificate, nodes, staged, &works).await;
            self.take_back(certificate, &mut works, nodes).await;
            return vec![Failure::of(certificate, None, error)];
        }
        let mut failures = self.commit_all(certificate, staged, nodes, began).await;
        let mut is_refused = false;
        for (name, work) in works.iter().filter(|(_, work)| !work.entries.is_empty()) {
            if !failures.iter().any(|failure| failure.node.as_ref() == Some(name))
                && let Err(error) = self.enlist(certificate, name, &work.entries, nodes).await
            {
                is_refused |= work.create && error.retry() == Retry::Never;
                failures.push(Failure::of(certificate, Some(name), error));
            }
        }
        if is_refused {
            // What is new and can never serve is not to be left behind, on no node.
            self.take_back(certificate, &mut works, nodes).await;
            if let Err(error) = self.store.accept(certificate, accepted) {
                failures.push(Failure::of(certificate, None, error.into()));
            }
            return failures;
        }
        for name in works.iter().filter(|(_, work)| work.replace).map(|(name, _)| name) {
            if let Some(session) = nodes.sessions.get_mut(name) {
                failures.extend(nodes.views[name].expect_stapled(certificate, session).await);
            }
        }
        failures
    }

    /// Stages on every node; one refusal, and nothing is changed anywhere.
    async fn stage_all(
        &self,
        certificate: &CertName,
        bundle: &Bundle,
        works: &BTreeMap<NodeName, Work>,
        nodes: &mut Nodes<'_>,
    ) -> Result<BTreeMap<NodeName, Staged>, Failure> {
        let mut staged = BTreeMap::new();
        for (name, work) in works.iter().filter(|(_, work)| work.replace) {
            let slot = nodes.views[name].desired.certificates[certificate].slot.clone();
            let beside = nodes.views[name].companions.get(certificate);
            match self.stage(nodes, name, &slot, (bundle, beside), work.create).await {
                Ok(transaction) => _ = staged.insert(name.clone(), transaction),
                Err(error) => {
                    self.undo(certificate, nodes, staged, works).await;
                    return Err(Failure::of(certificate, Some(name), error));
                }
            }
        }
        Ok(staged)
    }

    /// Commits on every node. One that fails here is brought round by a later round; the others keep the new certificate.
    async fn commit_all(
        &self,
        certificate: &CertName,
        staged: BTreeMap<NodeName, Staged>,
        nodes: &mut Nodes<'_>,
        began: Instant,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        for (name, transaction) in staged {
            tracing::info!(node = %name, slot = %transaction.slot(), %certificate, "loading the certificate");
            let outcome = self.commit(nodes, &name, transaction).await;
            self.pushes.note(&name, outcome.as_ref().map_or_else(Error::kind, |()| Pushes::LOADED), began.elapsed());
            if let Err(error) = outcome {
                failures.push(Failure::of(certificate, Some(&name), error));
            }
        }
        failures
    }

    /// Ends the transaction on one node, and the note that it is ours.
    async fn commit(&self, nodes: &mut Nodes<'_>, name: &NodeName, transaction: Staged) -> Result<(), Error> {
        match transaction.commit().await {
            Ok(session) => {
                nodes.sessions.insert(name.clone(), session);
                Ok(self.store.clear_staging(&nodes.locks[name])?)
            }
            Err(failed) => {
                let Failed { error, session } = *failed;
                nodes.sessions.extend(session.map(|session| (name.clone(), session)));
                Err(Error::node(&nodes.views[name].node, error))
            }
        }
    }

    /// Opens the transaction on one node, having noted that it is ours.
    async fn stage(
        &self,
        nodes: &mut Nodes<'_>,
        name: &NodeName,
        slot: &Slot,
        (bundle, beside): (&Bundle, Option<&Companions>),
        create: bool,
    ) -> Result<Staged, Error> {
        let node = &nodes.views[name].node;
        let gone = || Error::Restarted { node: name.clone() };
        // It stays where it is until the transaction takes it, so that what follows an error can still use it.
        let session = nodes.sessions.get_mut(name).ok_or_else(gone)?;
        if create {
            session.create(slot).await.map_err(|error| Error::node(node, error))?;
        }
        let staging = Staging {
            haproxy_pid: session.info().pid,
            since: self.clock.now(),
            slots: BTreeMap::from([(slot.clone(), bundle.facts().sha1)]),
        };
        self.store.note_staging(&nodes.locks[name], &staging)?;
        let session = nodes.sessions.remove(name).ok_or_else(gone)?;
        let mut staged = session.stage(slot, bundle).await.map_err(|failed| {
            let Failed { error, session } = *failed;
            nodes.sessions.extend(session.map(|session| (name.clone(), session)));
            Error::node(node, error)
        })?;
        staples::add(beside, &mut staged).await;
        Ok(staged)
    }

    /// Takes back what was begun for a certificate that cannot be loaded everywhere: transactions, and slots that were made for it.
    async fn undo(
        &self,
        certificate: &CertName,
        nodes: &mut Nodes<'_>,
        staged: BTreeMap<NodeName, Staged>,
        works: &BTreeMap<NodeName, Work>,
    ) {
        for (name, transaction) in staged {
            match transaction.abort().await {
                Ok(session) => {
                    nodes.sessions.insert(name.clone(), session);
                    if let Err(error) = self.store.clear_staging(&nodes.locks[&name]) {
                        tracing::warn!(node = %name, %error, "the note of what was being loaded remains");
                    }
                }
                // The note on disk tells the next round that the transaction is ours.
                Err(failed) => {
                    tracing::warn!(node = %name, error = %failed.error, "our transaction could not be aborted");
                }
            }
        }
        for name in works.iter().filter(|(_, work)| work.create).map(|(name, _)| name) {
            let slot = &nodes.views[name].desired.certificates[certificate].slot;
            // Where the slot was not made yet, or HAProxy went away, there is nothing to delete.
            if let Some(session) = nodes.sessions.get_mut(name)
                && let Err(error) = session.delete(slot).await
            {
                tracing::debug!(node = %name, %slot, %error, "the new slot was not deleted");
            }
        }
    }

    /// Loads a foreign slot again with what it holds, so that it gives way.
    pub(super) async fn reload_foreign(
        &self,
        slot: &Slot,
        bundle: &Bundle,
        nodes: &mut Nodes<'_>,
        name: &NodeName,
    ) -> Result<(), Error> {
        if !nodes.sessions.contains_key(name) {
            return Ok(());
        }
        tracing::info!(node = %name, %slot, "loading a certificate again unchanged, so that it gives way");
        let beside = Directories::default().beside(Path::new(slot.as_str()), bundle.facts(), self.clock.now());
        let staged = self.stage(nodes, name, slot, (bundle, beside.as_ref()), false).await?;
        self.commit(nodes, name, staged).await
    }
}

fn work(view: &View, certificate: &CertName) -> Work {
    let mut work = Work::default();
    for step in &view.plan.steps {
        match step {
            Step::Create { certificate: name, .. } if name == certificate => work.create = true,
            Step::Replace { with: Contents::Generation(name), .. } if name == certificate => work.replace = true,
            Step::Publish { certificate: name } if name == certificate => work.publish = true,
            Step::Attach { certificate: name, to, in_memory, in_file, .. } if name == certificate => {
                work.entries.attach = Some(Entry { to: to.clone(), in_memory: *in_memory, in_file: *in_file });
            }
            Step::Detach { certificate: name, from, in_memory, in_file, .. } if name == certificate => {
                let (from, in_memory, in_file) = (from.clone(), *in_memory, *in_file);
                work.entries.detach.push(Superseded { from, in_memory, in_file });
            }
            _ => {}
        }
    }
    work
}

impl Work {
    /// Writes the file beside its place, and looks whether the lists can be edited.
    fn prepare(
        &mut self,
        view: &View,
        certificate: &CertName,
        bundle: &Bundle,
    ) -> Result<Option<publish::Prepared>, Error> {
        self.entries.check()?;
        let file = view.places[certificate].file.as_deref().filter(|_| self.publish);
        let Some((directory, file_name)) = file.and_then(|file| Some((file.parent()?, file.file_name()?.to_str()?)))
        else {
            return Ok(None);
        };
        publish::check_directory(directory)?;
        publish::sweep(directory)?;
        if self.create {
            self.former = Some(publish::Former::of(&directory.join(file_name))?);
        }
        Ok(publish::prepare(directory, file_name, &bundle.combined_pem(), &ownership(&view.node))?)
    }
}

pub(super) fn ownership(node: &Node) -> publish::Ownership {
    publish::Ownership { mode: node.mode, owner: node.owner.clone(), group: node.group.clone() }
}
