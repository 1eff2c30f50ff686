//! The side of whoever carries requests out.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frame::{Frame, Kind};
use super::{CONNECTIONS, Error, HEARTBEAT, HELLO_LIMIT, Hello, MESSAGE_DEADLINE, REPLY_LIMIT, REQUEST_LIMIT, VERSION};
use crate::model::chain;
use crate::store::{ControlSocket, Store};

/// How often a server that stands by asks whether its turn has come; each time costs an `open` and an `flock`.
const STAND_BY: Duration = Duration::from_millis(500);
/// How long it waits when the system cannot accept a client, for want of file descriptors or memory.
const RESPITE: Duration = Duration::from_millis(100);

/// Listens on the control socket of a state directory.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    socket: ControlSocket,
}

impl Server {
    /// Waits until no other process serves, and then listens; `None` once `stop` is cancelled. Must be called in a tokio runtime.
    pub async fn bind(store: &Store, stop: &CancellationToken) -> Result<Option<Self>, Error> {
        let mut waited = false;
        let lock = loop {
            if let Some(lock) = store.try_lock_control()? {
                break lock;
            }
            if !waited {
                tracing::info!("another daemon serves the control socket; standing by");
                waited = true;
            }
            tokio::select! {
                () = sleep(STAND_BY) => {}
                () = stop.cancelled() => return Ok(None),
            }
        };
        let socket = store.listen(lock)?;
        let listener = socket.listener.try_clone().and_then(UnixListener::from_std).map_err(Error::Broken)?;
        if waited {
            tracing::info!("the other daemon has ended; serving the control socket");
        }
        Ok(Some(Self { listener, socket }))
    }

    /// Serves until `stop` is cancelled; then nobody is accepted any more, another server may take over, and what was asked for is
    /// brought to its end. How long that may take is up to `handler`.
    ///
    /// `about` is what each client is told first. A request that is no `Q` is refused.
    pub async fn run<A, Q, R, F>(
        self,
        about: impl Fn() -> A + Send + Sync + 'static,
        handler: impl Fn(Q) -> F + Send + Sync + 'static,
        stop: CancellationToken,
    ) where
        A: Serialize + Send + 'static,
        Q: DeserializeOwned + Send + 'static,
        R: Serialize + Send + Sync + 'static,
        F: Future<Output = R> + Send + 'static,
    {
        let Self { listener, socket } = self;
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let (about, handler) = (Arc::new(about), Arc::new(handler));
        let tasks = TaskTracker::new();
        let serve = async {
            loop {
                let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let (about, handler, stop) = (Arc::clone(&about), Arc::clone(&handler), stop.clone());
                        tasks.spawn(async move {
                            if let Err(error) = converse(stream, &*about, &*handler, &stop).await {
                                tracing::debug!(%error, "a client of the control socket was not served");
                            }
                            drop(slot);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(error = %chain(&error), "cannot accept a client of the control socket");
                        sleep(RESPITE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = serve => {}
            () = stop.cancelled() => {}
        }
        drop(listener);
        drop(socket);
        tasks.close();
        tasks.wait().await;
    }
}

/// Talks to one client.
async fn converse<A, Q, R, F>(
    mut stream: UnixStream,
    about: &(impl Fn() -> A + Sync),
    handler: &(impl Fn(Q) -> F + Sync),
    stop: &CancellationToken,
) -> Result<(), Error>
where
    A: Serialize + Send,
    Q: DeserializeOwned + Send,
    R: Serialize + Send + Sync,
    F: Future<Output = R> + Send,
{
    let uid = stream.peer_cred().map_err(Error::Broken)?.uid();
    let own = rustix::process::geteuid().as_raw();
    if uid != 0 && uid != own {
        tracing::warn!(uid, "a stranger was turned away from the control socket");
        let error = Error::Stranger { uid };
        refuse(&mut stream, &format!("user {uid} is neither root nor the user of the daemon, {own}")).await;
        return Err(error);
    }
    let hello = Hello { version: VERSION.to_owned(), pid: std::process::id(), about: about() };
    Frame::new(Kind::Hello, &hello, HELLO_LIMIT)?.send(&mut stream, MESSAGE_DEADLINE).await?;
    let received = tokio::select! {
        received = Frame::receive(&mut stream, REQUEST_LIMIT, MESSAGE_DEADLINE) => received,
        () = stop.cancelled() => return Ok(()),
    };
    let request = received.and_then(|frame| match frame {
        // Somebody who only wanted to know who is here.
        None => Ok(None),
        Some(frame) if frame.kind() == Kind::Request => frame.parse::<Q>().map(Some),
        Some(_) => Err(Error::Nonsense),
    });
    let request = match request {
        Ok(Some(request)) => request,
        Ok(None) => return Ok(()),
        Err(error) => {
            refuse(&mut stream, &error.to_string()).await;
            return Err(error);
        }
    };
    let reply = work(&stream, handler(request)).await;
    let reply = match Frame::new(Kind::Reply, &reply, REPLY_LIMIT) {
        Ok(reply) => reply,
        Err(error) => {
            refuse(&mut stream, &error.to_string()).await;
            return Err(error);
        }
    };
    reply.send(&mut stream, MESSAGE_DEADLINE).await
}

/// Brings a request to its end, whether or not anybody still waits for it.
async fn work<R>(stream: &UnixStream, request: impl Future<Output = R>) -> R {
    let mut request = std::pin::pin!(request);
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    let working = Frame::empty(Kind::Working).head();
    loop {
        tokio::select! {
            reply = &mut request => return reply,
            // A client that has gone away, or reads nothing, misses it.
            _ = heartbeat.tick() => {
                let _ = stream.try_write(&working);
            }
        }
    }
}

/// Says why there will be no reply; whoever has gone away does not hear it.
async fn refuse(stream: &mut UnixStream, reason: &str) {
    if let Ok(frame) = Frame::new(Kind::Refused, &reason, HELLO_LIMIT) {
        let _ = frame.send(stream, MESSAGE_DEADLINE).await;
    }
}
