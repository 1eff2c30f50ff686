//! The program under test, run as a user runs it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::disk::TinyDisk;
use super::process::{signal_process, tree};
use super::{Scratch, poll};

/// How long a command may take, unless a test says otherwise.
const DEADLINE: Duration = Duration::from_mins(1);

/// The unprivileged user and group `nobody`, whose number is the same on every Debian.
const NOBODY: u32 = 65534;

/// A user of hotcert: a state directory and an environment that holds `PATH` and nothing else.
#[derive(Debug)]
pub struct Hotcert {
    scratch: Scratch,
    program: PathBuf,
    wrapper: Vec<OsString>,
    env: Vec<(String, OsString)>,
    deadline: Duration,
}

impl Hotcert {
    /// A user with an empty state directory.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        scratch.dir("state");
        scratch.chmod("state", 0o700);
        Self {
            scratch,
            program: env!("CARGO_BIN_EXE_hotcert").into(),
            wrapper: Vec::new(),
            env: Vec::new(),
            deadline: DEADLINE,
        }
    }

    /// The state directory, to be given as `--state-dir` or in a configuration file.
    pub fn state_dir(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// The user's own directory, around the state directory, for configuration files and the like.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    /// Sets how long a command may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs everything inside the mount of a small disk.
    pub fn on_disk(mut self, disk: &TinyDisk) -> Self {
        // In front of whatever gives up the right to enter.
        self.wrapper.splice(0..0, disk.enter().map(OsString::from));
        self
    }

    /// Runs everything with a umask that takes no permission away.
    pub fn open_umask(mut self) -> Self {
        self.wrapper.extend(["sh", "-c", "umask 000 && exec \"$@\"", "sh"].map(OsString::from));
        self
    }

    /// Runs everything in a network of its own, which has nothing in it. Needs root.
    pub fn without_network(mut self) -> Self {
        self.wrapper.extend(["unshare", "--net", "--"].map(OsString::from));
        self
    }

    /// Runs everything as the user `nobody`, who owns the state directory. Needs root.
    pub fn unprivileged(mut self) -> Self {
        // The checkout may lie where nobody may look.
        let program = self.scratch.join("hotcert");
        fs::copy(&self.program, &program).expect("the program can be copied");
        self.scratch.chmod("", 0o755);
        chown(self.state_dir(), Some(NOBODY), Some(NOBODY)).expect("this test runs as root");
        self.program = program;
        self.wrapper.extend(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--"]
                .map(OsString::from),
        );
        self
    }

    /// Runs a command to its end. One that takes too long is killed, and fails the test with what it printed.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.spawn(arguments).wait(self.deadline)
    }

    /// Starts a command, such as `run`, and lets it go on.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let words: Vec<&OsStr> = self
            .wrapper
            .iter()
            .map(OsString::as_os_str)
            .chain([self.program.as_os_str()])
            .chain(arguments.iter().map(OsString::as_os_str))
            .collect();
        let (program, rest) = words.split_first().expect("there is a program");
        let output = tempfile::tempdir_in(self.scratch.path()).expect("a directory for the output can be made");
        let file = |name| File::create_new(output.path().join(name)).expect("a file for the output can be made");
        let child = Command::new(program)
            .args(rest)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.scratch.path())
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap_or_else(|error| panic!("start {}: {error}", program.display()));
        let line =
            words.iter().skip(self.wrapper.len() + 1).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        Running { line, child, output, deadline: self.deadline }
    }
}

impl Default for Hotcert {
    fn default() -> Self {
        Self::new()
    }
}

/// A command that goes on; killed on drop.
#[derive(Debug)]
pub struct Running {
    line: String,
    child: Child,
    output: tempfile::TempDir,
    deadline: Duration,
}

impl Running {
    /// The process id of hotcert.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output.
    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    /// What it has written to standard error.
    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    /// Waits until standard error contains a text; fails the test if the command ends before, or the deadline passes.
    pub fn wait_for(&mut self, text: &str) {
        let found = poll(self.deadline, || {
            // Looked at first: what is printed just before the end counts.
            let ended = self.child.try_wait().expect("a child can be waited for").is_some();
            let found = self.stderr().contains(text);
            (found || ended).then_some(found)
        });
        assert!(found == Some(true), "no {text:?} from {}\n{}\n{}", self.line, self.stdout(), self.stderr());
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        signal_process(self.child.id(), signal);
    }

    /// Asks it to stop (`SIGTERM`), and waits for its end.
    pub fn stop(self) -> Outcome {
        self.signal(Signal::TERM);
        let deadline = self.deadline;
        self.wait(deadline)
    }

    /// Kills it (`SIGKILL`), as a crash does.
    pub fn kill(mut self) -> Outcome {
        self.kill_tree();
        let status = self.child.wait().expect("a killed child can be waited for");
        self.outcome(status)
    }

    /// Waits for its end; kills it and fails the test once `deadline` has passed.
    pub fn wait(mut self, deadline: Duration) -> Outcome {
        match poll(deadline, || self.child.try_wait().expect("a child can be waited for")) {
            Some(status) => self.outcome(status),
            None => panic!("{} takes longer than {deadline:?}\n{}\n{}", self.line, self.stdout(), self.stderr()),
        }
    }

    fn outcome(&self, status: ExitStatus) -> Outcome {
        Outcome {
            line: self.line.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout(),
            stderr: self.stderr(),
        }
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).expect("the output is there from the start");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn kill_tree(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            for id in tree(self.child.id()) {
                signal_process(id, Signal::KILL);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill_tree();
        let _ = self.child.wait();
    }
}

/// How a command ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Outcome {
    line: String,
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Fails the test, with everything printed, unless the exit code is this one.
    pub fn expect_code(self, code: i32) -> Self {
        assert!(self.code == Some(code), "expected exit code {code}\n{self:?}");
        self
    }

    /// Standard output, which must be exactly one JSON document.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not JSON: {error}\n{self:?}"))
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, code, signal, stdout, stderr } = self;
        write!(f, "hotcert {line}\n--- code {code:?}, signal {signal:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Changes owner of a file or directory to `nobody`, for commands that run [`Hotcert::unprivileged`].
pub fn give_to_nobody(path: impl AsRef<Path>) {
    let path = path.as_ref();
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap_or_else(|error| panic!("chown {}: {error}", path.display()));
}
