//! The way to one worker: straight to its socket, or through its master.

use std::time::Duration;

use super::command::Command;
use super::error::Error;
use super::info::Capabilities;
use super::limit::PayloadLimit;
use super::master::Master;
use super::wire::Wire;

pub(super) enum Channel {
    /// A connection in prompt mode.
    Socket(Wire),
    /// A connection for each command.
    Master(Master),
}

impl Channel {
    /// Whether replies still belong to the commands that were sent.
    pub(super) fn is_in_step(&self) -> bool {
        match self {
            Self::Socket(wire) => wire.is_in_step(),
            Self::Master(master) => master.is_in_step(),
        }
    }

    /// How long replies were waited for since this was asked last.
    pub(super) fn take_waited(&mut self) -> Duration {
        match self {
            Self::Socket(wire) => wire.take_waited(),
            Self::Master(master) => master.take_waited(),
        }
    }

    /// Makes room for a reply with a private key.
    pub(super) fn expect_secret(&mut self) {
        match self {
            Self::Socket(wire) => wire.expect_secret(),
            // It sees by the command.
            Self::Master(_) => {}
        }
    }

    /// Sends a command and reads its reply.
    pub(super) async fn ask(
        &mut self,
        command: Command<'_>,
        can: Capabilities,
        limit: PayloadLimit,
    ) -> Result<String, Error> {
        match self {
            Self::Socket(wire) => wire.ask(command, can, limit).await,
            Self::Master(master) => master.ask(command, can, limit).await,
        }
    }

    /// Sends two commands, the second one whatever the first one comes to, and reads their replies.
    pub(super) async fn ask_both(
        &mut self,
        first: Command<'_>,
        second: Command<'_>,
        can: Capabilities,
        limit: PayloadLimit,
    ) -> Result<(String, String), Error> {
        if let Self::Socket(wire) = self {
            wire.send_all([first, second], can, limit).await?;
            return Ok((wire.receive(first).await?, wire.receive(second).await?));
        }
        Ok((self.ask(first, can, limit).await?, self.ask(second, can, limit).await?))
    }

    /// Sends several commands that only read, and has each reply taken as it comes.
    pub(super) async fn ask_all(
        &mut self,
        commands: &[Command<'_>],
        can: Capabilities,
        limit: PayloadLimit,
        mut take: impl FnMut(String) + Send,
    ) -> Result<(), Error> {
        match self {
            Self::Socket(wire) => wire.ask_all(commands, can, limit, take).await,
            Self::Master(master) => {
                for command in commands {
                    take(master.ask(*command, can, limit).await?);
                }
                Ok(())
            }
        }
    }
}
