//! Loading certificates into running HAProxy servers, and the dangers on the way, as a user of hotcert meets them.
//!
//! What one session with HAProxy does about the dangers is proven by `conformance.rs`; here is what only the whole program
//! shows.

mod contest;
mod drift;
pub(super) mod edge;
mod input;
mod nodes;
mod push;
mod transaction;
