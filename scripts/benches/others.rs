//! What hotcert is compared with: the same commands from memory, and one program for each command.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::Node;
use crate::stock::Stock;

/// How HAProxy ends the answer to a commit.
const SUCCESS: &[u8] = b"\nSuccess!";

/// The limit: one connection in prompt mode, on which `set` and `commit` of all certificates are written as fast as HAProxy reads.
pub fn replay(node: &Node, stock: &Stock, count: usize, generation: usize) -> Duration {
    let mut commands = b"prompt\nset timeout cli 600\n".to_vec();
    for (name, pem) in stock.names[..count].iter().zip(&stock.pems[generation]) {
        let slot = node.slot(name);
        commands.extend(format!("set ssl cert {slot} <<\n{pem}\ncommit ssl cert {slot}\n").into_bytes());
    }
    let mut stream = UnixStream::connect(node.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&commands).unwrap());
        let (mut succeeded, mut kept, mut buffer) = (0, Vec::new(), vec![0; 1 << 16]);
        while succeeded < count {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "closed after {succeeded} of {count}");
            kept.extend_from_slice(&buffer[..length]);
            while let Some(at) = kept.windows(SUCCESS.len()).position(|window| window == SUCCESS) {
                succeeded += 1;
                kept.drain(..at + SUCCESS.len());
            }
            let rest = kept.len().saturating_sub(SUCCESS.len());
            kept.drain(..rest);
        }
    });
    began.elapsed()
}

/// What shell hooks do for each certificate: look for it, `set`, `commit`, each by a `socat` of its own.
pub fn socat(node: &Node, stock: &Stock, count: usize, generation: usize) -> Duration {
    let began = Instant::now();
    for (name, pem) in stock.names[..count].iter().zip(&stock.pems[generation]) {
        let slot = node.slot(name);
        assert!(ask(node, "show ssl cert\n").contains(&slot));
        assert!(ask(node, &format!("set ssl cert {slot} <<\n{pem}\n")).contains("Transaction created"));
        assert!(ask(node, &format!("commit ssl cert {slot}\n")).contains("Success!"));
    }
    began.elapsed()
}

fn ask(node: &Node, command: &str) -> String {
    let mut child = Command::new("socat")
        .args(["-t60", "stdio"])
        .arg(node.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(command.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}
