//! A HAProxy in memory that is reached as a real one is: streams, prompt mode, framing, limits.

use std::sync::{Arc, Mutex, MutexGuard};

use hotcert::haproxy::{Connect, Connecting, Stream};
use hotcert::model::Address;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::content::Leaf;
use super::process::{Layout, Process};
use super::profile::Profile;

/// What every command about certificates is answered by while another one is at work on them.
const LOCKED: &str = "Can't do that!\nOperations on certificates are currently locked!";

/// A HAProxy in memory; its clones are the same one.
#[derive(Debug, Clone)]
pub struct Fake(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    profile: Profile,
    layout: Layout,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` when nobody listens.
    current: Option<Arc<Mutex<Running>>>,
    last_pid: u32,
    /// Whether it was sent what it dies of.
    aborted: bool,
    /// So many commands about certificates are refused.
    locked: usize,
}

#[derive(Debug)]
struct Running {
    process: Process,
    dead: bool,
}

impl Fake {
    /// Starts one. Process ids count from `pid` on.
    pub fn start(profile: Profile, layout: Layout, pid: u32) -> Result<Self, String> {
        let state = State { current: None, last_pid: pid, aborted: false, locked: 0 };
        let fake = Self(Arc::new(Inner { profile, layout, state: Mutex::new(state) }));
        fake.restart()?;
        Ok(fake)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("no session panics")
    }

    fn begin(&self) -> Result<Arc<Mutex<Running>>, String> {
        let pid = {
            let mut state = self.state();
            state.last_pid += 1;
            state.last_pid
        };
        let process = Process::start(self.0.profile.clone(), &self.0.layout, pid, jiff::Timestamp::now().as_second())?;
        Ok(Arc::new(Mutex::new(Running { process, dead: false })))
    }

    /// Kills it, and starts it from the files as they are now. If it refuses them, nobody listens any more.
    pub fn restart(&self) -> Result<(), String> {
        self.kill();
        let next = self.begin()?;
        self.state().current = Some(next);
        Ok(())
    }

    /// Starts a process that takes over. If it refuses the files, the old one goes on.
    pub fn reload(&self) -> Result<(), String> {
        let next = self.begin()?;
        let before = self.state().current.replace(next);
        if let Some(before) = before {
            before.lock().expect("no session panics").process.stopping = true;
        }
        Ok(())
    }

    /// Kills it.
    pub fn kill(&self) {
        if let Some(running) = self.state().current.take() {
            running.lock().expect("no session panics").dead = true;
        }
    }

    /// Whether it was never sent what it dies of.
    pub fn is_unharmed(&self) -> bool {
        !self.state().aborted
    }

    /// Refuses so many commands about certificates, as if another one was being carried out.
    pub fn lock_for(&self, commands: usize) {
        self.state().locked = commands;
    }

    fn is_locked(&self, line: &str) -> bool {
        let mut state = self.state();
        let refused = state.locked > 0 && line.contains(" ssl c");
        state.locked -= usize::from(refused);
        refused
    }

    /// Looks into the process that listens.
    pub fn look<T>(&self, then: impl FnOnce(&Process) -> T) -> Option<T> {
        let running = self.state().current.clone()?;
        let running = running.lock().expect("no session panics");
        Some(then(&running.process))
    }

    /// What clients of its first bind are shown for a name.
    pub fn shown(&self, name: &str) -> Option<Arc<Leaf>> {
        self.look(|process| process.shown(0, name)).flatten()
    }

    /// One command, or several lines of one with a payload, outside of prompt mode and of all faults.
    pub fn cli(&self, text: &str) -> String {
        let running = self.state().current.clone().expect("it runs");
        let (line, payload) = match text.split_once('\n') {
            Some((line, payload)) if line.ends_with("<<") => (line, Some(payload.split("\n\n").next().unwrap_or(""))),
            Some((line, _)) => (line, None),
            None => (text, None),
        };
        let payload = payload.map(|payload| payload.trim_end_matches('\n').to_owned() + "\n");
        let size = line.len() + 1 + payload.as_ref().map_or(0, |payload| payload.len() + 1);
        match self.judge(size) {
            Some(answer) => answer.to_owned(),
            None => framed(&running.lock().expect("no session panics").process.execute(line, payload.as_deref()), ""),
        }
    }

    /// What it does about a command of so many bytes that is too long.
    fn judge(&self, size: usize) -> Option<&'static str> {
        let limit = self.0.layout.bufsize;
        if size == limit && self.0.profile.dies_of_a_full_buffer() {
            self.kill();
            self.state().aborted = true;
            return Some("");
        }
        (size >= limit).then(|| self.0.profile.too_big())
    }

    async fn serve(self, running: Arc<Mutex<Running>>, mut stream: DuplexStream) {
        let mut input = Vec::new();
        let mut prompt = false;
        while let Some((line, payload)) = self.receive(&mut input, &mut stream).await {
            if running.lock().expect("no session panics").dead {
                return;
            }
            let reply = if self.is_locked(&line) {
                LOCKED.to_owned()
            } else {
                running.lock().expect("no session panics").process.execute(&line, payload.as_deref())
            };
            prompt |= line == "prompt";
            let echo = match &payload {
                Some(payload) if prompt && self.0.profile.echoes_payloads() => "+ ".repeat(payload.lines().count()),
                _ => String::new(),
            };
            let answer = echo + &framed(&reply, if prompt { "> " } else { "" });
            if stream.write_all(answer.as_bytes()).await.is_err() || !prompt {
                return;
            }
        }
    }

    /// The next command; `None` at the end, or when it is too long.
    async fn receive(&self, input: &mut Vec<u8>, stream: &mut DuplexStream) -> Option<(String, Option<String>)> {
        loop {
            if let Some((line, payload, length)) = command(input) {
                input.drain(..length);
                if let Some(answer) = self.judge(length) {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    return None;
                }
                return Some((line, payload));
            }
            if stream.read_buf(input).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }
}

impl Connect for Fake {
    fn connect<'a>(&'a self, _: &'a Address) -> Connecting<'a> {
        Box::pin(async move {
            let running = self.state().current.clone();
            let running = running.ok_or(std::io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            tokio::spawn(self.clone().serve(running, theirs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// The first command in what has come, with its payload and its length.
fn command(input: &[u8]) -> Option<(String, Option<String>, usize)> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let line = String::from_utf8_lossy(&input[..end]).into_owned();
    if !line.ends_with(" <<") {
        return Some((line, None, end + 1));
    }
    let rest = &input[end + 1..];
    let length = if rest.first() == Some(&b'\n') { 0 } else { rest.windows(2).position(|pair| pair == b"\n\n")? + 1 };
    Some((line, Some(String::from_utf8_lossy(&rest[..length]).into_owned()), end + 1 + length + 1))
}

fn framed(reply: &str, prompt: &str) -> String {
    let end = if reply.is_empty() { "\n" } else { "\n\n" };
    format!("{reply}{end}{prompt}")
}
