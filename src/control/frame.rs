//! Messages on the wire: the length of the rest in four bytes, big-endian; one byte that tells the kind; JSON.
//!
//! Each is read into a buffer of its final size and written from one, so that no copy of a key stays behind in memory that was
//! given back. (The codec of `tokio-util` would keep one in its own buffer.)

use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Error;

/// Bytes of the length.
const LENGTH: usize = 4;

/// What sort of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Hello = b'h',
    Request = b'q',
    Working = b'w',
    Reply = b'r',
    /// The body is the reason, as a JSON string.
    Refused = b'x',
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Hello, Self::Request, Self::Working, Self::Reply, Self::Refused]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// One message.
pub(super) struct Frame {
    kind: Kind,
    body: Zeroizing<Vec<u8>>,
}

impl Frame {
    /// Puts a value into a message; fails if it cannot be JSON, or would be longer than `limit`.
    pub(super) fn new(kind: Kind, value: &impl Serialize, limit: usize) -> Result<Self, Error> {
        let mut count = Count(0);
        serde_json::to_writer(&mut count, value).map_err(|_| Error::Nonsense)?;
        if count.0 > limit {
            return Err(Error::TooLong { length: count.0, limit });
        }
        let mut body = Zeroizing::new(Vec::with_capacity(count.0));
        serde_json::to_writer(&mut *body, value).map_err(|_| Error::Nonsense)?;
        Ok(Self { kind, body })
    }

    /// A message that says nothing but its kind.
    pub(super) fn empty(kind: Kind) -> Self {
        Self { kind, body: Zeroizing::default() }
    }

    /// What a message says. Errors of the parser quote what they stumble over, so they are dropped.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|_| Error::Nonsense)
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes before the body.
    pub(super) fn head(&self) -> [u8; LENGTH + 1] {
        let length = u32::try_from(self.body.len() + 1).expect("a body is within its limit, far below 4 GB");
        let [a, b, c, d] = length.to_be_bytes();
        [a, b, c, d, self.kind as u8]
    }

    /// Sends it.
    pub(super) async fn send(&self, stream: &mut UnixStream, deadline: Duration) -> Result<(), Error> {
        let send = async {
            stream.write_all(&self.head()).await?;
            stream.write_all(&self.body).await
        };
        timeout(deadline, send).await.map_err(|_| Error::Silent)?.map_err(Error::Broken)
    }

    /// Receives one whose body has at most `limit` bytes; `None` when the other end has nothing to say any more.
    pub(super) async fn receive(
        stream: &mut UnixStream,
        limit: usize,
        deadline: Duration,
    ) -> Result<Option<Self>, Error> {
        timeout(deadline, Self::receive_patiently(stream, limit)).await.map_err(|_| Error::Silent)?
    }

    async fn receive_patiently(stream: &mut UnixStream, limit: usize) -> Result<Option<Self>, Error> {
        let length = match stream.read_u32().await {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(Error::Broken(error)),
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(rest) = length.checked_sub(1) else { return Err(Error::Nonsense) };
        if rest > limit {
            return Err(Error::TooLong { length: rest, limit });
        }
        let kind = Kind::of(stream.read_u8().await.map_err(Error::Broken)?).ok_or(Error::Nonsense)?;
        let mut body = Zeroizing::new(vec![0; rest]);
        stream.read_exact(&mut body).await.map_err(Error::Broken)?;
        Ok(Some(Self { kind, body }))
    }
}

/// Counts what is written.
struct Count(usize);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
