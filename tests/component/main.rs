//! Modules of hotcert, and the whole sidecar, in process: with fakes, with authorities that misbehave, and with real servers.
//!
//! One program for all, for what they stand on takes longer to compile than most of them to run.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![allow(clippy::unnecessary_debug_formatting, reason = "quotes make a path a TOML string")]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod acme_scripted;
mod control;
mod dns;
mod harness;
mod hostile_authority;
mod hostile_text;
mod issuances;
mod play;
mod properties;
mod renew_ari;
mod renew_clock;
mod renew_failover;
mod renew_outage;
mod replay;
mod solver;
mod watch;

/// Not a test: what tests kill.
#[test]
fn as_hotcert() -> std::process::ExitCode {
    support::steps::play()
}
