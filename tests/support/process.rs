//! Child processes that never outlive the test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{SERVER_DEADLINE, poll};

/// A server that runs in the background, its output collected in a file.
///
/// It stays in the test's process group, so that whatever ends the test from outside ends it too.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both of its output streams are appended to `log`.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("the log of a server can be opened");
        let err = out.try_clone().expect("an open file can be duplicated");
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|error| panic!("start {name} ({}): {error}", command.get_program().display()));
        Self { name: name.to_owned(), child, log: log.to_path_buf() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) {
        signal_process(self.child.id(), signal);
    }

    /// Waits until `ready` answers. A server that ends before, or is not ready in time, is an error with its log.
    pub fn wait_ready<T>(&mut self, deadline: Duration, mut ready: impl FnMut() -> Option<T>) -> Result<T, String> {
        let mut ended = None;
        let found = poll(deadline, || {
            ended = self.ended();
            if ended.is_some() { Some(None) } else { ready().map(Some) }
        });
        match (found, ended) {
            (Some(Some(found)), _) => Ok(found),
            (_, Some(status)) => Err(format!("{} ended ({status})\n{}", self.name, self.log())),
            _ => Err(format!("{} is not ready after {deadline:?}\n{}", self.name, self.log())),
        }
    }

    /// Kills the process with all its descendants, and waits until none of them runs.
    pub fn kill(&mut self) {
        if self.ended().is_some() {
            return;
        }
        let tree = tree(self.child.id());
        for id in &tree {
            signal_process(*id, Signal::KILL);
        }
        self.child.wait().expect("a killed child can be waited for");
        // Only the child itself can be waited for, and the others hold ports and files too.
        poll(SERVER_DEADLINE, || tree.iter().all(|id| !is_running(*id)).then_some(()));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.log());
        }
    }
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal_process(id: u32, signal: Signal) {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("a process id is a positive number");
    let _ = kill_process(id, signal);
}

/// Whether a process runs; one that ended and was not waited for does not.
pub fn is_running(id: u32) -> bool {
    stat(id).is_some_and(|(_, state)| state != 'Z')
}

/// A process and its descendants, parents first.
pub fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some((parent, _)) = stat(id)
        {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(id) = found.get(next) {
        found.extend(children.get(id).into_iter().flatten().copied().collect::<Vec<_>>());
        next += 1;
    }
    found
}

/// Parent and state, from `/proc/PID/stat` (`proc_pid_stat(5)`).
fn stat(id: u32) -> Option<(u32, char)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program, in parentheses, may itself contain anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}
