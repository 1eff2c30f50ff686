//! One connection to one worker: reading, and what changes without a transaction.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::channel::Channel;
use super::command::{Command, listed};
use super::error::Error;
use super::info::Info;
use super::limit::TooLarge;
use super::listing::{self, Certificates, Entry, Loaded, Sni};
use super::reply::{self, Rejection};
use super::wire::Wire;
use super::words::{Filter, Map, Options, Word};
use crate::bundle::Bundle;
use crate::model::{Facts, Slot};

/// How long a command is repeated while another one is at work on certificates, and how often.
const LOCKED_DEADLINE: Duration = Duration::from_secs(2);
const LOCKED_PAUSE: Duration = Duration::from_millis(10);

/// A connection in prompt mode to one worker. It stays with that worker even after a reload, and keeps it alive: be brief. Through a
/// master it is one connection for each command, to the same worker each time.
///
/// One command runs at a time; a session whose stream failed answers every further call by [`Error::Closed`]. Dropping a
/// session ends no transaction.
pub struct Session {
    pub(super) wire: Channel,
    pub(super) info: Box<Info>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("info", &self.info).field("in_step", &self.is_in_step()).finish_non_exhaustive()
    }
}

impl Session {
    /// Who answers.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Whether the session can still be used.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.wire.is_in_step()
    }

    /// How long the worker took for its answers since this was asked last.
    pub fn take_waited(&mut self) -> Duration {
        self.wire.take_waited()
    }

    /// Names of all certificates, and the open transaction.
    pub async fn certificates(&mut self) -> Result<Certificates, Error> {
        let command = Command::ShowCertificates;
        let reply = self.ask(command).await?;
        if reply.is_empty() || reply.starts_with("# ") {
            return Ok(Certificates::parse(&reply));
        }
        Err(rejected(command, Rejection::of(&reply)))
    }

    /// What a slot holds; `None` when there is no such slot. Mind [`Info::can_describe`] with slots that others filled.
    pub async fn certificate(&mut self, slot: &Slot) -> Result<Option<Loaded>, Error> {
        let command = Command::ShowCertificate(slot);
        let reply = self.ask(command).await?;
        self.loaded(command, &reply)
    }

    /// What several slots hold, in the order asked.
    pub async fn certificates_of(&mut self, slots: &[Slot]) -> Result<Vec<Option<Loaded>>, Error> {
        let bufsize = self.info.payload_limit.bufsize;
        let commands: Vec<_> = slots.iter().map(Command::ShowCertificate).collect();
        let all = self.ask_all(&commands, |command, reply| loaded(command, reply, bufsize)).await?;
        all.into_iter().collect()
    }

    /// Asks several commands that only read, and judges each reply as it comes. What another program has locked is asked again.
    pub(super) async fn ask_all<R: Send>(
        &mut self,
        commands: &[Command<'_>],
        judge: impl Fn(Command<'_>, &str) -> R + Send + Sync,
    ) -> Result<Vec<R>, Error> {
        let (can, limit) = (self.info.capabilities(), self.info.payload_limit);
        let (mut all, mut locked) = (Vec::with_capacity(commands.len()), Vec::new());
        let take = |reply: String| {
            let at = all.len();
            if reply::is_locked(&reply) {
                locked.push(at);
            }
            all.push(judge(commands[at], &reply));
        };
        self.wire.ask_all(commands, can, limit, take).await?;
        for at in locked {
            let reply = self.ask(commands[at]).await?;
            all[at] = judge(commands[at], &reply);
        }
        Ok(all)
    }

    /// What the open transaction holds for a slot; `None` when it is about no or another slot.
    pub async fn transaction(&mut self, slot: &Slot) -> Result<Option<Loaded>, Error> {
        let command = Command::ShowTransaction(slot);
        let reply = self.ask(command).await?;
        self.loaded(command, &reply)
    }

    /// The crt-lists, directories and, from 3.2 on, frontends with `ssl-f-use`. Names that could not be written in a command
    /// are left out.
    pub async fn lists(&mut self) -> Result<Vec<Slot>, Error> {
        let command = Command::ShowLists;
        let reply = self.ask(command).await?;
        match Rejection::of(&reply) {
            Rejection::Other(_) => Ok(reply.lines().filter_map(|line| line.parse().ok()).collect()),
            rejection => Err(rejected(command, rejection)),
        }
    }

    /// The entries of a list, in their order.
    pub async fn entries(&mut self, list: &Slot) -> Result<Vec<Entry>, Error> {
        let command = Command::ShowEntries(list);
        let reply = self.ask(command).await?;
        if reply.starts_with("# ") {
            return Ok(Entry::parse_all(&reply));
        }
        Err(rejected(command, Rejection::of(&reply)))
    }

    /// Keys and values of a map, in their order; the first of equal keys counts.
    pub async fn map_entries(&mut self, map: &Map) -> Result<Vec<(String, String)>, Error> {
        let command = Command::ShowMap(map);
        let reply = self.ask(command).await?;
        if reply.is_empty() || reply.starts_with("0x") {
            return Ok(listing::map_entries(&reply));
        }
        Err(rejected(command, Rejection::of(&reply)))
    }

    /// Which certificate answers for which name; `None` below 3.2.
    pub async fn sni(&mut self) -> Result<Option<Vec<Sni>>, Error> {
        if !self.info.capabilities().sni_listing {
            return Ok(None);
        }
        let command = Command::ShowSni;
        let reply = self.ask(command).await?;
        if reply.is_empty() || reply.starts_with("# ") {
            return Ok(Some(Sni::parse_all(&reply)));
        }
        Err(rejected(command, Rejection::of(&reply)))
    }

    /// Makes an empty slot.
    pub async fn create(&mut self, slot: &Slot) -> Result<(), Error> {
        let command = Command::New(slot);
        let reply = self.ask(command).await?;
        accept(command, reply::exactly(&reply, &format!("New empty certificate store '{slot}'!")))?;
        tracing::trace!(target: "hotcert::step", "haproxy: certificate created");
        Ok(())
    }

    /// Adds a slot to a list. A file takes the same slot twice without complaint; look at [`Session::entries`] first.
    pub async fn attach(
        &mut self,
        list: &Slot,
        slot: &Slot,
        options: Option<&Options>,
        filters: &[Filter],
    ) -> Result<(), Error> {
        let command = Command::Attach { list, slot, options, filters };
        let reply = self.ask(command).await?;
        accept(
            command,
            reply::succeeded(&reply, &format!("Inserting certificate '{slot}' in crt-list '{}'", listed(list))),
        )?;
        tracing::trace!(target: "hotcert::step", "haproxy: certificate attached");
        Ok(())
    }

    /// Removes a slot from a list; `line` as [`Session::entries`] showed it just now.
    pub async fn detach(&mut self, list: &Slot, slot: &Slot, line: u32) -> Result<(), Error> {
        let command = Command::Detach { list, slot, line };
        let reply = self.ask(command).await?;
        accept(command, reply::exactly(&reply, &format!("Entry '{slot}' deleted in crtlist '{}'!", listed(list))))?;
        tracing::trace!(target: "hotcert::step", "haproxy: certificate detached");
        Ok(())
    }

    /// Removes a slot that nothing uses.
    pub async fn delete(&mut self, slot: &Slot) -> Result<(), Error> {
        let command = Command::Delete(slot);
        let reply = self.ask(command).await?;
        accept(command, reply::exactly(&reply, &format!("Certificate '{slot}' deleted!")))?;
        tracing::trace!(target: "hotcert::step", "haproxy: certificate deleted");
        Ok(())
    }

    /// What a slot holds, with its private key, as PEM; for a version with [`Capabilities::dump`](super::Capabilities::dump).
    pub async fn dump(&mut self, slot: &Slot) -> Result<Zeroizing<String>, Error> {
        let command = Command::Dump(slot);
        self.wire.expect_secret();
        let reply = Zeroizing::new(self.ask(command).await?);
        if reply.starts_with("-----BEGIN ") { Ok(reply) } else { Err(rejected(command, Rejection::of(&reply))) }
    }

    /// Aborts the transaction on a slot, which the caller knows to be its own: left behind by a crash, and with the content
    /// that it would have staged.
    pub async fn abort_stale(&mut self, slot: &Slot) -> Result<(), Error> {
        let command = Command::Abort(slot);
        let reply = self.ask(command).await?;
        accept(command, reply::exactly(&reply, &format!("Transaction aborted for certificate '{slot}'!")))?;
        tracing::trace!(target: "hotcert::step", "haproxy: transaction aborted");
        Ok(())
    }

    /// Sets a key of a map. `add map` would leave an older value in place, which then counts, so each is removed before.
    pub async fn map_set(&mut self, map: &Map, key: &Word, value: &Word) -> Result<(), Error> {
        self.map_remove(map, key).await?;
        let command = Command::AddMap { map, key, value };
        let reply = self.ask(command).await?;
        accept(command, reply::exactly(&reply, ""))?;
        tracing::trace!(target: "hotcert::step", "haproxy: map entry added");
        Ok(())
    }

    /// Removes a key from a map, all its values with it. That it is not there is no error.
    pub async fn map_remove(&mut self, map: &Map, key: &Word) -> Result<(), Error> {
        let command = Command::DelMap { map, key };
        let reply = self.ask(command).await?;
        if reply == "Key not found." {
            return Ok(());
        }
        accept(command, reply::exactly(&reply, ""))?;
        tracing::trace!(target: "hotcert::step", "haproxy: map entry removed");
        Ok(())
    }

    pub(super) fn loaded(&self, command: Command<'_>, reply: &str) -> Result<Option<Loaded>, Error> {
        loaded(command, reply, self.info.payload_limit.bufsize)
    }

    /// The connection, where it is one, and not one for each command through a master.
    pub(super) fn socket(&mut self) -> Option<&mut Wire> {
        match &mut self.wire {
            Channel::Socket(wire) => Some(wire),
            Channel::Master(_) => None,
        }
    }

    /// The replies to two commands that travel together; the first one is repeated while somebody else's is at work.
    pub(super) async fn ask_both(
        &mut self,
        first: Command<'_>,
        second: Command<'_>,
    ) -> Result<(String, String), Error> {
        let (can, limit) = (self.info.capabilities(), self.info.payload_limit);
        let (mut reply, shown) = self.wire.ask_both(first, second, can, limit).await?;
        if !reply::is_locked(&reply) && !reply::is_locked(&shown) {
            return Ok((reply, shown));
        }
        if reply::is_locked(&reply) {
            reply = self.ask(first).await?;
        }
        Ok((reply, self.ask(second).await?))
    }

    /// The reply to a command. Where somebody else's is at work on certificates, `HAProxy` refuses ours without looking at it; that
    /// is over in a moment.
    pub(super) async fn ask(&mut self, command: Command<'_>) -> Result<String, Error> {
        let end = Instant::now() + LOCKED_DEADLINE;
        loop {
            let reply = self.wire.ask(command, self.info.capabilities(), self.info.payload_limit).await?;
            if !reply::is_locked(&reply) || Instant::now() >= end {
                return Ok(reply);
            }
            sleep(LOCKED_PAUSE).await;
        }
    }
}

impl Info {
    /// Whether the worker can be asked for the description of a certificate ([`Session::certificate`]). 2.6 must not, when it is
    /// longer than a buffer: it aborts over some. That takes some hundred names, which only a certificate from a file has.
    pub fn can_describe(&self, slot: &Slot, facts: &Facts) -> Result<(), TooLarge> {
        if self.capabilities().long_descriptions { Ok(()) } else { self.payload_limit.judge_description(slot, facts) }
    }

    /// Whether the worker would take a bundle for a slot; asks nobody.
    pub fn fits(&self, slot: &Slot, bundle: &Bundle) -> Result<(), TooLarge> {
        self.can_describe(slot, bundle.facts())?;
        Command::Set(slot, bundle).text(self.capabilities(), self.payload_limit).map(drop)
    }
}

fn loaded(command: Command<'_>, reply: &str, bufsize: usize) -> Result<Option<Loaded>, Error> {
    if let Some(loaded) = Loaded::parse(reply, bufsize) {
        return Ok(Some(loaded));
    }
    match Rejection::of(reply) {
        Rejection::NoSlot => Ok(None),
        rejection => Err(rejected(command, rejection)),
    }
}

pub(super) fn rejected(command: Command<'_>, rejection: Rejection) -> Error {
    Error::Rejected { command: command.name(), subject: command.subject(), rejection }
}

pub(super) fn accept(command: Command<'_>, outcome: Result<(), Rejection>) -> Result<(), Error> {
    outcome.map_err(|rejection| rejected(command, rejection))
}

#[cfg(test)]
mod tests;
