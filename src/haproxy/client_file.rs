//! The files by which `HAProxy` judges the certificates of clients: what it holds, and replacing it.
//!
//! Like certificates they have one transaction each for a process, the `ca-file` and the `crl-file`, without an owner. [`StagedFile`]
//! is one that was opened here, and holds what it should; whoever has it ends it. Who comes to ask for a `crl-file` must know that
//! each list in it says when the next one comes: `HAProxy` dies when it shows one that does not (seen on 2.6 to 3.2).

mod command;
mod held;

use super::command::Command;
use super::error::Error;
use super::info::Info;
use super::limit::TooLarge;
use super::reply::{self, Rejection};
use super::session::{Session, accept, rejected};
use super::transaction::Failed;
use crate::bundle::ClientPem;
use crate::model::{ClientFile, Slot};
pub(super) use command::ClientCommand;
pub use held::{HeldCrl, HeldFile};

/// Lists that are asked for in one file; nobody has so many authorities.
const MOST_LISTS: usize = 1000;

/// A transaction that was opened here, and holds what it should.
#[derive(Debug)]
#[must_use = "the transaction stays open until it is committed or aborted"]
pub struct StagedFile {
    session: Session,
    name: Slot,
    pem: ClientPem,
}

impl Info {
    /// The payloads in which the worker would take a file; asks nobody.
    pub fn parts(&self, name: &Slot, pem: &ClientPem) -> Result<Vec<String>, TooLarge> {
        let kind = pem.kind();
        let in_parts = kind == ClientFile::CaFile && self.capabilities().ca_file_parts;
        let line = ClientCommand::Set { kind, name, pem: "" }.line().len();
        let fits = |payload: usize| self.payload_limit.judge(line, payload + 1, true).map(drop);
        let mut parts = vec![String::new()];
        for block in pem.blocks() {
            let part = parts.last_mut().expect("there is a first part");
            match fits(part.len() + block.len()) {
                Err(_) if in_parts && !part.is_empty() => {
                    fits(block.len())?;
                    parts.push(block);
                }
                // Said of the whole: what is left out of account here has to fit as well.
                Err(error) if !in_parts => return Err(fits(pem.blocks().concat().len()).err().unwrap_or(error)),
                Err(error) => return Err(error),
                Ok(()) => part.push_str(&block),
            }
        }
        Ok(parts)
    }
}

impl Session {
    /// The name in the open transaction of a kind.
    pub async fn client_file_transaction(&mut self, kind: ClientFile) -> Result<Option<String>, Error> {
        let command = Command::Client(ClientCommand::List(kind));
        let reply = self.ask(command).await?;
        if !reply.is_empty() && !reply.starts_with("# ") {
            return Err(rejected(command, Rejection::of(&reply)));
        }
        let open = reply.lines().find_map(|line| line.strip_prefix('*'));
        Ok(open.map(|line| line.rsplit_once(" - ").map_or(line, |(name, _)| name).to_owned()))
    }

    /// Whether `HAProxy` uses a file of that name; shows nothing of it.
    pub async fn has_client_file(&mut self, kind: ClientFile, name: &Slot) -> Result<bool, Error> {
        let show = ClientCommand::Show { kind, name, index: Some(MOST_LISTS + 1), open: false };
        Ok(self.describe(show).await?.is_some())
    }

    /// What is held under a name; `None` when `HAProxy` uses no file of that name.
    pub async fn client_file(&mut self, kind: ClientFile, name: &Slot) -> Result<Option<HeldFile>, Error> {
        self.show_client_file(kind, name, false).await
    }

    /// What the open transaction holds for a name; `None` when it is about none or another.
    pub async fn staged_client_file(&mut self, kind: ClientFile, name: &Slot) -> Result<Option<HeldFile>, Error> {
        self.show_client_file(kind, name, true).await
    }

    async fn show_client_file(&mut self, kind: ClientFile, name: &Slot, open: bool) -> Result<Option<HeldFile>, Error> {
        if kind == ClientFile::CaFile {
            let show = ClientCommand::Show { kind, name, index: None, open };
            let Some(reply) = self.describe(show).await? else { return Ok(None) };
            let prints = reply.lines().filter_map(|line| line.strip_prefix("SHA1 FingerPrint: ")?.parse().ok());
            return Ok(Some(HeldFile::Ca(prints.collect())));
        }
        // One by one: a description of all ends where a buffer does.
        let mut lists = Vec::new();
        for index in 1..=MOST_LISTS {
            let show = ClientCommand::Show { kind, name, index: Some(index), open };
            let Some(reply) = self.describe(show).await? else { return Ok(None) };
            let Some(list) = HeldCrl::parse(&reply, self.info().payload_limit.bufsize) else { break };
            lists.push(list);
        }
        Ok(Some(HeldFile::Crl(lists)))
    }

    async fn describe(&mut self, show: ClientCommand<'_>) -> Result<Option<String>, Error> {
        let command = Command::Client(show);
        let reply = self.ask(command).await?;
        if reply.starts_with("Filename: ") {
            return Ok(Some(reply));
        }
        if reply.contains("Not found!") { Ok(None) } else { Err(rejected(command, Rejection::of(&reply))) }
    }

    /// Aborts a transaction that the caller knows to be its own.
    pub async fn abort_client_file(&mut self, kind: ClientFile, name: &Slot) -> Result<(), Error> {
        let command = Command::Client(ClientCommand::Abort(kind, name));
        let reply = self.ask(command).await?;
        // The same words as for a certificate.
        accept(command, reply::exactly(&reply, &format!("Transaction aborted for certificate '{name}'!")))?;
        tracing::trace!(target: "hotcert::step", "haproxy: client file transaction aborted");
        Ok(())
    }

    /// Opens a transaction with a file, in parts where it is long, and looks that it is ours. Look at
    /// [`Session::client_file_transaction`] first.
    pub async fn stage_client_file(mut self, name: &Slot, pem: &ClientPem) -> Result<StagedFile, Box<Failed>> {
        let kind = pem.kind();
        let parts = match self.info().parts(name, pem) {
            Ok(parts) => parts,
            Err(source) => {
                let set = ClientCommand::Set { kind, name, pem: "" };
                let error = Error::too_large(&Command::Client(set), source);
                return Err(self.failed(error));
            }
        };
        for (number, part) in parts.iter().enumerate() {
            let is_first = number == 0;
            let put = if is_first {
                ClientCommand::Set { kind, name, pem: part }
            } else {
                ClientCommand::Add { name, pem: part }
            };
            let command = Command::Client(put);
            let reply = match self.ask(command).await {
                Ok(reply) => reply,
                Err(error) => return Err(self.undo_client_file(kind, name, !is_first, error).await),
            };
            let short = if kind == ClientFile::CaFile { "CA" } else { "CRL" };
            let done = if is_first { "created" } else { "updated" };
            if reply == format!("transaction {done} for {short} {name}!") {
                tracing::trace!(target: "hotcert::step", "haproxy: client file set");
                continue;
            }
            let went_into_another = is_first && reply == format!("transaction updated for {short} {name}!");
            let error = if went_into_another {
                Error::ForeignTransaction { slot: name.clone() }
            } else if reply.starts_with("Invalid payload") {
                rejected(command, Rejection::Unreadable)
            } else {
                rejected(command, Rejection::of(&reply))
            };
            return Err(self.undo_client_file(kind, name, !is_first || went_into_another, error).await);
        }
        let mut staged = StagedFile { session: self, name: name.clone(), pem: pem.clone() };
        match staged.is_ours().await {
            Ok(true) => Ok(staged),
            Ok(false) => {
                let error = Error::ForeignTransaction { slot: name.clone() };
                Err(staged.session.undo_client_file(kind, name, true, error).await)
            }
            Err(error) => Err(staged.session.undo_client_file(kind, name, true, error).await),
        }
    }

    /// Aborts a transaction, if there is one of ours, because of an error, which is what counts then.
    async fn undo_client_file(mut self, kind: ClientFile, name: &Slot, open: bool, error: Error) -> Box<Failed> {
        if open
            && self.is_in_step()
            && let Err(after) = self.abort_client_file(kind, name).await
            && after.rejection() != Some(&Rejection::NoTransaction)
        {
            tracing::warn!(%name, error = %after, "a transaction could not be aborted");
            return Box::new(Failed { error, session: None });
        }
        self.failed(error)
    }
}

impl StagedFile {
    /// Makes `HAProxy` judge by what was staged, after one more look that nobody put something else into the transaction.
    pub async fn commit(mut self) -> Result<Session, Box<Failed>> {
        let kind = self.pem.kind();
        let outcome = match self.is_ours().await {
            Ok(true) => self.try_commit(kind).await,
            Ok(false) => Err(Error::ForeignTransaction { slot: self.name.clone() }),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            return Err(self.session.undo_client_file(kind, &self.name, true, error).await);
        }
        tracing::trace!(target: "hotcert::step", "haproxy: client file committed");
        Ok(self.session)
    }

    async fn try_commit(&mut self, kind: ClientFile) -> Result<(), Error> {
        let command = Command::Client(ClientCommand::Commit(kind, &self.name));
        let reply = self.session.ask(command).await?;
        accept(command, reply::succeeded(&reply, &format!("Committing {}", self.name)))
    }

    async fn is_ours(&mut self) -> Result<bool, Error> {
        let open = self.session.staged_client_file(self.pem.kind(), &self.name).await?;
        Ok(open.is_some_and(|held| held.is(&self.pem)))
    }
}

#[cfg(test)]
mod tests;
