//! `hotcert run`, and what it uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::program;
use crate::usage::Usage;

/// How long it may take to be ready, and to load a certificate.
const DEADLINE: Duration = Duration::from_mins(2);

/// A daemon that is ready; killed when it is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// How long that took.
    pub ready_after: Duration,
}

impl Daemon {
    /// Starts it with this configuration, which is written to a file.
    pub fn start(config: &Path, text: &str) -> Self {
        fs::write(config, text).unwrap();
        let log = config.with_extension("log");
        let began = Instant::now();
        let child = Command::new(program())
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut daemon = Self { child, log, ready_after: Duration::ZERO };
        daemon.wait_for("ready");
        daemon.ready_after = began.elapsed();
        daemon
    }

    /// Waits until it says so.
    pub fn wait_for(&self, text: &str) {
        let began = Instant::now();
        while !fs::read_to_string(&self.log).unwrap().contains(text) {
            assert!(began.elapsed() < DEADLINE, "it never says {text:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}
