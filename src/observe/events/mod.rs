//! Tells other programs what happens: each thing once, whoever found it, and not again after a restart.
//!
//! What there is to tell is found by comparing how things stand with what was seen last (`find`), which is in the store
//! with the letters that are still to be delivered. So it does not matter which process looks, and a crash loses nothing: at worst
//! somebody is told again, by the same id, what they were told in the moment of the crash. Nobody who renews or loads waits for any
//! of it.

mod deliver;
mod find;
mod hook;
mod webhook;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Occasion, Receiver};
use crate::model::{CertName, Identifier, NodeName, Serial, Sha256};
use crate::reconcile::Report;
use crate::store::{self, EventsLock, Letter, Store};

/// How long another process may take with the notes: it reads and writes one file.
const LOCK_DEADLINE: Duration = Duration::from_secs(10);
/// Letters that wait for one receiver. Who is out of order for so long is not told of the oldest.
const LETTERS: usize = 1000;

/// The version of the document.
const VERSION: u32 = 1;

/// Something that happened, as others are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The version of this document.
    version: u32,
    /// What tells it from others: who gets it twice may drop one.
    id: String,
    /// What it is.
    #[serde(rename = "event")]
    occasion: Occasion,
    /// When it was noticed.
    at: Timestamp,
    certificate: Option<CertName>,
    domains: Vec<Identifier>,
    node: Option<NodeName>,
    issuer: Option<String>,
    generation: Option<u64>,
    serial: Option<Serial>,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    /// It in words, on one line.
    message: String,
    /// What to do about it.
    hint: Option<String>,
}

/// Notes for those who want to know what has happened, and whether there is something to deliver. `is_whole` says that the report is
/// about everything that there is.
pub async fn tell(
    store: &Store,
    receivers: &[Receiver],
    report: &Report,
    is_whole: bool,
    now: Timestamp,
) -> Result<bool, store::Error> {
    if receivers.is_empty() {
        return Ok(false);
    }
    let Some(lock) = lock(store).await? else { return Ok(false) };
    let before = store.told()?;
    let mut told = before.clone().unwrap_or_default();
    // Whoever begins to listen is not told all that was so before.
    let events = find::find(report, &mut told, before.is_none(), is_whole, now);
    for event in events {
        tracing::debug!(event = %event.occasion, certificate = event.certificate.as_ref().map(tracing::field::display), "to be told");
        for receiver in receivers.iter().filter(|receiver| receiver.on.contains(&event.occasion)) {
            let (id, to) = (event.id.clone(), receiver.target.id());
            let event = serde_json::to_value(&event).unwrap_or_default();
            told.letters.push(Letter { to, id, event, attempts: 0, at: now });
        }
    }
    told.letters.retain(|letter| receivers.iter().any(|receiver| receiver.target.id() == letter.to));
    for receiver in receivers {
        let to = receiver.target.id();
        let waiting = told.letters.iter().filter(|letter| letter.to == to).count();
        let mut excess = waiting.saturating_sub(LETTERS);
        if excess > 0 {
            tracing::warn!(excess, receiver = %receiver.target, "more is to be told than it listens to; the oldest is dropped");
            told.letters.retain(|letter| {
                let is_dropped = letter.to == to && excess > 0;
                excess -= usize::from(is_dropped);
                !is_dropped
            });
        }
    }
    if before.as_ref() != Some(&told) {
        store.put_told(&lock, &told)?;
    }
    Ok(!told.letters.is_empty())
}

pub use deliver::deliver;

async fn lock(store: &Store) -> Result<Option<EventsLock>, store::Error> {
    store::until(LOCK_DEADLINE, || store.try_lock_events()).await
}

impl Event {
    /// Gives it the id that its contents make.
    fn sealed(mut self) -> Self {
        /// Hexadecimal digits: 128 bits.
        const DIGITS: usize = 32;
        let text = serde_json::to_string(&self).unwrap_or_default();
        self.id =
            Sha256::of(text.as_bytes()).to_string().chars().filter(char::is_ascii_hexdigit).take(DIGITS).collect();
        self
    }
}
