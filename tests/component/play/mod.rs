//! Sequences of what users do, what goes wrong and what is restarted, played with hotcert's own engine and HAProxy, real or in
//! memory; and what must be true all the time.

#![allow(unreachable_pub, reason = "it is shared by the tests of several files")]
#![allow(clippy::print_stderr, reason = "a sequence that fails is printed")]

mod oracle;
pub mod pool;
pub mod sequence;
pub mod server;
mod steps;
pub mod wire;
pub mod world;
