//! Entries of crt-lists, aliases, and taking certificates out of HAProxy again, as a user of hotcert meets them.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]
#![expect(clippy::unnecessary_debug_formatting, reason = "quotes make a path a TOML string")]
#![allow(dead_code, reason = "this file uses its part of the edge")]

mod support;

#[path = "e2e_lists/crash.rs"]
mod crash;
#[path = "e2e_lists/delete.rs"]
mod delete;
#[path = "e2e_lists/dump.rs"]
mod dump;
#[path = "e2e_load/edge.rs"]
mod edge;
#[path = "e2e_lists/entries.rs"]
mod entries;
#[path = "e2e_lists/names.rs"]
mod names;
#[path = "e2e_lists/refused.rs"]
mod refused;

use std::fs;
use std::process::ExitCode;

use edge::{Edge, configured};
use support::{Outcome, steps};

/// Not a test: what is killed.
#[test]
fn as_hotcert() -> ExitCode {
    steps::play()
}

/// The lines of a configuration for a node with a crt-list.
fn node(edge: &Edge) -> String {
    format!(
        "[issuer.nobody]\ndirectory = \"https://127.0.0.1:1/dir\"\n\
         [haproxy.edge]\nsocket = {:?}\ncrt_dir = {:?}\ncrt_list = {:?}\nverify = [\"{}\"]\n",
        edge.haproxy.socket(),
        edge.haproxy.crt_dir(),
        edge.haproxy.crt_list(),
        edge.haproxy.https_addr()
    )
}

/// The lines of a certificate for `shop.test` and `www.shop.test`, with further keys.
fn shop(keys: &str) -> String {
    format!("[[certificate]]\nname = \"shop\"\ndomains = [\"shop.test\", \"www.shop.test\"]\n{keys}\n")
}

/// Runs a command with this configuration of the node and its certificates.
fn run(edge: &Edge, certificates: &str, arguments: &[&str]) -> Outcome {
    configured(&edge.hotcert, &(node(edge) + certificates), arguments)
}

/// Checks that nothing is to be done, and that HAProxy would start with its files as they are.
fn expect_settled(edge: &Edge, certificates: &str) {
    assert_eq!(run(edge, certificates, &["plan"]).expect_code(0).stdout, "nothing to do\n");
    edge.haproxy.check().unwrap();
}

/// The crt-list file.
fn list(edge: &Edge) -> String {
    fs::read_to_string(edge.haproxy.crt_list()).unwrap()
}

/// The crt-list in memory, without line numbers.
fn listed(edge: &Edge) -> Vec<String> {
    let reply = edge.haproxy.cli(&format!("show ssl crt-list {}", edge.haproxy.crt_list().display()));
    let lines = reply.replace('\0', "");
    lines.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}
