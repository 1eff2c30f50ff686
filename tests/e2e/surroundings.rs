//! Commands where nobody looks: without a terminal, narrow, without colours or UTF-8, and with a reader who goes away.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::support::process::signal_process;
use crate::support::sidecar::{self, quoted};
use crate::support::{Haproxy, HaproxyVersion, House, PebbleVersion, Pki, Scratch, Site, poll};

/// What only looks, and works without a configuration.
const COMMANDS: [&[&str]; 11] = [
    &["--help"],
    &["--version"],
    &["man"],
    &["completions", "zsh"],
    &["status"],
    &["plan"],
    &["list"],
    &["top"],
    &["config", "show"],
    &["config", "haproxy"],
    &["status", "--json"],
];

/// Where they are tried.
const PLACES: [(&str, &str); 5] =
    [("LC_ALL", "C"), ("NO_COLOR", "1"), ("TERM", "dumb"), ("COLUMNS", "20"), ("LANG", "de_DE.ISO-8859-1")];

/// A house that serves a name with an accent.
fn house() -> House {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    house.push("xn--bcher-kva.test");
    house
}

fn command(house: &House, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotcert"));
    command.args(words).stdin(Stdio::null()).stderr(Stdio::piped());
    if !matches!(words[0], "--help" | "--version" | "man" | "completions") {
        command.args(house.flags());
    }
    command
}

#[test]
fn no_command_minds_where_it_is_called() {
    let house = house();
    for words in COMMANDS {
        for (name, value) in PLACES {
            let mut command = command(&house, words);
            let output = command.env(name, value).stdout(Stdio::piped()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let at = format!("{words:?} with {name}={value}: {said}");
            assert_eq!(output.status.code(), Some(0), "{at}");
            assert!(!output.stdout.is_empty() && !said.contains("panicked"), "{at}");
            assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b), "{at}");
            if words[0] == "top" && (name, value) == ("LC_ALL", "C") {
                assert!(output.stdout.is_ascii(), "{at}\n{}", String::from_utf8_lossy(&output.stdout));
            }
        }
    }
}

#[test]
fn a_reader_who_goes_away_is_no_failure() {
    let house = house();
    for words in COMMANDS {
        let mut child = command(&house, words).stdout(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{words:?}: {said}");
        assert!(said.is_empty(), "{words:?}: {said}");
    }
}

#[test]
fn output_that_is_lost_is_a_failure() {
    let house = house();
    for words in [&["status"][..], &["status", "--json"], &["man"], &["config", "show"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command(&house, words).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("could not be written to standard output") && said.contains("No space left"), "{said}");
    }
}

#[test]
fn who_only_looks_makes_no_state_directory() {
    let haproxy = Haproxy::new(HaproxyVersion::V3_2).start();
    let scratch = Scratch::new();
    let (state, socket) = (scratch.join("none/state"), haproxy.socket().display().to_string());
    for words in [&["list"][..], &["status"], &["plan"], &["top"], &["config", "show"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hotcert"));
        command.args(words).arg("--state-dir").arg(&state).stdin(Stdio::null());
        if words[0] != "list" {
            command.args(["--socket", &socket]);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
        let is_told = said.contains(&format!("there is no state directory {} yet", state.display()));
        assert_eq!(is_told, !matches!(words[0], "top" | "config"), "{words:?}: {said}");
        assert!(!scratch.join("none").exists(), "{words:?}");
    }
}

/// Readers who are not there.
#[derive(Debug, Clone, Copy)]
enum Reader {
    /// Both streams lead to somebody who has gone away.
    Away,
    /// There are no streams.
    Closed,
    /// Standard output is read as a whole, in a narrow place without colours and UTF-8.
    Poor,
}

/// A site with a configuration, where things are changed.
struct Shop {
    site: Site,
    pki: Pki,
    config: String,
}

impl Shop {
    fn new() -> Self {
        let site = Site::new(HaproxyVersion::V3_2, PebbleVersion::V2_10);
        let text = format!(
            "version = 1\nstate_dir = {}\n[haproxy.edge]\nsocket = {}\ncrt_dir = {}\nverify = [\"{}\"]\n{}",
            quoted(site.hotcert.state_dir()),
            quoted(site.haproxy.socket()),
            quoted(site.haproxy.crt_dir()),
            site.haproxy.https_addr(),
            site.authority_config(),
        );
        let config = site.hotcert.scratch().write("hotcert.toml", text).display().to_string();
        Self { site, pki: Pki::new(), config }
    }

    fn command(&self, words: &[&str], reader: Reader) -> Command {
        let program = env!("CARGO_BIN_EXE_hotcert");
        let mut command = match reader {
            Reader::Closed => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh", program]);
                shell
            }
            Reader::Away | Reader::Poor => Command::new(program),
        };
        command.args(["--config", &self.config]).args(words).current_dir(self.site.hotcert.scratch().path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if matches!(reader, Reader::Poor) {
            command.env("LC_ALL", "C").env("NO_COLOR", "1").env("COLUMNS", "20").arg("--json");
        }
        command
    }

    /// Runs a command to its end, which must be a good one.
    fn act(&self, words: &[&str], reader: Reader) {
        let mut child = self.command(words, reader).spawn().unwrap();
        if matches!(reader, Reader::Poor) {
            let output = child.wait_with_output().unwrap();
            let (told, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.code(), Some(0), "{words:?}: {said}");
            assert!(!told.contains('\u{1b}') && !said.contains('\u{1b}') && !said.contains("panicked"), "{told}{said}");
            serde_json::from_str::<serde_json::Value>(&told)
                .unwrap_or_else(|error| panic!("{words:?}: {error}: {told}"));
            return;
        }
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{words:?}, {reader:?}");
    }

    fn stored(&self, name: &str) -> String {
        let path = self.site.hotcert.state_dir().join("certs").join(name).join("current");
        std::fs::read_link(path).map(|link| link.display().to_string()).unwrap_or_default()
    }
}

#[test]
fn what_is_to_be_done_is_done_for_readers_who_are_not_there() {
    let shop = Shop::new();
    let Shop { site, pki, .. } = &shop;
    let scratch = site.hotcert.scratch();
    let socket = site.haproxy.socket().display().to_string();
    for (at, reader) in [Reader::Away, Reader::Closed, Reader::Poor].into_iter().enumerate() {
        let (ordered, pushed) = (format!("ordered{at}.test"), format!("pushed{at}.test"));
        let written = format!("init{at}.toml");
        shop.act(&["config", "init", "--output", &written, "--socket", &socket], reader);
        assert!(scratch.read(&written).contains(&socket), "{reader:?}");

        shop.act(&["issue", &ordered], reader);
        let first = site.served(&ordered).serial;
        shop.act(&["renew", &ordered, "--force"], reader);
        let second = site.served(&ordered).serial;
        assert_ne!(first, second, "{reader:?}");
        shop.act(&["rollback", &ordered], reader);
        assert_eq!(site.served(&ordered).serial, first, "{reader:?}");

        let leaf = pki.leaf(&pushed).issue();
        scratch.write("push.pem", leaf.fullchain_and_key());
        shop.act(&["push", "push.pem"], reader);
        assert_eq!(site.served(&pushed).serial, leaf.serial(), "{reader:?}");
        // Somebody else loads another one, and it is put right.
        let slot = site.haproxy.crt_dir().join(format!("{pushed}.pem")).display().to_string();
        site.haproxy.set_cert(&slot, &pki.leaf(&pushed).issue().fullchain_and_key());
        shop.act(&["sync"], reader);
        assert_eq!(site.served(&pushed).serial, leaf.serial(), "{reader:?}");
        shop.act(&["config", "check"], reader);

        let (adopted, lego) = (format!("adopted{at}.test"), format!("lego{at}"));
        let leaf = pki.leaf(&adopted).issue();
        scratch.dir(&lego);
        scratch.dir(format!("{lego}/certificates"));
        scratch.write(format!("{lego}/certificates/{adopted}.crt"), leaf.fullchain());
        scratch.write(format!("{lego}/certificates/{adopted}.key"), leaf.key_pem());
        let directory = site.pebble.directory();
        shop.act(&["import", "lego", &lego, "--directory", &directory], reader);
        assert!(!shop.stored(&adopted).is_empty(), "{reader:?}");

        shop.act(&["revoke", &ordered, "--detach"], reader);
        shop.act(&["delete", &pushed, "--detach"], reader);
        assert!(shop.stored(&pushed).is_empty() && site.serial(&pushed).is_err(), "{reader:?}");
        assert!(site.serial(&ordered).is_err(), "{reader:?}");
        site.expect_nothing_half_done();
    }
    shop.act(&["dump"], Reader::Closed);
    shop.act(&["account", "update", "--contact", "other@example.org"], Reader::Closed);
    shop.act(&["account", "rollover"], Reader::Away);
    let account = site.hotcert.run(["--config", &shop.config, "account", "show", "--json"]).expect_code(0);
    assert!(account.stdout.contains("other@example.org"), "{account:?}");
    shop.act(&["account", "deactivate", "--yes"], Reader::Closed);

    // Output that is lost is told, and the work is done all the same.
    scratch.write("push.pem", pki.leaf("full.test").issue().fullchain_and_key());
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = shop.command(&["push", "push.pem"], Reader::Away).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("could not be written to standard output"), "{said}");
    assert!(site.serial("full.test").is_ok());
}

#[test]
fn a_daemon_works_on_for_readers_who_are_not_there() {
    let shop = Shop::new();
    let Shop { site, pki, .. } = &shop;
    let pushed = pki.leaf("a.test").issue();
    site.hotcert.scratch().write("push.pem", pushed.fullchain_and_key());
    shop.act(&["push", "push.pem"], Reader::Away);
    let slot = site.haproxy.crt_dir().join("a.test.pem").display().to_string();
    for reader in [Reader::Away, Reader::Closed] {
        site.haproxy.set_cert(&slot, &pki.leaf("a.test").issue().fullchain_and_key());
        let mut daemon = shop.command(&["run"], reader).spawn().unwrap();
        drop((daemon.stdout.take(), daemon.stderr.take()));
        let is_put_right = || (site.serial("a.test").as_deref() == Ok(pushed.serial())).then_some(());
        let outcome = poll(sidecar::DEADLINE, is_put_right);
        signal_process(daemon.id(), Signal::TERM);
        assert_eq!(daemon.wait().unwrap().code(), Some(0), "{reader:?}");
        assert!(outcome.is_some(), "{reader:?}");
    }
}
