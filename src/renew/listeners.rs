//! Listeners for challenges, each shared by all orders that are in progress.
//!
//! Two cannot listen at one address. The orders of one process share a listener, and processes take turns by a lock.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Mutex;

use super::Error;
use crate::solver;
use crate::store::{self, ListenLock, Store};

/// How long another process may answer challenges at the same address: as long as an order may take.
const TURN_DEADLINE: Duration = Duration::from_mins(5);
/// How long the system may take to give an address free whose listener has ended.
const FREE_DEADLINE: Duration = Duration::from_secs(1);

/// The listeners in use, by address.
#[derive(Debug)]
pub(super) struct Listeners<L>(Mutex<BTreeMap<SocketAddr, Weak<Shared<L>>>>);

/// A listener, and the right to it.
#[derive(Debug)]
pub(super) struct Shared<L> {
    /// Ends before the lock is given back.
    listener: Arc<L>,
    _lock: ListenLock,
}

impl<L> Deref for Shared<L> {
    type Target = Arc<L>;

    fn deref(&self) -> &Arc<L> {
        &self.listener
    }
}

impl<L> Default for Listeners<L> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<L> Listeners<L> {
    /// The listener at an address, which listens for as long as somebody keeps it.
    pub(super) async fn at<F>(
        &self,
        address: SocketAddr,
        store: &Store,
        bind: impl Fn(SocketAddr) -> F,
    ) -> Result<Arc<Shared<L>>, Error>
    where
        F: Future<Output = Result<L, solver::Error>>,
    {
        let mut listeners = self.0.lock().await;
        if let Some(listener) = listeners.get(&address).and_then(Weak::upgrade) {
            return Ok(listener);
        }
        let lock = store::until(TURN_DEADLINE, || store.try_lock_listen(address))
            .await?
            .ok_or(Error::ListenerBusy { address, waited: TURN_DEADLINE })?;
        let end = tokio::time::Instant::now() + FREE_DEADLINE;
        let listener = loop {
            match bind(address).await {
                Err(solver::Error::Listen { source, .. })
                    if source.kind() == ErrorKind::AddrInUse && tokio::time::Instant::now() < end =>
                {
                    tokio::time::sleep(FREE_DEADLINE / 10).await;
                }
                outcome => break outcome?,
            }
        };
        let listener = Arc::new(Shared { listener: Arc::new(listener), _lock: lock });
        listeners.insert(address, Arc::downgrade(&listener));
        Ok(listener)
    }
}
