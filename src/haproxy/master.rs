//! Workers that are reached through the socket of their master (management guide, section 9.4).
//!
//! Each command is a connection of its own: the command with a prefix that says which worker is meant, the end of our half, and
//! the reply to its end. So nothing depends on prompts, no worker is kept alive, and a session outlives the moment in which a
//! reload makes the master's socket anew. A session names its worker by process id, so that all of it is with that one.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::command::{Command, Text};
use super::connect::Connect;
use super::error::Error;
use super::greeting::{BEFORE_INFO, open};
use super::info::{Capabilities, Process, field};
use super::limit::PayloadLimit;
use super::listing::LONGEST_LINE;
use crate::model::Address;

/// How long the master's socket may be gone during a reload. Up to 3.0 the master reads its whole configuration meanwhile.
const RECREATED: Duration = Duration::from_secs(2);
/// How often it is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// How the master says that there is no such worker, or none that answers (2.6 to 3.2).
const GONE: [&str; 2] = ["Can't find the target PID", "Can't connect to the target CLI!"];

/// Whom a command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Master,
    CurrentWorker,
    Worker(u32),
}

/// The way through a master to one worker.
pub(super) struct Master {
    connect: Arc<dyn Connect>,
    address: Address,
    pub(super) target: Target,
    failed: bool,
    waited: Duration,
}

/// A worker that finishes its connections, after a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldWorker {
    /// Its process id.
    pub pid: u32,
    /// When it started, to the second. Below 2.4 that is not told, and old workers are not seen.
    pub started_at: Timestamp,
    /// Connections of clients that it still serves.
    pub connections: u32,
    /// How many of them are encrypted, towards clients or servers.
    pub tls_connections: u32,
}

impl Master {
    pub(super) fn new(connect: &dyn Connect, address: &Address, target: Target) -> Self {
        Self { connect: connect.share(), address: address.clone(), target, failed: false, waited: Duration::ZERO }
    }

    /// Whether nothing went wrong that leaves open what was done.
    pub(super) fn is_in_step(&self) -> bool {
        !self.failed
    }

    /// How long replies were waited for since this was asked last.
    pub(super) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Sends a command and reads its reply.
    pub(super) async fn ask(
        &mut self,
        command: Command<'_>,
        can: Capabilities,
        limit: PayloadLimit,
    ) -> Result<String, Error> {
        let name = command.name();
        if self.failed {
            return Err(Error::Closed { command: name, source: None });
        }
        // The margin that is kept to the size of a buffer has room for the prefix.
        let text = command.text(can, limit).map_err(|source| Error::too_large(&command, source))?;
        let bytes = Text::join(&self.target.prefix(), &[text]);

        self.failed = true;
        let began = Instant::now();
        let end = began + RECREATED;
        let reply = loop {
            match self.ask_once(command, &bytes, limit).await {
                // Nothing was sent, or sending it again does no harm.
                Err(Error::Refused { .. }) if Instant::now() < end => {}
                Err(Error::Closed { .. }) if Instant::now() < end && command.only_reads() => {}
                outcome => break outcome?,
            }
            sleep(PAUSE).await;
        };
        self.failed = false;
        self.waited += began.elapsed();
        Ok(reply)
    }

    async fn ask_once(&self, command: Command<'_>, bytes: &[u8], limit: PayloadLimit) -> Result<String, Error> {
        let name = command.name();
        let mut wire = open(&*self.connect, (&self.address).into()).await?;
        if matches!(command, Command::Dump(_)) {
            wire.expect_secret();
        }
        let mut reply = Zeroizing::new(wire.ask_to_end(name, bytes).await?);
        if GONE.iter().any(|text| reply.starts_with(text)) {
            return Err(Error::WorkerGone { address: self.address.clone() });
        }
        // A description that fills a buffer may have lost the end of its last line.
        let is_cut = matches!(command, Command::ShowCertificate(_) | Command::ShowTransaction(_))
            && reply.len() + LONGEST_LINE > limit.bufsize
            && reply.ends_with('\n');
        // A worker that dies while it answers is not believed.
        if *reply == "\n" || reply.ends_with("\n\n") || is_cut {
            let length = reply.trim_end_matches('\n').len();
            reply.truncate(length);
            return Ok(std::mem::take(&mut *reply));
        }
        Err(Error::Closed { command: name, source: None })
    }
}

impl Target {
    fn prefix(self) -> String {
        match self {
            Self::Master => String::new(),
            Self::CurrentWorker => "@1 ".to_owned(),
            Self::Worker(pid) => format!("@!{pid} "),
        }
    }
}

impl OldWorker {
    /// Asks a master which of its workers are going away. What they are listed under does not tell: after a reload that failed, 3.2
    /// lists the one that serves among the old ones. So each is asked itself; one that ends meanwhile is left out.
    pub async fn all(connect: &dyn Connect, master: &Address) -> Result<Vec<Self>, Error> {
        let mut old = Vec::new();
        for pid in Self::workers(connect, master).await? {
            match ask(connect, master, Target::Worker(pid), Command::ShowInfo).await {
                Ok(reply) => old.extend(Self::parse(&reply).filter(|worker| worker.pid == pid)),
                Err(Error::WorkerGone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(old)
    }

    /// The process ids of all workers of a master, whatever they do.
    pub async fn workers(connect: &dyn Connect, master: &Address) -> Result<Vec<u32>, Error> {
        let reply = ask(connect, master, Target::Master, Command::ShowProcesses).await?;
        workers(&reply).ok_or_else(|| Error::NotHaproxy { address: master.clone() })
    }

    fn parse(show_info: &str) -> Option<Self> {
        let Process { pid, started_at, stopping: true, .. } = Process::parse(show_info)? else { return None };
        let number = |name| field(show_info, name)?.parse().ok();
        Some(Self {
            pid,
            started_at: started_at?,
            connections: number("CurrConns")?,
            tls_connections: number("CurrSslConns").unwrap_or(0),
        })
    }
}

/// One command to a master, or to a worker behind it.
pub(super) async fn ask(
    connect: &dyn Connect,
    master: &Address,
    target: Target,
    command: Command<'_>,
) -> Result<String, Error> {
    let (can, limit) = BEFORE_INFO;
    Master::new(connect, master, target).ask(command, can, limit).await
}

/// Reads `show proc`; `None` when it is something else. A program that the master runs, too, is no worker.
fn workers(show_proc: &str) -> Option<Vec<u32>> {
    if !show_proc.starts_with("#<PID>") {
        return None;
    }
    let worker = |line: &str| {
        let mut words = line.split_whitespace();
        let (pid, kind) = (words.next()?, words.next()?);
        pid.parse().ok().filter(|_| kind == "worker")
    };
    Some(show_proc.lines().filter(|line| !line.starts_with('#')).filter_map(worker).collect())
}

#[cfg(test)]
mod tests;
