//! Orders that cannot succeed: what is wrong is told before an order is spent wherever that can be known, and nothing changes.

use std::ffi::OsString;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::disk::TinyDisk;
use crate::support::net::Port;
use crate::support::pebble::BLOCKED;
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome, Pebble, PebbleVersion, Pki};
use crate::unharmed::{Bench, Expected, NAME, Snapshot, usage};

/// A HAProxy whose plain HTTP answers by the name that is asked for: each way in which challenges go astray.
const ASTRAY: &str = "\
global
    maxconn 1000
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend http
    bind 127.0.0.1:{http}
    http-request redirect scheme https code 301 if { hdr(host) -m beg redirect. }
    http-request return status 404 if { hdr(host) -m beg missing. }
    http-request return status 500 if { hdr(host) -m beg broken. }
    http-request return status 200 content-type text/plain string other if { hdr(host) -m beg other. }
    use_backend nowhere if { hdr(host) -m beg down. }
    use_backend acme if { path_beg /.well-known/acme-challenge/ }
frontend https
    bind 127.0.0.1:{https} {tls}
    http-request return status 200 content-type text/html string \"<html>log in</html>\" if { path /html }
    http-request return status 503 content-type text/html string \"<html>down</html>\" if { path /down }
    http-request redirect location https://login.test/ code 302 if { path /login }
    http-request return status 200 content-type application/json string \"{}\" if { path /empty }
backend acme
    server hotcert 127.0.0.1:{acme}
backend nowhere
    server none 127.0.0.1:9
";

/// An authority, and a bench whose HAProxy also plays what is no authority.
struct Orders {
    bench: Bench,
    pebble: Pebble,
    pki_file: OsString,
}

impl Orders {
    fn new() -> Self {
        let bench = Bench::with(Haproxy::new(HaproxyVersion::V3_2).config(ASTRAY), Hotcert::new());
        let pebble = Pebble::new(PebbleVersion::V2_10).http01(bench.haproxy.http_addr()).start();
        let pki_file = bench.file("root.pem", bench.pki.root_pem());
        // The same HAProxy has a certificate for the address on which it plays an authority.
        let own = bench.pki.leaf("localhost").issue().fullchain_and_key();
        bench.push(&own, &["--name", "localhost"]).expect_code(0);
        Self { bench, pebble, pki_file }
    }

    /// Flags without which nothing can be ordered, but contact and terms.
    fn bare(&self) -> Vec<OsString> {
        let mut flags = vec!["--directory".into(), self.pebble.directory().into()];
        flags.extend(["--root-ca".into(), self.pebble.root_ca().into()]);
        flags.extend(["--http-01-probe".into(), self.bench.haproxy.http_addr().to_string().into()]);
        flags.extend(["--http-01-listen".into(), self.bench.haproxy.acme_addr().to_string().into()]);
        flags
    }

    fn flags(&self) -> Vec<OsString> {
        let mut flags = self.bare();
        flags.extend(["--contact".into(), "admin@example.org".into(), "--agree-terms".into()]);
        flags
    }

    fn issue(&self, name: &str, flags: Vec<OsString>) -> Outcome {
        self.bench.run(["issue".into(), name.into()].into_iter().chain(flags))
    }

    /// Orders from something else than the authority.
    fn issue_from(&self, directory: &str, root_ca: &OsString) -> Outcome {
        let mut flags = self.flags();
        flags[1] = directory.into();
        flags[3].clone_from(root_ca);
        self.issue("fresh.test", flags)
    }

    /// Checks that an order is refused before it is made, and changes nothing.
    fn refuses(&self, expected: Expected<'_>, act: impl FnOnce() -> Outcome) {
        let orders = self.pebble.orders();
        self.bench.refuses(expected, act);
        assert_eq!(self.pebble.orders(), orders, "an order was spent");
    }
}

const fn authority<'a>(code: i32, says: &'a [&'a str], hint: &'a str) -> Expected<'a> {
    Expected { code, kind: "authority", says, hint }
}

const fn config<'a>(says: &'a [&'a str], hint: &'a str) -> Expected<'a> {
    Expected { code: 78, kind: "config", says, hint }
}

#[test]
fn an_authority_that_cannot_be_used_is_told() {
    let orders = Orders::new();
    let own = &orders.pki_file;
    let nobody = Port::reserve();
    let place = nobody.addr().to_string();
    orders.refuses(authority(75, &[&place, "cannot be reached", "refused"], "directory URL"), || {
        orders.issue_from(&format!("https://{place}/dir"), own)
    });
    let at = |path: &str| format!("https://localhost:{}/{path}", orders.bench.haproxy.https_addr().port());
    let cases: [(&str, i32, &[&str], &str); 4] = [
        ("html", 75, &["localhost", "does not answer as an ACME authority", "text/html"], "proxy or login page"),
        ("login", 75, &["redirects to https://login.test/"], "proxy or login page"),
        ("down", 75, &["localhost", "not available", "503"], "try again later"),
        ("empty", 75, &["RFC 8555"], "directory URL"),
    ];
    for (path, code, says, hint) in cases {
        orders.refuses(authority(code, says, hint), || orders.issue_from(&at(path), own));
    }
    // Its certificate is signed by an authority that nobody told us about.
    let stranger = orders.bench.file("stranger.pem", Pki::new().root_pem());
    orders.refuses(authority(1, &["localhost", "is not trusted", "UnknownIssuer"], "--root-ca"), || {
        orders.issue_from(&at("html"), &stranger)
    });
    let unreadable = Expected { code: 78, kind: "config", says: &["/nowhere.pem", "No such file"], hint: "--root-ca" };
    orders.refuses(unreadable, || orders.issue_from(&at("html"), &"/nowhere.pem".into()));
    let text = orders.bench.file("text.pem", "hello");
    let no_root = Expected { code: 78, kind: "config", says: &["text.pem"], hint: "--root-ca" };
    orders.refuses(no_root, || orders.issue_from(&at("html"), &text));
    orders.refuses(usage(&["--directory", "http://plain.test/dir"], "--help"), || {
        orders.issue_from("http://plain.test/dir", own)
    });
}

#[test]
fn an_authority_that_does_not_answer_is_given_up_in_time() {
    let orders = Orders::new();
    // The connection is taken by the operating system, and nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let place = silent.local_addr().expect("it has an address").to_string();
    let begin = Instant::now();
    orders.refuses(authority(75, &[&place, "did not answer within"], "try again later"), || {
        orders.issue_from(&format!("https://{place}/dir"), &orders.pki_file)
    });
    assert!(begin.elapsed() < Duration::from_secs(45), "{:?}", begin.elapsed());
}

#[test]
fn an_order_that_cannot_succeed_is_not_made() {
    let orders = Orders::new();
    let without = |unwanted: &str| {
        let mut flags = orders.flags();
        let at = flags.iter().position(|flag| flag == unwanted).expect("the flag is there");
        flags.drain(at..at + if unwanted == "--contact" { 2 } else { 1 });
        flags
    };
    let directory = orders.pebble.directory();
    orders.refuses(config(&["contact missing", &directory], "--contact"), || {
        orders.issue("fresh.test", without("--contact"))
    });
    orders.refuses(config(&["terms of service not agreed", &directory], "--agree-terms"), || {
        orders.issue("fresh.test", without("--agree-terms"))
    });
    for mail in ["nobody", "mailto:", "a@b c"] {
        let mut flags = without("--contact");
        flags.extend(["--contact".into(), mail.into()]);
        orders.refuses(usage(&[mail], "--contact"), || orders.issue("fresh.test", flags));
    }
    orders.refuses(usage(&["*.fresh.test", "is a wildcard", "http-01"], "dns-01"), || {
        orders.issue("*.fresh.test", orders.flags())
    });
    for name in ["not a name", "a..test", "a_b.test/", "", "*", "a.*.test"] {
        orders.refuses(usage(&["NAME"], "--help"), || orders.issue(name, orders.flags()));
    }
    // A certificate that is served under this name covers more.
    let more = orders.bench.pki.leaf("more.test").names(&["more.test", "www.more.test"]).issue();
    orders.bench.push(&more.fullchain_and_key(), &[]).expect_code(0);
    let lost = crate::unharmed::refused(&["does not cover www.more.test"], "--force");
    orders.refuses(lost, || orders.issue("more.test", orders.flags()));

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let place = taken.local_addr().expect("it has an address").to_string();
    let mut flags = orders.flags();
    let at = flags.iter().position(|flag| flag == "--http-01-listen").expect("the flag is there");
    flags[at + 1] = place.clone().into();
    let says = ["cannot listen on", place.as_str(), "in use"];
    let in_use = Expected { code: 1, kind: "solver", says: &says, hint: "ss -ltnp" };
    orders.refuses(in_use, || orders.issue("fresh.test", flags));

    // Its policy is known to nobody but the authority; it refuses the order, and makes none.
    orders.refuses(authority(1, &["blocked.test", "policy"], "name"), || orders.issue(BLOCKED, orders.flags()));
    let profile = |orders: &Orders| {
        let mut flags = orders.flags();
        flags.extend(["--profile".into(), "nonsense".into()]);
        orders.issue("fresh.test", flags)
    };
    orders
        .refuses(authority(78, &["does not offer the profile", "nonsense", "default"], "profile"), || profile(&orders));
}

#[test]
fn an_order_that_could_not_be_stored_or_loaded_is_not_made() {
    let orders = Orders::new();
    let bench = &orders.bench;
    let issue = |socket: &OsString, crt_dir: &OsString| {
        let mut arguments: Vec<OsString> = vec!["issue".into(), "fresh.test".into(), "--socket".into(), socket.clone()];
        arguments.extend(["--crt-dir".into(), crt_dir.clone()]);
        bench.run_bare(arguments.into_iter().chain(bench.state_flags()).chain(orders.flags()))
    };
    let (socket, certs) = (bench.haproxy.socket().into_os_string(), bench.haproxy.crt_dir().into_os_string());
    let node = |code, says, hint| Expected { code, kind: "node", says, hint };
    orders.refuses(node(75, &["/nowhere.sock"], "stats socket"), || issue(&"/nowhere.sock".into(), &certs));
    let weak = Haproxy::new(HaproxyVersion::V3_2).stats_level("operator").start();
    orders.refuses(node(1, &["operator", "admin is needed"], "level admin"), || issue(&weak.socket().into(), &certs));

    let disk = |says, hint| Expected { code: 1, kind: "store", says, hint };
    orders.refuses(disk(&["/nowhere", "No such file"], "make it"), || issue(&socket, &"/nowhere".into()));
    bench.haproxy.scratch().chmod("certs", 0o777);
    orders.refuses(disk(&["0777", "everybody could put certificates"], "chmod o-w"), || issue(&socket, &certs));
    bench.haproxy.scratch().chmod("certs", 0o755);
    bench.hotcert.scratch().chmod("state", 0o755);
    orders.refuses(disk(&["0755", "private keys"], "chmod 700"), || issue(&socket, &certs));
    bench.hotcert.scratch().chmod("state", 0o700);

    // The key could not be kept.
    let tiny = TinyDisk::mount(bench.hotcert.state_dir(), 128);
    tiny.fill();
    let user = Hotcert::new().on_disk(&tiny);
    let flags = bench.node_flags().into_iter().chain(orders.flags()).chain(["--json".into()]);
    let arguments: Vec<OsString> = ["issue".into(), "fresh.test".into()].into_iter().chain(flags).collect();
    orders.refuses(disk(&["no space is left"], "make room"), || user.run(&arguments));
    tiny.free();
    user.run(&arguments).expect_code(0);
    assert_eq!(orders.pebble.orders(), 1);
}

#[test]
fn a_challenge_that_would_go_astray_costs_no_order() {
    let orders = Orders::new();
    let cases: [(&str, &[&str], &str); 5] = [
        ("redirect.test", &["status 301 to https://redirect.test/"], "redirect"),
        ("missing.test", &["status 404"], "rule"),
        ("down.test", &["status 503"], "server"),
        ("other.test", &["status 200 with the body \"other\""], "something else answers"),
        ("broken.test", &["status 500"], "not answered"),
    ];
    for (name, says, meaning) in cases {
        let asked = format!("asked http://{name}/.well-known/acme-challenge/");
        let said: Vec<&str> = says.iter().copied().chain([name, asked.as_str()]).collect();
        let expected = |hint| Expected { code: 1, kind: "preflight", says: &said, hint };
        orders.refuses(expected(meaning), || {
            let outcome = orders.issue(name, orders.flags());
            expected("use_backend").check(&outcome);
            expected("no order was spent").check(&outcome);
            outcome
        });
    }
    // One name in many is enough.
    let both = Expected { code: 1, kind: "preflight", says: &["missing.test"], hint: "rule" };
    let flags: Vec<OsString> = ["missing.test".into()].into_iter().chain(orders.flags()).collect();
    orders.refuses(both, || orders.issue("fresh.test", flags));
    assert_eq!(orders.pebble.orders(), 0);

    // The same command with the right road does its work.
    orders.issue("fresh.test", orders.flags()).expect_code(0);
    assert_eq!(orders.pebble.orders(), 1);
}

#[test]
fn a_wrong_configuration_is_told_with_file_line_and_column() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let issuer = "[issuer.a]\ndirectory = \"letsencrypt\"\ncontact = [\"a@example.org\"]\nterms_agreed = true\n";
    let one = "[[certificate]]\nname = \"one\"\ndomains = [\"one.test\"]\n";
    let twice = format!("{one}[[certificate]]\nname = \"one\"\ndomains = [\"two.test\"]\n");
    let cases: [(&str, &[&str]); 7] = [
        (&twice, &["bad.toml:13:1: certificate[1].name", "named one: this one and that of line 10"]),
        (
            "[[certificate]]\ndomains = [\"one.test\"]\ndomain = \"x\"\n",
            &["bad.toml:12:1: certificate[0].domain", "unknown"],
        ),
        ("colour = 1\n", &["bad.toml:10:1", "unknown"]),
        ("[[certificate]]\nname = \"one\"\n", &["certificate[0].domains: is missing"]),
        ("[[certificate]]\ndomains = [\"*.one.test\"]\n", &["certificate[0].domains", "wildcard", "http-01"]),
        (
            "[[certificate]]\ndomains = [\"one.test\"]\nnodes = [\"elsewhere\"]\nkey = \"dsa\"\n",
            &["elsewhere", "edge", "dsa"],
        ),
        ("[[certificate\n", &["bad.toml:10:"]),
    ];
    for (tail, says) in cases {
        let file = bench.file("bad.toml", bench.config(&format!("{issuer}{tail}")));
        for command in [&["config", "check"][..], &["sync"], &["renew"], &["config", "show"], &["status"], &["list"]] {
            let expected = Expected { code: 78, kind: "config", says, hint: "config check" };
            let arguments = command.iter().map(OsString::from).chain(["--config".into(), file.clone()]);
            bench.refuses(expected, || bench.run_bare(arguments));
        }
    }
    let absent = Expected { code: 78, kind: "config", says: &["/nowhere.toml", "No such file"], hint: "--config" };
    bench.refuses(absent, || bench.run_bare(["--config", "/nowhere.toml", "sync"].map(OsString::from)));
    for command in [&["renew", "nobody.test"][..], &["rollback", "nobody.test"], &["status", "nobody.test"]] {
        let expected = usage(&["there is no certificate nobody.test"], NAME);
        bench.refuses(expected, || bench.run(command.iter().map(OsString::from)));
    }
    let before = Snapshot::of(&bench.haproxy, &[]);
    bench.run(["rollback", NAME, "--to", "7"].map(OsString::from)).expect_code(1);
    assert_eq!(Snapshot::of(&bench.haproxy, &[]), before);
}
