//! Delivers letters: each is taken from the store, tried, and taken away or put off.

use std::collections::BTreeSet;
use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::{Event, hook, lock, webhook};
use crate::clock::Clock;
use crate::config::{Receiver, Target};
use crate::model::{Sha256, chain, printable};
use crate::store::{self, Letter, Store};

/// For how long nobody else tries a letter that is being delivered: longer than any takes. After a crash its receiver is told no sooner.
const CLAIM: SignedDuration = SignedDuration::from_mins(1);
/// How long is waited before a webhook is tried again, in seconds. After the last one it is given up.
const PAUSES: [i64; 5] = [10, 60, 300, 1800, 7200];
/// Longest text of a failure that is logged, in characters.
const SHOWN: usize = 1000;

/// Delivers what is due until nothing is, and tells how long it is until something will be; `None` when there is nothing.
///
/// Each receiver has a lane of its own: it gets one letter after the other, in the order in which things happened, and one that hangs
/// or is out of order holds up nobody else. `more` wakes it when there may be new letters or other receivers; once there are none, it
/// ends with what is on its way.
pub async fn deliver(
    store: &Store,
    receivers: &(dyn Fn() -> Vec<Receiver> + Send + Sync),
    clock: &dyn Clock,
    more: &Notify,
) -> Result<Option<Duration>, store::Error> {
    let mut lanes = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    loop {
        let (claimed, next) = match claim(store, receivers(), &busy, clock.now()).await {
            Err(error) if lanes.is_empty() => return Err(error),
            // What is on its way is not given up for it.
            Err(_) => (Vec::new(), None),
            Ok(found) => found,
        };
        for (letter, target) in claimed {
            busy.insert(letter.to);
            lanes.push(async move {
                let pause = attempt(&target, &letter).await;
                let settled = settle(store, &letter, pause.map(|pause| clock.now() + pause)).await;
                (letter.to, settled)
            });
        }
        if lanes.is_empty() {
            return Ok(next);
        }
        let due = async {
            match next {
                Some(next) => sleep(next).await,
                None => pending().await,
            }
        };
        tokio::select! {
            Some((to, settled)) = lanes.next() => {
                busy.remove(&to);
                if let Err(error) = settled {
                    tracing::warn!(%error, "it could not be noted that somebody was told, who is told again");
                }
            }
            () = more.notified() => {}
            () = due => {}
        }
    }
}

/// Takes the first letter of each lane that is not busy, where that is due; and how long it is until another one is.
async fn claim(
    store: &Store,
    receivers: Vec<Receiver>,
    busy: &BTreeSet<Sha256>,
    now: Timestamp,
) -> Result<(Vec<(Letter, Target)>, Option<Duration>), store::Error> {
    let Some(lock) = lock(store).await? else { return Ok((Vec::new(), Some(Duration::from_secs(1)))) };
    let Some(mut told) = store.told()? else { return Ok((Vec::new(), None)) };
    let (mut claimed, mut next) = (Vec::new(), None);
    for Receiver { target, .. } in receivers {
        let to = target.id();
        // It has a turn already, by another table of the configuration.
        let is_claimed = claimed.iter().any(|(letter, _): &(Letter, _)| letter.to == to);
        let first = told.letters.iter_mut().find(|letter| letter.to == to);
        let Some(letter) = first.filter(|_| !is_claimed && !busy.contains(&to)) else { continue };
        if letter.at <= now {
            letter.attempts += 1;
            letter.at = now + CLAIM;
            claimed.push((letter.clone(), target));
        } else {
            let wait = letter.at.duration_since(now).unsigned_abs();
            next = Some(next.map_or(wait, |next: Duration| next.min(wait)));
        }
    }
    if !claimed.is_empty() {
        store.put_told(&lock, &told)?;
    }
    Ok((claimed, next))
}

/// Takes a letter away, or puts it off.
async fn settle(store: &Store, letter: &Letter, again: Option<Timestamp>) -> Result<(), store::Error> {
    let Some(lock) = lock(store).await? else { return Ok(()) };
    let Some(mut told) = store.told()? else { return Ok(()) };
    let is_it = |other: &Letter| other.id == letter.id && other.to == letter.to;
    match again {
        None => told.letters.retain(|other| !is_it(other)),
        Some(at) => told.letters.iter_mut().filter(|other| is_it(other)).for_each(|other| other.at = at),
    }
    store.put_told(&lock, &told)
}

/// Tries once; tells how long to wait before it is tried again, if it is.
async fn attempt(target: &Target, letter: &Letter) -> Option<SignedDuration> {
    let event: Event = serde_json::from_value(letter.event.clone()).ok()?;
    let document = serde_json::to_vec(&event).ok()?;
    let (occasion, receiver) = (event.occasion, target.to_string());
    let (error, hint, again) = match target {
        Target::Hook { run } => match hook::run(run, &event, &document).await {
            Ok(()) => (None, None, None),
            Err(error) => (Some(printable(&chain(&error), SHOWN)), error.hint(), None),
        },
        Target::Webhook { url, token_file, root_ca } => {
            let posted = webhook::post(url, token_file.as_deref(), root_ca.as_deref(), &letter.id, document).await;
            match posted {
                Ok(()) => (None, None, None),
                Err(error) => {
                    let pause = usize::try_from(letter.attempts.saturating_sub(1)).ok().and_then(|at| PAUSES.get(at));
                    (Some(printable(&chain(&error), SHOWN)), error.hint(), pause.filter(|_| error.is_passing()))
                }
            }
        }
    };
    match (&error, again) {
        (None, _) => tracing::info!(event = %occasion, id = letter.id, receiver, "told"),
        (Some(error), Some(seconds)) => {
            tracing::warn!(event = %occasion, id = letter.id, receiver, error, hint, retry_in = seconds,
                "the event was not delivered; the sidecar, or the next command, tries again");
        }
        (Some(error), None) => {
            tracing::warn!(event = %occasion, id = letter.id, receiver, error, hint, "the event was not delivered, and is not tried again");
        }
    }
    again.map(|seconds| SignedDuration::from_secs(*seconds))
}

#[cfg(test)]
mod tests;
