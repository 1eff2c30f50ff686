//! A scripted peer in memory, and bundles, for unit tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{Connect, Connecting, Error, Session};
use crate::bundle::Bundle;
use crate::model::{Address, Slot};

/// What a peer does instead of answering.
pub(super) const SILENCE: &str = "(silence)";
/// What a peer does instead of answering.
pub(super) const CLOSE: &str = "(close)";

/// Answers commands by a script: the first entry whose beginning fits is used, once. What opens a session is answered anyway.
#[derive(Clone, Default)]
pub(super) struct Peer {
    script: Arc<Mutex<VecDeque<(String, String)>>>,
    /// Every command that came, with its payload.
    pub(super) seen: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    pub(super) fn new(version: &str) -> Self {
        Self::default().on(
            "show info",
            &format!("Name: HAProxy\nVersion: {version}\nPid: 7\nStopping: 0\nStart_time_sec: 1795369036"),
        )
    }

    pub(super) fn on(self, command: &str, reply: &str) -> Self {
        self.script.lock().unwrap().push_back((command.to_owned(), reply.to_owned()));
        self
    }

    pub(super) async fn open(&self) -> Result<Session, Error> {
        Session::open(self, &"/run/haproxy.sock".parse().unwrap()).await
    }

    /// The commands that came after the session was opened, first lines only.
    pub(super) fn commands(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().skip(5).map(|command| command.lines().next().unwrap().to_owned()).collect()
    }

    fn answer(&self, command: &str) -> String {
        let mut script = self.script.lock().unwrap();
        if let Some(at) = script.iter().position(|(begin, _)| command.starts_with(begin)) {
            return script.remove(at).unwrap().1;
        }
        match command {
            "prompt\n" | "set timeout cli 120\n" => "",
            "show cli level\n" => "admin",
            "show pools\n" => "  - Pool buffer (16384 bytes) : 4 allocated",
            _ => panic!("nothing answers {:?}", command.lines().next()),
        }
        .to_owned()
    }

    async fn serve(self, mut stream: DuplexStream) {
        let mut input = Vec::new();
        loop {
            let text = String::from_utf8(input.clone()).unwrap();
            let end = match text.find('\n') {
                Some(line) if text[..line].ends_with(" <<") => text.find("\n\n").map(|at| at + 2),
                line => line.map(|at| at + 1),
            };
            let Some(end) = end else {
                if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
                    return;
                }
                continue;
            };
            input.drain(..end);
            self.seen.lock().unwrap().push(text[..end].to_owned());
            match self.answer(&text[..end]).as_str() {
                SILENCE => {}
                CLOSE => return,
                "" => stream.write_all(b"\n> ").await.unwrap(),
                raw if raw.starts_with("RAW:") => stream.write_all(&raw.as_bytes()[4..]).await.unwrap(),
                reply => stream.write_all(format!("{reply}\n\n> ").as_bytes()).await.unwrap(),
            }
        }
    }
}

impl Connect for Peer {
    fn connect<'a>(&'a self, _: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            tokio::spawn(self.clone().serve(theirs));
            Ok(Box::new(ours) as Box<dyn super::Stream>)
        })
    }
}

pub(super) fn slot(text: &str) -> Slot {
    text.parse().unwrap()
}

/// A self-signed bundle; `padding` bytes of an extension make it long.
pub(super) fn bundle(name: &str, padding: usize) -> Bundle {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    if padding > 0 {
        params
            .custom_extensions
            .push(rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![5; padding]));
    }
    let cert = params.self_signed(&key).unwrap();
    let pem = cert.pem() + &key.serialize_pem();
    Bundle::reopen(&"test".parse().unwrap(), &[pem.as_bytes()]).unwrap()
}

/// How `show ssl cert` describes a bundle.
pub(super) fn described(filename: &str, status: &str, bundle: &Bundle) -> String {
    let facts = bundle.facts();
    let names: Vec<_> = facts.names.iter().map(|name| format!("DNS:{name}")).collect();
    format!(
        "Filename: {filename}\nStatus: {status}\nSerial: {}\nnotBefore: Nov  1 14:59:03 2026 GMT\nnotAfter: Feb 20 14:59:03 2027 GMT\n\
         Subject Alternative Name: {}\nAlgorithm: EC256\nSHA1 FingerPrint: {}\nSubject: /CN=x\nIssuer: /CN=x\nOCSP Response Key: ",
        facts.serial.to_string().to_uppercase(),
        names.join(", "),
        facts.sha1.to_string().to_uppercase(),
    )
}
