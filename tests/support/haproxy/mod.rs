//! A real HAProxy, started for one test.
//!
//! [`Haproxy::new`] gives a [`Builder`]; what it starts serves plain HTTP on `http_addr` (challenges go to the backend whose
//! server listens, or not, on `acme_addr`) and TLS on `https_addr`, and answers its runtime API on `socket`.

mod builder;

pub use builder::{Builder, Http01};

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::net::Port;
use super::process::{self, Process};
use super::{SERVER_DEADLINE, Scratch, poll, server};

/// How long one request to the runtime API may take: a request that hangs fails its test, not the whole run.
const CLI_DEADLINE: Duration = Duration::from_secs(10);

/// The HAProxy versions that hotcert supports, one program of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HaproxyVersion {
    V2_6,
    V2_8,
    V3_0,
    V3_2,
}

impl HaproxyVersion {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V2_6, Self::V2_8, Self::V3_0, Self::V3_2];

    /// The version as HAProxy writes it, without the patch level.
    pub fn name(self) -> &'static str {
        match self {
            Self::V2_6 => "2.6",
            Self::V2_8 => "2.8",
            Self::V3_0 => "3.0",
            Self::V3_2 => "3.2",
        }
    }

    /// Its program, a launcher of `scripts/servers`.
    pub fn program(self) -> PathBuf {
        server("haproxy", self.name(), "haproxy")
    }
}

/// The ports of one HAProxy, reserved as long as it lives, so that it comes back on the same ones.
#[derive(Debug)]
struct Ports {
    http: Port,
    https: Port,
    https2: Port,
    acme: Port,
    stats: Port,
}

/// A process of a master-worker HAProxy, as `show proc` lists it (HAProxy Management Guide, 9.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub pid: u32,
    /// Listed under `# old workers`: it serves what it has accepted and takes nothing new.
    pub old: bool,
}

/// A running HAProxy; killed with all its workers on drop.
#[derive(Debug)]
pub struct Haproxy {
    // Before the directory: fields are dropped in this order, and a process must not lose its files while it runs.
    process: Process,
    version: HaproxyVersion,
    master: bool,
    ports: Ports,
    scratch: Scratch,
}

impl Haproxy {
    /// Begins the description of a HAProxy, plain (`-db`) and with the default configuration.
    #[expect(clippy::new_ret_no_self, reason = "a server is described, then started")]
    pub fn new(version: HaproxyVersion) -> Builder {
        Builder::new(version)
    }

    /// Its version.
    pub fn version(&self) -> HaproxyVersion {
        self.version
    }

    /// Its directory: `{dir}` in configurations.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Its directory, to read and write files by name.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// The stats socket: `{socket}`.
    pub fn socket(&self) -> PathBuf {
        self.scratch.join("stats.sock")
    }

    /// The master socket: `{master}`; only in master-worker mode.
    pub fn master_socket(&self) -> PathBuf {
        assert!(self.master, "only a master-worker HAProxy has a master socket");
        self.scratch.join("master.sock")
    }

    /// The certificate directory: `{dir}/certs/`, without the last slash.
    pub fn crt_dir(&self) -> PathBuf {
        self.scratch.join("certs")
    }

    /// The crt-list: `{dir}/crt-list.txt`.
    pub fn crt_list(&self) -> PathBuf {
        self.scratch.join("crt-list.txt")
    }

    /// The map that answers challenges: `{dir}/acme.map`.
    pub fn map(&self) -> PathBuf {
        self.scratch.join("acme.map")
    }

    /// Where plain HTTP is served: `{http}`.
    pub fn http_addr(&self) -> SocketAddr {
        self.ports.http.addr()
    }

    /// Where TLS is served: `{https}`.
    pub fn https_addr(&self) -> SocketAddr {
        self.ports.https.addr()
    }

    /// Where the second TLS line is served: `{https2}`; only if the configuration has one.
    pub fn https2_addr(&self) -> SocketAddr {
        self.ports.https2.addr()
    }

    /// Where HAProxy sends challenges: `{acme}`, an address on which hotcert may listen.
    pub fn acme_addr(&self) -> SocketAddr {
        self.ports.acme.addr()
    }

    /// The stats socket over TCP: `{stats}`; only with [`Builder::tcp_stats`].
    pub fn stats_addr(&self) -> SocketAddr {
        self.ports.stats.addr()
    }

    /// The process id of the worker that answers, from a fresh connection.
    pub fn pid(&self) -> u32 {
        self.try_pid().unwrap_or_else(|| panic!("HAProxy does not answer\n{}", self.log()))
    }

    /// The process id of the process that the test started: the master, in master-worker mode.
    pub fn main_pid(&self) -> u32 {
        self.process.id()
    }

    /// The answer to one command, on a connection of its own.
    pub fn cli(&self, command: &str) -> String {
        self.try_cli(command).unwrap_or_else(|error| panic!("{command}: {error}\n{}", self.log()))
    }

    /// The answer to one command with a payload, such as `set ssl cert NAME` with a PEM text.
    pub fn cli_payload(&self, command: &str, payload: &str) -> String {
        self.cli(&format!("{command} <<\n{}\n", payload.trim_end()))
    }

    /// Like [`Haproxy::cli`], for a HAProxy that may not answer.
    pub fn try_cli(&self, command: &str) -> io::Result<String> {
        ask(&self.socket(), command, false)
    }

    /// The answer of the master; prefix a command with `@1` for the current worker.
    pub fn master_cli(&self, command: &str) -> String {
        ask(&self.master_socket(), command, true).unwrap_or_else(|error| panic!("{command}: {error}\n{}", self.log()))
    }

    /// Replaces a certificate in memory, as another tool would; the file stays as it is.
    pub fn set_cert(&self, slot: &str, pem: &str) {
        let set = self.cli_payload(&format!("set ssl cert {slot}"), pem);
        assert!(set.starts_with("Transaction created"), "set {slot}: {set}");
        let commit = self.cli(&format!("commit ssl cert {slot}"));
        assert!(commit.trim_end().ends_with("Success!"), "commit {slot}: {commit}");
    }

    /// Whether HAProxy accepts its configuration and files as they are now (`haproxy -c`); the error is its output.
    pub fn check(&self) -> Result<(), String> {
        let output = Command::new(self.version.program())
            .args(["-c", "-f"])
            .arg(self.scratch.join("haproxy.cfg"))
            .output()
            .expect("the program of a running server can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(text) }
    }

    /// Reloads, and waits until a new worker answers.
    pub fn reload(&mut self) {
        self.try_reload().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Reloads: by `SIGUSR2` in master-worker mode, else by a new process started with `-sf` and the old one's id.
    /// A HAProxy that refuses its files keeps serving with the old ones, and the error is its log.
    pub fn try_reload(&mut self) -> Result<(), String> {
        let before = self.pid();
        if !self.master {
            let mut next = self.launch(&["-x".into(), self.socket().into(), "-sf".into(), before.to_string().into()]);
            next.wait_ready(SERVER_DEADLINE, || self.try_pid().filter(|pid| *pid != before))?;
            let mut old = std::mem::replace(&mut self.process, next);
            // It goes once its last connection is closed; a test that holds one open still sees it serve.
            std::thread::spawn(move || poll(SERVER_DEADLINE, || old.ended()));
            return Ok(());
        }
        let (loaded, failed) = self.loads();
        self.process.signal(Signal::USR2);
        poll(SERVER_DEADLINE, || {
            let now = self.loads();
            // After a failure the master starts itself anew once more; a signal sent meanwhile would be lost.
            if now.1 > failed && self.try_workers().is_ok() {
                return Some(Err(format!("the reload failed\n{}", self.log())));
            }
            let ready = now.0 > loaded && self.try_pid().is_some_and(|pid| pid != before) && self.try_workers().is_ok();
            ready.then_some(Ok(()))
        })
        .unwrap_or_else(|| Err(format!("no reload after {SERVER_DEADLINE:?}\n{}", self.log())))
    }

    /// Kills HAProxy at once (`SIGKILL`), with all its workers.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts a killed HAProxy anew, or kills and starts a running one: same files, same ports, nothing else kept.
    pub fn restart(&mut self) {
        self.try_restart().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Like [`Haproxy::restart`], for a HAProxy that may refuse its files.
    pub fn try_restart(&mut self) -> Result<(), String> {
        self.kill();
        self.process = self.launch(&[]);
        self.wait_until_ready()
    }

    /// Whether the process that was started still runs.
    pub fn is_alive(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Everything HAProxy has printed, over all restarts.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The workers that the master lists, current and old.
    pub fn workers(&self) -> Vec<Worker> {
        self.try_workers().unwrap_or_else(|error| panic!("show proc: {error}\n{}", self.log()))
    }

    /// How many workers the master lists, current and old.
    pub fn worker_count(&self) -> usize {
        self.workers().len()
    }

    /// Waits until the old workers are gone.
    pub fn wait_old_workers_gone(&self) {
        poll(SERVER_DEADLINE, || self.workers().iter().all(|worker| !worker.old).then_some(()))
            .unwrap_or_else(|| panic!("old workers stay: {:?}", self.workers()));
    }

    fn try_pid(&self) -> Option<u32> {
        let info = self.try_cli("show info").ok()?;
        info.lines().find_map(|line| line.strip_prefix("Pid: "))?.parse().ok()
    }

    /// How many loads succeeded and failed, as the master printed it. `show proc` does not tell: its `failed` stays at 1 from
    /// 3.2 on, and is there before the new worker serves.
    fn loads(&self) -> (usize, usize) {
        let log = self.log();
        let failed = log.matches("Loading failure!").count() + log.matches("Failed to load worker").count();
        (log.matches("Loading success.").count(), failed)
    }

    fn try_workers(&self) -> io::Result<Vec<Worker>> {
        let mut old = false;
        let mut workers = Vec::new();
        for line in ask(&self.master_socket(), "show proc", true)?.lines() {
            old = line == "# old workers" || (old && !line.starts_with('#'));
            let mut fields = line.split_whitespace();
            if let (Some(Ok(pid)), Some("worker")) = (fields.next().map(str::parse), fields.next()) {
                workers.push(Worker { pid, old });
            }
        }
        Ok(workers)
    }

    fn launch(&self, more: &[OsString]) -> Process {
        launch(self.version, self.master, &self.scratch, more)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let (socket, master) = (self.socket(), self.master.then(|| self.master_socket()));
        // A socket file of a killed predecessor may still be there; only an answer of this process counts.
        let root = self.process.id();
        self.process.wait_ready(SERVER_DEADLINE, || {
            let info = ask(&socket, "show info", false).ok()?;
            let pid: u32 = info.lines().find_map(|line| line.strip_prefix("Pid: "))?.parse().ok()?;
            if let Some(master) = &master {
                ask(master, "show proc", true).ok()?;
            }
            process::tree(root).contains(&pid).then_some(())
        })
    }
}

/// Starts a process with the configuration in `scratch`.
fn launch(version: HaproxyVersion, master: bool, scratch: &Scratch, more: &[OsString]) -> Process {
    let mut command = Command::new(version.program());
    command.arg("-f").arg(scratch.join("haproxy.cfg"));
    if master {
        command.arg("-W").arg("-S").arg(scratch.join("master.sock"));
    } else {
        command.arg("-db");
    }
    let name = format!("haproxy {}", version.name());
    Process::spawn(&name, command.args(more), &scratch.join("haproxy.log"))
}

/// One command on a connection of its own, as the non-interactive mode has it (management guide, section 9.3): one write, then
/// read to the end. The master answers only once our half is closed.
fn ask(socket: &Path, command: &str, master: bool) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(CLI_DEADLINE))?;
    stream.set_write_timeout(Some(CLI_DEADLINE))?;
    stream.write_all(format!("{command}\n").as_bytes())?;
    if master {
        stream.shutdown(Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
