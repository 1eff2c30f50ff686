//! What must not be taken, and how that is told.

use std::fs;
use std::sync::Arc;

use hotcert::bundle::Rival;
use hotcert::store::{Meta, Source};

use super::place::Place;
use crate::support::secrets::{self, Secret};
use crate::support::{poll, scratch::Scratch};

#[test]
fn a_broken_file_replaces_nothing_and_is_reported_until_it_is_mended() {
    let place = Place::watched();
    let first = place.leaf("a.test", 5);
    place.write("a.pem", first.fullchain_and_key());
    place.expect("a", &first);
    let next = place.leaf("a.test", 4);
    for (broken, why) in [
        ("nonsense".to_owned(), "no `-----BEGIN"),
        (next.fullchain(), "the private key is missing"),
        (next.fullchain() + &first.key_pem(), "does not match"),
        (next.leaf_and_key(), "without intermediates"),
        (next.fullchain_and_key().replace('M', "*"), "not valid base64"),
        (next.fullchain() + &next.key_encrypted("secret"), "is encrypted"),
        (place.pki.leaf("a.test").valid_days(-9, -1).issue().fullchain_and_key(), "it has expired"),
        (place.leaf("other.test", 3).fullchain_and_key(), "does not cover a.test"),
        (String::new(), "it is empty"),
    ] {
        place.write("a.pem", broken);
        let problem = place.expect_problem("a.pem", why);
        assert_eq!(problem.certificate.unwrap().as_str(), "a");
        assert_eq!(place.stored("a").as_deref(), Some(first.sha256()));
    }
    place.write("a.pem", first.fullchain_and_key());
    place.expect_no_problem();
    place.write("a.pem", next.fullchain_and_key());
    place.expect("a", &next);
}

#[test]
fn an_older_file_is_refused_until_it_is_forced() {
    let place = Place::watched();
    let (new, old) = (place.leaf("a.test", 2), place.leaf("a.test", 50));
    place.write("a.pem", new.fullchain_and_key());
    place.expect("a", &new);
    place.write("a.pem", old.fullchain_and_key());
    let problem = place.expect_problem("a.pem", "it is older than what the store has");
    assert!(problem.hint.unwrap().contains("push --force --name a"));
    assert_eq!(place.stored("a").as_deref(), Some(new.sha256()));
}

#[test]
fn what_nodes_serve_is_a_rival_of_a_certificate_that_is_new_to_us() {
    let mut place = Place::new();
    let (served, old) = (place.leaf("a.test", 2), place.leaf("a.test", 50));
    let rival = Rival {
        place: "node edge".to_owned(),
        sha1: hotcert::model::Sha1::of(served.der()),
        not_before: Some(served.not_before()),
        names: ["a.test".parse().unwrap()].into(),
    };
    place.nodes.0.insert("a".parse().unwrap(), vec![rival]);
    place.start();
    place.write("a.pem", old.fullchain_and_key());
    place.expect_problem("a.pem", "it is older than what node edge has");
    assert_eq!(place.stored("a"), None);
    place.write("a.pem", served.fullchain_and_key());
    place.expect("a", &served);
    place.expect_no_problem();
}

#[test]
fn a_deleted_file_leaves_what_is_served_and_is_reported() {
    let mut place = Place::watched();
    let leaf = place.leaf("a.test", 2);
    let file = place.write("a.pem", leaf.fullchain_and_key());
    place.expect("a", &leaf);
    fs::remove_file(&file).unwrap();
    place.expect_problem("a.pem", "it was removed; what is served stays in place");
    // Also by the next process.
    place.start();
    place.expect_problem("a.pem", "it was removed; what is served stays in place");
    assert_eq!(place.stored("a").as_deref(), Some(leaf.sha256()));
    place.write("a.pem", leaf.fullchain_and_key());
    place.expect_no_problem();
    // Moved to another place is not removed.
    fs::create_dir(place.dir().join("sub")).unwrap();
    fs::rename(&file, place.dir().join("sub/a.pem")).unwrap();
    let newer = place.leaf("a.test", 1);
    place.write("sub/a.pem", newer.fullchain_and_key());
    place.expect("a", &newer);
    place.expect_no_problem();
}

#[test]
fn a_deleted_directory_leaves_what_is_served_and_is_reported() {
    let place = Place::watched();
    let leaf = place.leaf("a.test", 2);
    place.write("live/a.test/fullchain.pem", leaf.fullchain());
    place.write("live/a.test/privkey.pem", leaf.key_pem());
    place.expect("a.test", &leaf);
    fs::remove_dir_all(place.dir().join("live")).unwrap();
    place.expect_problem("live/a.test/fullchain.pem", "it was removed; what is served stays in place");
    place.write("live/a.test/privkey.pem", leaf.key_pem());
    place.write("live/a.test/fullchain.pem", leaf.fullchain());
    place.expect_no_problem();
}

#[test]
fn two_files_for_one_name_must_agree() {
    let place = Place::watched();
    let (first, second) = (place.leaf("a.test", 5), place.leaf("a.test", 4));
    place.write("a.pem", first.fullchain_and_key());
    place.expect("a", &first);
    place.write("a/fullchain.pem", second.fullchain());
    place.write("a/privkey.pem", second.key_pem());
    let problem = place.expect_problem("a.pem", "the two differ");
    assert!(problem.reason.contains("a/fullchain.pem"), "{problem:?}");
    let problem = place.expect_problem("a/fullchain.pem", "the two differ");
    assert!(problem.reason.contains("a.pem"), "{problem:?}");
    assert_eq!(place.stored("a").as_deref(), Some(first.sha256()));
    place.write("a.pem", second.fullchain_and_key());
    place.expect("a", &second);
    place.expect_no_problem();
}

#[test]
fn what_hotcert_orders_is_not_taken_from_a_file() {
    let issuer = "[issuer.ca]\ndirectory = \"https://ca.test/dir\"\nterms_agreed = true\n";
    let mut place = Place::new().with(issuer).with("[[certificate]]\ndomains = [\"a.test\"]\n");
    let (ordered, foreign) = (place.leaf("a.test", 5), place.leaf("a.test", 4));
    let name = "a.test".parse().unwrap();
    let parts = place.parts();
    place.write("ordered.pem", ordered.fullchain_and_key());
    // The store has it already, as if it had been ordered.
    fs::rename(place.dir().join("ordered.pem"), place.dir().join("a.test.pem")).unwrap();
    let bundle = hotcert::bundle::Bundle::reopen(&name, &[ordered.fullchain_and_key().as_bytes()]).unwrap();
    let lock = place.store.try_lock_certificate(&name).unwrap().unwrap();
    let meta = Meta { source: Source::Acme, issuer: Some("ca".to_owned()), created: parts.clock.now() };
    place.store.add(&lock, &bundle, &meta).unwrap();
    drop(lock);
    place.start();
    place.settle();
    place.expect_no_problem();
    place.write("a.test.pem", foreign.fullchain_and_key());
    place.expect_problem("a.test.pem", "is ordered by hotcert itself ([[certificate]])");
    assert_eq!(place.stored("a.test").as_deref(), Some(ordered.sha256()));
}

#[test]
fn a_rollback_lasts_until_the_file_changes() {
    let mut place = Place::watched();
    let name = "a".parse().unwrap();
    let leaves = [5, 4, 3].map(|hours| place.leaf("a.test", hours));
    for leaf in &leaves[..2] {
        place.write("a.pem", leaf.fullchain_and_key());
        place.expect("a", leaf);
    }
    poll(super::place::DEADLINE, || place.store.taken(&name).unwrap());
    let lock = poll(super::place::DEADLINE, || place.store.try_lock_certificate(&name).unwrap()).unwrap();
    place.store.select(&lock, 1).unwrap();
    drop(lock);
    place.settle();
    place.start();
    place.settle();
    // Touched, and written anew with the same contents.
    place.write("a.pem", leaves[1].fullchain_and_key());
    place.settle();
    assert_eq!(place.stored("a").as_deref(), Some(leaves[0].sha256()));
    place.write("a.pem", leaves[2].fullchain_and_key());
    place.expect("a", &leaves[2]);
}

#[test]
fn a_name_that_cannot_be_a_certificates_is_reported() {
    let place = Place::watched();
    let leaf = place.leaf("a.test", 5);
    let file = place.write("my shop.pem", leaf.fullchain_and_key());
    let problem = place.expect_problem("my shop.pem", "its file name cannot name a certificate");
    assert_eq!(problem.certificate, None);
    fs::rename(file, place.dir().join("shop.pem")).unwrap();
    place.expect("shop", &leaf);
    place.expect_no_problem();
}

#[test]
fn a_certificate_that_is_locked_is_taken_when_it_is_free() {
    let place = Place::watched();
    let leaf = place.leaf("a.test", 5);
    let lock = place.store.try_lock_certificate(&"a".parse().unwrap()).unwrap().unwrap();
    place.write("a.pem", leaf.fullchain_and_key());
    place.settle();
    assert_eq!(place.stored("a"), None);
    drop(lock);
    place.expect("a", &leaf);
    place.expect_no_problem();
}

#[test]
fn one_look_is_enough_without_a_daemon() {
    let place = Place::new();
    let leaf = place.leaf("a.test", 5);
    place.write("a.pem", leaf.fullchain_and_key());
    place.write("b.crt", leaf.fullchain());
    let outcome = place.once();
    assert_eq!(outcome.stored, ["a".parse().unwrap()].into());
    assert_eq!(outcome.problems.len(), 1, "{:?}", outcome.problems);
    assert_eq!(place.stored("a").as_deref(), Some(leaf.sha256()));
    let outcome = place.once();
    assert!(outcome.stored.is_empty());
    assert!(outcome.problems[0].reason.contains("the private key is missing"));
}

/// Where a subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_key_is_neither_in_logs_nor_in_problems() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // Nextest gives each test a process of its own.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let place = Place::watched();
    let leaf = place.leaf("a.test", 5);
    let secrets = [Secret::of("the key", &leaf.key_pem())];
    place.write("a.pem", leaf.fullchain_and_key());
    place.expect("a", &leaf);
    let whole = leaf.fullchain_and_key();
    for broken in [&whole[..whole.len() - 30], &whole.replace("-----END", "----END"), &leaf.key_pem()] {
        place.write("a.pem", broken);
        place.settle();
        place.write("b.crt", leaf.fullchain());
        place.write("b.key", broken);
        place.settle();
    }
    place.write("b.key", &whole[..whole.len() - 30]);
    place.expect_problem("a.pem", "");
    place.expect_problem("b.crt", "");
    let problems = serde_json::to_vec(&place.problems()).unwrap();
    secrets::expect_none(&secrets, "the problems", &problems);
    let log = log.0.lock().unwrap();
    assert!(log.windows(5).any(|window| window == b"TRACE"), "nothing was logged");
    secrets::expect_none(&secrets, "the log", &log);
}

#[test]
fn a_directory_that_cannot_be_read_changes_nothing() {
    // Root may read everything: a file in the directory's place stands for it.
    let place = Place::watched();
    let leaf = place.leaf("a.test", 5);
    place.write("a.pem", leaf.fullchain_and_key());
    place.expect("a", &leaf);
    let elsewhere = Scratch::new();
    fs::rename(place.dir(), elsewhere.join("in")).unwrap();
    fs::write(place.dir(), "no directory").unwrap();
    place.expect_problem("", "the watched directory is not there");
    assert_eq!(place.problems().len(), 1, "{:?}", place.problems());
    fs::remove_file(place.dir()).unwrap();
    fs::rename(elsewhere.join("in"), place.dir()).unwrap();
    place.expect_no_problem();
    place.settle();
}
