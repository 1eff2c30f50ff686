use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{PermissionsExt, chown};

use super::*;
use crate::model::{RevocationReason, Sha1};

pub(super) const DIRECTORY: &str = "https://acme.example:14000/dir";

pub(super) fn entry() -> Entry {
    Entry {
        issuer: Some("letsencrypt".to_owned()),
        directory: DIRECTORY.to_owned(),
        identifiers: ["example.org".parse().unwrap()].into(),
        key_type: KeyType::EcdsaP256,
        order_url: None,
        started: at("2026-11-22T14:00:00Z"),
    }
}

#[test]
fn the_state_directory_is_made_by_whoever_writes_and_refused_where_others_can_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("a/state");
    let store = Store::open(&root).unwrap();
    assert!(store.names().unwrap().is_empty() && store.tokens().unwrap().is_empty());
    assert!(!dir.path().join("a").exists());
    store.remember(&store.try_lock_certificate(&name()).unwrap().unwrap(), &"what").unwrap();
    assert_eq!(mode(&root), 0o700);
    Store::open(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o750)).unwrap();
    let error = Store::open(&root).unwrap_err();
    assert!(matches!(error, Error::StateOpenToOthers { mode: 0o750, .. }));
    assert_eq!(error.hint().unwrap(), format!("chmod 700 {}", root.display()));
    fs::write(dir.path().join("file"), "").unwrap();
    assert!(matches!(Store::open(&dir.path().join("file")), Err(Error::NotADirectory { .. })));
}

#[test]
fn what_root_writes_into_the_state_of_another_user_belongs_to_that_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let fix = Fixture::new();
    chown(&fix.store.root, Some(65534), Some(65534)).unwrap();
    let store = Store::open(&fix.store.root).unwrap();
    let lock = store.try_lock_certificate(&name()).unwrap().unwrap();
    store.add(&lock, &bundle(), &meta()).unwrap();
    for entry in tree(&store.root).iter().filter(|entry| !entry.ends_with("/current")) {
        let found = fs::metadata(store.root.join(entry)).unwrap();
        assert_eq!((found.uid(), found.gid()), (65534, 65534), "{entry}");
    }
}

#[test]
fn a_lock_excludes_others_until_it_is_dropped() {
    let fix = Fixture::new();
    let lock = fix.lock();
    assert!(fix.store.try_lock_certificate(&name()).unwrap().is_none());
    assert!(fix.store.try_lock_certificate(&"other".parse().unwrap()).unwrap().is_some());
    drop(lock);
    assert!(fix.store.try_lock_certificate(&name()).unwrap().is_some());

    let node = fix.store.try_lock_node("/run/a.sock").unwrap();
    assert!(node.is_some() && fix.store.try_lock_node("/run/a.sock").unwrap().is_none());
    assert!(fix.store.try_lock_node("/run-a.sock").unwrap().is_some());
    let account = fix.store.try_lock_account(DIRECTORY).unwrap();
    assert!(account.is_some() && fix.store.try_lock_account(DIRECTORY).unwrap().is_none());
}

#[test]
fn an_account_key_is_never_overwritten() {
    let fix = Fixture::new();
    assert_eq!(fix.store.account(DIRECTORY).unwrap(), None);
    let lock = fix.store.try_lock_account(DIRECTORY).unwrap().unwrap();
    assert_eq!(fix.store.save_account_key(&lock, "first").unwrap().as_str(), "first");
    assert_eq!(fix.store.save_account_key(&lock, "second").unwrap().as_str(), "first");
    let stored = fix.store.account(DIRECTORY).unwrap().unwrap();
    assert_eq!((stored.key_pem.as_str(), &stored.record), ("first", &None));
    assert!(!format!("{stored:?}").contains("first"));

    let record = AccountRecord {
        url: "https://acme.example:14000/my-account/1".to_owned(),
        directory: DIRECTORY.to_owned(),
        contact: vec!["mailto:a@example.org".to_owned()],
        terms_agreed_at: Some(at("2026-11-22T14:00:00Z")),
        deactivated_at: None,
    };
    fix.store.save_account_record(&lock, &record).unwrap();
    assert_eq!(fix.store.account(DIRECTORY).unwrap().unwrap().record, Some(record));
    assert_eq!(fix.store.account("https://acme.example:14000/other").unwrap(), None);
    let files: Vec<_> =
        tree(&fix.path("accounts")).iter().map(|entry| mode(&fix.path("accounts").join(entry))).collect();
    assert_eq!(files, [0o700, 0o600, 0o600]);
}

#[test]
fn a_new_key_waits_beside_the_old_one_and_an_account_that_is_over_makes_room() {
    let fix = Fixture::new();
    let lock = fix.store.try_lock_account(DIRECTORY).unwrap().unwrap();
    let keys = || {
        let stored = fix.store.account(DIRECTORY).unwrap()?;
        Some((stored.key_pem.as_str().to_owned(), stored.next.map(|next| next.pem.as_str().to_owned())))
    };
    fix.store.save_account_key(&lock, "first").unwrap();
    fix.store.save_next_account_key(&lock, "second").unwrap();
    assert_eq!(keys(), Some(("first".to_owned(), Some("second".to_owned()))));
    fix.store.drop_next_account_key(&lock).unwrap();
    assert_eq!(keys(), Some(("first".to_owned(), None)));
    fix.store.save_next_account_key(&lock, "third").unwrap();
    fix.store.take_next_account_key(&lock).unwrap();
    assert_eq!(keys(), Some(("third".to_owned(), None)));
    for number in 1..=2 {
        let aside = fix.store.retire_account(&lock).unwrap();
        assert!(aside.to_str().unwrap().ends_with(&format!(".retired-{number}")) && keys().is_none());
        fix.store.save_account_key(&lock, "next").unwrap();
    }
}

#[test]
fn many_sign_by_an_account_and_one_changes_it() {
    let fix = Fixture::new();
    let one = fix.store.try_use_account(DIRECTORY).unwrap().unwrap();
    let other = fix.store.try_use_account(DIRECTORY).unwrap().unwrap();
    assert!(fix.store.try_own_account(DIRECTORY).unwrap().is_none());
    drop((one, other));
    let own = fix.store.try_own_account(DIRECTORY).unwrap();
    assert!(own.is_some() && fix.store.try_use_account(DIRECTORY).unwrap().is_none());
}

#[test]
fn a_directory_url_cannot_leave_the_accounts() {
    for url in ["https://../../etc/x", "..", "", "https://ü/…", "/", &"a".repeat(900)] {
        let id = accounts::authority_id(url);
        assert!(!id.contains('/') && !id.starts_with('.') && id.len() < 200, "{id}");
    }
}

#[test]
fn a_journal_is_resumed_and_dropped() {
    let fix = Fixture::new();
    let lock = fix.lock();
    let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    assert_eq!(fix.store.read_journal(&lock).unwrap(), None);
    assert!(matches!(fix.store.set_order_url(&lock, "u"), Err(Error::JournalMissing { .. })));

    fix.store.begin_journal(&lock, &key, &entry()).unwrap();
    assert!(fix.store.has_journal(&name()).unwrap());
    assert!(matches!(fix.store.begin_journal(&lock, &key, &entry()), Err(Error::JournalInUse { .. })));
    fix.store.set_order_url(&lock, "https://acme.example/order/1").unwrap();
    let journal = fix.store.read_journal(&lock).unwrap().unwrap();
    assert_eq!(journal.key, key);
    assert_eq!(journal.entry.order_url.as_deref(), Some("https://acme.example/order/1"));

    fix.store.drop_journal(&lock).unwrap();
    fix.store.drop_journal(&lock).unwrap();
    assert!(!fix.store.has_journal(&name()).unwrap());
    assert!(fs::read_dir(fix.path("certs/example.org/journal")).unwrap().next().is_none());
}

#[test]
fn a_broken_journal_is_moved_aside_with_its_key() {
    let fix = Fixture::new();
    let lock = fix.lock();
    let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    for number in 1..=2 {
        fix.store.begin_journal(&lock, &key, &entry()).unwrap();
        fs::write(fix.path("certs/example.org/journal/order.json"), "{").unwrap();
        assert_eq!(fix.store.read_journal(&lock).unwrap(), None);
        let aside = fix.path(&format!("certs/example.org/journal.broken-{number}/privkey.pem"));
        assert_eq!(fs::read_to_string(aside).unwrap(), key.pem());
    }
    fix.store.begin_journal(&lock, &key, &entry()).unwrap();
    fs::remove_file(fix.path("certs/example.org/journal/privkey.pem")).unwrap();
    assert_eq!(fix.store.read_journal(&lock).unwrap(), None);
}

#[test]
fn settings_are_remembered() {
    let fix = Fixture::new();
    assert_eq!(fix.store.remembered::<BTreeMap<String, u8>>(&name()).unwrap(), None);
    let settings = BTreeMap::from([("a".to_owned(), 1)]);
    fix.store.remember(&fix.lock(), &settings).unwrap();
    assert_eq!(fix.store.remembered(&name()).unwrap(), Some(settings));
    assert!(matches!(fix.store.remembered::<u8>(&name()), Err(Error::Damaged { .. })));
    assert_eq!(fix.store.names().unwrap(), [name()]);
    assert!(fix.store.generations(&name()).unwrap().is_empty());
}

#[test]
fn a_token_lives_until_it_is_removed() {
    let fix = Fixture::new();
    assert!(fix.store.tokens().unwrap().is_empty());
    let token = |token: &str| Token {
        token: token.to_owned(),
        key_authorization: format!("{token}.thumbprint"),
        place: Place::Map("/etc/haproxy/acme.map".to_owned()),
        certificate: name(),
        wanted: true,
        placed: false,
        hindrance: None,
    };
    fix.store.put_token(&token("b")).unwrap();
    fix.store.put_token(&token("-a_")).unwrap();
    fix.store.mark_placed("b").unwrap();
    fix.store.retire_token("b").unwrap();
    let retired = Token { wanted: false, placed: true, ..token("b") };
    fs::write(fix.path("tokens/broken.json"), "{").unwrap();
    assert_eq!(fix.store.tokens().unwrap(), [token("-a_"), retired]);

    let lock = fix.store.try_lock_answers().unwrap().unwrap();
    fix.store.remove_retired_token(&lock, "b").unwrap();
    fix.store.remove_retired_token(&lock, "b").unwrap();
    fix.store.retire_token("b").unwrap();
    // It was stored again after a round had seen it retired.
    fix.store.remove_retired_token(&lock, "-a_").unwrap();
    assert_eq!(fix.store.tokens().unwrap(), [token("-a_")]);
    for bad in ["", "..", "a/b", "a.b", "a=", "a\n", &"a".repeat(129)] {
        assert!(matches!(fix.store.put_token(&token(bad)), Err(Error::FileName { .. })), "{bad:?}");
    }
}

#[test]
fn concurrent_changes_of_a_token_are_all_kept() {
    let fix = Fixture::new();
    for round in 0..20 {
        let token = Token {
            token: format!("t{round}"),
            key_authorization: String::new(),
            place: Place::Map(String::new()),
            certificate: name(),
            wanted: true,
            placed: false,
            hindrance: None,
        };
        fix.store.put_token(&token).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| fix.store.retire_token(&token.token).unwrap());
            scope.spawn(|| fix.store.mark_placed(&token.token).unwrap());
        });
    }
    assert!(fix.store.tokens().unwrap().iter().all(|token| !token.wanted && token.placed));
}

#[test]
fn a_staging_note_outlives_its_writer() {
    let fix = Fixture::new();
    let node = "/run/haproxy/admin.sock";
    let expected = Staging {
        haproxy_pid: 4711,
        since: at("2026-11-22T14:00:00Z"),
        slots: [("/etc/haproxy/certs/a.pem".parse().unwrap(), Sha1::of(b"leaf"))].into(),
    };
    assert_eq!(fix.store.staging(node).unwrap(), None);
    let lock = fix.store.try_lock_node(node).unwrap().unwrap();
    fix.store.note_staging(&lock, &expected).unwrap();
    drop(lock);
    assert_eq!(fix.store.staging(node).unwrap(), Some(expected));
    let lock = fix.store.try_lock_node(node).unwrap().unwrap();
    fix.store.clear_staging(&lock).unwrap();
    fix.store.clear_staging(&lock).unwrap();
    assert_eq!(fix.store.staging(node).unwrap(), None);
}

#[test]
fn a_file_that_is_no_file_or_too_long_is_an_error() {
    let fix = Fixture::new();
    let path = fix.path("thing");
    fs::write(&path, vec![b'a'; crate::bundle::pem::MAX_INPUT + 1]).unwrap();
    assert!(matches!(read::bytes(&path), Err(Error::TooLong { .. })));
    fs::write(&path, "").unwrap();
    assert_eq!(read::bytes(&path).unwrap().unwrap().len(), 0);
    let without_length = read::bytes(Path::new("/proc/self/mountinfo")).unwrap().unwrap();
    assert!(without_length.ends_with(b"\n") && without_length.len() > 100, "it is read to its end");
    assert!(matches!(read::bytes(&fix.store.root), Err(Error::NotAFile { .. })));
    assert!(matches!(read::bytes(Path::new("/dev/zero")), Err(Error::NotAFile { .. })));
    let pipe = fix.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert!(matches!(read::bytes(&pipe), Err(Error::NotAFile { .. })));
    let turn = fix.path("loop");
    std::os::unix::fs::symlink("loop", &turn).unwrap();
    assert!(matches!(read::bytes(&turn), Err(Error::Io { .. })));
}

#[test]
fn the_stamp_changes_with_every_change_of_a_certificate_and_only_then() {
    let fix = Fixture::new();
    let lock = fix.lock();
    let mut seen = vec![fix.store.stamp()];
    let mut changed = || {
        let now = fix.store.stamp();
        let is_new = !seen.contains(&now);
        seen.push(now);
        is_new
    };
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    assert!(changed());
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    assert!(changed());
    fix.store.select(&lock, 1).unwrap();
    assert!(changed());
    fix.store.remember(&lock, &["example.org"]).unwrap();
    assert!(changed());
    fix.store.select(&lock, 1).unwrap();
    fix.store.current(&name()).unwrap();
    assert!(!changed());
}

#[test]
fn what_was_written_since_a_look_is_told_of_and_what_lay_there_before_is_not() {
    let fix = Fixture::new();
    let lock = fix.lock();
    let long_ago = |path: &str| {
        let file = fs::File::open(fix.path(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    };
    let all_is_old = || {
        for path in ["certs/example.org", "certs/example.org/settings.json", "certs"] {
            long_ago(path);
        }
        Stamp::now()
    };
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    fix.store.remember(&lock, &["example.org"]).unwrap();
    let told = |since| {
        let changed = fix.store.changed_since(since).unwrap().unwrap();
        assert_eq!(changed.all, BTreeSet::from([name()]));
        (changed.written.contains(&name()), changed.remembered.contains(&name()))
    };

    let began = all_is_old();
    assert_eq!(told(began), (false, false));
    let revocation =
        Revocation { at: at("2026-11-22T15:00:00Z"), reason: RevocationReason::Superseded, detached: false };
    fix.store.note_revoked(&lock, 1, &revocation).unwrap();
    assert_eq!(told(began), (true, false), "what changes deep inside counts");
    let began = all_is_old();
    fix.store.remember(&lock, &["example.net"]).unwrap();
    assert_eq!(told(began), (true, true));
    assert_eq!(told(Stamp::now()), (true, true), "a look may have missed what was written in the same instant");

    let Stamp(seconds, nanoseconds) = Stamp::now();
    let later = Stamp(seconds + 60, nanoseconds);
    assert!(fix.store.changed_since(later).unwrap().is_none(), "nobody knows after the clock was set back");
}
