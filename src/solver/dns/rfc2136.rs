//! Dynamic updates (RFC 2136), signed by a key (TSIG, RFC 8945).
//!
//! Messages go over TCP, one for each connection, so that nothing is lost or sent twice. Each is signed, also the question for the
//! zone: its answer says whether the server knows the key, before anything is changed. No answer is believed without the server's
//! own signature, save the one that says what is wrong with ours.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::TsigError;
use hickory_proto::rr::{Name, RData, RecordSet, RecordType};
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tsig::Key;
use super::{Change, Error, TTL};
use crate::model::{Authority, DnsName, Record, TsigKey};

/// How long a server may take for one message, its address included.
const DEADLINE: Duration = Duration::from_secs(10);

/// Checks that the server knows the key and is responsible for a name.
pub(super) async fn check(
    server: &Authority,
    tsig: &TsigKey,
    zone: Option<&DnsName>,
    name: &DnsName,
) -> Result<(), Error> {
    let server = Server { server, key: Key::read(tsig)? };
    let found = server.zone_of(name).await?;
    match zone {
        // A zone that is told may be kept by a server behind this one.
        Some(zone) if !name.is_within(zone) => Err(outside(name, zone)),
        Some(zone) if !zone.is_within(&found) && !found.is_within(zone) => Err(outside(name, &found)),
        _ => Ok(()),
    }
}

/// Adds or removes one value.
pub(super) async fn change(
    server: &Authority,
    tsig: &TsigKey,
    zone: Option<&DnsName>,
    change: Change,
    record: &Record,
) -> Result<(), Error> {
    let server = Server { server, key: Key::read(tsig)? };
    let zone = match zone {
        Some(zone) => zone.clone(),
        None => server.zone_of(&record.name).await?,
    };
    // The library ends the program for a name outside of the zone.
    if !record.name.is_within(&zone) {
        return Err(outside(&record.name, &zone));
    }
    let mut set = RecordSet::with_ttl(fqdn(&record.name), RecordType::TXT, TTL);
    set.add_rdata(RData::TXT(TXT::new(vec![record.value.to_string()])));
    let message = match change {
        Change::Add => update_message::append(set, fqdn(&zone), false, false),
        Change::Remove => update_message::delete_by_rdata(set, fqdn(&zone), false),
    };
    let answer = server.ask(message).await?;
    match answer.response_code {
        ResponseCode::NoError => Ok(()),
        ResponseCode::NotAuth | ResponseCode::NotZone => Err(server.not_authoritative(&zone)),
        code => Err(server.refused(&record.name, code)),
    }
}

struct Server<'a> {
    server: &'a Authority,
    key: Key,
}

impl Server<'_> {
    /// The zone to which a name belongs, by the server's own word.
    async fn zone_of(&self, name: &DnsName) -> Result<DnsName, Error> {
        let mut message = Message::query();
        message.metadata.recursion_desired = false;
        message.add_query(Query::query(fqdn(name), RecordType::SOA));
        let answer = self.ask(message).await?;
        match answer.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain if answer.authoritative => {}
            ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::Refused => {
                return Err(self.not_authoritative(name));
            }
            code => return Err(self.refused(name, code)),
        }
        // Beside the answer where the name is the zone's own, and with the authority where it is below (RFC 2308, section 3).
        let start =
            answer.answers.iter().chain(&answer.authorities).find(|found| found.record_type() == RecordType::SOA);
        let zone = start.and_then(|found| found.name.to_ascii().parse::<DnsName>().ok());
        zone.filter(|zone| name.is_within(zone)).ok_or_else(|| self.not_authoritative(name))
    }

    /// Sends a message, and returns the answer that is signed for it.
    async fn ask(&self, mut message: Message) -> Result<Message, Error> {
        let id = message.id;
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let signed = message.finalize(&self.key.signer, now).and_then(|verifier| Ok((message.to_vec()?, verifier)));
        let (Ok(bytes), Some(mut verifier)) = signed.map_or((Err(()), None), |(bytes, verifier)| (Ok(bytes), verifier))
        else {
            return Err(self.garbled("the message cannot be signed"));
        };
        let unreachable = |source| Error::Unreachable { server: self.server.clone(), source };
        let silent = |_| Error::Silent { server: self.server.clone(), waited: DEADLINE };
        let bytes = timeout(DEADLINE, exchange(self.server, &bytes)).await.map_err(silent)?.map_err(unreachable)?;

        let answer = Message::from_vec(&bytes).map_err(|_| self.garbled("its answer is no DNS message"))?;
        if answer.id != id || answer.message_type != MessageType::Response {
            return Err(self.garbled("its answer is for another question"));
        }
        let complaint = answer.signature().and_then(|signature| signature.data.error);
        if let Some(complaint) = complaint {
            return Err(self.complains(complaint));
        }
        match (verifier.verify(&bytes), answer.signature(), answer.response_code) {
            (Ok(_), _, _) => Ok(answer),
            // Servers without keys say so, and cannot sign it.
            (
                Err(_),
                None,
                ResponseCode::NotAuth | ResponseCode::Refused | ResponseCode::NotImp | ResponseCode::FormErr,
            ) => Err(self.unaccepted("it answers without a signature: it does not know the key, or takes no updates")),
            (Err(_), None, ResponseCode::ServFail) => Err(self.garbled("it fails (SERVFAIL), and does not sign that")),
            (Err(_), None, _) => Err(self.garbled("its answer is not signed")),
            (Err(_), Some(_), _) => Err(self.garbled("the signature of its answer is wrong")),
        }
    }

    /// What the server says about our signature (RFC 8945, section 5.2).
    fn complains(&self, complaint: TsigError) -> Error {
        self.unaccepted(match complaint {
            TsigError::BadKey => "the server knows no key of this name and algorithm",
            TsigError::BadSig => "the server has another secret for it",
            TsigError::BadTime => "the clocks differ by more than five minutes",
            TsigError::BadTrunc => "the server wants a longer signature",
            TsigError::Unknown(_) => "for a reason that is not known here",
        })
    }

    fn unaccepted(&self, reason: &'static str) -> Error {
        Error::Signature {
            server: self.server.clone(),
            key: self.key.name.clone(),
            algorithm: self.key.algorithm,
            reason,
        }
    }

    fn refused(&self, name: &DnsName, code: ResponseCode) -> Error {
        Error::Refused {
            server: self.server.clone(),
            name: name.clone(),
            key: self.key.name.clone(),
            code: code.to_str(),
        }
    }

    fn not_authoritative(&self, name: &DnsName) -> Error {
        Error::NotAuthoritative { server: self.server.clone(), name: name.clone() }
    }

    fn garbled(&self, reason: &'static str) -> Error {
        Error::Garbled { server: self.server.clone(), reason }
    }
}

fn outside(name: &DnsName, zone: &DnsName) -> Error {
    Error::OutsideZone { name: name.clone(), zone: zone.clone() }
}

fn fqdn(name: &DnsName) -> Name {
    let mut name = Name::from_ascii(name.as_str()).expect("a record's name is a DNS name");
    name.set_fqdn(true);
    name
}

/// One message and its answer, each after its length (RFC 1035, section 4.2.2), at the first address that can be reached.
async fn exchange(server: &Authority, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = connect(server).await?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

async fn connect(server: &Authority) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((server.host.as_str(), server.port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
