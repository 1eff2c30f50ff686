//! Several nodes, and what a configuration file says of one.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use super::edge::{Edge, configured};
use crate::support::client::{self, Options};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome, Pki, Scratch, each_haproxy};

each_haproxy! {
    a_list_with_options_and_filters_is_configured,
}

/// Two HAProxy servers that read one directory.
struct Pair {
    // Before the directory: fields are dropped in this order.
    nodes: [Haproxy; 2],
    hotcert: Hotcert,
    pki: Pki,
    certs: Scratch,
}

impl Pair {
    fn new() -> Self {
        let certs = Scratch::new();
        let tls = format!("ssl crt {}/ strict-sni", certs.path().display());
        let nodes = [HaproxyVersion::V2_6, HaproxyVersion::V3_2].map(|version| Haproxy::new(version).tls(&tls).start());
        Self { nodes, hotcert: Hotcert::new(), pki: Pki::new(), certs }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        all.extend(["--state-dir".to_owned(), self.hotcert.state_dir().display().to_string()]);
        all.extend(["--crt-dir".to_owned(), self.certs.path().display().to_string()]);
        for node in &self.nodes {
            all.extend(["--socket".to_owned(), node.socket().display().to_string()]);
        }
        self.hotcert.run(all)
    }

    fn serials(&self, name: &str) -> [Option<String>; 2] {
        let serial = |node: &Haproxy| client::handshake(node.https_addr(), name, Options::default()).ok();
        [0, 1].map(|at| serial(&self.nodes[at]).map(|served| served.serial))
    }
}

#[test]
fn every_node_serves_what_is_pushed_and_one_that_is_down_gets_it_later() {
    let mut pair = Pair::new();
    let push = |pair: &Pair, code: i32| {
        let leaf = pair.pki.leaf("shop.test").issue();
        pair.hotcert.scratch().write("shop.pem", leaf.fullchain_and_key());
        (pair.run(&["push", "shop.pem", "--json"]).expect_code(code), Some(leaf.serial().to_owned()))
    };
    let (report, first) = push(&pair, 0);
    assert_eq!(report.json()["certificates"][0]["nodes"].as_array().map(Vec::len), Some(2));
    assert_eq!(pair.serials("shop.test"), [first.clone(), first]);
    assert_eq!(pair.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");

    pair.nodes[1].kill();
    let (report, second) = push(&pair, 75);
    assert_eq!(report.json()["error"]["kind"], "node", "{report:?}");
    assert_eq!(pair.serials("shop.test"), [second.clone(), None]);

    pair.nodes[1].restart();
    // It may have started with the file that was published for both.
    pair.run(&["sync"]).expect_code(0);
    assert_eq!(pair.serials("shop.test"), [second.clone(), second]);
    assert_eq!(pair.run(&["plan"]).expect_code(0).stdout, "nothing to do\n");
}

#[test]
fn what_one_node_cannot_take_reaches_no_node() {
    let certs = Scratch::new();
    let tls = format!("ssl crt {}/ strict-sni", certs.path().display());
    let small = Haproxy::new(HaproxyVersion::V2_8).tls(&tls).start();
    let large = Haproxy::new(HaproxyVersion::V2_8).tls(&tls).global("tune.bufsize 32768").start();
    let pair = Pair { nodes: [large, small], hotcert: Hotcert::new(), pki: Pki::new(), certs };
    let leaf = pair.pki.leaf("shop.test").pem_size(20_000).issue();
    pair.hotcert.scratch().write("shop.pem", leaf.fullchain_and_key());

    let push = pair.run(&["push", "shop.pem", "--json"]).expect_code(1);
    assert_eq!(push.json()["error"]["kind"], "too-large");
    assert_eq!(pair.serials("shop.test"), [None, None]);
    assert_eq!(fs::read_dir(pair.certs.path()).unwrap().count(), 0);
}

#[test]
fn haproxy_may_know_the_directory_by_another_path() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_8));
    // What HAProxy calls by its own path, we reach by ours.
    let ours = edge.hotcert.scratch().join("ours");
    symlink(edge.haproxy.crt_dir(), &ours).unwrap();
    let node = format!(
        "[haproxy.edge]\nsocket = {:?}\ncrt_dir = {ours:?}\nhaproxy_crt_dir = {:?}\nverify = [\"{}\"]\n\
         owner = \"nobody\"\ngroup = \"nogroup\"\nmode = \"0640\"\n",
        edge.haproxy.socket(),
        edge.haproxy.crt_dir(),
        edge.haproxy.https_addr()
    );
    let leaf = edge.pki.leaf("shop.test").issue();
    let file = edge.file(&leaf);
    configured(&edge.hotcert, &node, &["push", &file]).expect_code(0);
    assert_eq!(edge.serial("shop.test").as_deref(), Some(leaf.serial()));
    assert_eq!(configured(&edge.hotcert, &node, &["plan"]).expect_code(0).stdout, "nothing to do\n");
    let status = configured(&edge.hotcert, &node, &["status", "--json"]).expect_code(0).json();
    assert_eq!(status["certificates"][0]["nodes"][0]["name"], "edge");
    assert_eq!(status["certificates"][0]["nodes"][0]["slot"].as_str(), Some(edge.slot("shop.test.pem").as_str()));

    let published = fs::metadata(ours.join("shop.test.pem")).unwrap();
    assert_eq!(published.mode() & 0o7777, 0o640);
    assert_eq!((published.uid(), published.gid()), (65534, 65534));
}

/// Options and filters belong to a certificate that hotcert would order; here it is pushed before it is due.
fn a_list_with_options_and_filters_is_configured(version: HaproxyVersion) {
    let mut edge = Edge::new(Haproxy::new(version).crt_list("# ours\n"));
    let list = edge.haproxy.crt_list();
    let config = format!(
        "[issuer.nobody]\ndirectory = \"https://127.0.0.1:1/dir\"\n\
         [haproxy.edge]\nsocket = {:?}\ncrt_dir = {:?}\ncrt_list = {list:?}\nverify = [\"{}\"]\n\
         [[certificate]]\nname = \"shop\"\ndomains = [\"shop.test\", \"www.shop.test\", \"hidden.test\"]\n\
         options = \"[alpn h2,http/1.1]\"\nfilters = [\"*.shop.test\", \"shop.test\", \"!no.shop.test\"]\n",
        edge.haproxy.socket(),
        edge.haproxy.crt_dir(),
        edge.haproxy.https_addr()
    );
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test", "hidden.test"]).issue();
    let file = edge.file(&leaf);
    configured(&edge.hotcert, &config, &["push", &file, "--name", "shop"]).expect_code(0);
    let expect = |edge: &Edge| {
        for name in ["shop.test", "www.shop.test"] {
            assert_eq!(edge.serial(name).as_deref(), Some(leaf.serial()));
        }
        for name in ["hidden.test", "no.shop.test"] {
            assert_eq!(edge.serial(name), None);
        }
        assert_eq!(configured(&edge.hotcert, &config, &["plan"]).expect_code(0).stdout, "nothing to do\n");
    };
    expect(&edge);
    let line = format!("{} [alpn h2,http/1.1] *.shop.test shop.test !no.shop.test", edge.slot("shop.pem"));
    assert_eq!(fs::read_to_string(&list).unwrap(), format!("# ours\n{line}\n"));
    edge.haproxy.check().unwrap();
    edge.haproxy.reload();
    expect(&edge);
}

/// Whoever names the sockets by flags names the addresses for all of them.
#[test]
fn an_address_behind_a_node_that_is_down_makes_no_failure_of_it() {
    let mut pair = Pair::new();
    let verify = [0, 1].map(|at| pair.nodes[at].https_addr().to_string());
    pair.nodes[1].kill();
    let leaf = pair.pki.leaf("shop.test").issue();
    pair.hotcert.scratch().write("shop.pem", leaf.fullchain_and_key());
    let push = ["push", "shop.pem", "--json", "--verify", &verify[0], "--verify", &verify[1]];
    let push = pair.run(&push).expect_code(75);
    assert_eq!(push.json()["error"]["kind"], "node", "{push:?}");
    assert_eq!(pair.serials("shop.test"), [Some(leaf.serial().to_owned()), None]);
}

#[test]
fn a_node_that_is_down_is_none_of_the_business_of_a_certificate_for_another() {
    let mut pair = Pair::new();
    let nodes: String = ["one", "two"]
        .iter()
        .zip(&pair.nodes)
        .map(|(name, node)| {
            format!("[haproxy.{name}]\nsocket = {:?}\ncrt_dir = {:?}\n", node.socket(), pair.certs.path())
        })
        .collect();
    let config = format!(
        "{nodes}[issuer.nobody]\ndirectory = \"https://127.0.0.1:1/dir\"\n\
         [[certificate]]\nname = \"shop\"\ndomains = [\"shop.test\"]\nnodes = [\"one\"]\n"
    );
    pair.nodes[1].kill();
    let leaf = pair.pki.leaf("shop.test").issue();
    pair.hotcert.scratch().write("shop.pem", leaf.fullchain_and_key());
    configured(&pair.hotcert, &config, &["push", "shop.pem", "--name", "shop"]).expect_code(0);
    assert_eq!(pair.serials("shop.test"), [Some(leaf.serial().to_owned()), None]);
    // A look at everything tells of it.
    configured(&pair.hotcert, &config, &["status"]).expect_code(2);
}
