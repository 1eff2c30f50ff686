//! The part that is the same for everything that answers challenges by itself: it listens, and bounds connections and time, because
//! what reaches it comes from the internet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tracing::debug;

use super::Error;

/// Connections served at once. Authorities ask from a handful of places, and `HAProxy` re-uses connections.
pub(super) const CONNECTIONS: usize = 64;

/// How long a connection may last, so that slow clients do not fill the [`CONNECTIONS`].
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long accepting pauses after an error, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Something that listens; it stops when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Server {
    /// Listens, and serves each connection as told; port 0 lets the system choose one.
    pub(super) async fn bind<S, F>(address: SocketAddr, serve: S) -> Result<Self, Error>
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let task = tokio::spawn(accept(listener, serve)).abort_handle();
        Ok(Self { address, task })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Ends with its connections when it is aborted, because they belong to its [`JoinSet`].
async fn accept<S, F>(listener: TcpListener, serve: S)
where
    S: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                debug!(%error, "accepting a challenge connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let served = serve(stream);
        connections.spawn(async move {
            // How a stranger's connection ends is of no interest.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
            drop(slot);
        });
    }
}
