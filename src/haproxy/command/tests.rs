use proptest::prelude::*;

use super::super::testing::{bundle, slot};
use super::*;

fn can(version: &str) -> (Capabilities, PayloadLimit) {
    let version = version.parse().unwrap();
    (Capabilities::of(&version), PayloadLimit::of(&version, 16384))
}

fn wire(command: Command<'_>, version: &str) -> String {
    let (can, limit) = can(version);
    String::from_utf8(Text::join("", &[command.text(can, limit).unwrap()]).to_vec()).unwrap()
}

/// Reads commands as `HAProxy` does: lines, `;` between commands, `\` before an escaped character, ` <<` before a payload that
/// ends at an empty line. Gives the words of each command, and its payload.
fn read_as_haproxy(wire: &str) -> Vec<(Vec<String>, Option<String>)> {
    let (mut commands, mut rest) = (Vec::new(), wire);
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        let (line, payload) = match line.strip_suffix(" <<") {
            Some(line) => {
                let (payload, after) = rest.split_once("\n\n").map_or((rest, ""), |(payload, after)| (payload, after));
                rest = after;
                (line, Some(payload.to_owned()))
            }
            None => (line, None),
        };
        assert!(!line.contains(['\\', '"', '\'', '\0']) && !line.contains("<<"), "{line:?}");
        for one in line.split(';') {
            commands.push((one.split(' ').map(str::to_owned).collect(), payload.clone()));
        }
    }
    assert_eq!(rest, "", "an unfinished line");
    commands
}

#[test]
fn every_command_is_written_as_the_management_guide_has_it() {
    let (a, list, map) = (slot("/c/a.pem"), slot("/c/"), "virt@acme".parse().unwrap());
    let (key, value): (Word, Word) = ("token".parse().unwrap(), "token.thumb".parse().unwrap());
    let options: Options = "[alpn h2]".parse().unwrap();
    let filters: Vec<Filter> = vec!["*.a.test".parse().unwrap(), "!b.a.test".parse().unwrap()];
    for (command, expected) in [
        (Command::Prompt, "prompt\n"),
        (Command::IdleTimeout, "set timeout cli 120\n"),
        (Command::ShowCertificates, "show ssl cert\n"),
        (Command::ShowCertificate(&a), "show ssl cert /c/a.pem\n"),
        (Command::ShowTransaction(&a), "show ssl cert */c/a.pem\n"),
        (Command::ShowStaple(&a), "show ssl cert /c/a.pem.ocsp\n"),
        (Command::ShowLists, "show ssl crt-list\n"),
        (Command::ShowEntries(&list), "show ssl crt-list -n /c\n"),
        (Command::New(&a), "new ssl cert /c/a.pem\n"),
        (Command::Commit(&a), "commit ssl cert /c/a.pem\n"),
        (Command::Abort(&a), "abort ssl cert /c/a.pem\n"),
        (Command::Delete(&a), "del ssl cert /c/a.pem\n"),
        (Command::Attach { list: &list, slot: &a, options: None, filters: &[] }, "add ssl crt-list /c /c/a.pem\n"),
        (
            Command::Attach { list: &list, slot: &a, options: Some(&options), filters: &filters },
            "add ssl crt-list /c <<\n/c/a.pem [alpn h2] *.a.test !b.a.test\n\n",
        ),
        (Command::Detach { list: &list, slot: &a, line: 3 }, "del ssl crt-list /c /c/a.pem:3\n"),
        (Command::AddMap { map: &map, key: &key, value: &value }, "add map virt@acme token token.thumb\n"),
        (Command::DelMap { map: &map, key: &key }, "del map virt@acme token\n"),
    ] {
        assert_eq!(wire(command, "3.2.26"), expected);
    }
}

#[test]
fn only_the_oldest_version_gets_the_ending_crt_twice_and_only_for_set() {
    let (crt, bundle) = (slot("/c/a.crt"), bundle("a.test", 0));
    let first = |command, version| wire(command, version).lines().next().unwrap().to_owned();
    assert_eq!(first(Command::Set(&crt, &bundle), "2.6.12"), "set ssl cert /c/a.crt.crt <<");
    assert_eq!(first(Command::Set(&crt, &bundle), "2.8.25"), "set ssl cert /c/a.crt <<");
    assert_eq!(first(Command::Commit(&crt), "2.6.12"), "commit ssl cert /c/a.crt");
    assert_eq!(first(Command::Set(&slot("/c/a.pem"), &bundle), "2.6.12"), "set ssl cert /c/a.pem <<");
}

#[test]
fn a_bundle_is_sent_without_a_blank_line_and_ends_with_one() {
    let (a, bundle) = (slot("/c/a.pem"), bundle("a.test", 0));
    let sent = wire(Command::Set(&a, &bundle), "2.6.12");
    assert_eq!(sent, format!("set ssl cert /c/a.pem <<\n{}\n", bundle.combined_pem()));
    assert_eq!(sent.find("\n\n"), Some(sent.len() - 2));
}

#[test]
fn from_3_4_a_bundle_about_as_long_as_a_buffer_gets_a_line_of_comment() {
    let a = slot("/c/a.pem");
    let bundle = bundle("a.test", 11_500);
    let (can, mut limit) = can("3.4.0");
    let set = Command::Set(&a, &bundle);
    let plain = set.text(can, limit).unwrap();
    limit.bufsize = plain.len();
    let padded = Text::join("", &[set.text(can, limit).unwrap()]);
    let padded = std::str::from_utf8(&padded).unwrap();
    assert_eq!(padded.len(), plain.len() + 64);
    assert_eq!(padded.find("\n\n"), Some(padded.len() - 2));
    assert!(padded.trim_end().lines().next_back().unwrap().bytes().all(|byte| byte == b'#'));
    let (can, _) = self::can("3.2.0");
    limit.long_payloads = false;
    assert!(set.text(can, limit).is_err());
}

/// Texts that were made to become two commands, with those that are allowed.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(";".to_owned()),
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just(" ".to_owned()),
        Just("<<".to_owned()),
        Just("\\".to_owned()),
        Just("\n\n".to_owned()),
        Just("!".to_owned()),
        Just("*".to_owned()),
        Just("#".to_owned()),
        Just("[".to_owned()),
        Just("]".to_owned()),
        Just("del ssl cert".to_owned()),
        "[a-z0-9./@:_-]{1,12}",
        any::<String>(),
    ];
    prop_oneof![4 => "[a-z0-9./@_-]{1,20}", 4 => proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())]
}

fn parsed<T: std::str::FromStr>(texts: &[String]) -> Vec<T> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

proptest! {
    #[test]
    fn one_command_is_one_command_on_the_wire(texts in proptest::collection::vec(text(), 1..6), line in any::<u32>()) {
        let slots: Vec<Slot> = parsed(&texts);
        let lists: Vec<Slot> = parsed(&texts);
        let maps: Vec<Map> = parsed(&texts);
        let words: Vec<Word> = parsed(&texts);
        let filters: Vec<Filter> = parsed(&texts);
        let options: Vec<Options> = parsed(&texts);
        let mut commands = vec![(Command::ShowCertificates, 3)];
        for slot in &slots {
            commands.extend([
                (Command::ShowCertificate(slot), 4),
                (Command::ShowTransaction(slot), 4),
                (Command::New(slot), 4),
                (Command::Commit(slot), 4),
                (Command::Abort(slot), 4),
                (Command::Delete(slot), 4),
            ]);
            for list in &lists {
                commands.push((Command::Attach { list, slot, options: None, filters: &[] }, 5));
                commands.push((Command::Attach { list, slot, options: options.first(), filters: &filters }, 4));
                commands.push((Command::Detach { list, slot, line }, 5));
            }
        }
        commands.extend(lists.iter().map(|list| (Command::ShowEntries(list), 5)));
        for map in &maps {
            commands.push((Command::ShowMap(map), 3));
            for key in &words {
                commands.push((Command::DelMap { map, key }, 4));
                commands.extend(words.iter().map(|value| (Command::AddMap { map, key, value }, 5)));
            }
        }
        for (command, words) in commands {
            let sent = wire(command, "2.6.12");
            let read = read_as_haproxy(&sent);
            prop_assert_eq!(read.len(), 1, "{:?}", sent);
            let (found, payload) = &read[0];
            prop_assert!(found.join(" ").starts_with(command.name()));
            let expected = if matches!(command, Command::Attach { options: None, filters: &[], .. }) { 5 } else { words };
            prop_assert_eq!(found.len(), expected, "{:?}", sent);
            prop_assert_eq!(payload.is_some(), sent.contains(" <<\n"));
            prop_assert!(payload.iter().all(|payload| payload.lines().count() == 1));
        }
    }
}
