//! A gate on the authority's road to HAProxy: it tells when challenges are asked for, and holds them until told what to do.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{SERVER_DEADLINE, poll};

/// What becomes of requests.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    /// They wait.
    Hold,
    /// They go on to a server.
    Pass(SocketAddr),
    /// Their connection ends.
    Drop,
}

/// The gate; its threads end with the test's process.
pub(crate) struct Gate {
    addr: SocketAddr,
    verdict: Arc<Mutex<Verdict>>,
    asked: Receiver<()>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let verdict = Arc::new(Mutex::new(Verdict::Hold));
        let (sender, asked) = channel();
        let shared = Arc::clone(&verdict);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (verdict, sender) = (Arc::clone(&shared), sender.clone());
                // A request that came too late has nobody who waits for it.
                thread::spawn(move || drop(serve(stream, &verdict, &sender)));
            }
        });
        Self { addr, verdict, asked }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Waits until a challenge is asked for.
    pub(crate) fn wait_asked(&self) {
        self.asked.recv_timeout(SERVER_DEADLINE).expect("the authority asks for the challenge");
    }

    /// Closes it, and forgets who has asked so far.
    pub(crate) fn hold(&self) {
        *self.verdict.lock().unwrap() = Verdict::Hold;
        self.asked.try_iter().for_each(drop);
    }

    /// Lets what waits and what comes go on to a server.
    pub(crate) fn pass(&self, to: SocketAddr) {
        *self.verdict.lock().unwrap() = Verdict::Pass(to);
    }

    /// Ends the connection of what waits and of what comes.
    pub(crate) fn refuse(&self) {
        *self.verdict.lock().unwrap() = Verdict::Drop;
    }
}

fn serve(mut client: TcpStream, verdict: &Mutex<Verdict>, asked: &Sender<()>) -> io::Result<()> {
    let _ = asked.send(());
    let decided = poll(SERVER_DEADLINE, || match *verdict.lock().unwrap() {
        Verdict::Hold => None,
        decided => Some(decided),
    });
    let Some(Verdict::Pass(to)) = decided else { return Ok(()) };
    let mut server = TcpStream::connect(to)?;
    server.write_all(&read_head(&mut client)?)?;
    io::copy(&mut server, &mut client).map(drop)
}

/// Reads a request without a body.
fn read_head(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    Ok(head)
}
