//! Entries of crt-lists, aliases, and taking certificates out of HAProxy again, as a user of hotcert meets them.

mod crash;
mod delete;
mod dump;
mod entries;
mod names;
mod refused;

use std::fs;

use crate::load::edge::{Edge, configured};
use crate::support::Outcome;

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
