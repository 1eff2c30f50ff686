//! Session ticket keys on every node: desired state like certificates, that changes by the clock.
//!
//! A rotation makes a key that every node gets as its last, which encrypts nothing; the one that was last begins to encrypt, and
//! every node has had it for a whole period. So nodes are brought in any order, and a ticket of one is understood by all others.
//! After a long stop one rotation follows the other, each brought to all nodes before the next.

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::rand;
use futures_util::future::join_all;

use super::load::ownership;
use super::report::Problem;
use super::{Error, Reconciler};
use crate::bundle::{BadTicketFile, TicketRing};
use crate::config::{Node, TicketKeys};
use crate::haproxy;
use crate::model::{NodeName, TicketFile};
use crate::schedule::rotation_due;
use crate::store::{self, TicketLock, Tickets, publish};

/// How long another process may be at it, which waits for the slowest node.
const LOCK_DEADLINE: Duration = Duration::from_secs(30);
/// How many rotations replace all keys.
const KEYS: u32 = 3;

/// Keeps the session ticket keys of all nodes as the store wants them.
pub struct TicketKeeper<'a> {
    /// How the nodes are reached, and where the keys are stored.
    pub reconciler: &'a Reconciler<'a>,
}

/// Session ticket keys are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The file that is there cannot be taken over.
    #[error("the ticket keys in it cannot be taken over: {why}")]
    File {
        /// The file.
        file: TicketFile,
        /// What is wrong with it, and on which line.
        why: BadTicketFile,
    },
    /// The file that is there is no text.
    #[error("the ticket keys in it cannot be taken over: it is no text")]
    Binary {
        /// The file.
        file: TicketFile,
    },
    /// `HAProxy` knows of no such file.
    #[error("node {node}: no bind line has tls-ticket-keys {file}")]
    UnknownFile {
        /// Which node.
        node: NodeName,
        /// The file.
        file: TicketFile,
    },
    /// `HAProxy` was started with keys of another size, and takes no others.
    #[error("node {node}: HAProxy holds ticket keys of {held} bytes, and those of {file} have {wanted}")]
    OtherSize {
        /// Which node.
        node: NodeName,
        /// The file.
        file: TicketFile,
        /// The size in memory, in bytes.
        held: usize,
        /// The size of ours, in bytes.
        wanted: usize,
    },
    /// There are other keys on a node than there should be.
    #[error("node {node}: it does not hold the ticket keys of the other nodes")]
    Differs {
        /// Which node.
        node: NodeName,
    },
    /// Another process is at it.
    #[error("another process has been bringing ticket keys to nodes for {} s", LOCK_DEADLINE.as_secs())]
    Busy,
    /// A node refuses.
    #[error(transparent)]
    Node(Error),
    /// Something on disk.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl TicketError {
    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File { file, .. } | Self::Binary { file } => format!(
                "write three lines of `openssl rand -base64 80 | tr -d '\\n'` to it, or move {file} away; nothing was changed"
            ),
            Self::UnknownFile { file, .. } => {
                format!("add `tls-ticket-keys {file}` to the bind lines, and reload HAProxy once")
            }
            Self::OtherSize { .. } => "reload HAProxy once: it reads the file, and cannot be told otherwise".to_owned(),
            Self::Differs { .. } => "run `hotcert sync`, or let `hotcert run` do it".to_owned(),
            Self::Busy => return None,
            Self::Node(error) => return error.hint(),
            Self::Store(error) => return error.hint(),
        })
    }
}

impl TicketKeeper<'_> {
    /// Rotates the keys when that is due, brings them to the nodes, and writes the file for the next start. Says what is wrong, but
    /// for nodes that cannot be reached, which is told anyway.
    pub async fn round(&self) -> Vec<Problem> {
        let Some(settings) = &self.reconciler.config.ticket_keys else { return Vec::new() };
        match self.rotate(settings).await {
            Ok(problems) => problems,
            Err(error) => vec![problem(settings, &error)],
        }
    }

    /// Says what is wrong; changes nothing.
    pub async fn problems(&self) -> Vec<Problem> {
        let Some(settings) = &self.reconciler.config.ticket_keys else { return Vec::new() };
        match self.reconciler.store.tickets() {
            Ok(Some(tickets)) => self.on_nodes(settings, &tickets.ring, false).await,
            Ok(None) => match adopted(settings) {
                Ok(_) => Vec::new(),
                Err(error) => vec![problem(settings, &error)],
            },
            Err(error) => vec![problem(settings, &error.into())],
        }
    }

    async fn rotate(&self, settings: &TicketKeys) -> Result<Vec<Problem>, TicketError> {
        let Reconciler { store, clock, .. } = self.reconciler;
        let lock = store::until(LOCK_DEADLINE, || store.try_lock_tickets()).await?.ok_or(TicketError::Busy)?;
        let mut tickets = match store.tickets()? {
            Some(tickets) => tickets,
            None => self.first(settings, &lock)?,
        };
        loop {
            let mut problems = self.on_nodes(settings, &tickets.ring, true).await;
            if let Err(error) = self.publish(settings, &tickets.ring) {
                problems.push(problem(settings, &error.into()));
            }
            let Some(rotated) = rotation_due(tickets.rotated, clock.now(), settings.rotate, KEYS) else {
                return Ok(problems);
            };
            tickets = Tickets { ring: tickets.ring.rotated(random), rotated };
            store.put_tickets(&lock, &tickets)?;
            tracing::info!("session ticket keys rotated");
        }
    }

    /// The keys that there are already, so that to switch this on ends no session; else new ones.
    fn first(&self, settings: &TicketKeys, lock: &TicketLock) -> Result<Tickets, TicketError> {
        let ring = adopted(settings)?.unwrap_or_else(|| TicketRing::generate(random));
        let tickets = Tickets { ring, rotated: self.reconciler.clock.now() };
        self.reconciler.store.put_tickets(lock, &tickets)?;
        Ok(tickets)
    }

    async fn on_nodes(&self, settings: &TicketKeys, ring: &TicketRing, change: bool) -> Vec<Problem> {
        let nodes = self.reconciler.config.ticket_nodes(settings).map(|node| async move {
            let outcome = self.on_node(node, &settings.file, ring, change).await;
            let problem = |error| Problem { node: Some(node.name.clone()), ..problem(settings, &error) };
            outcome.err().filter(|error| !is_unreachable(error)).map(problem)
        });
        join_all(nodes).await.into_iter().flatten().collect()
    }

    async fn on_node(
        &self,
        node: &Node,
        file: &TicketFile,
        ring: &TicketRing,
        change: bool,
    ) -> Result<(), TicketError> {
        let fail = |error| TicketError::Node(Error::node(node, error));
        let mut session = self.reconciler.open(node, &self.reconciler.away).await.map_err(fail)?;
        let held = session.ticket_keys(file).await.map_err(fail)?;
        let held = held.ok_or_else(|| TicketError::UnknownFile { node: node.name.clone(), file: file.clone() })?;
        let missing = ring.missing_from(&held);
        let Some(first) = missing.first() else { return Ok(()) };
        if let Some(other) = held.iter().find(|key| key.len() != first.len()) {
            let (node, file) = (node.name.clone(), file.clone());
            return Err(TicketError::OtherSize { node, file, held: other.len(), wanted: first.len() });
        }
        if !change {
            return Err(TicketError::Differs { node: node.name.clone() });
        }
        for key in missing {
            session.add_ticket_key(file, key).await.map_err(fail)?;
        }
        tracing::info!(node = %node.name, keys = missing.len(), "session ticket keys brought");
        Ok(())
    }

    /// Writes the file for the next start, where a node is on this machine: what others read is not here.
    fn publish(&self, settings: &TicketKeys, ring: &TicketRing) -> Result<(), store::Error> {
        let mut nodes = self.reconciler.config.ticket_nodes(settings);
        let Some(node) = nodes.find(|node| node.socket.is_local()) else { return Ok(()) };
        let path = settings.file.path();
        let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
            return Ok(());
        };
        publish::check_directory(directory)?;
        publish::publish(directory, name, &ring.text(), &ownership(node)).map(drop)
    }
}

/// The keys in the file that `HAProxy` was started with; `None` when there is no file.
fn adopted(settings: &TicketKeys) -> Result<Option<TicketRing>, TicketError> {
    let file = || settings.file.clone();
    let Some(bytes) = store::read_file(settings.file.path())? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| TicketError::Binary { file: file() })?;
    TicketRing::parse(text).map(Some).map_err(|why| TicketError::File { file: file(), why })
}

fn random(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the system always has random bytes");
}

/// Whether the node's own loop tells it.
fn is_unreachable(error: &TicketError) -> bool {
    matches!(error, TicketError::Node(Error::Node { source, .. }) if !matches!(source, haproxy::Error::Rejected { .. }))
}

fn problem(settings: &TicketKeys, error: &TicketError) -> Problem {
    let is_file = matches!(error, TicketError::File { .. } | TicketError::Binary { .. });
    let file = is_file.then(|| PathBuf::from(settings.file.path()));
    Problem { file, hint: error.hint(), ..Problem::of(None, None, error) }
}
