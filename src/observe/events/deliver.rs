//! Delivers letters: each is taken from the store, tried, and taken away or put off.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Event, hook, lock, webhook};
use crate::clock::Clock;
use crate::config::{Receiver, Target};
use crate::model::{chain, printable};
use crate::store::{self, Letter, Store};

/// For how long nobody else tries a letter that is being delivered: longer than any takes.
const CLAIM: SignedDuration = SignedDuration::from_mins(2);
/// How long is waited before a webhook is tried again, in seconds. After the last one it is given up.
const PAUSES: [i64; 5] = [10, 60, 300, 1800, 7200];
/// Longest text of a failure that is logged, in characters.
const SHOWN: usize = 1000;

/// Delivers what is due, one after the other, and tells when there is more to do; `None` when there is nothing.
pub async fn deliver(
    store: &Store,
    receivers: &[Receiver],
    clock: &dyn Clock,
) -> Result<Option<Duration>, store::Error> {
    loop {
        let (letter, next) = claim(store, clock.now()).await?;
        let Some(letter) = letter else { return Ok(next) };
        let receiver = receivers.iter().find(|receiver| receiver.target.id() == letter.to);
        let pause = match receiver {
            Some(receiver) => attempt(&receiver.target, &letter).await,
            None => None,
        };
        settle(store, &letter, pause.map(|pause| clock.now() + pause)).await?;
    }
}

/// Takes the first letter that is due; and how long it is until the next is.
async fn claim(store: &Store, now: Timestamp) -> Result<(Option<Letter>, Option<Duration>), store::Error> {
    let Some(lock) = lock(store).await? else { return Ok((None, Some(Duration::from_secs(1)))) };
    let Some(mut told) = store.told()? else { return Ok((None, None)) };
    let next = told.letters.iter().map(|letter| letter.at).min();
    let Some(letter) = told.letters.iter_mut().find(|letter| letter.at <= now) else {
        return Ok((None, next.map(|at| at.duration_since(now).unsigned_abs())));
    };
    letter.attempts += 1;
    letter.at = now + CLAIM;
    let taken = letter.clone();
    store.put_told(&lock, &told)?;
    Ok((Some(taken), None))
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
    let (error, again) = match target {
        Target::Hook { run } => match hook::run(run, &event, &document).await {
            Ok(()) => (None, None),
            Err(error) => (Some(printable(&chain(&error), SHOWN)), None),
        },
        Target::Webhook { url, token_file, root_ca } => {
            let posted = webhook::post(url, token_file.as_deref(), root_ca.as_deref(), &letter.id, document).await;
            match posted {
                Ok(()) => (None, None),
                Err(error) => {
                    let pause = usize::try_from(letter.attempts.saturating_sub(1)).ok().and_then(|at| PAUSES.get(at));
                    (Some(printable(&chain(&error), SHOWN)), pause.filter(|_| error.is_passing()))
                }
            }
        }
    };
    match (&error, again) {
        (None, _) => tracing::info!(event = %occasion, id = letter.id, receiver, "told"),
        (Some(error), Some(seconds)) => {
            tracing::warn!(event = %occasion, id = letter.id, receiver, error, retry_in = seconds, "could not be told; tried again");
        }
        (Some(error), None) => {
            tracing::warn!(event = %occasion, id = letter.id, receiver, error, "could not be told");
        }
    }
    again.map(|seconds| SignedDuration::from_secs(*seconds))
}
