//! The program with a daemon, and without one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;

use hotcert::cli::{Clerk, Request};
use hotcert::config::{Config, Flags};
use hotcert::store::Store;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::player::{Part, Player, state};
use crate::support::fake::FakeSocket;
use crate::support::secrets::{Secret, expect_none};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Outcome, PebbleVersion, Pki, SERVER_DEADLINE, Site, poll};

/// What the program says at `-vv` when a daemon works for it.
const BY_DAEMON: &str = "the daemon does it";

fn daemon(part: &'static str, site: &Site) -> Player {
    Part::new(part, &site.hotcert.state_dir()).node(&site.haproxy.socket(), &site.haproxy.crt_dir()).serve()
}

/// Runs a command that says nothing of nodes.
fn bare(site: &Site, arguments: &[&str]) -> Outcome {
    let state: [OsString; 2] = ["--state-dir".into(), site.hotcert.state_dir().into()];
    site.hotcert.run(arguments.iter().map(OsString::from).chain(state))
}

/// Runs a command with flags that repeat what the daemon has.
fn repeating(site: &Site, arguments: &[&str]) -> Outcome {
    let socket: [OsString; 2] = ["--socket".into(), site.haproxy.socket().into()];
    let state: [OsString; 2] = ["--state-dir".into(), site.hotcert.state_dir().into()];
    site.hotcert.run(arguments.iter().map(OsString::from).chain(socket).chain(state))
}

fn by_daemon(outcome: Outcome) -> Value {
    let outcome = outcome.expect_code(0);
    assert!(outcome.stderr.contains(BY_DAEMON), "{outcome:?}");
    outcome.json()
}

#[test]
fn a_command_is_the_same_through_the_daemon() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let mut first = daemon("daemon", &site);
    let pki = Pki::new();
    for _ in 0..2 {
        let leaf = pki.leaf("push.test").issue();
        // A path that means something only to whoever typed it.
        site.hotcert.scratch().write("push.pem", leaf.fullchain_and_key());
        let pushed = by_daemon(repeating(&site, &["push", "push.pem", "--json", "-vv"]));
        assert_eq!(pushed["certificates"][0]["name"], "push.test");
        assert_eq!(site.serial("push.test").unwrap(), leaf.serial());
    }
    let dry_run = by_daemon(bare(&site, &["push", "push.pem", "--dry-run", "--json", "-vv"]));
    assert_eq!(dry_run["certificate"], "push.test");
    let back = by_daemon(bare(&site, &["rollback", "push.test", "--json", "-vv"]));
    assert_eq!(back["certificates"][0]["generation"], 1);
    by_daemon(bare(&site, &["sync", "--json", "-vv"]));
    // The authority is this machine's, and the daemon finds its root where the flag says.
    let mut ordering: Vec<OsString> = ["issue", "shop.test", "--json", "-vv"].map(OsString::from).into();
    ordering.extend(["--state-dir".into(), site.hotcert.state_dir().into()]);
    ordering.extend(site.authority_flags());
    let ordered = by_daemon(site.hotcert.run(ordering));
    assert_eq!(ordered["ordered"][0], "shop.test");
    by_daemon(bare(&site, &["renew", "--json", "-vv"]));

    // By turns with and without it, on the same state of things.
    let commands = [&["status"][..], &["status", "push.test"], &["list"], &["plan"], &["renew", "--dry-run"]];
    let run = |command: &[&str]| {
        let by = if command == ["list"] { bare } else { repeating };
        [&[][..], &["--json"]].map(|more| by(&site, &[command, more].concat()).expect_code(0).stdout)
    };
    let failing = ["rollback", "nobody.test", "--json"];
    let through = commands.map(run);
    let failed = repeating(&site, &failing).expect_code(64);
    first.process.kill();
    let alone = commands.map(run);
    // The flags do not know how the daemon was told to call the node, which is the same here.
    assert_eq!(through, alone);
    let failed_alone = repeating(&site, &failing).expect_code(64);
    assert_eq!((failed.stdout, failed.stderr), (failed_alone.stdout, failed_alone.stderr));
}

#[test]
fn status_is_what_the_daemon_saw_a_moment_ago() {
    let mut site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let pki = Pki::new();
    for name in ["a.test", "b.test"] {
        site.hotcert.scratch().write("push.pem", pki.leaf(name).issue().fullchain_and_key());
        site.run(&["push", "push.pem"]).expect_code(0);
    }
    let commands = [&["status", "--json"][..], &["status"], &["status", "b.test"]];
    let before = commands.map(|command| repeating(&site, command).expect_code(0).stdout);
    let _daemon = daemon("watchful", &site);
    site.haproxy.kill();
    let after = commands.map(|command| repeating(&site, command).expect_code(0).stdout);
    assert_eq!(before, after);
    assert!(!after[2].contains("a.test"), "{}", after[2]);
}

#[test]
fn many_hooks_that_push_at_once_all_get_their_turn() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let _daemon = daemon("daemon", &site);
    let pki = Pki::new();
    let leaves: Vec<_> = (0..20).map(|number| pki.leaf(&format!("n{number}.test")).issue()).collect();
    let running: Vec<_> = leaves
        .iter()
        .zip(0..)
        .map(|(leaf, number)| {
            let file = site.hotcert.scratch().write(format!("{number}.pem"), leaf.fullchain_and_key());
            let flag = |name: &str| OsString::from(name);
            let state = site.hotcert.state_dir();
            site.hotcert.spawn([flag("push"), file.into(), flag("-vv"), flag("--state-dir"), state.into()])
        })
        .collect();
    for hook in running {
        let outcome = hook.wait(SERVER_DEADLINE).expect_code(0);
        assert!(outcome.stderr.contains(BY_DAEMON), "{outcome:?}");
    }
    for (leaf, number) in leaves.iter().zip(0..) {
        assert_eq!(site.serial(&format!("n{number}.test")).unwrap(), leaf.serial());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_stops_begins_nothing_and_gives_up_looking() {
    let scratch = state();
    let state_dir = scratch.join("state");
    let socket = FakeSocket::silent(scratch.join("silent.sock"));
    let sockets = vec![socket.path().to_str().unwrap().parse().unwrap()];
    let flags = Flags { sockets, state_dir: Some(state_dir.clone()), ..Flags::default() };
    let config = Arc::new(Config::load(None, &flags).unwrap());
    let stop = CancellationToken::new();
    let clerk = Arc::new(Clerk::new(Store::open(&state_dir).unwrap(), stop.clone()));
    let ask = |request: Request| {
        let (clerk, config) = (Arc::clone(&clerk), Arc::clone(&config));
        tokio::spawn(async move { serde_json::to_value(clerk.answer(request, &config, None).await).unwrap() })
    };
    // Both look at a node that never answers; the third waits for its turn.
    let (changing, looking) = (ask(Request::Sync), ask(Request::Plan));
    while socket.received().is_empty() {
        tokio::task::yield_now().await;
    }
    let waiting = ask(Request::Sync);
    stop.cancel();
    for stopped in [looking, waiting, ask(Request::Sync), ask(Request::List)] {
        let outcome = stopped.await.unwrap();
        assert_eq!(outcome["failures"][0]["message"], "the daemon is stopping", "{outcome}");
        assert_eq!(outcome["exit"], "Later");
    }
    assert!(!changing.is_finished(), "a change that was begun is brought to its end");
}

#[test]
fn a_daemon_with_other_nodes_or_another_part_is_passed_over() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let other = Haproxy::new(HaproxyVersion::V3_2).start();
    let state = site.hotcert.state_dir();
    let mut stranger = Part::new("dying", &state).node(&other.socket(), &other.crt_dir()).serve();
    let outcome = site.run(&["sync", "-v"]).expect_code(0);
    assert!(outcome.stderr.contains("the daemon has other nodes"), "{outcome:?}");
    stranger.process.kill();

    let mut agent = daemon("agent", &site);
    let outcome = bare(&site, &["status", "-vv"]).expect_code(0);
    assert!(outcome.stderr.contains("not the daemon's part"), "{outcome:?}");
    agent.process.kill();

    let loader = daemon("loader", &site);
    let outcome = repeating(&site, &["renew", "-vv"]).expect_code(0);
    assert!(outcome.stderr.contains("not the daemon's part"), "{outcome:?}");
    drop(loader);
}

#[test]
fn a_daemon_that_ends_in_the_middle_is_told_of_and_nothing_is_done_twice() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let _dying = daemon("dying", &site);
    let outcome = bare(&site, &["sync", "--json"]).expect_code(75);
    let error = &outcome.json()["error"];
    assert_eq!(error["kind"], "daemon");
    assert_eq!(error["hint"], "the daemon ended; run the command again");

    let mut dying = daemon("dying", &site);
    let outcome = repeating(&site, &["plan", "-v"]).expect_code(0);
    assert!(outcome.stderr.contains("gave no answer"), "{outcome:?}");
    dying.process.kill();

    // One that has begun nothing is no hindrance.
    let _stopping = daemon("stopping", &site);
    let outcome = repeating(&site, &["sync", "-v"]).expect_code(0);
    assert!(outcome.stderr.contains("the daemon is stopping"), "{outcome:?}");
}

#[test]
fn a_pushed_key_is_in_no_log_of_the_daemon_and_no_reply() {
    let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
    let daemon = daemon("daemon", &site);
    let pki = Pki::new();
    let (leaf, other) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let secrets = [Secret::of("the key", &leaf.key_pem()), Secret::of("the other key", &other.key_pem())];
    let scratch = site.hotcert.scratch();
    scratch.write("good.pem", leaf.fullchain_and_key());
    scratch.write("wrong.pem", leaf.fullchain() + &other.key_pem());
    scratch.write("broken.pem", leaf.fullchain() + &leaf.key_pem().replacen('\n', "\n\u{7f}", 2));
    for (file, code) in [("good.pem", 0), ("wrong.pem", 1), ("broken.pem", 1)] {
        let outcome = repeating(&site, &["push", file, "--name", "a.test", "-vvv"]).expect_code(code);
        assert!(outcome.stderr.contains(BY_DAEMON), "{outcome:?}");
        expect_none(&secrets, file, format!("{outcome:?}").as_bytes());
    }
    let log = daemon.process.log();
    assert!(log.contains("TRACE"), "{log}");
    expect_none(&secrets, "the log of the daemon", log.as_bytes());
}

#[test]
fn no_core_dump_could_hold_a_key() {
    let hotcert = Hotcert::new().unprivileged();
    let scratch = hotcert.scratch();
    let socket = FakeSocket::silent(scratch.join("silent.sock"));
    scratch.chmod("silent.sock", 0o666);
    let state = hotcert.state_dir();
    let running = hotcert.spawn([
        OsString::from("status"),
        "--socket".into(),
        socket.path().into(),
        "--state-dir".into(),
        state.into(),
    ]);
    let has_begun = || (!socket.received().is_empty()).then_some(());
    assert!(poll(SERVER_DEADLINE, has_begun).is_some());
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    // What the system keeps of a process that is not dumpable belongs to root (`proc(5)`).
    assert_eq!(fs::metadata(format!("/proc/{}/environ", running.id())).unwrap().uid(), 0);
}
