//! Taking a certificate out of every node, because somebody asks for it.
//!
//! Only what is ours goes: entries that hotcert has made, the slot once nothing uses it, the file that hotcert has written.
//! Where anything else holds on to the slot, nothing is changed. It is looked at every node before any is changed. Whether it is
//! the default of a bind no version tells, but refuses to remove its entry, which is tried first; a refusal later than that is no
//! harm either, for the certificate is still stored then, and the round that follows restores it. It is forgotten last,
//! before any other round can look.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::attach::take;
use super::desire::{self, Unplaced};
use super::entries::{ListFile, unnoted};
use super::inventory::Inventory;
use super::{Error, Reconciler, companions};
use crate::config::{Certificate, Node};
use crate::haproxy::{Rejection, Session};
use crate::model::{CertName, NodeName, Sha256, Slot};
use crate::plan::{Attachment, Step};
use crate::store::{self, Attached, Source, crt_list, publish};

/// What was done on one node.
#[derive(Debug)]
pub struct Removal {
    /// The node.
    pub node: NodeName,
    /// What was done.
    pub steps: Vec<Step>,
    /// A file that stays, for hotcert has not written it.
    pub kept: Option<PathBuf>,
}

/// What is to be done on one node.
struct Work {
    certificate: CertName,
    session: Session,
    node: Node,
    slot: Slot,
    is_loaded: bool,
    entries: Vec<Leaving>,
    file: Option<PathBuf>,
    kept: Option<PathBuf>,
}

/// An entry that goes.
struct Leaving {
    made: Attached,
    line: u32,
    in_memory: bool,
    in_file: bool,
    names: crt_list::Names,
}

impl Reconciler<'_> {
    /// Takes certificates out of their nodes, and forgets them then. Where that fails, they are restored.
    pub async fn remove(
        &self,
        names: &BTreeSet<CertName>,
        forget: impl FnOnce() -> Result<(), store::Error>,
    ) -> Result<Vec<Removal>, Error> {
        let outcome = self.try_remove(names, forget).await;
        if matches!(&outcome, Err((_, true)))
            && let Err(error) = self.round(Some(names)).await
        {
            tracing::error!(%error, "what was taken away could not be restored");
        }
        outcome.map_err(|(error, _)| error)
    }

    /// The same; an error says whether anything was changed.
    async fn try_remove(
        &self,
        names: &BTreeSet<CertName>,
        forget: impl FnOnce() -> Result<(), store::Error>,
    ) -> Result<Vec<Removal>, (Error, bool)> {
        let locks = self.lock_nodes().await.map_err(|error| (error, false))?;
        let mut works = Vec::new();
        for name in names {
            works.extend(self.works(name).await.map_err(|error| (error, false))?);
        }
        let mut changed = false;
        for work in &mut works {
            work.detach(&mut changed).await.map_err(|error| (error, changed))?;
        }
        for work in works.iter_mut().filter(|work| work.is_loaded) {
            tracing::info!(node = %work.node.name, slot = %work.slot, "deleting the slot");
            work.session.delete(&work.slot).await.map_err(|error| (Error::node(&work.node, error), true))?;
        }
        let removals = works.into_iter().map(Work::clear_files).collect::<Result<_, _>>();
        let removals = removals.map_err(|error| (Error::Store(error), true))?;
        forget().map_err(|error| (Error::Store(error), true))?;
        drop(locks);
        Ok(removals)
    }

    /// Looks at every node of a certificate; one that cannot be reached, or on which it has to stay, is an error.
    async fn works(&self, name: &CertName) -> Result<Vec<Work>, Error> {
        let Some(certificate) = self.config.certificates.get(name) else { return Ok(Vec::new()) };
        let mut works = Vec::new();
        for node in self.config.nodes_of(certificate) {
            let failed = |error| Error::node(node, error);
            let mut session = self.open(node, &self.away).await.map_err(failed)?;
            let inventory = Inventory::take(&mut session).await.map_err(failed)?;
            works.extend(self.work(certificate, node, session, &inventory)?);
        }
        Ok(works)
    }

    fn work(
        &self,
        certificate: &Certificate,
        node: &Node,
        session: Session,
        inventory: &Inventory,
    ) -> Result<Option<Work>, Error> {
        let name = &certificate.name;
        let made = self.made(node, name);
        // What stands in no configuration any more is known by what was noted.
        let noted = made.iter().rev().map(|made| &made.slot).find(|slot| inventory.loaded.contains_key(slot));
        let slot = match noted.cloned().map_or_else(|| desire::slot(certificate, None, node, inventory), Ok) {
            Ok(slot) => slot,
            // Then it is not there.
            Err(Unplaced::NoDirectory | Unplaced::NoAlias { .. }) => return Ok(None),
            Err(why) => return Err(Error::Unplaced { certificate: name.clone(), node: node.name.clone(), why }),
        };
        let held = |by: String| Error::Held { certificate: name.clone(), node: node.name.clone(), by };
        let mut entries = Vec::new();
        for (list, listed) in &inventory.lists {
            let leaving = entries_of(list.as_str(), listed.kind, &slot, &made, inventory).map_err(held)?;
            entries.extend(leaving);
        }
        let is_alias = desire::is_alias(&slot);
        // HAProxy's own configuration makes an alias, and names its file.
        let is_loaded = inventory.loaded.contains_key(&slot) && !is_alias;
        if inventory.is_used(&slot) && !entries.iter().any(|entry| entry.in_memory) {
            return Err(held("a `crt` or `server` line of HAProxy's own configuration".to_owned()));
        }
        for entry in entries.iter().filter(|entry| entry.in_file) {
            crt_list::check(entry.made.to.list.as_ref())?;
        }
        let timestamps = desire::file(certificate, node, &slot).as_deref().and_then(companions::timestamps);
        if let Some(file) = timestamps.filter(|_| is_loaded) {
            return Err(Error::Timestamps { certificate: name.clone(), node: node.name.clone(), file });
        }
        let (file, kept) = if is_alias { (None, None) } else { self.published_file(certificate, node, &slot)? };
        Ok(Some(Work { certificate: name.clone(), session, node: node.clone(), slot, is_loaded, entries, file, kept }))
    }

    /// The file of a certificate that is to go, or one that has to stay.
    fn published_file(
        &self,
        certificate: &Certificate,
        node: &Node,
        slot: &Slot,
    ) -> Result<(Option<PathBuf>, Option<PathBuf>), Error> {
        let Some(file) = desire::file(certificate, node, slot) else { return Ok((None, None)) };
        let Some(found) = publish::published(&file)?.map(|bytes| Sha256::of(&bytes)) else { return Ok((None, None)) };
        let is_watched = file.parent().is_some_and(|directory| self.config.is_watched(directory));
        let mut is_ours = false;
        for number in self.store.generations(&certificate.name)? {
            let known = self.store.generation(&certificate.name, number)?;
            is_ours |= known.published == found && !(is_watched && known.meta.source == Source::Watch);
        }
        if is_ours {
            publish::check_directory(file.parent().unwrap_or(Path::new("/")))?;
        }
        Ok(if is_ours { (Some(file), None) } else { (None, Some(file)) })
    }
}

/// The entries of a slot in one list; `Err` names one that is not ours.
fn entries_of(
    list: &str,
    kind: crate::haproxy::ListKind,
    slot: &Slot,
    made: &[Attached],
    inventory: &Inventory,
) -> Result<Vec<Leaving>, String> {
    let mut made: Vec<&Attached> = made.iter().filter(|made| made.slot == *slot && made.to.list == list).collect();
    let mut leaving = Vec::new();
    let (lines, names) = match ListFile::read(list, inventory) {
        ListFile::Read { entries, names, .. } => (entries, names),
        _ => (Vec::new(), crt_list::Names::default()),
    };
    let mut lines: Vec<_> = lines.into_iter().filter(|line| names.stands_for(&line.certificate, slot)).collect();
    for entry in inventory.entries_of(list, slot) {
        if kind == crate::haproxy::ListKind::Directory {
            // What HAProxy found there is our file.
            let to = Attachment { list: list.to_owned(), directory: true, options: None, filters: Vec::new() };
            let (made, names) = (unnoted(slot, &to), names.clone());
            leaving.push(Leaving { made, line: entry.line, in_memory: true, in_file: false, names });
            continue;
        }
        let at = made.iter().rposition(|made| made.is_listed_as(&entry.options, &entry.filters));
        let Some(ours) = at.map(|at| made.remove(at)) else {
            return Err(format!("line {} of {list}, which hotcert has not written", entry.line));
        };
        let in_file =
            lines.iter().rposition(|line| line.is(slot, &ours.to, &names)).map(|at| lines.remove(at)).is_some();
        let (made, names) = (ours.clone(), names.clone());
        leaving.push(Leaving { made, line: entry.line, in_memory: true, in_file, names });
    }
    // Those that the file alone has.
    for line in lines {
        let Some(at) = made.iter().rposition(|made| line.is(slot, &made.to, &names)) else {
            return Err(format!("line {} of {list}, which hotcert has not written", line.line));
        };
        let (made, names) = (made.remove(at).clone(), names.clone());
        leaving.push(Leaving { made, line: 0, in_memory: false, in_file: true, names });
    }
    Ok(leaving)
}

impl Work {
    /// Takes the entries out of the running `HAProxy`, the first of each list first: that is the one which it may refuse.
    async fn detach(&mut self, changed: &mut bool) -> Result<(), Error> {
        self.entries.sort_by_key(|entry| entry.line);
        for entry in self.entries.iter().filter(|entry| entry.in_memory) {
            match take(&mut self.session, &self.node, &self.slot, &entry.made).await {
                Ok(()) => *changed = true,
                Err(Error::Node { source, .. }) if source.rejection() == Some(&Rejection::DefaultCertificate) => {
                    return Err(Error::DefaultCertificate {
                        certificate: self.certificate.clone(),
                        node: self.node.name.clone(),
                        place: format!("a bind that uses {}", entry.made.to.list),
                    });
                }
                Err(error) => {
                    // Whether it was carried out may be unknown.
                    *changed = true;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes the lines and the file away that `HAProxy` would read at its next start; the lines first, for one that names a file that
    /// is not there keeps it from starting.
    fn clear_files(self) -> Result<Removal, store::Error> {
        let certificate = &self.certificate;
        let mut steps = Vec::new();
        for Leaving { made, in_memory, in_file, names, .. } in self.entries {
            if in_file {
                crt_list::remove_entry(&self.slot, &made.to, &names)?;
            }
            let (certificate, slot) = (certificate.clone(), self.slot.clone());
            steps.push(Step::Detach { certificate, slot, from: made.to, in_memory, in_file });
        }
        if self.is_loaded {
            steps.push(Step::Delete { certificate: certificate.clone(), slot: self.slot });
        }
        if let Some(file) = self.file {
            publish::withdraw(&file)?;
            steps.push(Step::Unpublish { certificate: certificate.clone(), file });
        }
        Ok(Removal { node: self.node.name, steps, kept: self.kept })
    }
}
