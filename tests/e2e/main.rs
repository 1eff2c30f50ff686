//! hotcert as its users meet it: the program beside real HAProxy servers, real authorities and real DNS servers.
//!
//! One program for all, for what they stand on takes longer to compile than most of them to run.

#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![allow(clippy::unnecessary_debug_formatting, reason = "quotes make a path a TOML string")]

#[path = "../support/mod.rs"]
mod support;

mod account;
mod address;
mod bad_authority;
mod bad_files;
mod bad_nodes;
mod chaos;
mod choice;
mod client_auth;
mod control;
mod crash;
mod dns01;
mod dns_lookups;
mod drill;
mod failover;
mod fleet;
mod hooks;
mod hostile;
mod http01;
mod internal;
mod issue;
mod json;
mod kinds;
mod links;
mod lists;
mod load;
mod mixed;
mod other_authority;
mod proof;
mod renew;
mod revoke;
mod roles;
mod run;
mod secrets;
mod staples;
mod surroundings;
mod tickets;
mod tls_alpn;
mod unharmed;
mod workers;

/// Not a test: what tests kill.
#[test]
fn as_hotcert() -> std::process::ExitCode {
    support::steps::play()
}
