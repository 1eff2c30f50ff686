//! A service manager that only listens.

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::support::Scratch;
use crate::support::sidecar::DEADLINE;

/// How often it looks whether it has waited long enough.
const PATIENCE: Duration = Duration::from_millis(50);

/// The socket on which a service manager hears of its services (`sd_notify(3)`).
pub(crate) struct Manager {
    socket: UnixDatagram,
    scratch: Scratch,
}

impl Manager {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new();
        let socket = UnixDatagram::bind(scratch.join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, scratch }
    }

    /// The value of `NOTIFY_SOCKET`.
    pub(crate) fn address(&self) -> OsString {
        self.scratch.join("notify").into()
    }

    /// The next message.
    pub(crate) fn hear(&self) -> String {
        let began = Instant::now();
        let mut message = [0; 8192];
        loop {
            if let Ok(length) = self.socket.recv(&mut message) {
                return String::from_utf8(message[..length].to_vec()).unwrap().trim_end().to_owned();
            }
            assert!(began.elapsed() < DEADLINE, "nothing was heard for {DEADLINE:?}");
        }
    }

    /// Skips what is not wanted.
    pub(crate) fn hear_that(&self, is_wanted: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let message = self.hear();
            if is_wanted(&message) {
                return message;
            }
            assert!(began.elapsed() < DEADLINE, "the last that was heard is {message}");
        }
    }
}
