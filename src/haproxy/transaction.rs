//! The certificate transaction as a typestate: [`Session`] → [`Staged`] → [`Session`].
//!
//! `HAProxy` has one open transaction per process, without an owner, that outlives connections. So whoever stages ends it by
//! [`Staged::commit`] or [`Staged::abort`]; dropping a [`Staged`] leaves it open, for `Drop` cannot wait for an answer.

use super::command::{Command, Part};
use super::error::Error;
use super::reply::{self, Rejection, SetReply};
use super::session::{Session, accept, rejected};
use crate::bundle::Bundle;
use crate::model::{Facts, Slot};

/// A transaction that was opened here, and holds what it should.
#[derive(Debug)]
#[must_use = "the transaction stays open until it is committed or aborted"]
pub struct Staged {
    session: Session,
    slot: Slot,
    facts: Facts,
}

/// A step of a transaction failed.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// The session, where it can still be used: no transaction of ours is open then. One that could not be ended has to be found again
    /// by whoever comes next, so that nothing else is begun after it.
    pub session: Option<Session>,
}

impl Session {
    /// Opens a transaction with a bundle, and looks that it is ours. Nothing is sent when it would not fit.
    ///
    /// Look at [`Session::certificates`] first: a transaction that another program has open is only recognised once the bundle
    /// went into it, and is aborted then.
    pub async fn stage(mut self, slot: &Slot, bundle: &Bundle) -> Result<Staged, Box<Failed>> {
        let command = Command::Set(slot, bundle);
        if let Err(source) = self.info().can_describe(slot, bundle.facts()) {
            return Err(self.failed(Error::too_large(&command, source)));
        }
        let (reply, shown) = match self.ask_both(command, Command::ShowTransaction(slot)).await {
            Ok(replies) => replies,
            Err(error) => return Err(self.failed(error)),
        };
        if let Err(NotOpened { open, error }) = opened(slot, bundle, &reply) {
            return Err(self.undo(open.as_ref(), error).await);
        }
        let staged = Staged { session: self, slot: slot.clone(), facts: bundle.facts().clone() };
        match staged.is_shown(&shown) {
            Ok(true) => Ok(staged),
            Ok(false) => Err(staged.undo_foreign().await),
            Err(error) => Err(staged.session.undo(Some(slot), error).await),
        }
    }

    /// Whether the reply to [`Command::ShowTransaction`] describes what has these facts.
    pub(super) fn is_shown(&self, slot: &Slot, facts: &Facts, reply: &str) -> Result<bool, Error> {
        let open = self.loaded(Command::ShowTransaction(slot), reply)?;
        Ok(open.is_some_and(|loaded| loaded.is(facts)))
    }

    pub(super) fn failed(self, error: Error) -> Box<Failed> {
        let session = self.is_in_step().then_some(self);
        Box::new(Failed { error, session })
    }

    /// Aborts a transaction because of an error, which is what counts then.
    pub(super) async fn undo(mut self, slot: Option<&Slot>, error: Error) -> Box<Failed> {
        if let Some(slot) = slot
            && self.is_in_step()
            && let Err(after) = self.end(slot).await
        {
            tracing::warn!(%slot, error = %after, "a transaction could not be aborted");
            return Box::new(Failed { error, session: None });
        }
        self.failed(error)
    }

    /// Ends a transaction that may be open.
    pub(super) async fn end(&mut self, slot: &Slot) -> Result<(), Error> {
        match self.abort_stale(slot).await {
            Err(error) if error.rejection() != Some(&Rejection::NoTransaction) => Err(error),
            _ => Ok(()),
        }
    }
}

/// No transaction of ours was opened.
pub(super) struct NotOpened {
    /// The one that the bundle went into, where it is known: it is to be ended.
    pub(super) open: Option<Slot>,
    pub(super) error: Error,
}

/// Judges the reply to the command that opens a transaction.
pub(super) fn opened(slot: &Slot, bundle: &Bundle, reply: &str) -> Result<(), NotOpened> {
    match SetReply::of(reply) {
        SetReply::Created(name) if name == slot.as_str() => {
            tracing::trace!(target: "hotcert::step", "haproxy: certificate set");
            Ok(())
        }
        SetReply::Created(name) | SetReply::Updated(name) => {
            Err(NotOpened { open: name.parse().ok(), error: Error::ForeignTransaction { slot: slot.clone() } })
        }
        SetReply::Rejected(rejection) => {
            Err(NotOpened { open: None, error: rejected(Command::Set(slot, bundle), rejection) })
        }
    }
}

impl Staged {
    /// The session, to read with.
    #[must_use]
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The slot.
    #[must_use]
    pub fn slot(&self) -> &Slot {
        &self.slot
    }

    /// Adds a part to the certificate. One that is refused is left out, and the transaction stays what it was.
    pub async fn add(&mut self, part: Part<'_>) -> Result<(), Error> {
        let command = Command::SetPart(&self.slot, part);
        let reply = self.session.ask(command).await?;
        match SetReply::of(&reply) {
            SetReply::Updated(name) if name == self.slot.as_str() => {}
            // Ours is gone, which the look before the commit finds, too.
            SetReply::Created(_) | SetReply::Updated(_) => {
                return Err(Error::ForeignTransaction { slot: self.slot.clone() });
            }
            SetReply::Rejected(rejection) => return Err(rejected(command, rejection)),
        }
        tracing::trace!(target: "hotcert::step", "haproxy: part of a certificate set");
        Ok(())
    }

    /// Makes `HAProxy` serve what was staged, after one more look that nobody put something else into the transaction meanwhile.
    /// Success is what `HAProxy` says; only a fresh connection and a handshake prove it.
    pub async fn commit(mut self) -> Result<Session, Box<Failed>> {
        match self.is_ours().await {
            Ok(true) => {}
            Ok(false) => return Err(self.undo_foreign().await),
            Err(error) => return Err(self.session.undo(Some(&self.slot), error).await),
        }
        let command = Command::Commit(&self.slot);
        let outcome = match self.session.ask(command).await {
            Ok(reply) => accept(command, reply::succeeded(&reply, &format!("Committing {}", self.slot))),
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            return Err(self.session.undo(Some(&self.slot), error).await);
        }
        tracing::trace!(target: "hotcert::step", "haproxy: certificate committed");
        Ok(self.session)
    }

    /// Ends the transaction without a change.
    pub async fn abort(mut self) -> Result<Session, Box<Failed>> {
        match self.session.abort_stale(&self.slot).await {
            Ok(()) => Ok(self.session),
            Err(error) => Err(Box::new(Failed { error, session: None })),
        }
    }

    async fn is_ours(&mut self) -> Result<bool, Error> {
        let reply = self.session.ask(Command::ShowTransaction(&self.slot)).await?;
        self.is_shown(&reply)
    }

    /// Whether what is open is what was staged, by the description of it.
    fn is_shown(&self, reply: &str) -> Result<bool, Error> {
        self.session.is_shown(&self.slot, &self.facts, reply)
    }

    async fn undo_foreign(self) -> Box<Failed> {
        let error = Error::ForeignTransaction { slot: self.slot.clone() };
        self.session.undo(Some(&self.slot), error).await
    }
}
