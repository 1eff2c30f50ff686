//! `hotcert run` through anything: reloads, rivals, signals, crashes and broken disks, at random moments from a printed seed.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![allow(clippy::print_stderr, reason = "a test says what it met")]

mod support;

#[path = "e2e_chaos/disks.rs"]
mod disks;
#[path = "e2e_chaos/kills.rs"]
mod kills;
#[path = "e2e_chaos/reloads.rs"]
mod reloads;
#[path = "e2e_chaos/rivals.rs"]
mod rivals;
#[path = "e2e_chaos/stops.rs"]
mod stops;

/// Not a test: what is stopped.
#[test]
fn as_hotcert() -> std::process::ExitCode {
    support::steps::play()
}
