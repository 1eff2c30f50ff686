//! The sidecar, which lives long and hears of keys from every side.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;

use super::{Modes, Seen, expect_kept, expect_modes, is_key, observed};
use crate::support::secrets::{Secret, expect_none, files};
use crate::support::sidecar::{DEADLINE, quoted, serial};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, KeyType, Outcome, Pebble, PebbleVersion, Pki, Scratch};
use crate::support::{Sidecar, Site, poll, process};

/// A configuration with everything in it from which a key could come.
fn config(site: &Site, watched: &Scratch) -> String {
    let Site { haproxy, hotcert, .. } = site;
    format!(
        "version = 1\nstate_dir = {}\n{}\
         [haproxy.edge]\nsocket = {}\ncrt_dir = {}\nverify = [\"{}\"]\n\
         [[certificate]]\nname = \"shop.test\"\ndomains = [\"shop.test\"]\n\
         [[watch]]\ndir = {}\n",
        quoted(hotcert.state_dir()),
        site.authority_config(),
        quoted(haproxy.socket()),
        quoted(haproxy.crt_dir()),
        haproxy.https_addr(),
        quoted(watched.path()),
    )
}

/// What `ps` shows of a process and its children, again and again until `ended`.
fn processes(root: u32, ended: &AtomicBool) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    while !ended.load(Ordering::Relaxed) {
        for id in process::tree(root) {
            seen.extend(["cmdline", "environ"].map(|file| fs::read(format!("/proc/{id}/{file}")).unwrap_or_default()));
        }
        thread::sleep(Duration::from_millis(20));
    }
    seen
}

/// Says something to the control socket, and returns what comes back.
fn said_to(socket: &PathBuf, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // It may hang up in the middle.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    reply
}

/// A request whose text is this.
fn frame(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len() + 1).unwrap();
    [&length.to_be_bytes()[..], b"q", text.as_bytes()].concat()
}

#[test]
fn no_key_that_the_sidecar_ever_saw_is_anywhere_but_in_its_files() {
    let began = SystemTime::now();
    let mut site = Site::with(Haproxy::new(HaproxyVersion::V2_8), Pebble::new(PebbleVersion::V2_10));
    site.hotcert = Hotcert::new().open_umask();
    let watched = Scratch::new();
    let text = config(&site, &watched);
    let flag = [OsString::from("--config"), site.hotcert.scratch().write("hotcert.toml", &text).into()];
    let command = |words: &[&str]| words.iter().map(OsString::from).chain(flag.clone()).collect::<Vec<_>>();
    let pki = Pki::new();
    let leaf = pki.leaf("watched.test").issue();
    let rsa = pki.leaf("pushed.test").key(KeyType::Rsa2048).issue();
    let other = pki.leaf("other.test").issue();
    let modes = Modes::default();
    let ended = AtomicBool::new(false);

    let (seen, log) = thread::scope(|scope| {
        scope.spawn(|| modes.watch(&site));
        let sidecar = Sidecar::start(&site.hotcert, [&[OsString::from("-vvv")], &flag[..]].concat());
        let root = sidecar.id();
        let onlooker = scope.spawn({
            let ended = &ended;
            move || processes(root, ended)
        });
        let seen = hearing_of_keys(&site, &sidecar, &watched, &command, [&leaf, &rsa, &other], &text);
        let limits = fs::read_to_string(format!("/proc/{root}/limits")).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
        ended.store(true, Ordering::Relaxed);
        let (outcome, _) = sidecar.stop();
        modes.stop.store(true, Ordering::Relaxed);
        let log = outcome.stderr.clone();
        (Seen { outcomes: [seen, vec![outcome.expect_code(0)]].concat(), processes: onlooker.join().unwrap() }, log)
    });
    assert!(log.contains("TRACE"), "{log}");

    // Now all keys are known: the account's, those of two orders, and those that were given.
    let state = site.hotcert.state_dir();
    let keys: Vec<PathBuf> = files(&state).into_iter().filter(|path| is_key(path)).collect();
    let mut secrets: Vec<Secret> =
        keys.iter().map(|path| Secret::of(path.to_str().unwrap(), &fs::read_to_string(path).unwrap())).collect();
    secrets.push(Secret::of("the key of refused files", &other.key_pem()));
    assert!(secrets.len() >= 6, "{keys:?}");
    let given = [Secret::of("the watched key", &leaf.key_pem()), Secret::of("the pushed key", &rsa.key_pem())];
    for secret in &given {
        assert!(
            keys.iter().any(|key| secret.is_in(&fs::read(key).unwrap())),
            "a key that is not stored proves nothing"
        );
    }
    secrets.extend(given);
    fs::remove_dir_all(site.hotcert.scratch().join("input")).unwrap();
    fs::remove_file(site.hotcert.scratch().join("hotcert.toml")).unwrap();
    expect_none(&secrets, "the log of the authority", site.pebble.log().as_bytes());
    for file in fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|entry| entry.path()) {
        let is_new = fs::metadata(&file).and_then(|found| found.modified()).is_ok_and(|time| time >= began);
        if is_new && file.is_file() {
            expect_none(&secrets, &file.display().to_string(), &fs::read(&file).unwrap_or_default());
        }
    }
    // Refused keys are in no file of ours at all.
    let refused = secrets.iter().position(|secret| secret.is_in(other.key_pem().as_bytes())).unwrap();
    for file in files(&state).into_iter().chain(files(&site.haproxy.crt_dir())) {
        expect_none(&secrets[refused..=refused], &file.display().to_string(), &fs::read(&file).unwrap());
    }
    expect_kept(&site, &secrets, &seen);
    expect_modes(&site);
}

/// Lets the sidecar hear of keys that are good, and of keys that are not; returns what others were told.
fn hearing_of_keys(
    site: &Site,
    sidecar: &Sidecar,
    watched: &Scratch,
    command: &impl Fn(&[&str]) -> Vec<OsString>,
    [leaf, rsa, other]: [&crate::support::Leaf; 3],
    text: &str,
) -> Vec<Outcome> {
    let served = |name: &str, wanted: &str| {
        let found = poll(DEADLINE, || (serial(&site.haproxy, name).as_deref() == Some(wanted)).then_some(()));
        assert!(found.is_some(), "{name}\n{}", sidecar.log());
    };
    // Watched files, of which one is good.
    watched.write("watched.test.pem", leaf.fullchain_and_key());
    served("watched.test", leaf.serial());
    let (chain, key) = (other.fullchain(), other.key_pem());
    let refused = [
        ("mismatch", leaf.fullchain() + &key),
        ("encrypted", chain.clone() + &other.key_encrypted("open sesame")),
        ("garbage", format!("{chain}{}", key.replacen('\n', "\n\u{7f}", 2))),
        ("label", chain.clone() + &key.replace("PRIVATE KEY", "SECRET")),
        ("half", chain + &key.lines().take(2).collect::<Vec<_>>().join("\n")),
    ];
    for (name, pem) in &refused {
        watched.write(format!("{name}.test.pem"), pem);
    }
    let told = poll(DEADLINE, || {
        let outcome = site.hotcert.run(command(&["status", "--json", "-vvv"]));
        let problems = outcome.json()["problems"].to_string();
        refused.iter().all(|(name, _)| problems.contains(&format!("/{name}.test.pem"))).then_some(outcome)
    });
    let mut outcomes = vec![told.unwrap_or_else(|| panic!("{}", sidecar.log()))];
    outcomes.push(site.hotcert.run(command(&["status", "-vvv"])).expect_code(2));

    // Pushed ones.
    let input = site.hotcert.scratch();
    input.write("input/good.pem", rsa.fullchain_and_key());
    outcomes.extend(observed(&site.hotcert, &command(&["push", "input/good.pem", "-vvv"]), 0).outcomes);
    served("pushed.test", rsa.serial());
    for (name, pem) in &refused {
        let file = format!("input/{name}.pem");
        input.write(&file, pem);
        outcomes.extend(observed(&site.hotcert, &command(&["push", &file, "-vvv", "--json"]), 1).outcomes);
    }
    // Ordered ones, and the account's.
    let renewed = site.hotcert.run(command(&["renew", "shop.test", "--force", "-vvv", "--json"])).expect_code(0);
    assert!(renewed.stderr.contains("the daemon does it"), "{renewed:?}");
    outcomes.push(renewed);

    // Who talks nonsense to the control socket hears nothing of it again.
    let socket = site.hotcert.state_dir().join("control.sock");
    let secret = [Secret::of("the key", &key)];
    let quoted = serde_json::to_string(&key).unwrap();
    let nonsense = [key.clone().into_bytes(), frame(&quoted), frame(&format!("{{\"push\": {quoted}")), frame(&key)];
    for bytes in &nonsense {
        expect_none(&secret, "a reply", &said_to(&socket, bytes));
    }
    // A key where the configuration should be.
    for wrong in [key.clone(), format!("{text}key = {quoted}\n"), text.replace("shop.test", &key.replace('\n', "\\n"))]
    {
        let before = sidecar.log().matches("the old one stays in use").count();
        input.write("hotcert.toml", &wrong);
        sidecar.signal(Signal::HUP);
        let is_refused = || (sidecar.log().matches("the old one stays in use").count() > before).then_some(());
        assert!(poll(DEADLINE, is_refused).is_some(), "{wrong}\n{}", sidecar.log());
    }
    input.write("hotcert.toml", text);
    sidecar.signal(Signal::HUP);
    let again = || sidecar.log().contains("starting again with the new configuration").then_some(());
    assert!(poll(DEADLINE, again).is_some(), "{}", sidecar.log());
    assert!(poll(DEADLINE, || (sidecar.log().matches(" ready").count() >= 2).then_some(())).is_some());
    outcomes.push(site.hotcert.run(command(&["sync", "--json", "-vvv"])));
    outcomes.push(site.hotcert.run(command(&["plan", "--json", "-vvv"])));
    outcomes
}

#[test]
fn nobody_else_may_look_into_the_memory_of_the_sidecar() {
    let hotcert = Hotcert::new().unprivileged();
    let flags = [OsString::from("--state-dir"), hotcert.state_dir().into()];
    let sidecar = Sidecar::start(&hotcert, flags);
    // What the system keeps of a process that is not dumpable belongs to root (`proc(5)`).
    let owner = fs::metadata(format!("/proc/{}/environ", sidecar.id())).unwrap().uid();
    assert_eq!(owner, 0);
    sidecar.stop().0.expect_code(0);
}
