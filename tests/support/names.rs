//! A DNS server that says what a test tells it, over datagrams and connections; it follows no alias by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// How often it looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
/// The longest datagram that it sends, in bytes.
const DATAGRAM: usize = 1232;
/// How often to pick another port when it is taken for one of the two kinds of sockets.
const STARTS: usize = 20;

/// Makes an answer from a question, byte by byte.
type Scribe = Box<dyn FnMut(&Message) -> Vec<u8> + Send>;

/// The server; ended on drop.
pub struct Names {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<String, Vec<RData>>,
    codes: BTreeMap<String, ResponseCode>,
    silent: BTreeSet<String>,
    zone: Option<Name>,
    scribe: Option<Scribe>,
    asked: Vec<(String, RecordType)>,
}

/// A name as a message has it.
pub fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).expect("a test uses names")
}

impl Names {
    /// One on the loopback, on a port of its own.
    pub fn start() -> Self {
        (0..STARTS).find_map(|_| Self::try_at("127.0.0.1:0".parse().expect("an address"))).expect("a port is free")
    }

    /// One at the port of all DNS servers, at the `number`-th address of this process.
    pub fn start_at_port_53(number: u8) -> Self {
        let process = std::process::id();
        let (high, low) = (u8::try_from(process / 250 % 250), u8::try_from(process % 250));
        let address = [127, high.expect("it fits") + 1, low.expect("it fits") + 1, number];
        Self::try_at((address, 53).into()).expect("port 53 can be used\nhint: run the tests as root")
    }

    fn try_at(at: SocketAddr) -> Option<Self> {
        let datagrams = UdpSocket::bind(at).ok()?;
        let addr = datagrams.local_addr().ok()?;
        let connections = TcpListener::bind(addr).ok()?;
        let state = Arc::new(Mutex::new(State::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = vec![
            thread::spawn({
                let (state, stop) = (Arc::clone(&state), Arc::clone(&stop));
                move || serve_datagrams(&datagrams, &state, &stop)
            }),
            thread::spawn({
                let (state, stop) = (Arc::clone(&state), Arc::clone(&stop));
                move || serve_connections(&connections, &state, &stop)
            }),
        ];
        Some(Self { addr, state, stop, threads })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Adds a record.
    pub fn add(&self, host: &str, data: RData) {
        self.locked().records.entry(host.to_owned()).or_default().push(data);
    }

    pub fn add_txt(&self, host: &str, text: &str) {
        let parts: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
        self.add(host, RData::TXT(TXT::from_bytes(parts)));
    }

    pub fn add_alias(&self, host: &str, target: &str) {
        self.add(host, RData::CNAME(CNAME(name(target))));
    }

    pub fn add_address(&self, host: &str, address: SocketAddr) {
        let SocketAddr::V4(address) = address else { panic!("{address} is no IPv4 address") };
        self.add(host, RData::A(A(*address.ip())));
    }

    /// Makes it serve a zone with these servers.
    pub fn set_zone(&self, zone: &str, servers: &[(&str, SocketAddr)]) {
        self.locked().zone = Some(name(zone));
        for (server, address) in servers {
            self.add(zone, RData::NS(NS(name(server))));
            self.add_address(server, *address);
        }
        self.add(zone, soa(&name(zone)));
    }

    /// Answers this code to all questions about a host.
    pub fn set_code(&self, host: &str, code: ResponseCode) {
        self.locked().codes.insert(host.to_owned(), code);
    }

    /// Answers no question about a host.
    pub fn set_silent(&self, host: &str) {
        self.locked().silent.insert(host.to_owned());
    }

    /// From now on another one writes the answers.
    pub fn set_scribe(&self, scribe: impl FnMut(&Message) -> Vec<u8> + Send + 'static) {
        self.locked().scribe = Some(Box::new(scribe));
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<(String, RecordType)> {
        self.locked().asked.clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread of the server panics")
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there shows as a missing answer.
            let _ = thread.join();
        }
    }
}

impl State {
    fn answer(&mut self, question: &Message) -> Option<Vec<u8>> {
        let query = question.queries.first()?;
        let (host, kind) = (query.name().to_ascii().trim_end_matches('.').to_lowercase(), query.query_type());
        self.asked.push((host.clone(), kind));
        if self.silent.contains(&host) {
            return None;
        }
        if let Some(scribe) = &mut self.scribe {
            return Some(scribe(question));
        }
        let mut answer = answer_to(question);
        answer.metadata.authoritative = self.zone.is_some();
        let known = self.records.get(&host);
        answer.metadata.response_code = match (self.codes.get(&host), known) {
            (Some(code), _) => *code,
            (None, Some(_)) => ResponseCode::NoError,
            (None, None) => ResponseCode::NXDomain,
        };
        let of_kind = |data: &&RData| data.record_type() == kind || matches!(data, RData::CNAME(_));
        for data in known.into_iter().flatten().filter(of_kind) {
            answer.add_answer(Record::from_rdata(query.name().clone(), 1, data.clone()));
        }
        if let Some(zone) = self.zone.as_ref().filter(|_| answer.answers.is_empty()) {
            answer.add_authority(Record::from_rdata(zone.clone(), 1, soa(zone)));
        }
        Some(answer.to_vec().expect("a message of checked parts"))
    }
}

/// An answer to a question, without anything in it.
pub fn answer_to(question: &Message) -> Message {
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.add_queries(question.queries.clone());
    answer
}

fn soa(zone: &Name) -> RData {
    RData::SOA(SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 1))
}

fn serve_datagrams(socket: &UdpSocket, state: &Mutex<State>, stop: &AtomicBool) {
    socket.set_read_timeout(Some(TICK)).expect("a socket has a timeout");
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        let Some(mut answer) = state.lock().expect("no test panics here").answer(&question) else { continue };
        if answer.len() > DATAGRAM {
            let mut short = answer_to(&question);
            short.metadata.truncation = true;
            answer = short.to_vec().expect("a message of checked parts");
        }
        // Who has asked may be gone.
        let _ = socket.send_to(&answer, from);
    }
}

fn serve_connections(listener: &TcpListener, state: &Mutex<State>, stop: &AtomicBool) {
    listener.set_nonblocking(true).expect("a listener need not block");
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            // Who has asked may be gone.
            Ok((stream, _)) => drop(serve_connection(stream, state)),
            Err(_) => thread::sleep(TICK / 10),
        }
    }
}

fn serve_connection(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question)?;
    let Ok(question) = Message::from_vec(&question) else { return Ok(()) };
    let Some(answer) = state.lock().expect("no test panics here").answer(&question) else { return Ok(()) };
    let length = u16::try_from(answer.len()).expect("a test knows how long its answers are");
    stream.write_all(&[&length.to_be_bytes(), answer.as_slice()].concat())
}
