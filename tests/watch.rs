//! Certificates that other programs write come into the store: whatever the order of the writes, the end state is that of the
//! files, and what is broken changes nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![expect(clippy::unnecessary_debug_formatting, reason = "quotes make a path a TOML string")]

mod support;

#[path = "watch/layouts.rs"]
mod layouts;
#[path = "watch/many.rs"]
mod many;
#[path = "watch/model.rs"]
mod model;
#[path = "watch/place.rs"]
mod place;
#[path = "watch/trouble.rs"]
mod trouble;
#[path = "watch/writes.rs"]
mod writes;
