//! Asks the DNS what an authority would be told.
//!
//! Owns the look-ups: addresses, CAA records, where a name delegates its challenges, the zone of a name and its servers, and whether
//! a record has reached all of these. Nothing is cached, for a look that waits for a change must see it. Every look-up has a
//! deadline, every answer a bound, and every name and text of an answer is checked before it leaves this module.

mod caa;
mod error;
mod propagation;
mod system;
mod wire;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

pub use caa::{Asking, Caa, CaaSet, Forbidden};
pub use error::Error;
pub use zone::{Server, Zone, txt_at};

use crate::model::{DnsName, is_plain, sanitised};

/// The port of DNS servers.
pub const PORT: u16 = 53;

/// How long one question may take, whichever servers are asked how often: authorities wait about as long.
const DEADLINE: Duration = Duration::from_secs(6);
/// How often each server is asked: a datagram may be lost.
const ATTEMPTS: usize = 2;
/// How many aliases are followed. Authorities follow about ten (Unbound: 11).
const CHAIN: usize = 10;

/// Asks DNS servers; clones share them.
#[derive(Debug, Clone)]
pub struct Resolver {
    servers: Arc<[SocketAddr]>,
    is_configured: bool,
}

/// What was found at the end of a chain of aliases.
struct Found {
    /// Where it was found.
    name: DnsName,
    /// The records of the kind that was asked for.
    records: Vec<RData>,
    /// Whether there is such a name at all.
    exists: bool,
}

impl Resolver {
    /// Asks these servers, which must be ones that ask others in turn; without any, those of the system (`resolv.conf(5)`).
    #[must_use]
    pub fn new(configured: &[SocketAddr]) -> Self {
        let is_configured = !configured.is_empty();
        let servers = if is_configured { configured.into() } else { system::servers().into() };
        Self { servers, is_configured }
    }

    /// Whether its servers were named, so that what they say is what counts.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// The addresses of a name, IPv6 first; none where the name exists without any. [`Error::NoSuchName`] where it does not.
    pub async fn addresses(&self, name: &DnsName) -> Result<Vec<IpAddr>, Error> {
        let (v6, v4) = tokio::join!(self.records(name, RecordType::AAAA), self.records(name, RecordType::A));
        let mut addresses = Vec::new();
        let mut failure = None;
        let mut exists = false;
        for found in [v6, v4] {
            match found {
                Ok(found) => {
                    exists |= found.exists;
                    addresses.extend(found.records.iter().filter_map(RData::ip_addr));
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            // Of two families one is enough, as for an authority.
            Some(error) if addresses.is_empty() => Err(error),
            None if !exists => Err(Error::NoSuchName { name: name.clone() }),
            _ => Ok(addresses),
        }
    }

    /// The texts of a name's TXT records, as [`txt_at`] returns them, and the name at which aliases ended.
    pub async fn txt(&self, name: &DnsName) -> Result<(DnsName, Vec<String>), Error> {
        let found = self.records(name, RecordType::TXT).await?;
        Ok((found.name, found.records.iter().filter_map(text).collect()))
    }

    /// The name at which records have to be for an authority that follows the aliases of a name (RFC 8555, section 8.4): the
    /// name itself where it has none.
    pub async fn target_of(&self, name: &DnsName) -> Result<DnsName, Error> {
        let mut chain = vec![name.clone()];
        loop {
            let last = chain.last().expect("it begins with the name");
            let message = self.ask(last, RecordType::CNAME).await?;
            match alias(&message, last)? {
                None => return Ok(last.clone()),
                Some(target) => push(&mut chain, target)?,
            }
        }
    }

    /// Records of a kind, found by following aliases.
    async fn records(&self, name: &DnsName, kind: RecordType) -> Result<Found, Error> {
        let mut chain = vec![name.clone()];
        loop {
            let asked = chain.len();
            let message = self.ask(&chain[asked - 1], kind).await?;
            loop {
                let last = chain.last().expect("it begins with the name");
                let records: Vec<_> = of(&message.answers, last, kind).cloned().collect();
                if !records.is_empty() {
                    return Ok(Found { name: last.clone(), records, exists: true });
                }
                match alias(&message, last)? {
                    Some(target) => push(&mut chain, target)?,
                    None => break,
                }
            }
            let is_followed = chain.len() == asked;
            let exists = message.metadata.response_code != ResponseCode::NXDomain;
            if is_followed || !exists {
                let name = chain.pop().expect("it begins with the name");
                return Ok(Found { name, records: Vec::new(), exists });
            }
        }
    }

    /// Asks one question; an answer says that there is something, or that there is not.
    async fn ask(&self, name: &DnsName, kind: RecordType) -> Result<Message, Error> {
        let mut failure = None;
        let asking = async {
            for _ in 0..ATTEMPTS {
                for server in self.servers.iter() {
                    match wire::exchange(*server, name, kind, wire::Whom::Resolver).await {
                        Ok(message) => match message.metadata.response_code {
                            ResponseCode::NoError | ResponseCode::NXDomain => return Some(message),
                            code => failure = Some(Error::failed(name, kind, code)),
                        },
                        Err(unheard) => {
                            failure.get_or_insert_with(|| self.unheard(name, kind, *server, unheard));
                        }
                    }
                }
                if failure.as_ref().is_some_and(|failure| !failure.is_unheard()) {
                    break;
                }
            }
            None
        };
        match tokio::time::timeout(DEADLINE, asking).await {
            Ok(Some(message)) => Ok(message),
            _ => {
                Err(failure
                    .unwrap_or_else(|| self.unheard(name, kind, ([0, 0, 0, 0], 0).into(), wire::Unheard::Silent)))
            }
        }
    }

    fn unheard(&self, name: &DnsName, kind: RecordType, server: SocketAddr, unheard: wire::Unheard) -> Error {
        let name = name.clone();
        let source = match unheard {
            wire::Unheard::Malformed => return Error::Malformed { name, kind, server },
            wire::Unheard::Silent => None,
            wire::Unheard::Io(error) => Some(error),
        };
        let servers: Vec<_> = self.servers.iter().map(ToString::to_string).collect();
        Error::Unheard { name, kind, servers: servers.join(", "), source }
    }
}

/// Adds a name to a chain of aliases, unless it leads in a circle.
fn push(chain: &mut Vec<DnsName>, target: DnsName) -> Result<(), Error> {
    if chain.len() > CHAIN || chain.contains(&target) {
        return Err(Error::Endless { name: chain[0].clone() });
    }
    chain.push(target);
    Ok(())
}

/// What a message says that a name is an alias of.
fn alias(message: &Message, name: &DnsName) -> Result<Option<DnsName>, Error> {
    match of(&message.answers, name, RecordType::CNAME).next() {
        Some(RData::CNAME(target)) => match checked(&target.0) {
            Some(target) => Ok(Some(target)),
            None => Err(Error::OddTarget { name: name.clone(), target: sanitised(&target.to_ascii()) }),
        },
        _ => Ok(None),
    }
}

/// The records of a name that are of one kind.
fn of<'a>(records: &'a [Record], name: &DnsName, kind: RecordType) -> impl Iterator<Item = &'a RData> {
    let name = on_wire(name);
    records.iter().filter(move |record| record.name == name && record.record_type() == kind).map(|record| &record.data)
}

/// A name as it is in messages.
fn on_wire(name: &DnsName) -> Name {
    Name::from_ascii(format!("{name}.")).expect("a checked name is one")
}

/// A name of a message, where it is one that we can use.
fn checked(name: &Name) -> Option<DnsName> {
    name.to_ascii().parse().ok()
}

/// The text of a TXT record: its parts in one (RFC 7208, section 3.3). What is no text, or could drive a terminal, is replaced by
/// a character that is in no value of ours, so that it is not taken for what it is not.
fn text(data: &RData) -> Option<String> {
    let RData::TXT(txt) = data else { return None };
    Some(plain(&txt.txt_data.concat()))
}

/// Bytes as text, likewise; a tab is as good as a space.
fn plain(bytes: &[u8]) -> String {
    let replace = |letter| match letter {
        '\t' => ' ',
        letter if is_plain(letter) => letter,
        _ => '\u{FFFD}',
    };
    String::from_utf8_lossy(bytes).chars().map(replace).collect()
}
