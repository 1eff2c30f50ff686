//! Sequences of what users do, what goes wrong and what is restarted, played with hotcert's own engine and HAProxy, real or in
//! memory; and what must be true all the time.

#![allow(unreachable_pub, reason = "it is shared by the tests of several files")]
#![allow(clippy::print_stderr, reason = "a sequence that fails is printed")]
#![allow(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![allow(clippy::unnecessary_debug_formatting, reason = "quoted as TOML wants it")]
#![allow(dead_code, reason = "each test file uses its part of it")]

mod oracle;
pub mod pool;
pub mod sequence;
pub mod server;
mod steps;
pub mod wire;
pub mod world;
