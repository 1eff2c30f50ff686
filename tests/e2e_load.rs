//! Loading certificates into running HAProxy servers, and the dangers on the way, as a user of hotcert meets them.
//!
//! What one session with HAProxy does about the dangers is proven by `conformance.rs`; here is what only the whole program
//! shows.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![expect(clippy::unnecessary_debug_formatting, reason = "quotes make a path a TOML string")]

mod support;

#[path = "e2e_load/contest.rs"]
mod contest;
#[path = "e2e_load/drift.rs"]
mod drift;
#[path = "e2e_load/edge.rs"]
mod edge;
#[path = "e2e_load/input.rs"]
mod input;
#[path = "e2e_load/nodes.rs"]
mod nodes;
#[path = "e2e_load/push.rs"]
mod push;
#[path = "e2e_load/transaction.rs"]
mod transaction;
