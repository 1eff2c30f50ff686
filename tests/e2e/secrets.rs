//! Private keys are in the files that are theirs, and nowhere else: not in what is printed, logged, sent to logs of HAProxy, or
//! seen by other users of the machine.

mod daemon;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::fake::FakeSocket;
use crate::support::secrets::{Secret, expect_none, files};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, KeyType, Outcome, Pebble, PebbleVersion, Pki, Site, process};

const DEADLINE: Duration = Duration::from_mins(1);

#[test]
fn generated_keys_are_in_their_files_alone() {
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let mut site = Site::with(Haproxy::new(version), Pebble::new(PebbleVersion::V2_4));
        site.hotcert = Hotcert::new().open_umask();
        let modes = Modes::default();
        let mut seen = thread::scope(|scope| {
            scope.spawn(|| modes.watch(&site));
            let seen = observed(&site.hotcert, &site.issue_arguments(&["shop.test", "-vv", "--json"]), 0);
            modes.stop.store(true, Ordering::Relaxed);
            seen
        });
        for command in [&["status", "-vvv", "--json"][..], &["status"], &["plan", "--json"], &["sync", "-vvv"]] {
            seen.extend(observed(&site.hotcert, &arguments(command, &site), 0));
        }
        // Now the keys are known: of the account, and of the certificate.
        let state = site.hotcert.state_dir();
        let keys: Vec<PathBuf> = files(&state).into_iter().filter(|path| is_key(path)).collect();
        assert_eq!(keys.len(), 2, "{keys:?}");
        let secrets: Vec<Secret> =
            keys.iter().map(|path| Secret::of(path.to_str().unwrap(), &fs::read_to_string(path).unwrap())).collect();
        for (key, secret) in keys.iter().zip(&secrets) {
            assert!(secret.is_in(&fs::read(key).unwrap()), "a search that finds nothing proves nothing");
        }
        expect_kept(&site, &secrets, &seen);
        expect_modes(&site);
    }
}

#[test]
fn a_pushed_key_shows_up_nowhere_whatever_is_wrong_with_it() {
    // 2.8 and later answer to a key line that follows an empty one by repeating it.
    for version in [HaproxyVersion::V2_8, HaproxyVersion::V3_2] {
        let mut site = Site::with(Haproxy::new(version), Pebble::new(PebbleVersion::V2_4));
        site.hotcert = Hotcert::new().open_umask();
        let pki = Pki::new();
        let leaf = pki.leaf("a.test").issue();
        let rsa = pki.leaf("rsa.test").key(KeyType::Rsa2048).issue();
        let other = pki.leaf("a.test").issue();
        // More than the buffer through which HAProxy takes it.
        let long = pki.leaf("a.test").pem_size(30_000).issue_with_key_of(&leaf);
        let secrets = [Secret::of("the key", &leaf.key_pem()), Secret::of("the RSA key", &rsa.key_pem())];

        let (chain, key) = (leaf.fullchain(), leaf.key_pem());
        let half = key.lines().take(2).collect::<Vec<_>>().join("\n");
        let refused = [
            ("broken certificate", chain.replacen("MII", "M!I", 1) + &key),
            ("truncated certificate", chain.lines().take(5).collect::<Vec<_>>().join("\n") + "\n" + &key),
            ("other certificate", other.fullchain() + &key),
            ("key alone", key.clone()),
            ("two keys", leaf.fullchain_and_key() + &other.key_pem()),
            ("no end", chain.clone() + &half),
            ("no beginning", chain.clone() + &key.lines().skip(1).collect::<Vec<_>>().join("\n")),
            ("wrong label", chain.clone() + &key.replace("PRIVATE KEY", "CERTIFICATE")),
            ("unknown label", chain.clone() + &key.replace("PRIVATE KEY", "SECRET")),
            ("broken key", chain.clone() + &key.replacen('\n', "\n\u{7f}", 2)),
            ("too large", long.fullchain_and_key()),
        ];
        let mut seen = Seen::default();
        for (what, pem) in refused {
            let file = site.hotcert.scratch().write("input/refused.pem", pem);
            let outcome = observed(&site.hotcert, &push(&site, &[&file], "-vvv"), 1);
            assert!(!site.haproxy.cli("show ssl cert").contains("a.test"), "{what}");
            seen.extend(outcome);
        }
        let cert_file = site.hotcert.scratch().write("input/cert.pem", &chain);
        let key_file = site.hotcert.scratch().write("input/key.pem", &key);
        let wrong_key = site.hotcert.scratch().write("input/other.key", rsa.key_pem());
        seen.extend(observed(&site.hotcert, &push(&site, &[&cert_file, &wrong_key], "--json"), 1));
        let mut as_config = push(&site, &[&cert_file], "-vvv");
        as_config.extend(["--config".into(), key_file.clone().into()]);
        seen.extend(observed(&site.hotcert, &as_config, 78));

        // What listens may repeat what it is told.
        let socket = site.hotcert.scratch().join("fake.sock");
        let _fake = FakeSocket::replying(&socket, format!("Unknown command: '{key}', but maybe one of these:\n\n"));
        let mut to_fake = push(&site, &[&cert_file, &key_file], "-vvv");
        to_fake.extend(["--socket".into(), socket.into()]);
        let outcome = site.hotcert.run(&to_fake);
        assert_ne!(outcome.code, Some(0), "{outcome:?}");
        seen.outcomes.push(outcome);

        let blank_lines = chain.clone() + &key.replace('\n', "\n\n");
        let good = site.hotcert.scratch().write("input/good.pem", blank_lines);
        seen.extend(observed(&site.hotcert, &push(&site, &[&good], "-vvv"), 0));
        let good = site.hotcert.scratch().write("input/rsa.pem", rsa.fullchain_and_key());
        seen.extend(observed(&site.hotcert, &push(&site, &[&good], "--json"), 0));
        assert_eq!(site.served("a.test").serial, leaf.serial());
        assert_eq!(site.served("rsa.test").serial, rsa.serial());
        fs::remove_dir_all(site.hotcert.scratch().join("input")).unwrap();
        expect_kept(&site, &secrets, &seen);
        expect_modes(&site);
    }
}

/// What others could see of commands.
#[derive(Default)]
struct Seen {
    outcomes: Vec<Outcome>,
    /// Command lines and environments, while they ran.
    processes: BTreeSet<Vec<u8>>,
}

impl Seen {
    fn extend(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.processes.extend(other.processes);
    }
}

/// Runs a command, and looks at its processes as `ps` does.
fn observed(hotcert: &Hotcert, arguments: &[OsString], code: i32) -> Seen {
    let running = hotcert.spawn(arguments);
    let root = running.id();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut processes = BTreeSet::new();
            while !ended.load(Ordering::Relaxed) {
                for id in process::tree(root) {
                    processes.extend(
                        ["cmdline", "environ"].map(|file| fs::read(format!("/proc/{id}/{file}")).unwrap_or_default()),
                    );
                }
                thread::sleep(Duration::from_millis(2));
            }
            processes
        });
        let outcome = running.wait(DEADLINE);
        ended.store(true, Ordering::Relaxed);
        Seen { outcomes: vec![outcome.expect_code(code)], processes: watcher.join().unwrap() }
    })
}

/// Permissions of files, looked at again and again while they are written.
#[derive(Default)]
struct Modes {
    stop: AtomicBool,
}

impl Modes {
    fn watch(&self, site: &Site) {
        while !self.stop.load(Ordering::Relaxed) {
            expect_modes(site);
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Checks who may read what; a file that goes away meanwhile is fine.
fn expect_modes(site: &Site) {
    let state = site.hotcert.state_dir();
    for (directory, widest) in [(&state, 0o600), (&site.haproxy.crt_dir(), 0o640)] {
        for file in files(directory) {
            let mode = fs::metadata(&file).map_or(0, |found| found.permissions().mode() & 0o7777);
            assert_eq!(mode & !widest, 0, "{} has mode {mode:o}", file.display());
        }
    }
}

/// Checks that secrets are where they belong alone.
fn expect_kept(site: &Site, secrets: &[Secret], seen: &Seen) {
    for outcome in &seen.outcomes {
        expect_none(secrets, &format!("{outcome:?}"), format!("{}{}", outcome.stdout, outcome.stderr).as_bytes());
    }
    assert!(seen.processes.iter().any(|bytes| bytes.starts_with(b"PATH=")), "no environment was seen");
    for bytes in &seen.processes {
        expect_none(secrets, &String::from_utf8_lossy(bytes), bytes);
    }
    expect_none(secrets, "the log of HAProxy", site.haproxy.log().as_bytes());
    let published = site.haproxy.crt_dir();
    let everything = [site.hotcert.scratch().path(), site.haproxy.dir()].map(files).concat();
    for file in everything.iter().filter(|file| !is_key(file) && !file.starts_with(&published)) {
        expect_none(secrets, &file.display().to_string(), &fs::read(file).unwrap());
    }
    let copies = everything.iter().filter(|file| secrets.iter().any(|secret| secret.is_in(&fs::read(file).unwrap())));
    assert!(copies.count() >= secrets.len(), "the published files were not searched");
}

/// Whether a file of the state directory is there for a key.
fn is_key(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "privkey.pem" || name == "key.pem")
}

fn arguments(command: &[&str], site: &Site) -> Vec<OsString> {
    command.iter().map(OsString::from).chain(site.node_flags()).collect()
}

fn push(site: &Site, input: &[&PathBuf], flag: &str) -> Vec<OsString> {
    let command = std::iter::once("push".into()).chain(input.iter().map(|path| path.as_os_str().to_owned()));
    command.chain([flag.into()]).chain(site.node_flags()).collect()
}
