//! The files by which HAProxy judges the certificates of clients: what is on disk counts, at once and without a reload.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

#[path = "e2e_client_auth/gate.rs"]
mod gate;
#[path = "e2e_client_auth/gatehouse.rs"]
mod gatehouse;
#[path = "e2e_client_auth/old.rs"]
mod old;
#[path = "e2e_client_auth/runtime.rs"]
mod runtime;
#[path = "e2e_client_auth/trouble.rs"]
mod trouble;

use std::process::ExitCode;

/// Not a test: what is killed.
#[test]
fn as_hotcert() -> ExitCode {
    support::steps::play()
}
