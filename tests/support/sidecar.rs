//! `hotcert run` beside one or more HAProxy servers.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::hotcert::Running;
use super::{Haproxy, Hotcert, Outcome, client, poll};

/// How long a sidecar may take to become ready, and to bring anything about: far above what a loaded machine needs.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A sidecar that is ready; killed on drop.
#[derive(Debug)]
pub struct Sidecar(Running);

impl Sidecar {
    /// Starts it with these arguments, and waits until every node was looked at.
    pub fn start<S: AsRef<OsStr>>(hotcert: &Hotcert, arguments: impl IntoIterator<Item = S>) -> Self {
        let mut sidecar = Self::start_unready(hotcert, arguments);
        sidecar.wait_for("ready");
        sidecar
    }

    /// The same, without waiting.
    pub fn start_unready<S: AsRef<OsStr>>(hotcert: &Hotcert, arguments: impl IntoIterator<Item = S>) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        Self(hotcert.spawn([OsString::from("run")].into_iter().chain(arguments)))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.0.stderr()
    }

    /// Waits until it has said a text.
    pub fn wait_for(&mut self, text: &str) {
        self.0.wait_for(text);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// Asks it to stop, and returns how it ended and how long that took.
    pub fn stop(self) -> (Outcome, Duration) {
        let began = Instant::now();
        (self.0.stop(), began.elapsed())
    }

    /// Waits for its end.
    pub fn wait(self) -> Outcome {
        self.0.wait(DEADLINE)
    }

    /// Kills it, as a crash does.
    pub fn kill(self) -> Outcome {
        self.0.kill()
    }
}

/// The flag with a configuration of these nodes, and of whatever follows.
pub fn flags(hotcert: &Hotcert, nodes: &[&Haproxy], rest: &str) -> Vec<OsString> {
    let mut text = format!("version = 1\nstate_dir = {}\n", quoted(hotcert.state_dir()));
    for (index, node) in nodes.iter().enumerate() {
        text.push_str(&format!(
            "[haproxy.node{index}]\nsocket = {}\ncrt_dir = {}\nverify = [\"{}\"]\n",
            quoted(node.socket()),
            quoted(node.crt_dir()),
            node.https_addr()
        ));
    }
    text.push_str(rest);
    let path = hotcert.scratch().join("hotcert.toml");
    // Another one may be reading it.
    if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
        hotcert.scratch().write("hotcert.toml", text);
    }
    vec!["--config".into(), path.into()]
}

/// A path as a configuration has it.
pub fn quoted(path: impl AsRef<Path>) -> String {
    format!("{:?}", path.as_ref().to_str().expect("the tests' paths are text"))
}

/// The serial number that a client is shown.
pub fn serial(haproxy: &Haproxy, name: &str) -> Option<String> {
    client::handshake(haproxy.https_addr(), name, client::Options::default()).ok().map(|served| served.serial)
}

/// Waits until clients are shown a serial number; `None` when that takes longer than `deadline`.
pub fn served_within(haproxy: &Haproxy, name: &str, expected: &str, deadline: Duration) -> Option<Duration> {
    let began = Instant::now();
    poll(deadline, || (serial(haproxy, name).as_deref() == Some(expected)).then(|| began.elapsed()))
}
