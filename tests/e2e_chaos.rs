#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

mod support;

#[path = "e2e_chaos/kills.rs"]
mod kills;
#[path = "e2e_chaos/reloads.rs"]
mod reloads;
