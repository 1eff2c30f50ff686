//! Every command that hotcert sends, and how it is written.
//!
//! Invariant: a [`Command`] is exactly one command on the wire. Its words are validated types, and its payload is either made from
//! a [`Bundle`], a [`ClientPem`](crate::bundle::ClientPem) or a [`Part`], or one line of such words; so nothing can end it early or
//! begin a second one.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use super::client_file::ClientCommand;
use super::info::Capabilities;
use super::limit::{PayloadLimit, TooLarge, Verdict};
use super::words::{Filter, Map, Options, Word};
use crate::bundle::{Bundle, OcspIssuer, OcspResponse, TicketKey};
use crate::model::{Slot, TicketFile};

/// How long the connection may idle, in seconds: a session stages, waits for other nodes and commits on one connection, and
/// the default of `stats timeout` is 10.
const IDLE_TIMEOUT: u32 = 120;

/// The ending by which the OCSP response of a slot is addressed.
const RESPONSE: &str = ".ocsp";

/// One command (management guide, section 9.3).
#[derive(Debug, Clone, Copy)]
pub(super) enum Command<'a> {
    Prompt,
    IdleTimeout,
    ShowInfo,
    ShowLevel,
    ShowPools,
    ShowProcesses,
    ShowCertificates,
    ShowCertificate(&'a Slot),
    ShowTransaction(&'a Slot),
    ShowStaple(&'a Slot),
    ShowLists,
    ShowEntries(&'a Slot),
    ShowMap(&'a Map),
    ShowSni,
    ShowTicketKeys(&'a TicketFile),
    SetTicketKey(&'a TicketFile, &'a TicketKey),
    New(&'a Slot),
    Set(&'a Slot, &'a Bundle),
    SetPart(&'a Slot, Part<'a>),
    Commit(&'a Slot),
    Abort(&'a Slot),
    Delete(&'a Slot),
    Dump(&'a Slot),
    Attach { list: &'a Slot, slot: &'a Slot, options: Option<&'a Options>, filters: &'a [Filter] },
    Detach { list: &'a Slot, slot: &'a Slot, line: u32 },
    AddMap { map: &'a Map, key: &'a Word, value: &'a Word },
    DelMap { map: &'a Map, key: &'a Word },
    Client(ClientCommand<'a>),
}

/// What a transaction can hold beside a certificate (management guide, `set ssl cert`). There is none for a `.sctl` file: the
/// runtime API cannot carry one.
#[derive(Debug, Clone, Copy)]
pub enum Part<'a> {
    /// What is stapled to the certificate.
    Response(&'a OcspResponse),
    /// The certificate of the issuer, where the chain does not have it.
    Issuer(&'a OcspIssuer),
}

impl Part<'_> {
    /// What is added to the name of the slot.
    fn ending(self) -> &'static str {
        match self {
            Self::Response(_) => RESPONSE,
            Self::Issuer(_) => ".issuer",
        }
    }
}

impl Command<'_> {
    /// The first words, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::IdleTimeout => "set timeout cli",
            Self::ShowInfo => "show info",
            Self::ShowLevel => "show cli level",
            Self::ShowPools => "show pools",
            Self::ShowProcesses => "show proc",
            Self::ShowCertificates | Self::ShowCertificate(_) | Self::ShowTransaction(_) | Self::ShowStaple(_) => {
                "show ssl cert"
            }
            Self::ShowLists | Self::ShowEntries(_) => "show ssl crt-list",
            Self::ShowMap(_) => "show map",
            Self::ShowSni => "show ssl sni",
            Self::ShowTicketKeys(_) => "show tls-keys",
            Self::SetTicketKey(..) => "set ssl tls-key",
            Self::New(_) => "new ssl cert",
            Self::Set(..) | Self::SetPart(..) => "set ssl cert",
            Self::Commit(_) => "commit ssl cert",
            Self::Abort(_) => "abort ssl cert",
            Self::Delete(_) => "del ssl cert",
            Self::Dump(_) => "dump ssl cert",
            Self::Attach { .. } => "add ssl crt-list",
            Self::Detach { .. } => "del ssl crt-list",
            Self::AddMap { .. } => "add map",
            Self::DelMap { .. } => "del map",
            Self::Client(command) => command.name(),
        }
    }

    /// The slot, list or map that it is about, for messages.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Prompt
            | Self::IdleTimeout
            | Self::ShowInfo
            | Self::ShowLevel
            | Self::ShowPools
            | Self::ShowProcesses
            | Self::ShowCertificates
            | Self::ShowLists
            | Self::ShowSni => String::new(),
            Self::ShowCertificate(slot)
            | Self::ShowTransaction(slot)
            | Self::ShowStaple(slot)
            | Self::New(slot)
            | Self::Set(slot, _)
            | Self::Commit(slot)
            | Self::Abort(slot)
            | Self::Delete(slot)
            | Self::Dump(slot) => slot.to_string(),
            Self::SetPart(slot, part) => format!("{slot}{}", part.ending()),
            Self::ShowEntries(list) => list.to_string(),
            Self::ShowTicketKeys(file) | Self::SetTicketKey(file, _) => file.to_string(),
            Self::ShowMap(map) | Self::AddMap { map, .. } | Self::DelMap { map, .. } => map.to_string(),
            Self::Attach { list, slot, .. } | Self::Detach { list, slot, .. } => format!("{slot} in {list}"),
            Self::Client(command) => command.subject(),
        }
    }

    /// Whether nothing is different after it, so that it can be repeated.
    pub(super) fn only_reads(&self) -> bool {
        self.name().starts_with("show ")
    }

    /// What is to be written; or nothing, where it would be too long for the worker.
    pub(super) fn text(&self, can: Capabilities, limit: PayloadLimit) -> Result<Text<'_>, TooLarge> {
        let line = Zeroizing::new(self.line(can));
        let payload = self.payload();
        let with_end = payload.as_ref().map_or(0, |text| text.len() + 1);
        let is_pem = matches!(self, Self::Set(..) | Self::Client(_));
        let padding = match limit.judge(line.len(), with_end, is_pem)? {
            Verdict::Fits => 0,
            Verdict::Pad(bytes) => bytes,
        };
        Ok(Text { line, payload, padding })
    }

    /// The command line with its end.
    fn line(&self, can: Capabilities) -> String {
        let name = self.name();
        match self {
            Self::Prompt
            | Self::ShowInfo
            | Self::ShowLevel
            | Self::ShowPools
            | Self::ShowProcesses
            | Self::ShowCertificates
            | Self::ShowLists
            | Self::ShowSni => format!("{name}\n"),
            Self::IdleTimeout => format!("{name} {IDLE_TIMEOUT}\n"),
            Self::ShowTransaction(slot) => format!("{name} *{slot}\n"),
            Self::ShowStaple(slot) => format!("{name} {slot}{RESPONSE}\n"),
            Self::ShowCertificate(slot)
            | Self::New(slot)
            | Self::Commit(slot)
            | Self::Abort(slot)
            | Self::Delete(slot)
            | Self::Dump(slot) => format!("{name} {slot}\n"),
            Self::Set(slot, _) => {
                let doubled =
                    if can.crt_is_a_suffix && slot.as_str().as_bytes().ends_with(b".crt") { ".crt" } else { "" };
                format!("{name} {slot}{doubled} <<\n")
            }
            Self::SetPart(slot, part) => format!("{name} {slot}{} <<\n", part.ending()),
            Self::ShowEntries(list) => format!("{name} -n {}\n", listed(list)),
            Self::ShowTicketKeys(file) => format!("{name} {file}\n"),
            Self::SetTicketKey(file, key) => {
                let (file, key) = (file.to_string(), key.base64());
                let mut line = String::with_capacity(name.len() + file.len() + key.len() + 3);
                line.extend([name, " ", &file, " ", &key, "\n"]);
                line
            }
            Self::ShowMap(map) => format!("{name} {map}\n"),
            Self::Attach { list, slot, .. } if self.payload().is_none() => format!("{name} {} {slot}\n", listed(list)),
            Self::Attach { list, .. } => format!("{name} {} <<\n", listed(list)),
            Self::Detach { list, slot, line } => format!("{name} {} {slot}:{line}\n", listed(list)),
            Self::AddMap { map, key, value } => format!("{name} {map} {key} {value}\n"),
            Self::DelMap { map, key } => format!("{name} {map} {key}\n"),
            Self::Client(command) => command.line(),
        }
    }

    /// The payload: full lines without an empty one, which would end it. A key in it is only borrowed.
    fn payload(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Set(_, bundle) => Some(Cow::Borrowed(bundle.combined_pem())),
            Self::Client(command) => command.payload().map(Cow::Borrowed),
            Self::SetPart(_, Part::Response(response)) => {
                Some(Cow::Owned(BASE64_STANDARD.encode(response.der()) + "\n"))
            }
            Self::SetPart(_, Part::Issuer(issuer)) => Some(Cow::Owned(issuer.pem())),
            Self::Attach { slot, options, filters, .. } if options.is_some() || !filters.is_empty() => {
                let mut line = slot.to_string();
                let words = options.iter().map(ToString::to_string).chain(filters.iter().map(ToString::to_string));
                words.for_each(|word| line = format!("{line} {word}"));
                Some(Cow::Owned(line + "\n"))
            }
            _ => None,
        }
    }
}

/// A command as it is written.
pub(super) struct Text<'a> {
    /// A ticket key stands in the line itself.
    line: Zeroizing<String>,
    payload: Option<Cow<'a, str>>,
    /// So many bytes more, in a line that says nothing.
    padding: usize,
}

impl Text<'_> {
    /// Several commands in one text, after some words.
    pub(super) fn join(prefix: &str, texts: &[Self]) -> Zeroizing<Vec<u8>> {
        // One allocation of the final size: growing would leave copies of a key behind in freed memory.
        let length = prefix.len() + texts.iter().map(Self::len).sum::<usize>();
        let mut all = Zeroizing::new(Vec::with_capacity(length));
        all.extend_from_slice(prefix.as_bytes());
        for Self { line, payload, padding } in texts {
            all.extend_from_slice(line.as_bytes());
            if let Some(payload) = payload {
                all.extend_from_slice(payload.as_bytes());
                if *padding > 0 {
                    let padded = all.len() + padding - 1;
                    all.resize(padded, b'#');
                    all.push(b'\n');
                }
                all.push(b'\n');
            }
        }
        all
    }

    fn len(&self) -> usize {
        self.line.len() + self.payload.as_ref().map_or(0, |text| text.len() + 1) + self.padding
    }
}

/// How `HAProxy` names a list: a directory without the slash that people may write at its end.
pub(super) fn listed(list: &Slot) -> &str {
    match list.as_str().trim_end_matches('/') {
        "" => list.as_str(),
        name => name,
    }
}

#[cfg(test)]
mod tests;
