//! One look at the files of a node, on disk and in memory.

use super::disk::{self, OnDisk};
use super::{FileReport, FileState, Refusal};
use crate::bundle::{CaCertificate, ClientPem, Unfit};
use crate::config::Node;
use crate::haproxy::{HeldFile, Info, Session};
use crate::model::{ClientFile, NodeName, Sha256, Slot, chain};
use crate::reconcile::{Error, Problem, Reconciler};
use crate::store::ClientNote;

/// Everything that was seen of a node.
pub(super) struct Found {
    pub(super) session: Option<Session>,
    pub(super) looks: Vec<Look>,
    /// What is known about the process that answered.
    pub(super) note: ClientNote,
    /// Whether the note stands on disk like that.
    pub(super) is_noted: bool,
    pub(super) open: Open,
}

/// Open transactions.
#[derive(Default)]
pub(super) struct Open {
    /// Those that a dead process of ours has left.
    pub(super) stale: Vec<(ClientFile, Slot)>,
    foreign: Vec<(ClientFile, String)>,
}

/// One file.
pub(super) struct Look {
    pub(super) kind: ClientFile,
    pub(super) file: Slot,
    verdict: Verdict,
}

enum Verdict {
    /// Memory has what the file has; which may not be fit for it, all the same.
    Same(Box<ClientPem>, Option<Unfit>),
    /// It has to be loaded.
    Load(Box<ClientPem>),
    Refused(Refusal),
}

impl Found {
    /// An open transaction that is in the way.
    pub(super) fn foreign(&self) -> Option<(ClientFile, String)> {
        let is_wanted = |kind| self.looks.iter().any(|look| look.kind == kind && look.pem_to_load().is_some());
        self.open.foreign.iter().find(|(kind, _)| is_wanted(*kind)).cloned()
    }
}

impl Look {
    pub(super) fn pem_to_load(&self) -> Option<&ClientPem> {
        match &self.verdict {
            Verdict::Load(pem) => Some(pem),
            _ => None,
        }
    }

    /// What is known to be in memory.
    pub(super) fn confirmed(&self) -> Option<(&Slot, Sha256)> {
        match &self.verdict {
            Verdict::Same(pem, _) => Some((&self.file, pem.digest())),
            _ => None,
        }
    }

    pub(super) fn report(&self) -> FileReport {
        let (state, detail) = match &self.verdict {
            Verdict::Same(_, unfit) => (FileState::InSync, unfit.as_ref().map(ToString::to_string)),
            Verdict::Load(_) => (FileState::Stale, Some(format!("to do: replace the {} in memory", self.kind))),
            Verdict::Refused(refusal) => (FileState::Refused, Some(chain(refusal))),
        };
        FileReport { file: self.file.as_str().into(), kind: self.kind, state, detail }
    }

    pub(super) fn problem(&self, node: &NodeName) -> Option<Problem> {
        let (message, hint) = match &self.verdict {
            Verdict::Same(_, None) | Verdict::Load(_) => return None,
            Verdict::Same(_, Some(unfit)) => (unfit.to_string(), unfit.hint().to_owned()),
            Verdict::Refused(refusal) => (format!("not loaded: {}", chain(refusal)), refusal.hint()),
        };
        Some(Problem {
            certificate: None,
            node: Some(node.clone()),
            file: Some(self.file.as_str().into()),
            message: format!("node {node}: {message}"),
            hint: Some(hint),
        })
    }
}

impl Reconciler<'_> {
    pub(super) async fn look_at_client_files(&self, node: &Node) -> Result<Found, Error> {
        let on_disk = disk::read(node).await;
        let mut session = self.open(node, &self.away).await.map_err(|error| Error::node(node, error))?;
        let info = session.info().clone();
        // Where HAProxy does not tell, its process id alone tells one from the next.
        let started_at = info.started_at.unwrap_or_default();
        let noted = self.store.client_note(&node.socket.to_string()).unwrap_or_else(|error| {
            tracing::warn!(node = %node.name, %error, "the note about the files for clients cannot be read");
            None
        });
        let noted = noted.filter(|note| (note.haproxy_pid, note.started_at) == (info.pid, started_at));
        let is_noted = noted.is_some();
        let noted = noted.unwrap_or_else(|| ClientNote::new(info.pid, started_at));
        let open = self.open_transactions(node, &mut session, &noted).await?;

        // Those that can be read: whether a list belongs to one of the others, nobody can tell.
        let authorities: Vec<CaCertificate> = on_disk
            .iter()
            .filter_map(|(_, _, read)| match read {
                Ok(OnDisk { pem: ClientPem::Ca(all), .. }) => Some(all.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        let mut looks = Vec::new();
        for (kind, file, read) in on_disk {
            let verdict = match read {
                Ok(on_disk) => self.judge(node, &mut session, &noted, file, on_disk, &authorities).await?,
                Err(refusal) => Verdict::Refused(refusal),
            };
            looks.push(Look { kind, file: file.clone(), verdict });
        }
        Ok(Found { session: Some(session), looks, note: noted, is_noted, open })
    }

    /// Compares a file with what is in memory, as far as that may be asked for.
    async fn judge(
        &self,
        node: &Node,
        session: &mut Session,
        noted: &ClientNote,
        file: &Slot,
        OnDisk { pem, changed }: OnDisk,
        authorities: &[CaCertificate],
    ) -> Result<Verdict, Error> {
        let info = session.info().clone();
        // A list without an end kills HAProxy when it is shown, so it must be known that there is none in memory: it was loaded here,
        // or HAProxy has read it at its start, and the file has not changed since.
        let digest = noted.known.get(file);
        let started = info.started_at.unwrap_or_default().as_second();
        let may_ask = pem.kind() == ClientFile::CaFile || digest.is_some() || changed < started;
        let mut served = Vec::new();
        if may_ask {
            let held = session.client_file(pem.kind(), file).await.map_err(|error| Error::node(node, error))?;
            let Some(held) = held else { return Ok(Verdict::Refused(Refusal::Unused(pem.kind()))) };
            // Of a long list but the beginning was shown; the note tells of the rest.
            let is_same_to_the_end = match pem.kind() {
                ClientFile::CaFile => true,
                ClientFile::CrlFile => digest.is_none_or(|digest| *digest == pem.digest()),
            };
            if held.is(&pem) && is_same_to_the_end {
                return Ok(self.same(pem, authorities));
            }
            served = held.served();
        } else if !info.capabilities().client_files && changed == started {
            // Written in the second in which HAProxy started: most likely just before, and there is nothing to be done but to say so.
            return Ok(self.same(pem, authorities));
        } else if !session.has_client_file(pem.kind(), file).await.map_err(|error| Error::node(node, error))? {
            return Ok(Verdict::Refused(Refusal::Unused(pem.kind())));
        }
        Ok(self
            .gate(&info, file, &pem, authorities, &served)
            .map_or_else(Verdict::Refused, |()| Verdict::Load(Box::new(pem))))
    }

    /// HAProxy has it, and may have read at its start what it would not be given now.
    fn same(&self, pem: ClientPem, authorities: &[CaCertificate]) -> Verdict {
        let unfit = match authorities {
            [] => None,
            some => pem.check(some, &[], self.clock.now()).err(),
        };
        Verdict::Same(Box::new(pem), unfit)
    }

    fn gate(
        &self,
        info: &Info,
        file: &Slot,
        pem: &ClientPem,
        authorities: &[CaCertificate],
        served: &[crate::bundle::Served],
    ) -> Result<(), Refusal> {
        if pem.kind() == ClientFile::CrlFile && authorities.is_empty() {
            return Err(Refusal::Unchecked);
        }
        pem.check(authorities, served, self.clock.now())?;
        if !info.capabilities().client_files {
            return Err(Refusal::Version(info.version.clone()));
        }
        info.parts(file, pem).map(drop).map_err(Refusal::TooLarge)
    }

    /// Tells transactions that a dead process of ours has left open from those of others.
    async fn open_transactions(&self, node: &Node, session: &mut Session, noted: &ClientNote) -> Result<Open, Error> {
        let fail = |error| Error::node(node, error);
        let mut found = Open::default();
        for kind in [ClientFile::CaFile, ClientFile::CrlFile] {
            let Some(open) = session.client_file_transaction(kind).await.map_err(fail)? else { continue };
            if let Some(staging) =
                noted.staging.as_ref().filter(|staging| staging.kind == kind && staging.file.as_str() == open)
            {
                let held = session.staged_client_file(kind, &staging.file).await.map_err(fail)?;
                let marks = held.as_ref().map(HeldFile::marks).unwrap_or_default();
                if !marks.is_empty() && marks.is_subset(&staging.marks) {
                    found.stale.push((kind, staging.file.clone()));
                    continue;
                }
            }
            found.foreign.push((kind, open));
        }
        Ok(found)
    }
}
