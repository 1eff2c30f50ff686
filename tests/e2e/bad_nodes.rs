//! Nodes, directories and disks with which nothing can be done: each is told with its cure, and nothing changes.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use crate::support::disk::TinyDisk;
use crate::support::fake::FakeSocket;
use crate::support::hotcert::give_to_nobody;
use crate::support::process::signal_process;
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome};
use crate::unharmed::{Bench, Expected, NAME, Snapshot};
use rustix::process::Signal;

/// How soon a user learns that a node hangs: the deadline of a command, with time to spare on a busy machine.
const SOON: Duration = Duration::from_secs(9);

/// A failure that has to do with a node.
const fn node<'a>(code: i32, says: &'a [&'a str], hint: &'a str) -> Expected<'a> {
    Expected { code, kind: "node", says, hint }
}

/// A failure on disk.
const fn disk<'a>(says: &'a [&'a str], hint: &'a str) -> Expected<'a> {
    Expected { code: 1, kind: "store", says, hint }
}

/// Pushes a new certificate to another socket.
fn push_to(bench: &Bench, socket: &str) -> Outcome {
    let pem = bench.file("new.pem", bench.pki.leaf(NAME).issue().fullchain_and_key());
    let mut arguments: Vec<OsString> = vec!["push".into(), pem, "--socket".into(), socket.into()];
    arguments.extend(["--crt-dir".into(), bench.haproxy.crt_dir().into()]);
    bench.run_bare(arguments.into_iter().chain(bench.state_flags()))
}

/// Pushes a new certificate of this name.
fn push_new(bench: &Bench, name: &str, more: &[&str]) -> Outcome {
    bench.push(&bench.pki.leaf(name).issue().fullchain_and_key(), more)
}

#[test]
fn a_socket_on_which_there_is_no_haproxy_is_told() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let scratch = bench.hotcert.scratch();
    let path = |name: &str| scratch.join(name).display().to_string();

    let absent = path("none.sock");
    bench.refuses(node(75, &["node", &absent, "there is no socket"], "stats socket"), || push_to(&bench, &absent));
    let dead = path("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("a socket can be bound"));
    bench.refuses(node(75, &[&dead, "nobody listens"], "start HAProxy"), || push_to(&bench, &dead));
    let plain = scratch.write("plain.txt", "x").display().to_string();
    bench.refuses(node(75, &[&plain], "HAProxy"), || push_to(&bench, &plain));
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "220 mail ESMTP\r\n", "\u{0}\u{1}\u{2}"] {
        let fake = FakeSocket::replying(path("fake.sock"), answer);
        let socket = fake.path().display().to_string();
        let says = [socket.as_str(), "is not HAProxy's runtime API"];
        let expected = node(1, &says, "stats socket");
        bench.refuses(expected, || push_to(&bench, &socket));
    }
    let fake = FakeSocket::replying(path("fake.sock"), "");
    bench.refuses(node(75, &["the connection was closed"], "stats socket"), || push_to(&bench, &path("fake.sock")));
    drop(fake);
    // The plain HTTP port answers, but not as a runtime API does.
    let http = format!("tcp://{}", bench.haproxy.http_addr());
    bench.refuses(node(1, &[&http, "is not HAProxy's runtime API"], "stats socket"), || push_to(&bench, &http));
    for wrong in ["ftp://localhost:1", "tcp://localhost", ""] {
        bench.refuses(crate::unharmed::usage(&["--socket"], "--help"), || push_to(&bench, wrong));
    }
}

#[test]
fn a_socket_that_may_not_change_certificates_is_told() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let bench = Bench::new(version);
        for level in ["user", "operator"] {
            let weak =
                Haproxy::new(version).stats_level(level).certificate("shop.test.pem", &bench.leaf.fullchain_and_key());
            let weak = weak.start();
            let socket = weak.socket().display().to_string();
            let before = Snapshot::of(&bench.haproxy, &[&weak.crt_dir()]);
            let says = [socket.as_str(), level, "admin is needed"];
            let expected = node(1, &says, "level admin");
            bench.refuses(expected, || push_to(&bench, &socket));
            assert_eq!(Snapshot::of(&bench.haproxy, &[&weak.crt_dir()]), before);
        }
    }
}

#[test]
fn a_haproxy_that_hangs_is_told_soon() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let fake = FakeSocket::silent(bench.hotcert.scratch().join("silent.sock"));
    let silent = fake.path().display().to_string();
    let expected = node(75, &["node", "no answer", "within 5 s"], "HAProxy hangs");
    let begin = Instant::now();
    bench.refuses(expected, || push_to(&bench, &silent));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());

    bench.refuses(expected, || {
        signal_process(bench.haproxy.main_pid(), Signal::STOP);
        let begin = Instant::now();
        let outcome = push_new(&bench, NAME, &[]);
        let elapsed = begin.elapsed();
        signal_process(bench.haproxy.main_pid(), Signal::CONT);
        assert!(elapsed < SOON, "{elapsed:?}");
        outcome
    });
}

#[test]
fn a_directory_that_cannot_be_published_to_is_told() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let scratch = bench.hotcert.scratch();
    let push_into = |directory: &str| {
        let pem = bench.file("new.pem", bench.pki.leaf(NAME).issue().fullchain_and_key());
        let arguments = ["push".into(), pem, "--socket".into(), bench.haproxy.socket().into()];
        let directory = ["--crt-dir".into(), directory.into()];
        bench.run_bare(arguments.into_iter().chain(directory).chain(bench.state_flags()))
    };
    let absent = scratch.join("nowhere").display().to_string();
    bench.refuses(disk(&[&absent, "No such file"], "make it"), || push_into(&absent));
    let file = scratch.write("file", "").display().to_string();
    bench.refuses(disk(&[&file, "is not a directory"], "ls -ld"), || push_into(&file));

    // The directory from which HAProxy loads is the one that counts, and it is open to everybody.
    bench.haproxy.scratch().chmod("certs", 0o777);
    let certs = bench.haproxy.crt_dir().display().to_string();
    bench.refuses(disk(&[&certs, "0777", "everybody could put certificates"], "chmod o-w"), || {
        push_new(&bench, NAME, &[])
    });
    bench.haproxy.scratch().chmod("certs", 0o755);

    let state = bench.hotcert.state_dir().display().to_string();
    for command in ["push", "status", "list"] {
        bench.hotcert.scratch().chmod("state", 0o755);
        let says = [state.as_str(), "0755", "others could reach the private keys"];
        let expected = disk(&says, "chmod 700");
        bench.refuses(expected, || match command {
            "push" => push_new(&bench, NAME, &[]),
            _ => bench.run_bare([command.into()].into_iter().chain(bench.state_flags())),
        });
        bench.hotcert.scratch().chmod("state", 0o700);
    }
}

#[test]
fn a_directory_of_another_user_is_told() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let nobody = Hotcert::new().unprivileged();
    for place in ["", "certs"] {
        bench.haproxy.scratch().chmod(place, 0o755);
    }
    let pem = nobody.scratch().write("new.pem", bench.pki.leaf(NAME).issue().fullchain_and_key());
    nobody.scratch().chmod("new.pem", 0o644);
    let push = || {
        let mut arguments: Vec<OsString> = vec!["push".into(), pem.clone().into(), "--json".into()];
        arguments.extend(["--socket".into(), bench.haproxy.socket().into()]);
        arguments.extend(["--crt-dir".into(), bench.haproxy.crt_dir().into()]);
        arguments.extend(["--state-dir".into(), nobody.state_dir().into()]);
        nobody.run(arguments)
    };
    let certs = bench.haproxy.crt_dir().display().to_string();
    bench.refuses(disk(&[&certs, "not allowed to write to"], "namei -l"), push);
    // With that mended, the socket is the next.
    give_to_nobody(bench.haproxy.crt_dir());
    let socket = bench.haproxy.socket().display().to_string();
    bench.refuses(node(75, &[&socket, "no permission"], "member of the socket's group"), push);
    assert!(!nobody.state_dir().join("certs").exists());
}

#[test]
fn a_full_disk_is_told_and_costs_nothing() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let pem = |name: &str| bench.file("new.pem", bench.pki.leaf(name).issue().fullchain_and_key());
    // The state directory, then the certificate directory, on a disk without a free block.
    for (place, is_state) in [(bench.hotcert.state_dir(), true), (bench.haproxy.crt_dir(), false)] {
        let disk_of = TinyDisk::mount(&place, 128);
        let user = Hotcert::new().on_disk(&disk_of);
        let state = bench.hotcert.state_dir();
        let seen = if is_state { disk_of.view().join("certs") } else { disk_of.view() };
        for name in [NAME, "fresh.test"] {
            let arguments: Vec<OsString> = vec!["push".into(), pem(name), "--json".into()];
            let arguments: Vec<OsString> = arguments.into_iter().chain(bench.node_flags()).collect();
            disk_of.fill();
            let before = Snapshot::of(&bench.haproxy, &[&seen, &state.join("certs"), &bench.haproxy.crt_dir()]);
            let path = place.display().to_string();
            disk(&[&path, "no space is left"], "make room").check(&user.run(&arguments));
            // For people: what was taken back is not shown as if it were there.
            let told = user.run(arguments.iter().filter(|word| *word != "--json"));
            assert!(!told.stdout.contains(name) && !told.stderr.contains("os error"), "{told:?}");
            let after = Snapshot::of(&bench.haproxy, &[&seen, &state.join("certs"), &bench.haproxy.crt_dir()]);
            assert_eq!(after, before);
            disk_of.free();
        }
        // With room, the same command does its work.
        let arguments: Vec<OsString> = vec!["push".into(), pem(NAME)];
        user.run(arguments.into_iter().chain(bench.node_flags())).expect_code(0);
    }
}

#[test]
fn a_disk_that_is_read_only_is_told() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let pem = bench.file("new.pem", bench.pki.leaf(NAME).issue().fullchain_and_key());
    for place in [bench.hotcert.state_dir(), bench.haproxy.crt_dir()] {
        let frozen = TinyDisk::mount(&place, 128);
        frozen.read_only(true);
        let user = Hotcert::new().on_disk(&frozen);
        let flags = bench.node_flags().into_iter().chain(["--json".into()]);
        let path = place.display().to_string();
        bench.refuses(disk(&["not allowed to", &path, "Read-only file system"], "namei -l"), || {
            user.run(["push".into(), pem.clone()].into_iter().chain(flags))
        });
    }
}

#[test]
fn a_crt_list_that_haproxy_does_not_know_is_told() {
    let bench = Bench::new(HaproxyVersion::V3_2);
    let list = bench.haproxy.scratch().write("other-list.txt", "").display().to_string();
    for unknown in [list.as_str(), "/nowhere.txt", "list\nshow info"] {
        let says = ["certificate fresh.test", "node haproxy", "has no crt-list", unknown];
        let expected = Expected { code: 1, kind: "unplaced", says: &says, hint: "as HAProxy's `bind` line has it" };
        bench.refuses(expected, || push_new(&bench, "fresh.test", &["--attach", unknown]));
    }
}
