//! Requests that are made again at once: a nonce was refused, or the authority is busy.

use std::time::Duration;

use super::Error;

/// How often a request is repeated whose nonce was refused (RFC 8555, section 6.5). Pebble refuses one in twenty by default,
/// and one in two in our tests.
pub(super) const NONCE_ATTEMPTS: u32 = 16;

/// How often a request is made to an authority that is busy, and how long the first pause is; each is twice as long as the one
/// before. Load balancers have a hiccup of a second; who is busy for longer is asked again by the next attempt.
const BUSY_ATTEMPTS: u32 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// The longest `Retry-After` that is waited for in the middle of an order. What is longer is for the next attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Evaluates a future anew while nothing was done: its nonce was refused, or the authority is busy. (A function would take an
/// async closure, whose futures rustc cannot prove to be `Send` yet.)
macro_rules! again {
    ($attempt:expr) => {{
        let mut patience = $crate::acme::patience::Patience::default();
        loop {
            let outcome = $attempt.await;
            match outcome.as_ref().err().and_then(|error| patience.pause(error)) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break outcome,
            }
        }
    }};
}
pub(super) use again;

/// How often one request was made in vain.
#[derive(Default)]
pub(super) struct Patience {
    nonces: u32,
    busy: u32,
}

impl Patience {
    /// For how long to wait before the request is made again; `None` when it is not.
    pub(super) fn pause(&mut self, error: &Error) -> Option<Duration> {
        match error {
            Error::BadNonce { .. } => {
                self.nonces += 1;
                (self.nonces < NONCE_ATTEMPTS).then_some(Duration::ZERO)
            }
            // By 503 a server says that it did not do it (RFC 9110, section 15.6.4); after others it may have.
            Error::Unavailable { status: 503, wait, .. } => {
                self.busy += 1;
                let pause = wait.unwrap_or(BUSY_PAUSE * 2_u32.pow(self.busy - 1));
                (self.busy < BUSY_ATTEMPTS && pause <= LONGEST_PAUSE).then_some(pause)
            }
            _ => None,
        }
    }
}
