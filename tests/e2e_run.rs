//! `hotcert run`: HAProxy and hotcert live side by side, through restarts, reloads, signals and crashes.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

#[path = "e2e_run/restart.rs"]
mod restart;
#[path = "e2e_run/signals.rs"]
mod signals;
#[path = "e2e_run/watch.rs"]
mod watch;
