//! A HAProxy that is measured: as many certificates, bind lines and threads as wanted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::stock::{Root, Stock};
use crate::support::HaproxyVersion;
use crate::support::net::Port;
use crate::support::process::Process;
use crate::usage::Usage;

/// How long a start may take: 2.6 needs more than ten seconds for 10,000 certificates, on a machine of its own.
const START: Duration = Duration::from_mins(5);

/// A running HAProxy; killed on drop.
pub struct Node {
    // Before the directory: fields are dropped in this order.
    process: Process,
    pub version: HaproxyVersion,
    ports: Vec<Port>,
    place: PathBuf,
    /// From its start to the first answer.
    pub started_in: Duration,
}

/// What a node looks like.
#[derive(Clone, Copy)]
pub struct Shape {
    pub version: HaproxyVersion,
    pub binds: usize,
    pub threads: usize,
}

impl Shape {
    pub fn of(version: HaproxyVersion) -> Self {
        Self { version, binds: 1, threads: 2 }
    }
}

impl Node {
    /// Starts the so-many-th one, which reads the first generation of a stock.
    pub fn start(shape: Shape, stock: &Stock, root: &Root, at: usize) -> Self {
        let place = root.node(at);
        stock.write_files(&place.join("certs"), 0);
        let ports: Vec<Port> = (0..shape.binds).map(|_| Port::reserve()).collect();
        let dir = place.display();
        let binds: String = ports
            .iter()
            .map(|port| format!("    bind 127.0.0.1:{} ssl crt {dir}/certs/ strict-sni\n", port.number()))
            .collect();
        let config = format!(
            "global\n    maxconn 2000\n    nbthread {}\n    stats socket {dir}/stats.sock mode 600 level admin expose-fd listeners\n\
             defaults\n    mode http\n    timeout client 30s\n    timeout server 30s\n    timeout connect 5s\n\
             frontend https\n{binds}    http-request return status 200 content-type text/plain string hi\n",
            shape.threads
        );
        fs::write(place.join("haproxy.cfg"), config).unwrap();
        let began = Instant::now();
        let process = launch(shape.version, &place, &[]);
        let mut node = Self { process, version: shape.version, ports, place, started_in: Duration::ZERO };
        node.wait_until_it_answers(0);
        node.started_in = began.elapsed();
        node
    }

    fn wait_until_it_answers(&mut self, not: u32) {
        let socket = self.socket();
        let ready = || ask(&socket, "show info").and_then(|info| pid(&info)).filter(|pid| *pid != not);
        self.process.wait_ready(START, ready).unwrap();
    }

    /// Reloads as a service manager does without a master, and waits until the new process answers. The old one is returned.
    pub fn reload(&mut self) -> Process {
        let before = self.pid();
        let more = ["-x".into(), self.socket().into_os_string(), "-sf".into(), before.to_string().into()];
        let old = std::mem::replace(&mut self.process, launch(self.version, &self.place, &more));
        self.wait_until_it_answers(before);
        old
    }

    pub fn socket(&self) -> PathBuf {
        self.place.join("stats.sock")
    }

    pub fn crt_dir(&self) -> PathBuf {
        self.place.join("certs")
    }

    pub fn slot(&self, name: &str) -> String {
        format!("{}/{name}.pem", self.crt_dir().display())
    }

    pub fn https(&self) -> SocketAddr {
        self.ports[0].addr()
    }

    pub fn pid(&self) -> u32 {
        ask(&self.socket(), "show info").and_then(|info| pid(&info)).unwrap()
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }
}

fn pid(show_info: &str) -> Option<u32> {
    show_info.lines().find_map(|line| line.strip_prefix("Pid: "))?.parse().ok()
}

fn ask(socket: &Path, command: &str) -> Option<String> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(format!("{command}\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn launch(version: HaproxyVersion, place: &Path, more: &[std::ffi::OsString]) -> Process {
    let mut command = Command::new(version.program());
    command.arg("-db").arg("-f").arg(place.join("haproxy.cfg")).args(more).stdin(Stdio::null());
    Process::spawn(&format!("haproxy {}", version.name()), &mut command, &place.join("haproxy.log"))
}
