//! What cannot be attached leaves nothing behind, and what is written wrong is named.

use std::fs;

use super::{list, node, run, shop};
use crate::load::edge::{Edge, configured, snapshot};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Pki, each_haproxy};

each_haproxy! {
    an_option_that_haproxy_does_not_know_leaves_nothing_behind,
    a_list_with_a_wrong_line_is_named_before_anything_is_changed,
}

fn an_option_that_haproxy_does_not_know_leaves_nothing_behind(version: HaproxyVersion) {
    for before in [None, Some("# what was there before\n")] {
        let edge = Edge::new(Haproxy::new(version).crt_list("# ours\n"));
        let path = edge.haproxy.crt_dir().join("shop.pem");
        if let Some(text) = before {
            fs::write(&path, text).unwrap();
        }
        let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
        let file = edge.file(&leaf);
        let (memory, files) = (edge.memory(), snapshot(edge.haproxy.dir()));
        let failed = run(&edge, &shop("options = \"[bogus x]\""), &["push", &file, "--name", "shop", "--json"]);
        let failed = failed.expect_code(1).json();
        assert!(failed["error"]["causes"].to_string().contains("options or filters"), "{failed:#}");
        assert!(failed["error"]["hint"].as_str().unwrap().contains("`options` and `filters`"), "{failed:#}");
        assert_eq!(edge.memory(), memory);
        assert!(snapshot(edge.haproxy.dir()) == files, "files were changed");
        assert!(!edge.haproxy.cli("show ssl cert").contains("shop"));
        assert!(!snapshot(edge.hotcert.state_dir().as_path()).keys().any(|path| path.contains("shop.json")));
    }
}

fn a_list_with_a_wrong_line_is_named_before_anything_is_changed(version: HaproxyVersion) {
    let edge = Edge::new(Haproxy::new(version).crt_list("# ours\n"));
    let broken = "# ours\n/a.pem [alpn h2] [x]\n";
    fs::write(edge.haproxy.crt_list(), broken).unwrap();
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    let file = edge.file(&leaf);
    let (memory, files) = (edge.memory(), snapshot(edge.haproxy.dir()));
    let failed = run(&edge, &shop(""), &["push", &file, "--name", "shop"]).expect_code(1);
    let place = format!("{}:2: there is more than one pair of brackets", edge.haproxy.crt_list().display());
    assert!(failed.stderr.contains(&place), "{failed:?}");
    assert_eq!(edge.memory(), memory);
    assert!(snapshot(edge.haproxy.dir()) == files, "files were changed");
    assert_eq!(list(&edge), broken);
}

/// `no-alpn` is known from 2.8 on: the new certificate goes from the node that took it, too.
#[test]
fn what_one_node_refuses_to_attach_stays_on_none() {
    let pki = Pki::new();
    let nodes =
        [HaproxyVersion::V2_6, HaproxyVersion::V3_2].map(|version| Haproxy::new(version).crt_list("# ours\n").start());
    let hotcert = Hotcert::new();
    let leaf = pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    hotcert.scratch().write("shop.pem", leaf.fullchain_and_key());
    let mut config = "[issuer.nobody]\ndirectory = \"https://127.0.0.1:1/dir\"\n".to_owned();
    // Either order.
    for (name, node) in ["b", "a"].iter().zip(&nodes) {
        config += &format!(
            "[haproxy.{name}]\nsocket = {:?}\ncrt_dir = {:?}\ncrt_list = {:?}\n",
            node.socket(),
            node.crt_dir(),
            node.crt_list()
        );
    }
    config += &shop("options = \"[no-alpn]\"");
    let failed = configured(&hotcert, &config, &["push", "shop.pem", "--name", "shop"]).expect_code(1);
    assert!(failed.stderr.contains("node b"), "{failed:?}");
    for node in &nodes {
        assert!(!node.cli("show ssl cert").contains("shop"), "{:?}", node.version());
        assert_eq!(fs::read_to_string(node.crt_list()).unwrap(), "# ours\n");
        assert_eq!(fs::read_dir(node.crt_dir()).unwrap().count(), 0);
    }
    let list = configured(&hotcert, &config, &["list", "--json"]).expect_code(0).json();
    assert_eq!(list["certificates"][0]["generation"], serde_json::Value::Null);
}

#[test]
fn a_slot_of_two_certificates_and_options_in_a_directory_are_told() {
    let edge = Edge::new(Haproxy::new(HaproxyVersion::V2_8));
    let two = "[[certificate]]\nname = \"one\"\ndomains = [\"one.test\"]\nslot = \"/x/a.pem\"\n\
               [[certificate]]\nname = \"two\"\ndomains = [\"two.test\"]\nslot = \"/x/a.pem\"\n\
               [[certificate]]\nname = \"three\"\ndomains = [\"three.test\"]\nslot = \"@web/three\"\n";
    let refused = run(&edge, two, &["config", "check"]).expect_code(78);
    assert!(refused.stderr.contains("certificate[1].slot: is that of certificate one, too"), "{refused:?}");
    assert!(refused.stderr.contains("certificate[2].file: is missing"), "{refused:?}");

    // What no configuration shows: the directory of the node makes both the same.
    let config = node(&edge).lines().filter(|line| !line.starts_with("crt_list")).collect::<Vec<_>>().join("\n");
    let slot = edge.slot("two.pem");
    let certificates = format!(
        "\n[[certificate]]\nname = \"one\"\ndomains = [\"one.test\"]\nslot = {slot:?}\n\
         [[certificate]]\nname = \"two\"\ndomains = [\"two.test\"]\n"
    );
    for name in ["one", "two"] {
        let leaf = edge.pki.leaf(&format!("{name}.test")).issue();
        let file = edge.file(&leaf);
        let code = i32::from(name == "two");
        let push =
            configured(&edge.hotcert, &(config.clone() + &certificates), &["push", &file, "--name", name, "--force"]);
        let push = push.expect_code(code);
        if name == "two" {
            assert!(
                push.stderr.contains("certificate two has no place")
                    && push.stderr.contains("is that of certificate one"),
                "{push:?}"
            );
        }
    }
    let bare = config + "\n" + &shop("options = \"[alpn h2]\"");
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    let file = edge.file(&leaf);
    let refused = configured(&edge.hotcert, &bare, &["push", &file, "--name", "shop"]).expect_code(1);
    assert!(
        refused.stderr.contains("is a certificate directory, in which entries have neither options nor filters"),
        "{refused:?}"
    );
}
