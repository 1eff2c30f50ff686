//! What the sources say to users: messages in one style, commands that exist, configuration keys that are documented.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;

/// What a message may quote: what somebody typed or sent. Spans of time read well that way, too.
const QUOTED: [&str; 9] = ["0", "input", "profile", "name", "target", "host", "after", "waited", "DEADLINE"];
/// Messages that tell nothing.
const EMPTY: [&str; 5] = ["invalid input", "unexpected error", "unknown error", "internal error", "went wrong"];

#[test]
fn errors_begin_small_end_without_a_stop_and_leak_no_debug_output() {
    let (mut messages, mut wrong) = (0, Vec::new());
    for (file, text) in sources() {
        for message in text.split("#[error(").skip(1).filter_map(|rest| literal(rest.trim_start())) {
            messages += 1;
            let first = message.split(' ').next().unwrap();
            // Names have capitals in them, or are nothing else.
            let is_name = first.chars().skip(1).any(|letter| letter.is_ascii_uppercase());
            let is_big = first.starts_with(|letter: char| letter.is_ascii_uppercase()) && !is_name;
            let fields = message.match_indices(":?}").map(|(at, _)| message[..at].rsplit('{').next().unwrap());
            let is_empty = EMPTY.iter().any(|empty| message.contains(empty));
            let leaks = fields.into_iter().any(|field| !QUOTED.contains(&field));
            if is_big || is_empty || leaks || message.ends_with(['.', '!']) {
                wrong.push(format!("{file}: {message}"));
            }
        }
    }
    assert!(messages > 200, "{messages} messages were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_command_in_a_hint_exists() {
    let mut commands = BTreeSet::new();
    for (file, text) in sources() {
        for (at, _) in text.match_indices("`hotcert ") {
            let command = text[at + 1..].split('`').next().unwrap();
            commands.insert((command.to_owned(), file.clone()));
        }
    }
    assert!(commands.len() > 20, "{commands:?}");
    let mut wrong = Vec::new();
    for (command, file) in commands {
        let words: Vec<String> = command.split_whitespace().map(filled).collect();
        let Err(error) = hotcert::cli::Cli::try_parse_from(&words) else { continue };
        let is_fine = match error.kind() {
            // Shortened: whoever reads it knows for which certificate it is.
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            | ErrorKind::DisplayHelp => true,
            ErrorKind::InvalidValue => command.rsplit(' ').next().is_some_and(|last| last.starts_with("--")),
            ErrorKind::ValueValidation => command.contains('{'),
            _ => false,
        };
        if !is_fine {
            wrong.push(format!("{file}: `{command}`: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = fs::read_to_string(root.join("README.md")).unwrap();
    for page in fs::read_dir(root.join("docs")).unwrap().flatten().filter(|page| page.path().is_file()) {
        pages.push_str(&fs::read_to_string(page.path()).unwrap());
    }
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    // As in `key = 1`, `{ key = 1 }`, `[key]`, `[[key]]` and `[key.name]`.
    let is_told = |key: &str| {
        pages.match_indices(key).any(|(at, _)| {
            let after = &pages[at + key.len()..];
            !pages[..at].ends_with(is_part) && [" =", "=", "]", "."].iter().any(|end| after.starts_with(end))
        })
    };
    let mut keys = BTreeSet::new();
    for (_, text) in sources().into_iter().filter(|(file, _)| file.contains("config/")) {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for mark in ["reader, \"", ".take(\""] {
            keys.extend(text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
    assert!(keys.len() > 60, "{keys:?}");
    let untold: Vec<_> = keys.iter().filter(|key| !is_told(key)).collect();
    assert!(untold.is_empty(), "neither the README nor a page in docs/ has {untold:?}");
}

/// The sources without comments and tests, lines that are continued put together.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, out: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let mut lines = String::new();
                for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                    if let Some(begun) = line.strip_suffix('\\') {
                        lines.push_str(begun);
                    } else {
                        lines.push_str(line);
                        lines.push('\n');
                    }
                }
                out.push((path.display().to_string(), lines));
            }
        }
    }
    let mut out = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut out);
    out
}

/// The string with which a text begins.
fn literal(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut letters = text.strip_prefix('"')?.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some(out),
            '\\' => out.extend(letters.next()),
            letter => out.push(letter),
        }
    }
    None
}

/// Something in the place of what stands for it.
fn filled(word: &str) -> String {
    let is_name = word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase());
    match (word.split_once('{'), word.rsplit_once('}')) {
        // More arguments follow the word.
        (Some((before, _)), _) if before.ends_with(|last: char| last.is_ascii_alphanumeric()) => before.to_owned(),
        (Some((before, _)), Some((_, after))) => format!("{before}1{after}"),
        _ if word == "NAME" => "a.test".to_owned(),
        _ if is_name => "1".to_owned(),
        _ => word.to_owned(),
    }
}
