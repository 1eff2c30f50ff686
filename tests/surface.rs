//! What users see of the command line: help, manual page, completions, and that the README speaks of what is there.

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

#[path = "surface/words.rs"]
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command as Process;

use clap::{Command, CommandFactory};

/// Wide enough for every line of help; the terminal of whoever runs the test has no say.
const WIDTH: usize = 100;

#[test]
fn help_is_as_it_was() {
    let root = command();
    let mut texts = Vec::new();
    visit(&root, &mut |path, command| {
        let help = command.clone().term_width(WIDTH).render_long_help();
        texts.push(format!("$ {path} --help\n{help}"));
    });
    insta::assert_snapshot!("help", texts.join("\n"));
}

#[test]
fn the_manual_page_tells_of_every_command_and_flag() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH hotcert 1"), "{page}");
    // In roff, a dash that is no hyphen is escaped.
    let page = page.replace("\\-", "-");
    visit(&command(), &mut |path, command| {
        assert!(page.contains(path), "the manual page lacks {path}");
        for flag in flags(command) {
            assert!(page.contains(&flag), "the manual page lacks {flag} of {path}");
        }
    });
}

#[test]
fn completions_know_every_flag() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        visit(&command(), &mut |path, command| {
            for flag in flags(command) {
                let word = if shell == "fish" { flag.trim_start_matches("--") } else { &flag };
                assert!(script.contains(word), "the completions of {shell} lack {flag} of {path}");
            }
        });
    }
}

#[test]
fn the_readme_names_only_commands_and_flags_that_exist_and_every_command() {
    let readme = readme();
    let (mut known, mut commands) = (BTreeSet::from(["--help".to_owned(), "--version".to_owned()]), BTreeSet::new());
    visit(&command(), &mut |path, command| {
        known.extend(flags(command));
        if !command.has_subcommands() {
            commands.insert(path.to_owned());
        }
    });
    for path in &commands {
        assert!(readme.contains(path.as_str()), "the README lacks `{path}`");
    }
    // Lines that call other programs have flags of their own.
    for line in readme.lines().filter(|line| !line.contains("cargo ")) {
        for flag in line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter(|word| is_flag(word)) {
            assert!(known.contains(flag), "the README speaks of {flag}, which does not exist:\n{line}");
        }
    }
    for named in readme.match_indices("`hotcert ").map(|(at, _)| &readme[at + 1..]) {
        let named = named.split('`').next().unwrap();
        let is_command = commands.iter().any(|path| named.starts_with(path.as_str()));
        let is_group = named == "hotcert" || named.starts_with("hotcert --");
        assert!(is_command || is_group, "the README speaks of `{named}`, which does not exist");
    }
}

#[test]
fn the_configuration_of_the_readme_is_good() {
    let readme = readme();
    let toml = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    // Secrets have to be there.
    for secret in ["eab.key", "tsig.key"] {
        fs::write(directory.path().join(secret), "c2VjcmV0").unwrap();
    }
    let toml = &toml.replace("/etc/hotcert", directory.path().to_str().unwrap());
    // As it stands, and with every key that is commented out; the keys of other ways to answer, or to reach a node,
    // exclude each other.
    let complete: Vec<_> = toml
        .lines()
        .filter(|line| !["# map", "# path", "# tls"].iter().any(|other| line.starts_with(other)))
        .map(|line| line.strip_prefix("# ").unwrap_or(line))
        .collect();
    for text in [toml.clone(), complete.join("\n")] {
        let file = directory.path().join("hotcert.toml");
        fs::write(&file, &text).unwrap();
        let output =
            Process::new(env!("CARGO_BIN_EXE_hotcert")).args(["config", "check", "--config"]).arg(&file).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
    }
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

fn command() -> Command {
    let mut command = hotcert::cli::Cli::command();
    command.build();
    command
}

/// Calls with each command, and how it is typed; the built-in `help` is left out.
fn visit(root: &Command, look: &mut impl FnMut(&str, &Command)) {
    fn walk(path: &str, command: &Command, look: &mut impl FnMut(&str, &Command)) {
        look(path, command);
        for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
            walk(&format!("{path} {}", child.get_name()), child, look);
        }
    }
    walk(root.get_name(), root, look);
}

fn flags(command: &Command) -> Vec<String> {
    command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

fn is_flag(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn printed(arguments: &[&str]) -> String {
    let output = Process::new(env!("CARGO_BIN_EXE_hotcert")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
