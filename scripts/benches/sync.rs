//! One run of `hotcert sync`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::node::Node;
use crate::support::sidecar::quoted;

/// How a command of hotcert went.
pub struct Run {
    pub wall: Duration,
    pub cpu: Duration,
    /// The most it had resident, in bytes.
    pub peak: u64,
}

/// Runs a command of hotcert on nodes.
pub fn hotcert(words: &[&str], nodes: &[&Node], state: &Path, pace: Option<&str>) -> Run {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path();
    fs::write(directory.join("hotcert.toml"), configuration(nodes, state, pace)).unwrap();
    let mut command = Command::new(program());
    command.arg("--config").arg(directory.join("hotcert.toml")).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let log = fs::File::create(directory.join("log")).unwrap();
    command.stderr(log);
    let began = Instant::now();
    let child = command.spawn().unwrap();
    let (status, cpu, peak) = crate::usage::wait(child);
    let wall = began.elapsed();
    assert!(status.success(), "{words:?}: {status}\n{}", fs::read_to_string(directory.join("log")).unwrap());
    Run { wall, cpu, peak }
}

/// A configuration of nodes, with what is remembered in a state directory.
pub fn configuration(nodes: &[&Node], state: &Path, pace: Option<&str>) -> String {
    let mut text = format!("version = 1\nstate_dir = {}\n", quoted(state));
    for (at, node) in nodes.iter().enumerate() {
        let (socket, directory) = (quoted(node.socket()), quoted(node.crt_dir()));
        text.push_str(&format!("[haproxy.node{at}]\nsocket = {socket}\ncrt_dir = {directory}\n"));
        text.extend(pace.map(|pace| format!("push_pace = {pace:?}\n")));
    }
    text
}

/// The program that is measured; another one, such as an older build, by the environment.
pub fn program() -> PathBuf {
    std::env::var_os("HOTCERT_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_hotcert").into(), PathBuf::from)
}
