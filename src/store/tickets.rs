//! The session ticket keys that every node is to hold: desired state, like certificates.

use std::path::PathBuf;

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{Error, Store, TicketLock, read};
use crate::bundle::TicketRing;

/// The keys, and when the last of them was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tickets {
    /// The keys.
    pub ring: TicketRing,
    /// When they were rotated last.
    pub rotated: Timestamp,
}

impl Store {
    /// The keys; `None` when there were never any.
    pub fn tickets(&self) -> Result<Option<Tickets>, Error> {
        let path = self.tickets_path();
        let Some(text) = read::text(&path)? else { return Ok(None) };
        let damaged = |source| Error::Damaged { path: path.clone(), source };
        let (rotated, keys) = text.split_once('\n').unwrap_or((&text, ""));
        let rotated =
            rotated.parse().map_err(|_| damaged("the first line is not the time of the last rotation".into()))?;
        let ring = TicketRing::parse(keys).map_err(|error| damaged(error.into()))?;
        Ok(Some(Tickets { ring, rotated }))
    }

    /// Stores the keys.
    pub fn put_tickets(&self, _lock: &TicketLock, tickets: &Tickets) -> Result<(), Error> {
        let (rotated, keys) = (tickets.rotated.to_string(), tickets.ring.text());
        let mut text = Zeroizing::new(String::with_capacity(rotated.len() + 1 + keys.len()));
        text.push_str(&rotated);
        text.push('\n');
        text.push_str(&keys);
        self.write(&self.tickets_path(), text.as_bytes())?;
        tracing::trace!(target: "hotcert::step", "store: ticket keys stored");
        Ok(())
    }

    fn tickets_path(&self) -> PathBuf {
        self.root.join("ticket-keys")
    }
}
