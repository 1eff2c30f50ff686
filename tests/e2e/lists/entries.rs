//! Entries with options and filters, beside those of other people.

use std::fs;
use std::time::Duration;

use super::{expect_settled, list, listed, run, shop};
use crate::load::edge::Edge;
use crate::support::{Chance, Hammer, Haproxy, HaproxyVersion, Pki, each_haproxy};

each_haproxy! {
    other_options_take_the_place_of_the_old_ones_and_no_client_notices,
    the_default_certificate_keeps_its_entry_until_a_reload,
    an_addition_and_a_removal_leave_every_other_byte,
}

/// One who has written a line for our slot, and one that is none of our business.
fn other_options_take_the_place_of_the_old_ones_and_no_client_notices(version: HaproxyVersion) {
    let pki = Pki::new();
    let (first, foreign) =
        (pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue(), pki.leaf("f.test").issue());
    let lines =
        "# by hand\n{dir}/certs/f.pem [ssl-min-ver TLSv1.2]\r\n{dir}/certs/shop.pem [ssl-min-ver TLSv1.2] admin.test\n";
    let haproxy = Haproxy::new(version)
        .crt_list(lines)
        .certificate("f.pem", &foreign.fullchain_and_key())
        .certificate("shop.pem", &first.fullchain_and_key());
    let mut edge = Edge::with(pki, haproxy);
    let (before, slot) = (list(&edge), edge.slot("shop.pem"));
    let old = shop("options = \"[ssl-min-ver TLSv1.2 alpn h2,http/1.1]\"\nfilters = [\"shop.test\"]");
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    let file = edge.file(&leaf);
    run(&edge, &old, &["push", &file, "--name", "shop"]).expect_code(0);
    // HAProxy lists options in its own order.
    assert_eq!(list(&edge), format!("{before}{slot} [ssl-min-ver TLSv1.2 alpn h2,http/1.1] shop.test\n"));
    expect_settled(&edge, &old);

    let hammer = Hammer::start(edge.haproxy.https_addr(), "shop.test", Duration::from_millis(2), 2);
    let new = shop("options = \"[alpn http/1.1]\"\nfilters = [\"shop.test\", \"www.shop.test\"]");
    let drift = run(&edge, &new, &["plan"]).expect_code(2).stdout;
    assert!(drift.contains("attach") && drift.contains("detach"), "{drift}");
    let status = run(&edge, &new, &["status", "--json"]).expect_code(2).json();
    assert_eq!(status["certificates"][0]["nodes"][0]["state"], "in-sync", "{status:#}");
    run(&edge, &new, &["sync"]).expect_code(0);
    hammer.stop().expect_no_errors();
    assert_eq!(list(&edge), format!("{before}{slot} [alpn http/1.1] shop.test www.shop.test\n"));
    let ours: Vec<_> = listed(&edge).into_iter().filter(|line| line.contains("shop.pem")).collect();
    assert_eq!(
        ours,
        [format!("{slot} [ssl-min-ver TLSv1.2] admin.test"), format!("{slot} [alpn http/1.1] shop.test www.shop.test")]
    );
    expect_settled(&edge, &new);
    assert_eq!(edge.serial("www.shop.test").as_deref(), Some(leaf.serial()));
    edge.haproxy.reload();
    expect_settled(&edge, &new);

    // What somebody took away comes back.
    let line = listed(&edge).iter().position(|line| line.contains("alpn")).unwrap() + 2;
    let removed = edge.haproxy.cli(&format!("del ssl crt-list {} {slot}:{line}", edge.haproxy.crt_list().display()));
    assert!(removed.contains("deleted in"), "{removed}");
    run(&edge, &new, &["sync"]).expect_code(0);
    expect_settled(&edge, &new);

    // Without options any entry will do; ours goes, and the one that was written by hand stays.
    let plain = shop("");
    run(&edge, &plain, &["sync"]).expect_code(1);
    assert_eq!(list(&edge), before);
    assert_eq!(listed(&edge).len(), 2);
}

fn the_default_certificate_keeps_its_entry_until_a_reload(version: HaproxyVersion) {
    let mut edge = Edge::new(Haproxy::new(version).crt_list("# ours\n"));
    let leaf = edge.pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).issue();
    let (file, slot) = (edge.file(&leaf), edge.slot("shop.pem"));
    let old = shop("options = \"[alpn h2]\"");
    run(&edge, &old, &["push", &file, "--name", "shop"]).expect_code(0);
    let config = edge.haproxy.scratch().read("haproxy.cfg").replace(" strict-sni", "");
    edge.haproxy.scratch().write("haproxy.cfg", config);
    edge.haproxy.reload();

    // Another one behind it stays behind.
    let other = edge.pki.leaf("other.test").issue();
    let file = edge.file(&other);
    run(&edge, &old, &["push", &file, "--name", "other"]).expect_code(0);
    let new = shop("options = \"[alpn h2,http/1.1]\"");
    let failed = run(&edge, &new, &["sync", "--json"]).expect_code(1).json();
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("is the default of a bind") && message.contains("until HAProxy is reloaded"),
        "{failed:#}"
    );
    let entries = [format!("{slot} [alpn h2]"), edge.slot("other.pem")];
    assert_eq!(listed(&edge), entries);
    assert_eq!(list(&edge), format!("# ours\n{slot} [alpn h2,http/1.1]\n{}\n", entries[1]));
    assert_eq!(edge.serial("nobody.test").as_deref(), Some(leaf.serial()), "it is still the default");

    edge.haproxy.reload();
    expect_settled(&edge, &new);
    assert_eq!(edge.serial("nobody.test").as_deref(), Some(leaf.serial()), "it is still the default");

    let before = (edge.memory(), list(&edge));
    // Its settings leave the file, so that it may be deleted.
    let failed = run(&edge, "", &["delete", "shop", "--detach", "--json"]).expect_code(1).json();
    assert_eq!(failed["error"]["kind"], "in-use", "{failed:#}");
    assert!(failed["error"]["message"].as_str().unwrap().contains("it is the default of"), "{failed:#}");
    assert!(failed["error"]["hint"].as_str().unwrap().contains("strict-sni"), "{failed:#}");
    assert_eq!((edge.memory(), list(&edge)), before);
}

fn an_addition_and_a_removal_leave_every_other_byte(version: HaproxyVersion) {
    let mut chance = Chance::new();
    let pki = Pki::new();
    let leaf = pki.leaf("f.test").issue();
    let pieces = [
        "# a comment, \u{fc}ml\u{e4}ut\n",
        "\n",
        " \t\n",
        "{dir}/certs/f.pem\n",
        "{dir}/certs/f.pem   [alpn  h2]  f.test\r\n",
        "\t{dir}/certs/f.pem g.test !x.g.test \n",
        "#{dir}/certs/shop.test.pem\n",
    ];
    let text: String = (0..chance.below(12)).map(|_| *chance.pick(&pieces)).collect();
    let haproxy = Haproxy::new(version).crt_list(&text).certificate("f.pem", &leaf.fullchain_and_key());
    let edge = Edge::with(pki, haproxy);
    let path = edge.haproxy.crt_list();
    let (before, memory) = (fs::read(&path).unwrap(), edge.memory());
    let shop = edge.pki.leaf("shop.test").issue();
    edge.push(&shop, &["--attach", &path.display().to_string()]).expect_code(0);
    let after = fs::read(&path).unwrap();
    let ours = format!("{}\n", edge.slot("shop.test.pem"));
    assert_eq!(after, [before.as_slice(), ours.as_bytes()].concat());
    assert_eq!(edge.serial("shop.test").as_deref(), Some(shop.serial()));

    edge.run(&["delete", "shop.test", "--detach"]).expect_code(0);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(edge.memory(), memory);
    assert_eq!(edge.serial("shop.test"), None);
    edge.haproxy.check().unwrap();
}
