//! Programs of other people that a test runs to their end, such as certbot.

use std::ffi::OsStr;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::process::Process;
use super::{Scratch, poll};

/// How long a program may take, Python's on a loaded machine included.
const DEADLINE: Duration = Duration::from_mins(1);

/// The path of a program that Debian packages.
pub fn packaged(program: &str) -> PathBuf {
    let path = PathBuf::from("/usr/bin").join(program);
    assert!(path.exists(), "{program} is missing\nhint: ./scripts/test brings it");
    path
}

/// How a program ended, and what it printed on both streams.
pub struct Ended {
    name: String,
    pub status: ExitStatus,
    pub output: String,
}

impl Ended {
    /// Fails the test, with everything printed, unless the program succeeded.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.status.success(), "{self:?}");
        self
    }

    /// Fails the test, with everything printed, if the program succeeded.
    #[track_caller]
    pub fn expect_failure(self) -> Self {
        assert!(!self.status.success(), "{self:?}");
        self
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n{}", self.name, self.status, self.output)
    }
}

/// Runs a program to its end; one that takes too long is killed, and fails the test with what it printed.
pub fn run(command: &mut Command) -> Ended {
    let scratch = Scratch::new();
    let name = command.get_program().to_string_lossy().into_owned();
    let mut process = Process::spawn(&name, command, &scratch.join("output"));
    let status = poll(DEADLINE, || process.ended())
        .unwrap_or_else(|| panic!("{name} takes longer than {DEADLINE:?}\n{}", process.log()));
    Ended { status, output: process.log(), name }
}

/// A `PATH` on which `hotcert` is the program under test: a directory in `scratch`, and then the test's own.
pub fn path_with_hotcert(scratch: &Scratch) -> impl AsRef<OsStr> {
    let programs = scratch.dir("bin");
    let link = programs.join("hotcert");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hotcert"), link).expect("a link to the program can be made");
    }
    let own = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&own))).expect("no colon in a directory")
}
