//! What operators see: metrics, probes and what watches them, the status page in a browser, and `hotcert top` in a terminal.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![allow(unreachable_pub, reason = "modules of a test, like those of the harness")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod health;
mod metrics;
mod overview;
mod page;
mod sample;
mod scrape;
mod top;
