//! The roads of challenges at a real HAProxy, and that what the doctor says of them comes true.

use hotcert::doctor::Check;

use crate::support::net::Port;
use crate::support::sidecar::quoted;
use crate::support::webroot::Webroot;
use crate::support::{Haproxy, HaproxyVersion, Pebble, PebbleVersion, Site};
use crate::verdicts;

/// A HAProxy that redirects everything, challenges too.
const BEFORE: &str = "global
    maxconn 1000
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend http
    bind 127.0.0.1:{http}
    http-request redirect scheme https
frontend https
    bind 127.0.0.1:{https} ssl crt {dir}/certs/ strict-sni
";
const REDIRECT: &str = "    http-request redirect scheme https\n";

/// Writes a configuration with these solvers, and a certificate for each pair of a name and a solver.
fn configured(site: &Site, solvers: &str, certificates: &[(&str, &str)]) -> String {
    let Site { haproxy, pebble, hotcert, .. } = site;
    let mut text = format!(
        "version = 1\nstate_dir = {}\nresolver = \"{}\"\n[haproxy.edge]\nsocket = {}\ncrt_dir = {}\nverify = [\"{}\"]\n\
         [issuer.pebble]\ndirectory = \"{}\"\nroot_ca = {}\ncontact = \"a@example.org\"\nterms_agreed = true\nlimits = \"letsencrypt\"\n{solvers}",
        quoted(hotcert.state_dir()),
        pebble.dns().addr(),
        quoted(haproxy.socket()),
        quoted(haproxy.crt_dir()),
        haproxy.https_addr(),
        pebble.directory(),
        quoted(pebble.root_ca()),
    );
    for (name, solver) in certificates {
        text.push_str(&format!("[[certificate]]\nname = \"{name}\"\ndomains = [\"{name}\"]\nsolver = \"{solver}\"\n"));
    }
    hotcert.scratch().write("hotcert.toml", text).display().to_string()
}

/// What is said of one check: verdicts, and what they are about.
fn said(site: &Site, file: &str, check: Check) -> Vec<(String, String)> {
    let outcome = site.hotcert.run(["--config", file, "--json", "doctor"]);
    verdicts(&outcome).remove(check.as_str()).unwrap_or_else(|| panic!("{check} is silent: {outcome:?}"))
}

#[track_caller]
fn expect(said: &[(String, String)], verdict: &str, part: &str) {
    assert!(said.iter().any(|(of, text)| of == verdict && text.contains(part)), "{verdict}, {part}: {said:#?}");
}

/// Does with the lines that are printed what they say.
fn apply(site: &mut Site, file: &str, before: &str) {
    let lines = site.hotcert.run(["--config", file, "config", "haproxy"]).expect_code(0).stdout;
    let rules = lines.lines().skip_while(|line| !line.contains("acl acme_challenge"));
    let rules: String = rules.take_while(|line| line.starts_with("    ")).map(|line| format!("{line}\n")).collect();
    let backend = lines.find("\nbackend hotcert_acme").map_or("", |at| &lines[at..]);
    let backend = backend.replace("127.0.0.1:8080", &site.haproxy.acme_addr().to_string());
    let text = before.replace(REDIRECT, &format!("{rules}{REDIRECT}")) + &backend;
    site.haproxy.scratch().write("haproxy.cfg", text);
    site.haproxy.restart();
}

#[test]
fn the_roads_of_a_map_and_of_a_webroot_are_tried() {
    let builder = Haproxy::new(HaproxyVersion::V3_2).config(BEFORE).file("acme.map", "");
    let mut site = Site::with(builder, Pebble::new(PebbleVersion::V2_10));
    let before = site.haproxy.scratch().read("haproxy.cfg");
    let probe = site.haproxy.http_addr();
    let (map, empty) = (site.haproxy.map(), site.hotcert.scratch().dir("www"));
    let solver = |how: &str| format!("[solver.http]\ntype = \"http-01\"\nprobe = \"{probe}\"\n{how}\n");
    let webroot = |path| solver(&format!("via = \"webroot\"\npath = {}", quoted(path)));

    let file =
        configured(&site, &solver(&format!("via = \"haproxy-map\"\nmap = {}", quoted(map))), &[("map.test", "http")]);
    let at_first = said(&site, &file, Check::Http01);
    expect(&at_first, "broken", "map.test: challenges for map.test would not be answered");
    expect(&at_first, "broken", "edge: node edge cannot show the map");
    apply(&mut site, &file, &before);
    let then = said(&site, &file, Check::Http01);
    assert_eq!(then.len(), 1, "{then:#?}");
    expect(&then, "good", "map.test: ");
    site.hotcert.run(["--config", &file, "renew"]).expect_code(0);

    let file = configured(&site, &webroot(empty.as_path()), &[("webroot.test", "http")]);
    // HAProxy says itself that there is no such token: as good as a web server that does.
    expect(&said(&site, &file, Check::Http01), "good", "webroot.test: ");
    apply(&mut site, &file, &before);
    expect(&said(&site, &file, Check::Http01), "broken", "says 503");
    let web = Webroot::serve(site.haproxy.acme_addr());
    let file = configured(&site, &webroot(web.path()), &[("webroot.test", "http")]);
    expect(&said(&site, &file, Check::Http01), "good", "webroot.test: ");
    site.hotcert.run(["--config", &file, "renew"]).expect_code(0);
    assert!(web.challenges().is_empty(), "{:?}", web.challenges());
}

#[test]
fn handshakes_records_and_what_may_still_be_ordered_are_tried() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let (free, other, closed) = (Port::reserve(), Port::reserve(), Port::reserve());
    let key = site.hotcert.scratch().write("tsig.key", "key \"k\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };\n");
    site.hotcert.scratch().chmod("tsig.key", 0o600);
    let solvers = format!(
        "[solver.http]\ntype = \"http-01\"\nvia = \"listener\"\nlisten = \"{acme}\"\nprobe = \"{http}\"\n\
         [solver.tls]\ntype = \"tls-alpn-01\"\nlisten = \"{free}\"\nprobe = \"{free}\"\n\
         [solver.ended]\ntype = \"tls-alpn-01\"\nlisten = \"{other}\"\nprobe = \"{https}\"\n\
         [solver.program]\ntype = \"dns-01\"\nprovider = \"exec\"\nprogram = \"/bin/true\"\n\
         [solver.update]\ntype = \"dns-01\"\nprovider = \"rfc2136\"\nserver = \"{closed}\"\nzone = \"test\"\ntsig = {{ key_file = {key} }}\n",
        acme = site.haproxy.acme_addr(),
        http = site.haproxy.http_addr(),
        free = free.addr(),
        other = other.addr(),
        https = site.haproxy.https_addr(),
        closed = closed.addr(),
        key = quoted(key),
    );
    let names = [
        ("http.test", "http"),
        ("tls.test", "tls"),
        ("ended.test", "ended"),
        ("program.test", "program"),
        ("update.test", "update"),
    ];
    let file = configured(&site, &solvers, &names);
    let outcome = site.hotcert.run(["--config", &file, "--json", "doctor"]).expect_code(2);
    let all = verdicts(&outcome);
    expect(&all["http-01"], "good", "http.test: challenges are answered");
    expect(&all["tls-alpn-01"], "good", "tls.test: challenges are answered");
    expect(&all["tls-alpn-01"], "broken", "ended.test: challenges for ended.test would not reach hotcert");
    expect(&all["dns-01"], "good", "program.test: ");
    expect(&all["dns-01"], "broken", "update.test: ");
    expect(&all["budget"], "good", "pebble: left: 300 new orders");

    // Of five certificates a week for one set of names, two are kept for emergencies.
    for _ in 0..3 {
        site.hotcert.run(["--config", &file, "renew", "http.test", "--force"]).expect_code(0);
    }
    expect(&said(&site, &file, Check::Budget), "look", "http.test may not be ordered from pebble before ");
}
