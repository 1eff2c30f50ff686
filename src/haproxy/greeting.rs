//! Connecting to a worker, and asking which one it is.

use std::io::ErrorKind;

use tokio::time::timeout;

use super::channel::Channel;
use super::command::Command;
use super::connect::Connect;
use super::error::Error;
use super::info::{Capabilities, Info, Level, Process};
use super::limit::PayloadLimit;
use super::master::{self, Master, Target};
use super::session::Session;
use super::tls;
use super::wire::{SILENCE, Wire};
use crate::model::{Address, Endpoint};

/// What is assumed until the worker has said who it is: enough for the commands that ask.
pub(super) const BEFORE_INFO: (Capabilities, PayloadLimit) = (
    Capabilities {
        sni_listing: false,
        keeps_transactions_apart: false,
        crt_is_a_suffix: false,
        shows_staples: false,
        long_descriptions: false,
        client_files: false,
        ca_file_parts: false,
        dump: false,
    },
    PayloadLimit { bufsize: 1024, long_payloads: false, branch: (0, 0) },
);

impl Session {
    /// Connects, and asks who is there. Needs level admin.
    pub async fn open<'a>(connect: &dyn Connect, to: impl Into<Endpoint<'a>>) -> Result<Self, Error> {
        let to = to.into();
        let (wire, process) = greet(connect, to).await?;
        Self::begin(wire, process, to.address).await
    }

    /// The same with one worker of a master, an old one perhaps.
    pub async fn open_worker(connect: &dyn Connect, master: &Address, pid: u32) -> Result<Self, Error> {
        let (wire, process) = greet_worker(connect, master, Target::Worker(pid)).await?;
        Self::begin(wire, process, master).await
    }

    async fn begin(mut wire: Channel, process: Process, address: &Address) -> Result<Self, Error> {
        let (can, limit) = BEFORE_INFO;
        let strange = || Error::NotHaproxy { address: address.clone() };
        if !process.version.is_supported() {
            return Err(Error::TooOld { address: address.clone(), version: process.version });
        }
        let level = Level::parse(&wire.ask(Command::ShowLevel, can, limit).await?).ok_or_else(strange)?;
        if level < Level::Admin {
            return Err(Error::Level { address: address.clone(), level });
        }
        let pools = wire.ask(Command::ShowPools, can, limit).await?;
        let bufsize = PayloadLimit::bufsize(&pools).ok_or_else(strange)?;
        if let Channel::Socket(wire) = &mut wire {
            wire.ask(Command::IdleTimeout, can, limit).await?;
        }
        let payload_limit = PayloadLimit::of(&process.version, bufsize);
        let Process { pid, version, started_at, stopping } = process;
        Ok(Self { wire, info: Box::new(Info { pid, version, started_at, stopping, level, payload_limit }) })
    }
}

impl Process {
    /// Asks which worker answers at an address, on a connection that is closed at once: that costs so little that it can be done
    /// every second, and keeps no worker alive.
    pub async fn ask<'a>(connect: &dyn Connect, to: impl Into<Endpoint<'a>>) -> Result<Self, Error> {
        let to = to.into();
        let (command, (can, limit)) = (Command::ShowInfo, BEFORE_INFO);
        let reply = match to.address {
            Address::Master(_) => master::ask(connect, to.address, Target::CurrentWorker, command).await,
            _ => open(connect, to).await?.ask_once(command, can, limit).await,
        };
        let reply = reply.map_err(|error| tls::first_answer(to, error))?;
        Self::parse(&reply).ok_or_else(|| Error::NotHaproxy { address: to.address.clone() })
    }
}

/// Connects, starts prompt mode, and asks which worker it is.
async fn greet(connect: &dyn Connect, to: Endpoint<'_>) -> Result<(Channel, Process), Error> {
    if matches!(to.address, Address::Master(_)) {
        return greet_worker(connect, to.address, Target::CurrentWorker).await;
    }
    let mut wire = open(connect, to).await?;
    let (can, limit) = BEFORE_INFO;
    let strange = || Error::NotHaproxy { address: to.address.clone() };

    wire.greet(to.address, can, limit).await.map_err(|error| tls::first_answer(to, error))?;
    let process = Process::parse(&wire.ask(Command::ShowInfo, can, limit).await?).ok_or_else(strange)?;
    Ok((Channel::Socket(wire), process))
}

/// Asks through a master which worker it is, and stays with that one.
async fn greet_worker(connect: &dyn Connect, address: &Address, target: Target) -> Result<(Channel, Process), Error> {
    let mut master = Master::new(connect, address, target);
    let (can, limit) = BEFORE_INFO;
    let process = Process::parse(&master.ask(Command::ShowInfo, can, limit).await?);
    let process = process.ok_or_else(|| Error::NotHaproxy { address: address.clone() })?;
    master.target = Target::Worker(process.pid);
    Ok((Channel::Master(master), process))
}

pub(super) async fn open(connect: &dyn Connect, to: Endpoint<'_>) -> Result<Wire, Error> {
    let address = to.address;
    let seconds = SILENCE.as_secs();
    let client = tls::Client::of(to)?;
    let stream = timeout(SILENCE, connect.connect(address))
        .await
        .map_err(|_| Error::ConnectTimeout { address: address.clone(), seconds })?
        .map_err(|source| {
            let address = address.clone();
            match source.kind() {
                ErrorKind::NotFound => Error::NoSocket { address, source },
                ErrorKind::ConnectionRefused => Error::Refused { address, source },
                ErrorKind::PermissionDenied => Error::NoPermission { address, source },
                _ => Error::Connect { address, source },
            }
        })?;
    let Some(client) = client else { return Ok(Wire::new(stream)) };
    let shake = timeout(SILENCE, client.shake(stream)).await;
    shake.map_err(|_| tls::slow(address, seconds))?.map(Wire::new)
}
