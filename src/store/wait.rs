//! Waiting for what another process does to the store.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often the store is asked: what is waited for is done by another process, or by another task through the store.
const POLL: Duration = Duration::from_millis(50);

/// Asks until there is something; `None` once the deadline has passed. It asks at least once.
pub async fn until<T, E>(deadline: Duration, mut ask: impl FnMut() -> Result<Option<T>, E>) -> Result<Option<T>, E> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = ask()? {
            return Ok(Some(found));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        sleep(POLL).await;
    }
}
