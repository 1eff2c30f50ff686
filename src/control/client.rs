//! The side of whoever has a request.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::frame::{Frame, Kind};
use super::{
    Error, HELLO_DEADLINE, HELLO_LIMIT, Hello, MESSAGE_DEADLINE, REPLY_LIMIT, REQUEST_LIMIT, SILENCE_DEADLINE, VERSION,
};
use crate::store::{CONTROL_SOCKET, within};

/// A connection to a server that said hello.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    hello: Hello<Value>,
}

impl Client {
    /// Connects to the server of a state directory; `None` when there is none. Takes at most a few seconds, and moments where
    /// nobody listens.
    pub async fn connect(state_dir: &Path) -> Result<Option<Self>, Error> {
        timeout(HELLO_DEADLINE, Self::connect_patiently(state_dir)).await.map_err(|_| Error::Silent)?
    }

    async fn connect_patiently(state_dir: &Path) -> Result<Option<Self>, Error> {
        let failed = |source| Error::Connect { directory: state_dir.to_owned(), source };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(directory) = rustix::fs::open(state_dir, flags, Mode::empty()) else { return Ok(None) };
        let owner = rustix::fs::fstat(&directory).map_err(|error| failed(error.into()))?.st_uid;
        let mut stream = match UnixStream::connect(within(&directory, CONTROL_SOCKET)).await {
            Ok(stream) => stream,
            // A daemon that died leaves a socket on which nobody listens.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let uid = stream.peer_cred().map_err(failed)?.uid();
        if uid != 0 && uid != owner {
            return Err(Error::Stranger { uid });
        }
        let hello = receive(&mut stream, HELLO_LIMIT).await?;
        if hello.kind() != Kind::Hello {
            return Err(Error::Nonsense);
        }
        // What else stands in the hello of another version is not known.
        let Hello { version, pid, .. }: Hello<Value> = hello.parse()?;
        if version != VERSION {
            return Err(Error::Version { pid, theirs: version, ours: VERSION });
        }
        Ok(Some(Self { hello: hello.parse()?, stream }))
    }

    /// The server's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.hello.pid
    }

    /// What the server tells of itself.
    pub fn about<A: DeserializeOwned>(&self) -> Result<A, Error> {
        A::deserialize(&self.hello.about).map_err(|_| Error::Nonsense)
    }

    /// Sends a request, and waits for the reply: for as long as the server says that it is at work.
    ///
    /// After an error other than [`Error::Unsent`] nobody knows how far the request was carried out.
    pub async fn ask<R: DeserializeOwned>(mut self, request: &impl Serialize) -> Result<R, Error> {
        let frame =
            Frame::new(Kind::Request, request, REQUEST_LIMIT).map_err(|error| Error::Unsent(Box::new(error)))?;
        frame.send(&mut self.stream, MESSAGE_DEADLINE).await?;
        loop {
            let frame = receive(&mut self.stream, REPLY_LIMIT).await?;
            match frame.kind() {
                Kind::Working => tracing::trace!("the daemon is at work"),
                Kind::Reply => return frame.parse(),
                _ => return Err(Error::Nonsense),
            }
        }
    }
}

/// Receives a message that is no refusal.
async fn receive(stream: &mut UnixStream, limit: usize) -> Result<Frame, Error> {
    let frame = Frame::receive(stream, limit, SILENCE_DEADLINE).await?;
    let frame = frame.ok_or_else(|| Error::Broken(ErrorKind::UnexpectedEof.into()))?;
    if frame.kind() == Kind::Refused {
        return Err(Error::Refused { reason: frame.parse()? });
    }
    Ok(frame)
}
