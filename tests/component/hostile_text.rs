//! No text of an authority, of the DNS or of a file name reaches a path, a command of `HAProxy` or a terminal unchecked.
//!
//! The types of `model` and of `haproxy::words` are the only doors: whatever they let in is one plain word. That a command made of
//! such words is one command on the wire is the property in `src/haproxy/command/tests.rs`.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use hotcert::bundle::PrivateKey;
use hotcert::haproxy::{Filter, Map, Options, Word};
use hotcert::model::{
    Address, CertName, DirectoryUrl, DnsName, Identifier, Invalid, KeyType, NodeName, Slot, TicketFile, Token,
    printable,
};
use hotcert::solver::Webroot;
use hotcert::store::publish::{Ownership, publish};
use hotcert::store::{self, AccountRecord, Entry, Place, Store};
use jiff::Timestamp;
use proptest::prelude::*;

/// Texts that do harm somewhere, between others.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._-]{1,12}",
        2 => prop::sample::select(vec![
            "/", "..", "../", "\\", "~", "*", ".", "-", "--flag", "\0", "\n", "\r\n", "\n\n", ";", "; del ssl cert x;", "<<", " <<\n",
            "$(id)", "`id`", "|", "&", "'", "\"", "%2e%2e%2f", "#", "@1", "[", "]", " ", "\t", "\u{1b}[31m", "\u{1b}]0;x\u{7}",
            "\u{9b}", "\u{202e}", "\u{2066}", "\u{feff}", "\u{200b}", "\u{e0041}", "ü", "名", ".key", ".ocsp", "http://", "https://",
            "xn--", "=", "+", ":", "!", ",", "{", "}", "\u{ffff}",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
        1 => "[a-z]{100,300}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// Whether a text changes nothing on a terminal, and shows all that it has.
fn is_tame(text: &str) -> bool {
    !text.chars().any(|letter| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    })
}

/// Whether HAProxy reads a text as one word of one command (management guide, section 9.3), and a shell as one word.
fn is_one_word(text: &str) -> bool {
    let ends = |letter: char| !letter.is_ascii_graphic() || ";\\\"'".contains(letter);
    !text.is_empty() && !text.contains(ends) && !text.contains("<<")
}

/// Whether a text is the name of one file, which is not hidden.
fn is_file_name(text: &str) -> bool {
    let mut parts = Path::new(text).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == text)
        && !text.starts_with('.')
}

/// What is refused is repeated in a message, which is as tame.
fn parsed<T: FromStr<Err = Invalid>>(text: &str) -> Option<T> {
    text.parse().map_err(|error: Invalid| assert!(is_tame(&error.to_string()), "{error}")).ok()
}

/// All that is below a directory.
fn below(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.insert(path);
    }
    found
}

proptest! {
    #[test]
    fn whatever_a_type_lets_in_is_one_plain_word(text in hostile()) {
        if let Some(token) = parsed::<Token>(&text) {
            prop_assert!(is_file_name(token.as_str()) && is_one_word(token.as_str()) && !text.contains('.'));
            // What HAProxy answers with is a word of its map.
            let answer = token.key_authorization("YWJjLV8");
            prop_assert!(answer.parse::<Word>().is_ok() && token.as_str().parse::<Word>().is_ok());
        }
        if let Some(name) = parsed::<CertName>(&text) {
            prop_assert!(is_file_name(name.as_str()) && is_one_word(name.as_str()) && !text.starts_with('-'));
            let slot = format!("/certs/{name}.pem");
            prop_assert!(slot.parse::<Slot>().is_ok());
        }
        if let Ok(name) = CertName::from_user(&text) {
            prop_assert!(is_file_name(name.as_str()) && is_one_word(name.as_str()));
        }
        if let Some(identifier) = parsed::<Identifier>(&text) {
            let plain = identifier.to_string();
            prop_assert!(is_one_word(&plain) && is_file_name(&plain) && !plain.starts_with('-'));
            prop_assert!(is_tame(&identifier.human()));
            if let Ok(name) = CertName::of(&identifier) {
                prop_assert!(is_file_name(name.as_str()) && is_one_word(name.as_str()));
            }
            if let Some(name) = DnsName::of(&identifier) {
                prop_assert!(is_one_word(&name.to_string()) && !name.to_string().contains(['*', '/']));
            }
        }
        if let Some(name) = parsed::<DnsName>(&text) {
            prop_assert!(is_one_word(&name.to_string()) && is_file_name(&name.to_string()));
        }
        if let Some(name) = parsed::<NodeName>(&text) {
            prop_assert!(is_file_name(name.as_str()) && is_one_word(name.as_str()));
        }
        if let Some(slot) = parsed::<Slot>(&text) {
            prop_assert!(is_one_word(slot.as_str()) && !text.starts_with('*'));
        }
        if let Some(map) = parsed::<Map>(&text) {
            prop_assert!(is_one_word(map.as_str()) && !text.starts_with('@'));
        }
        if let Some(filter) = parsed::<Filter>(&text) {
            prop_assert!(is_one_word(filter.as_str()) && !text.contains(['[', ']', '#', '/']));
        }
        if let Some(options) = parsed::<Options>(&text) {
            prop_assert!(options.as_str().split(' ').all(|word| is_one_word(word) && !word.contains(['[', ']', '#'])));
        }
        if let Some(file) = parsed::<TicketFile>(&text) {
            prop_assert!(is_one_word(&file.to_string()) && file.path().is_absolute());
        }
        if let Some(url) = parsed::<DirectoryUrl>(&text) {
            prop_assert!(url.as_str().starts_with("https://") && is_tame(url.as_str()) && !url.as_str().contains('@'));
        }
        parsed::<Address>(&text);
    }

    #[test]
    fn what_is_told_to_people_is_tame_and_short(text in hostile(), most in 0_usize..200) {
        let told = printable(&text, most);
        prop_assert!(is_tame(&told) && told.chars().count() <= most + 1);
        prop_assert_eq!(printable(&told, most + 1), told.clone());
        if is_tame(&text) && text.is_ascii() && text.len() <= most {
            prop_assert_eq!(told, text);
        }
    }
}

proptest! {
    // Each writes to the disk.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_answer_is_one_file_in_the_directory_of_answers(text in hostile(), word in "[A-Za-z0-9_-]{1,43}") {
        let root = tempfile::tempdir().unwrap();
        let webroot_path = root.path().join("webroot");
        std::fs::create_dir(&webroot_path).unwrap();
        let store = Store::open(&root.path().join("state")).unwrap();
        for text in [&text, &word] {
            let before = below(root.path());
            let stored = store::Token {
                token: text.clone(),
                key_authorization: format!("{text}.thumb"),
                place: Place::Webroot(webroot_path.clone()),
                certificate: "a.test".parse().unwrap(),
                wanted: true,
                placed: false,
                hindrance: None,
            };
            if store.put_token(&stored).is_ok() {
                prop_assert!(text.parse::<Token>().is_ok());
                let path = root.path().join("state/tokens").join(format!("{text}.json"));
                prop_assert!(path.is_file());
                prop_assert_eq!(store.tokens().unwrap(), vec![stored]);
                store.remove_token(text).unwrap();
            } else {
                prop_assert!(text.parse::<Token>().is_err());
                prop_assert!(store.retire_token(text).is_err() && store.remove_token(text).is_err());
                prop_assert_eq!(below(root.path()), before);
            }
            if let Ok(token) = text.parse::<Token>() {
                let webroot = Webroot::new(&webroot_path);
                webroot.add(&token, "answer").unwrap();
                let directory = webroot_path.join(".well-known/acme-challenge");
                prop_assert_eq!(below(&directory), BTreeSet::from([directory.join(text)]));
                webroot.remove(&token).unwrap();
                prop_assert_eq!(below(&directory), BTreeSet::new());
            }
        }
    }

    #[test]
    fn a_published_file_lies_in_its_directory_or_nowhere(name in hostile()) {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("certs");
        std::fs::create_dir(&directory).unwrap();
        if publish(&directory, &name, "contents", &Ownership::default()).is_ok() {
            prop_assert!(is_file_name(&name), "{:?}", name);
            prop_assert_eq!(below(root.path()), BTreeSet::from([directory.clone(), directory.join(&name)]));
        } else {
            prop_assert_eq!(below(root.path()), BTreeSet::from([directory]));
        }
    }

    #[test]
    fn what_an_authority_names_is_kept_as_it_is_and_is_no_path(url in hostile(), directory in hostile()) {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        let store = Store::open(&state).unwrap();
        let name: CertName = "a.test".parse().unwrap();
        let lock = store.try_lock_certificate(&name).unwrap().unwrap();
        let entry = Entry {
            directory: directory.clone(),
            issuer: Some(url.clone()),
            identifiers: BTreeSet::from(["a.test".parse().unwrap()]),
            key_type: KeyType::EcdsaP256,
            order_url: None,
            started: Timestamp::UNIX_EPOCH,
        };
        store.begin_journal(&lock, &PrivateKey::generate(KeyType::EcdsaP256).unwrap(), &entry).unwrap();
        store.set_order_url(&lock, &url).unwrap();
        let journal = store.read_journal(&lock).unwrap().unwrap();
        prop_assert_eq!(journal.entry, Entry { order_url: Some(url.clone()), ..entry });

        let account = store.try_lock_account(&directory).unwrap().unwrap();
        let record = AccountRecord {
            url: url.clone(),
            directory: directory.clone(),
            contact: vec![url],
            terms_agreed_at: None,
            deactivated_at: None,
        };
        store.save_account_key(&account, "key").unwrap();
        store.save_account_record(&account, &record).unwrap();
        prop_assert_eq!(store.account(&directory).unwrap().unwrap().record, Some(record));
        store.change_standing(&directory, |standing| standing.trouble = None).unwrap();
        // Nothing beside the store, and nothing in it that is named after what a stranger said.
        prop_assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
        for path in below(&state) {
            let name = path.file_name().unwrap().to_str().unwrap();
            prop_assert!(is_one_word(name) && is_tame(name), "{:?}", path);
        }
    }
}
