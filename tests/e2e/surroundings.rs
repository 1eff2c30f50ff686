//! Commands where nobody looks: without a terminal, narrow, without colours or UTF-8, and with a reader who goes away.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Stdio};

use crate::support::{Haproxy, HaproxyVersion, House};

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
