//! The seam between a session and the operating system.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::model::{Address, Authority};

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What [`Connect::connect`] returns.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Opens a byte stream to a node; tests put a scripted peer in its place.
pub trait Connect: Share + Send + Sync {
    /// Opens a stream, for TLS too the bare one: [`Session::open`](super::Session::open) lays TLS over it, and has a deadline.
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a>;
}

/// How a session keeps what opens connections, for it may need one for each command.
pub trait Share {
    /// The same in another hand.
    fn share(&self) -> Arc<dyn Connect>;
}

impl<T: Connect + Clone + 'static> Share for T {
    fn share(&self) -> Arc<dyn Connect> {
        Arc::new(self.clone())
    }
}

/// The operating system's sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemConnect;

impl Connect for SystemConnect {
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let stream: Box<dyn Stream> = match address {
                Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
                Address::Tcp(Authority { host, port }) | Address::Tls(Authority { host, port }) => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    // Each command is one small write that waits for its answer.
                    stream.set_nodelay(true)?;
                    Box::new(stream)
                }
                Address::Master(socket) => return self.connect(socket).await,
            };
            Ok(stream)
        })
    }
}
