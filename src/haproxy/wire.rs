//! One connection in prompt mode, with deadlines.
//!
//! After a failure of the stream the next reply could belong to an earlier command, so a [`Wire`] that failed once refuses
//! everything.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::Decoder;
use zeroize::Zeroize;

use super::codec::{CodecError, MAX_REPLY, ReplyCodec};
use super::command::{Command, Text};
use super::connect::Stream;
use super::error::Error;
use super::info::Capabilities;
use super::limit::PayloadLimit;
use crate::model::Address;

/// A worker answers within milliseconds; one that says nothing for so long hangs, or has no connection free.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// The end of patience with a peer that sends, but never ends: a client that only half reads a listing would lock `HAProxy`'s
/// certificate commands.
const REPLY_DEADLINE: Duration = Duration::from_mins(1);

/// Certificates that may be on their way at once: enough to hide the round trip, measured to reach `HAProxy`'s own limit.
pub(super) const OUTSTANDING: usize = 16;
/// When so few are on their way, more follow, in one write.
pub(super) const FEW: usize = OUTSTANDING / 2;
/// The same for commands that only read, which are shorter: 3.2 takes twice as long where there are no more than sixteen.
const READS: usize = 64;

/// The longest reply outside of prompt mode, in bytes: such commands have some kilobytes to say.
const ONCE_LIMIT: usize = 1024 * 1024;

/// Room for a reply with a private key, in bytes: far more than a bundle may have, so that it is never copied while it grows.
const SECRET_ROOM: usize = 256 * 1024;

/// What `prompt` is answered by, on every version.
const PROMPT: &[u8] = b"\n> ";

pub(super) struct Wire {
    stream: Box<dyn Stream>,
    codec: ReplyCodec,
    buffer: BytesMut,
    failed: bool,
    waited: Duration,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, codec: ReplyCodec::default(), buffer: BytesMut::new(), failed: false, waited: Duration::ZERO }
    }

    /// How long replies were waited for since this was asked last.
    pub(super) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Whether replies still belong to the commands that were sent.
    pub(super) fn is_in_step(&self) -> bool {
        !self.failed
    }

    /// Makes room for a reply with a private key, which is wiped where it was read ([`ReplyCodec`]).
    pub(super) fn expect_secret(&mut self) {
        self.buffer.reserve(SECRET_ROOM);
    }

    /// Sends a command and reads its reply.
    pub(super) async fn ask(
        &mut self,
        command: Command<'_>,
        can: Capabilities,
        limit: PayloadLimit,
    ) -> Result<String, Error> {
        self.send(command, can, limit).await?;
        self.receive(command).await
    }

    /// Sends several commands in one write; whoever calls it has as many replies to [receive](Self::receive).
    pub(super) async fn send_all<'a>(
        &mut self,
        commands: impl IntoIterator<Item = Command<'a>>,
        can: Capabilities,
        limit: PayloadLimit,
    ) -> Result<(), Error> {
        let commands: Vec<_> = commands.into_iter().collect();
        let Some(last) = commands.last() else { return Ok(()) };
        let mut texts = Vec::with_capacity(commands.len());
        for command in &commands {
            texts.push(command.text(can, limit).map_err(|source| Error::too_large(command, source))?);
        }
        self.write(last.name(), &Text::join("", &texts)).await
    }

    /// Sends several commands that only read, and has each reply taken as it comes; several are on their way at once.
    pub(super) async fn ask_all(
        &mut self,
        commands: &[Command<'_>],
        can: Capabilities,
        limit: PayloadLimit,
        mut take: impl FnMut(String) + Send,
    ) -> Result<(), Error> {
        let mut sent = 0;
        for (received, command) in commands.iter().enumerate() {
            if sent - received <= READS / 2 {
                let more = &commands[sent..commands.len().min(received + READS)];
                self.send_all(more.iter().copied(), can, limit).await?;
                sent += more.len();
            }
            take(self.receive(*command).await?);
        }
        Ok(())
    }

    /// Sends one command without prompt mode, in which `HAProxy` closes after the reply. That is one exchange less.
    pub(super) async fn ask_once(
        mut self,
        command: Command<'_>,
        can: Capabilities,
        limit: PayloadLimit,
    ) -> Result<String, Error> {
        self.send(command, can, limit).await?;
        self.read_to_end(command.name(), ONCE_LIMIT).await
    }

    /// Writes bytes, says that there are no more, and reads all that comes.
    pub(super) async fn ask_to_end(mut self, name: &'static str, bytes: &[u8]) -> Result<String, Error> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.shutdown().await
        };
        match timeout(SILENCE, write).await {
            Ok(Ok(())) => self.read_to_end(name, MAX_REPLY).await,
            Ok(Err(source)) => Err(Error::Closed { command: name, source: Some(source) }),
            Err(_) => Err(Error::Silent { command: name, seconds: SILENCE.as_secs() }),
        }
    }

    async fn read_to_end(&mut self, name: &'static str, most: usize) -> Result<String, Error> {
        let end = Instant::now() + REPLY_DEADLINE;
        loop {
            match self.fill(name, end).await {
                Ok(()) if self.buffer.len() > most => return Err(Error::Endless { command: name }),
                Ok(()) => {}
                Err(Error::Closed { source: None, .. }) => {
                    let text = String::from_utf8_lossy(&self.buffer).into_owned();
                    // There may be a private key in it.
                    self.buffer.zeroize();
                    return Ok(text);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn send(&mut self, command: Command<'_>, can: Capabilities, limit: PayloadLimit) -> Result<(), Error> {
        self.send_all([command], can, limit).await
    }

    async fn write(&mut self, name: &'static str, bytes: &[u8]) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Closed { command: name, source: None });
        }
        // Until it is known to be well, a caller who goes away leaves a stream that nobody may use.
        self.failed = true;
        match timeout(SILENCE, write(&mut self.stream, bytes)).await {
            Ok(Ok(())) => self.failed = false,
            Ok(Err(source)) => return Err(Error::Closed { command: name, source: Some(source) }),
            Err(_) => return Err(Error::Silent { command: name, seconds: SILENCE.as_secs() }),
        }
        Ok(())
    }

    /// Starts prompt mode. Who is not `HAProxy` is recognised by its first bytes.
    pub(super) async fn greet(
        &mut self,
        address: &Address,
        can: Capabilities,
        limit: PayloadLimit,
    ) -> Result<(), Error> {
        let command = Command::Prompt;
        self.send(command, can, limit).await?;
        self.failed = true;
        let end = Instant::now() + REPLY_DEADLINE;
        while self.buffer.len() < PROMPT.len() && PROMPT.starts_with(&self.buffer) {
            self.fill(command.name(), end).await?;
        }
        if self.buffer != PROMPT {
            let address = address.clone();
            let is_master = self.buffer.starts_with(b"mas");
            return Err(if is_master { Error::MasterSocket { address } } else { Error::NotHaproxy { address } });
        }
        self.buffer.clear();
        self.failed = false;
        Ok(())
    }

    /// Reads the reply to the first command that has none yet.
    pub(super) async fn receive(&mut self, command: Command<'_>) -> Result<String, Error> {
        let name = command.name();
        self.failed = true;
        let began = Instant::now();
        let end = began + REPLY_DEADLINE;
        let reply = loop {
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(reply)) => break reply,
                Ok(None) => self.fill(name, end).await?,
                Err(CodecError::TooLong) => return Err(Error::Endless { command: name }),
                Err(CodecError::Io(source)) => return Err(Error::Closed { command: name, source: Some(source) }),
            }
        };
        self.failed = false;
        self.waited += began.elapsed();
        Ok(reply)
    }

    /// Reads some more.
    async fn fill(&mut self, command: &'static str, end: Instant) -> Result<(), Error> {
        match timeout_at(end.min(Instant::now() + SILENCE), self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(0)) => Err(Error::Closed { command, source: None }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(Error::Closed { command, source: Some(source) }),
            Err(_) if end > Instant::now() => Err(Error::Silent { command, seconds: SILENCE.as_secs() }),
            Err(_) => Err(Error::Endless { command }),
        }
    }
}

/// TLS keeps what it was given until it is told that there is no more.
async fn write(stream: &mut dyn Stream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
