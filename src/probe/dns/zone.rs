//! The zone of a name, and its servers.

use std::net::SocketAddr;

use futures_util::future::join_all;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};

use super::{Error, PORT, Resolver, checked, of, text, wire};
use crate::model::DnsName;

/// How many servers of a zone are looked at. No zone of the public DNS has more.
const SERVERS: usize = 16;
/// How many addresses of each.
const ADDRESSES: usize = 8;

/// A zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: DnsName,
    /// Its servers, as its NS records name them.
    pub servers: Vec<Server>,
}

/// A server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: DnsName,
    /// Where it is; none where that cannot be found out.
    pub addresses: Vec<SocketAddr>,
}

impl Resolver {
    /// The zone in which a name is, or would be, with its servers. [`Error::NoZone`] where the DNS tells of none.
    pub async fn zone_of(&self, name: &DnsName) -> Result<Zone, Error> {
        let name = self.apex_of(name).await?;
        let found = self.records(&name, RecordType::NS).await?;
        let names = found.records.iter().filter_map(|data| match data {
            RData::NS(server) => checked(&server.0),
            _ => None,
        });
        let servers = names.take(SERVERS).map(|name| async move {
            let addresses = self.addresses(&name).await.unwrap_or_default();
            let addresses = addresses.into_iter().take(ADDRESSES).map(|address| SocketAddr::new(address, PORT));
            Server { addresses: addresses.collect(), name }
        });
        Ok(Zone { servers: join_all(servers).await, name })
    }

    /// The name of the zone in which a name is (RFC 2308, section 2: an answer that there is nothing comes with the SOA record of
    /// the zone that has nothing).
    async fn apex_of(&self, name: &DnsName) -> Result<DnsName, Error> {
        let mut candidate = Some(name.clone());
        while let Some(asked) = candidate {
            let message = match self.ask(&asked, RecordType::SOA).await {
                Ok(message) => message,
                // The server of a test, or one that only forwards what it knows.
                Err(Error::Failed { code, .. }) if code == "NOTIMP" => break,
                Err(error) => return Err(error),
            };
            if of(&message.answers, &asked, RecordType::SOA).next().is_some() {
                return Ok(asked);
            }
            let soas = message.authorities.iter().filter(|record| record.record_type() == RecordType::SOA);
            // Behind an alias it is that of another zone.
            if let Some(apex) = soas.filter_map(|soa| checked(&soa.name)).find(|apex| asked.is_within(apex)) {
                return Ok(apex);
            }
            candidate = asked.parent();
        }
        Err(Error::NoZone { name: name.clone() })
    }
}

/// The texts of a name's TXT records, as one server of its zone has them: straight from there. Control characters, and what is no
/// text, are replaced by `U+FFFD`.
pub async fn txt_at(server: SocketAddr, name: &DnsName) -> Result<Vec<String>, Error> {
    let kind = RecordType::TXT;
    let message = match wire::exchange(server, name, kind, wire::Whom::Authority).await {
        Ok(message) => message,
        Err(wire::Unheard::Malformed) => return Err(Error::Malformed { name: name.clone(), kind, server }),
        Err(unheard) => {
            let source = match unheard {
                wire::Unheard::Io(error) => Some(error),
                _ => None,
            };
            return Err(Error::Unheard { name: name.clone(), kind, servers: server.to_string(), source });
        }
    };
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if message.metadata.authoritative => {
            Ok(of(&message.answers, name, kind).filter_map(text).collect())
        }
        ResponseCode::NoError | ResponseCode::NXDomain => Err(Error::Lame { name: name.clone(), server }),
        code => Err(Error::failed(name, kind, code)),
    }
}
