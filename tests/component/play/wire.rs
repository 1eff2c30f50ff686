//! What can happen between hotcert and HAProxy at each command.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use hotcert::haproxy::{Connect, Connecting, Stream};
use hotcert::model::Address;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::server::{Other, Server};

/// Something that happens at a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut, and the command was not carried out.
    CutBefore,
    /// The connection is cut, and the command was carried out.
    CutAfter,
    /// The connection is cut in the middle of the answer.
    CutWithin,
    /// There is no answer, and the command was not carried out.
    HangBefore,
    /// There is no answer, and the command was carried out.
    HangAfter,
    /// So many commands about certificates are refused.
    Locked(usize),
    /// The process is killed before the command, and another one started from the files.
    Restart,
    /// Another process takes over before the command; the connection stays with the old one.
    Reload,
    /// Another program does something before.
    Other(Other),
    /// From here on no node can be reached; the command was carried out or not.
    Down { after: bool },
}

/// Connects to the servers, and lets happen what is planned.
#[derive(Debug, Clone, Default)]
pub struct Wires(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    servers: BTreeMap<PathBuf, Arc<Server>>,
    /// Each at a number of commands.
    to_come: Vec<(usize, Fault)>,
    commands: usize,
    happened: Vec<Fault>,
    down: bool,
}

impl Wires {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn add(&self, server: &Arc<Server>) {
        self.state().servers.insert(server.socket(), Arc::clone(server));
    }

    /// Lets a fault happen at the so-many-th command from now on, counted from 0.
    pub fn plan(&self, at: usize, fault: Fault) {
        let mut state = self.state();
        let at = state.commands + at;
        state.to_come.push((at, fault));
    }

    /// Forgets what did not happen; returns what did.
    pub fn mend(&self) -> Vec<Fault> {
        let mut state = self.state();
        state.to_come.clear();
        state.down = false;
        std::mem::take(&mut state.happened)
    }

    /// How many commands were given.
    pub fn commands(&self) -> usize {
        self.state().commands
    }

    fn is_down(&self) -> bool {
        self.state().down
    }

    /// What happens at the next command.
    fn next(&self) -> Option<Fault> {
        let mut state = self.state();
        let now = state.commands;
        state.commands += 1;
        let at = state.to_come.iter().position(|(at, _)| *at <= now)?;
        let (_, fault) = state.to_come.remove(at);
        state.happened.push(fault.clone());
        Some(fault)
    }
}

impl Connect for Wires {
    fn connect<'a>(&'a self, address: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let Address::Unix(path) = address else { return Err(io::ErrorKind::Unsupported.into()) };
            let server = self.state().servers.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
            if self.is_down() {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let stream = server.connect().connect(address).await?;
            Ok(Box::new(Wire { stream, server, wires: self.clone(), begun: false, health: Health::Good })
                as Box<dyn Stream>)
        })
    }
}

/// One connection.
struct Wire {
    stream: Box<dyn Stream>,
    server: Arc<Server>,
    wires: Wires,
    /// Whether the command that is being written was counted.
    begun: bool,
    health: Health,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Good,
    /// Ends as soon as the answer has begun to come, which is thrown away.
    EndsWithAnswer,
    /// Ends after the first bytes of the answer.
    EndsWithin,
    Ended,
    /// Says nothing any more.
    Silent,
}

impl Wire {
    /// Lets happen what happens at a command; whether it is to be sent.
    fn meet(&mut self, fault: &Fault) -> bool {
        match *fault {
            Fault::CutBefore => self.health = Health::Ended,
            Fault::CutAfter => self.health = Health::EndsWithAnswer,
            Fault::CutWithin => self.health = Health::EndsWithin,
            Fault::HangBefore | Fault::HangAfter => self.health = Health::Silent,
            Fault::Locked(count) => self.server.lock_for(count),
            Fault::Restart => self.server.restart(),
            Fault::Reload => self.server.reload(),
            Fault::Other(ref other) => self.server.act(other),
            Fault::Down { after } => {
                self.wires.state().down = true;
                self.health = if after { Health::EndsWithAnswer } else { Health::Ended };
            }
        }
        !matches!(fault, Fault::CutBefore | Fault::HangBefore | Fault::Down { after: false })
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if !wire.begun {
            if wire.health == Health::Good && wire.wires.is_down() {
                wire.health = Health::Ended;
            }
            match wire.health {
                Health::Ended => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Health::Silent => return Poll::Ready(Ok(bytes.len())),
                _ => {}
            }
            let is_sent = wire.wires.next().is_none_or(|fault| wire.meet(&fault));
            if !is_sent {
                return Poll::Ready(if wire.health == Health::Ended {
                    Err(io::ErrorKind::BrokenPipe.into())
                } else {
                    Ok(bytes.len())
                });
            }
            wire.begun = true;
        }
        let written = ready!(Pin::new(&mut wire.stream).poll_write(cx, bytes))?;
        wire.begun = written < bytes.len();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        match wire.health {
            Health::Good => Pin::new(&mut wire.stream).poll_read(cx, buffer),
            Health::Ended => Poll::Ready(Ok(())),
            Health::Silent => Poll::Pending,
            Health::EndsWithAnswer | Health::EndsWithin => {
                let mut bytes = [0; 4096];
                let mut answer = ReadBuf::new(&mut bytes);
                ready!(Pin::new(&mut wire.stream).poll_read(cx, &mut answer))?;
                if wire.health == Health::EndsWithin {
                    let some = (answer.filled().len() / 2).min(buffer.remaining());
                    buffer.put_slice(&answer.filled()[..some]);
                }
                wire.health = Health::Ended;
                Poll::Ready(Ok(()))
            }
        }
    }
}
