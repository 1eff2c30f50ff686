//! Many transactions on one connection, several of them on their way at once.
//!
//! `HAProxy` works through the commands of a connection one after the other, so it never waits for us between two certificates.
//! That needs a version that refuses to mix transactions (2.8), and gives up the look at what is open before each commit: what
//! another program does in the same instant shows in the answers, or when the slots are read back.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::command::Command;
use super::error::Error;
use super::reply::{self, Rejection, SetReply};
use super::session::{Session, accept, rejected};
use super::wire::Wire;
use crate::bundle::Bundle;
use crate::model::Slot;

/// Certificates that may be on their way at once: enough to hide the round trip, measured to reach `HAProxy`'s own limit.
const OUTSTANDING: usize = 16;
/// When so few are on their way, more follow, in one write.
const FEW: usize = OUTSTANDING / 2;

/// What is told of each certificate.
#[derive(Debug)]
pub enum Progress {
    /// `HAProxy` has accepted it, and is putting it into place.
    Accepted,
    /// `HAProxy` serves it; as with [`Staged::commit`](super::Staged::commit), only a fresh connection and a handshake prove it.
    Committed,
    /// It was refused, or may be mixed with what another program was changing. No other is concerned.
    Failed(Error),
}

impl Session {
    /// Whether [`Session::replace_all`] can be used.
    #[must_use]
    pub fn can_pipeline(&mut self) -> bool {
        self.pipeline().is_some()
    }

    /// Replaces what slots hold; `tell` hears of each, in this order, by its number and the time since it was sent. An `abort`
    /// after each commit lets no failure of one poison the next; after a good commit there is nothing to abort.
    ///
    /// # Errors
    /// The connection failed, or a transaction of ours could not be ended. Nothing is known of those of which nothing was told.
    pub async fn replace_all<'a>(
        mut self,
        mut all: impl Iterator<Item = (&'a Slot, &'a Bundle)> + Send,
        mut tell: impl FnMut(usize, Progress, Duration) + Send,
    ) -> Result<Self, Error> {
        let (can, limit) = (self.info().capabilities(), self.info().payload_limit);
        let wire = self.pipeline().expect("the caller has asked whether it can be used");
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
            match self.abort_stale(slot).await {
                Err(error) if error.rejection() != Some(&Rejection::NoTransaction) => return Err(error),
                _ => {}
            }
        }
        Ok(self)
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
    let opened = match SetReply::of(&wire.receive(set).await?) {
        SetReply::Created(name) if name == slot.as_str() => Ok(()),
        SetReply::Created(_) | SetReply::Updated(_) => Err(Error::ForeignTransaction { slot: slot.clone() }),
        SetReply::Rejected(rejection) => Err(rejected(set, rejection)),
    };
    let is_opened = opened.is_ok();
    if is_opened {
        tracing::trace!(target: "hotcert::step", "haproxy: certificate set");
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
