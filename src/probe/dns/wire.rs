//! One question to one DNS server, by datagram, and by connection where the answer is too long for that (RFC 7766).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::on_wire;
use crate::model::DnsName;

/// How long a datagram, or a whole exchange over a connection, is waited for.
const DEADLINE: Duration = Duration::from_millis(1500);
/// The longest datagram that we ask for, in bytes: one that no network has to cut (DNS flag day 2020).
const DATAGRAM: u16 = 1232;
/// In the third byte of a message: that it was cut short (RFC 1035, section 4.1.1).
const TRUNCATED: u8 = 0b10;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// A server that asks others.
    Resolver,
    /// A server of the zone, which knows.
    Authority,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unheard {
    /// Nothing came in time.
    Silent,
    /// It cannot be asked.
    Io(io::Error),
    /// It answers what is no message, or no answer.
    Malformed,
}

/// Asks a server. Whatever its code is, it is an answer.
pub(super) async fn exchange(
    server: SocketAddr,
    name: &DnsName,
    kind: RecordType,
    whom: Whom,
) -> Result<Message, Unheard> {
    let mut question = Message::query();
    question.metadata.recursion_desired = whom == Whom::Resolver;
    question.add_query(Query::query(on_wire(name), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(|_| Unheard::Malformed)?;
    let whole = timeout(DEADLINE, by_datagram(server, &question, &bytes)).await.map_err(|_| Unheard::Silent)??;
    match whole {
        Some(answer) => Ok(answer),
        None => timeout(DEADLINE, by_connection(server, &question, &bytes)).await.map_err(|_| Unheard::Silent)?,
    }
}

/// `None` where the answer was cut short.
async fn by_datagram(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Option<Message>, Unheard> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // The system picks a port by chance, and takes datagrams from nobody else.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let datagram = &buffer[..length];
        // Somebody may guess, so what is no answer is not the end.
        if !datagram.starts_with(&question.metadata.id.to_be_bytes()) {
            continue;
        }
        if datagram.get(2).is_some_and(|flags| flags & TRUNCATED != 0) {
            return Ok(None);
        }
        return read(datagram, question).map(Some);
    }
}

async fn by_connection(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Unheard> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| Unheard::Malformed)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    read(&answer, question)
}

fn read(bytes: &[u8], question: &Message) -> Result<Message, Unheard> {
    let message = Message::from_vec(bytes).map_err(|_| Unheard::Malformed)?;
    let is_of_question = message.queries == question.queries
        // A server that fails early may leave the question out.
        || message.queries.is_empty() && message.metadata.response_code != ResponseCode::NoError;
    let is_answer = message.metadata.message_type == MessageType::Response
        && message.metadata.id == question.metadata.id
        && is_of_question;
    if is_answer { Ok(message) } else { Err(Unheard::Malformed) }
}

impl From<io::Error> for Unheard {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
