//! Many transactions on one connection, without a pause between two of them.
//!
//! `HAProxy` works through the commands of a connection one after the other. From 2.8 on several transactions are on their way at
//! once, so that it never waits for us; that gives up the look at what is open before each commit: what another program does in the
//! same instant shows in the answers, or when the slots are read back. Older versions may put a certificate into the transaction of
//! another one, so there each is looked at before it is committed, and only its commit travels with the next `set`.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::command::Command;
use super::error::Error;
use super::reply::{self, Rejection};
use super::session::{Session, accept};
use super::transaction::{NotOpened, opened};
use super::wire::{FEW, OUTSTANDING, Wire};
use crate::bundle::Bundle;
use crate::model::Slot;

/// What is told of each certificate.
#[derive(Debug)]
pub enum Progress {
    /// `HAProxy` has accepted it, and is putting it into place, or is going to be told to.
    Accepted,
    /// `HAProxy` serves it; as with [`Staged::commit`](super::Staged::commit), only a fresh connection and a handshake prove it.
    Committed,
    /// It was refused, or may be mixed with what another program was changing. No other is concerned.
    Failed(Error),
}

impl Session {
    /// Whether [`Session::replace_all`] can be used: not through a master.
    #[must_use]
    pub fn can_stream(&mut self) -> bool {
        self.socket().is_some()
    }

    /// Replaces what slots hold; `tell` hears of each, in this order, by its number and the time since it was sent.
    ///
    /// # Errors
    /// The connection failed, or a transaction of ours could not be ended. Nothing is known of those of which nothing was told.
    pub async fn replace_all<'a>(
        self,
        all: impl Iterator<Item = (&'a Slot, &'a Bundle)> + Send,
        tell: impl FnMut(usize, Progress, Duration) + Send,
    ) -> Result<Self, Error> {
        if self.info().capabilities().keeps_transactions_apart {
            self.replace_at_once(all, tell).await
        } else {
            self.replace_in_turn(all, tell).await
        }
    }

    /// An `abort` after each commit lets no failure of one poison the next; after a good commit there is nothing to abort.
    async fn replace_at_once<'a>(
        mut self,
        mut all: impl Iterator<Item = (&'a Slot, &'a Bundle)> + Send,
        mut tell: impl FnMut(usize, Progress, Duration) + Send,
    ) -> Result<Self, Error> {
        let (can, limit) = (self.info().capabilities(), self.info().payload_limit);
        let wire = self.socket().expect("the caller has asked whether it can be used");
        let mut outstanding = VecDeque::with_capacity(OUTSTANDING);
        let mut left_open = None;
        for number in 0.. {
            if outstanding.len() <= FEW {
                let more: Vec<_> = all.by_ref().take(OUTSTANDING - outstanding.len()).collect();
                let commands = more.iter().flat_map(|(slot, bundle)| {
                    [Command::Set(slot, bundle), Command::Commit(slot), Command::Abort(slot)]
                });
                wire.send_all(commands, can, limit).await?;
                let now = Instant::now();
                outstanding.extend(more.into_iter().map(|one| (one, now)));
            }
            let Some(((slot, bundle), since)) = outstanding.pop_front() else { break };
            if is_left_open(wire, slot, bundle, |told| tell(number, told, since.elapsed())).await? {
                left_open = Some(slot);
            }
        }
        if let Some(slot) = left_open {
            self.end(slot).await?;
        }
        Ok(self)
    }

    /// The commit of each, once it was looked at, travels with the next `set` and the look at what that has opened.
    async fn replace_in_turn<'a>(
        mut self,
        all: impl Iterator<Item = (&'a Slot, &'a Bundle)> + Send,
        mut tell: impl FnMut(usize, Progress, Duration) + Send,
    ) -> Result<Self, Error> {
        let (can, limit) = (self.info().capabilities(), self.info().payload_limit);
        let mut all = all.enumerate();
        let mut accepted: Option<(usize, &Slot, Instant)> = None;
        loop {
            let next = all.next();
            let commit = accepted.map(|(_, slot, _)| Command::Commit(slot));
            let opening = next.map(|(_, (slot, bundle))| [Command::Set(slot, bundle), Command::ShowTransaction(slot)]);
            if commit.is_none() && opening.is_none() {
                return Ok(self);
            }
            let wire = self.socket().expect("the caller has asked whether it can be used");
            let now = Instant::now();
            wire.send_all(commit.into_iter().chain(opening.into_iter().flatten()), can, limit).await?;
            let committed = match commit {
                Some(commit) => Some(wire.receive(commit).await?),
                None => None,
            };
            let opened = match opening {
                Some([set, show]) => Some((wire.receive(set).await?, wire.receive(show).await?)),
                None => None,
            };
            if let (Some((number, slot, since)), Some(reply)) = (accepted.take(), committed) {
                let succeeded = reply::succeeded(&reply, &format!("Committing {slot}"));
                match accept(Command::Commit(slot), succeeded) {
                    Ok(()) => {
                        tracing::trace!(target: "hotcert::step", "haproxy: certificate committed");
                        tell(number, Progress::Committed, since.elapsed());
                    }
                    Err(error) => {
                        tell(number, Progress::Failed(error), since.elapsed());
                        self.end(slot).await?;
                    }
                }
            }
            if let (Some((number, (slot, bundle))), Some((set, shown))) = (next, opened) {
                match self.look_at_opened(slot, bundle, &set, &shown).await? {
                    Ok(()) => {
                        tell(number, Progress::Accepted, now.elapsed());
                        accepted = Some((number, slot, now));
                    }
                    Err(error) => tell(number, Progress::Failed(error), now.elapsed()),
                }
            }
        }
    }

    /// Whether a `set` has opened a transaction, and that is ours; one that is not is ended.
    async fn look_at_opened(
        &mut self,
        slot: &Slot,
        bundle: &Bundle,
        set: &str,
        shown: &str,
    ) -> Result<Result<(), Error>, Error> {
        let (open, error) = match opened(slot, bundle, set) {
            Ok(()) => match self.is_shown(slot, bundle.facts(), shown) {
                Ok(true) => return Ok(Ok(())),
                Ok(false) => (Some(slot.clone()), Error::ForeignTransaction { slot: slot.clone() }),
                Err(error) => (Some(slot.clone()), error),
            },
            Err(NotOpened { open, error }) => (open, error),
        };
        if let Some(open) = open {
            self.end(&open).await?;
        }
        Ok(Err(error))
    }
}

/// Reads what became of one, and whether its transaction may still be open: another program held certificates locked when it was to
/// be ended.
async fn is_left_open(
    wire: &mut Wire,
    slot: &Slot,
    bundle: &Bundle,
    mut tell: impl FnMut(Progress) + Send,
) -> Result<bool, Error> {
    let (set, commit, abort) = (Command::Set(slot, bundle), Command::Commit(slot), Command::Abort(slot));
    let opened = opened(slot, bundle, &wire.receive(set).await?).map_err(|NotOpened { error, .. }| error);
    let is_opened = opened.is_ok();
    if is_opened {
        tell(Progress::Accepted);
    }
    let committed = wire.receive(commit).await?;
    let committed = accept(commit, reply::succeeded(&committed, &format!("Committing {slot}")));
    let is_committed = committed.is_ok();
    match opened.and(committed) {
        Ok(()) => {
            tracing::trace!(target: "hotcert::step", "haproxy: certificate committed");
            tell(Progress::Committed);
        }
        Err(error) => tell(Progress::Failed(error)),
    }
    let aborted = wire.receive(abort).await?;
    Ok(is_opened && !is_committed && !has_ended(&aborted, slot))
}

/// Whether no transaction on a slot is open after an `abort`.
fn has_ended(aborted: &str, slot: &Slot) -> bool {
    aborted == format!("Transaction aborted for certificate '{slot}'!")
        || matches!(Rejection::of(aborted), Rejection::NoTransaction)
}

#[cfg(test)]
mod tests;
