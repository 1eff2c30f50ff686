//! Plays a page from top to bottom on its machine.

use std::process::Command;

use super::machine::Machine;
use super::page::{self, Block, Step};
use super::support::HaproxyVersion;
use super::support::tool;
use super::{NOT_RUN, PRELUDES, shown};

/// Says to this program, when it runs itself, that it is in namespaces of its own.
const INSIDE: &str = "HOTCERT_DOCS_INSIDE";

/// What a fragment of a configuration for HAProxy stands in.
const DEFAULTS: &str =
    "defaults\n    mode http\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\n";
const FRONTEND: &str = "frontend fragment\n    bind 127.0.0.1:65000\n";

/// Runs one test of this program again, where it is root of a machine of its own, and plays the page there.
pub fn enter(test: &str, page: &str) {
    if page::steps(&super::text(page)).is_empty() {
        return;
    }
    if std::env::var_os(INSIDE).is_some() {
        return play(page);
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--map-root-user", "--map-auto"]);
    }
    // The first process of a namespace has to wait for orphans, as this shell does.
    command.args(["sh", "-c", "\"$@\"; exit $?", "sh"]).arg(std::env::current_exe().unwrap());
    let ended = tool::run(command.args(["--exact", test, "--nocapture"]).env(INSIDE, "yes").env("RUST_BACKTRACE", "0"));
    assert!(
        ended.status.success(),
        "{ended:?}\nhint: this needs root, or user namespaces with ranges in /etc/subuid (newuidmap of the package uidmap)"
    );
}

fn play(page: &str) {
    let mut machine = Machine::new();
    let before = PRELUDES.iter().filter(|(of, _)| *of == page).map(|(_, lines)| Step::Run((*lines).to_owned()));
    for step in before.chain(page::steps(&super::text(page))) {
        match step {
            Step::Run(lines) => {
                machine.connect();
                let ended = machine.shell(&format!("set -e\n{lines}"));
                println!("(in a comment) {lines}\n{}", ended.output);
                assert!(ended.status.success(), "{page}, in a comment:\n{lines}\n{ended:?}");
            }
            Step::Certificate(words) => machine.certificate(&words),
            Step::Staple(path) => machine.staple(&path),
            Step::Block(block) => {
                let place = format!("{page}:{}", block.line);
                if let Some(file) = &block.file {
                    machine.write(file, &block.text);
                    if block.text.starts_with("#!") {
                        machine.shell(&format!("chmod 755 {file}")).expect_success();
                    }
                }
                match block.language.as_str() {
                    "console" => {
                        machine.connect();
                        run(&mut machine, &place, &block);
                    }
                    "toml" => check_config(&machine, &place, &block),
                    "haproxy" => check_haproxy(&mut machine, &place, &block),
                    "sh" => {
                        machine.write("/tmp/script", &block.text);
                        let ended = machine.shell("sh -n /tmp/script");
                        assert!(ended.status.success(), "{place}: {ended:?}");
                    }
                    "json" => drop(serde_json::from_str::<serde_json::Value>(&block.text).expect(&place)),
                    // What is no command and no configuration of hotcert or HAProxy. Examples for containers are files, with tests
                    // of their own.
                    "text" | "ini" | "yaml" => {}
                    other => panic!("{place}: how is a block of {other} checked?"),
                }
            }
        }
    }
}

/// Runs the commands of a block, and compares what they print with what the page shows.
fn run(machine: &mut Machine, place: &str, block: &Block) {
    let commands = page::commands(&block.text);
    let last = commands.len() - 1;
    for (index, shown) in commands.iter().enumerate() {
        let command = &shown.command;
        if NOT_RUN.iter().any(|(begin, _)| command.starts_with(begin)) {
            continue;
        }
        if command.starts_with("hotcert run") {
            machine.start(command);
            continue;
        }
        let ended = machine.shell(command);
        println!("$ {command}\n{}", ended.output);
        let expected = if index == last { block.exits } else { 0 };
        assert_eq!(ended.status.code(), Some(expected), "{place}: {command}\n{ended:?}");
        if !shown.output.is_empty()
            && let Some(difference) = shown::difference(&shown.output, &ended.output)
        {
            panic!("{place}: {command}\n{difference}\n--- all that was printed:\n{}", ended.output);
        }
    }
}

/// Checks a configuration of hotcert, or a part of one among what it needs besides.
fn check_config(machine: &Machine, place: &str, block: &Block) {
    let mut text = format!("{}{}", block.within, block.text);
    if !text.contains("version = ") {
        text.insert_str(0, "version = 1\n");
    }
    if !text.contains("[haproxy.") {
        text.push_str("\n[haproxy.edge]\nsocket = \"/run/haproxy/admin.sock\"\ncrt_dir = \"/etc/haproxy/certs\"\n");
    }
    if text.contains("[[certificate]]") {
        if !text.contains("[issuer.") {
            text.push_str("\n[issuer.letsencrypt]\ndirectory = \"letsencrypt\"\nterms_agreed = true\n");
        }
        if !text.contains("[solver.") {
            text.push_str("\n[solver.http]\ntype = \"http-01\"\n");
        }
    }
    // What the configuration names has to be there.
    for path in text.split('"').skip(1).step_by(2).filter(|value| value.starts_with("/etc/hotcert/")) {
        if !machine.path(path).exists() {
            machine.write(path, "c2VjcmV0\n");
        }
    }
    machine.write("/tmp/hotcert.toml", &text);
    let ended = machine.shell(
        "find /etc/hotcert -type f ! -name '*.toml' -exec chmod 600 {} + 2>/dev/null\n\
                               exec hotcert config check --config /tmp/hotcert.toml",
    );
    assert!(ended.status.success(), "{place}: {ended:?}\n{text}");
}

/// Checks a configuration of HAProxy, or a part of one, with the oldest and the newest version.
fn check_haproxy(machine: &mut Machine, place: &str, block: &Block) {
    let mut text = format!("{}{}", block.within, block.text);
    if text.starts_with(' ') {
        text.insert_str(0, FRONTEND);
    }
    if !text.contains("defaults\n") {
        text.insert_str(0, DEFAULTS);
    }
    for path in text.split_whitespace().filter(|word| word.starts_with("/etc/haproxy/") && word.contains(".pem")) {
        if !machine.path(path).exists() {
            machine.certificate(&[path.to_owned(), "files.example".to_owned()]);
        }
    }
    for path in ["/etc/haproxy/acme.map", "/etc/haproxy/crt-list.txt"] {
        if text.contains(path) && !machine.path(path).exists() {
            machine.write(path, "");
        }
    }
    machine.write("/tmp/haproxy.cfg", &text);
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let ended = machine.haproxy_check(version, "/tmp/haproxy.cfg");
        assert!(ended.status.success(), "{place}: HAProxy {}: {ended:?}\n{text}", version.name());
    }
}
