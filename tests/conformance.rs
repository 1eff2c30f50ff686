//! What `hotcert::haproxy` assumes of HAProxy's runtime API, and what it does with it, on each version.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::time::{Duration, Instant};

use hotcert::bundle::Bundle;
use hotcert::haproxy::{
    Connect, Error, Filter, Info, Level, ListKind, Map, Name, Options, Process, Rejection, Session, Status,
    SystemConnect, Word,
};
use hotcert::model::{Address, Slot};
use hotcert::schedule::Retry;
use support::fake::FakeSocket;
use support::model::bench::each_subject;
use support::model::{Bench, Fake, Layout, Profile, Subject};
use support::{Haproxy, HaproxyVersion, Http01, Leaf, Pki, Scratch};

each_subject! {
    a_socket_below_admin_is_refused_before_anything_else_is_asked,
    a_new_certificate_is_served_from_a_directory,
    a_new_certificate_is_served_from_a_crt_list_with_its_filters,
    a_slot_ending_in_crt_is_renewed,
    a_staged_certificate_is_served_only_after_its_commit,
    an_aborted_certificate_is_never_served,
    refusals_are_told_apart,
    no_length_around_a_buffer_kills_haproxy,
    a_foreign_transaction_on_another_slot_is_seen_and_left_alone,
    a_foreign_transaction_on_the_same_slot_is_recognised,
    a_set_that_meets_a_foreign_transaction_changes_nothing_that_is_served,
    a_transaction_left_behind_is_found_and_aborted,
    a_description_that_is_cut_is_still_recognised_where_it_can_be_asked_for,
    opening_tells_version_level_and_limit,
    of_two_certificates_for_one_name_the_one_loaded_first_is_served,
    a_long_listing_is_read_to_its_end_and_locks_nobody,
    a_map_answers_with_the_value_set_last,
    a_fresh_session_after_a_reload_reaches_another_process,
    every_command_is_answered_alike_by_the_real_one_and_the_one_in_memory,
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn open(haproxy: &Bench) -> Session {
    Session::open(haproxy.connect(), &haproxy.address()).await.unwrap()
}

async fn refused(connect: &dyn Connect, address: Address) -> Error {
    Session::open(connect, &address).await.unwrap_err()
}

fn bundle(leaf: &Leaf) -> Bundle {
    Bundle::reopen(&"test".parse().unwrap(), &[leaf.fullchain_and_key().as_bytes()]).unwrap()
}

async fn push(session: Session, slot: &Slot, bundle: &Bundle) -> Session {
    session.stage(slot, bundle).await.unwrap().commit().await.unwrap()
}

/// The slot of an open transaction of some other program.
fn foreign_transaction(haproxy: &Bench, slot: &Slot, leaf: &Leaf) {
    let answer = haproxy.cli_payload(&format!("set ssl cert {slot}"), &leaf.fullchain_and_key());
    assert!(answer.contains("Transaction created"), "{answer}");
}

fn opening_tells_version_level_and_limit(subject: Subject) {
    let haproxy = subject.haproxy().bufsize(20001).tcp_stats().start();
    run(async {
        for address in haproxy.addresses() {
            let session = Session::open(haproxy.connect(), &address).await.unwrap();
            let Info { pid, version: told, started_at, stopping, level, payload_limit } = session.info().clone();
            assert_eq!(pid, haproxy.pid());
            assert!(told.to_string().starts_with(subject.version().name()), "{told}");
            assert_eq!((level, stopping), (Level::Admin, false));
            let age = jiff::Timestamp::now().duration_since(started_at.unwrap()).as_secs();
            assert!((0..60).contains(&age), "{age}");
            // The pool shows the size rounded up.
            assert!((20001..20017).contains(&payload_limit.bufsize), "{payload_limit:?}");
            assert_eq!(session.info().capabilities().sni_listing, subject.version() >= HaproxyVersion::V3_2);
        }
    });
}

fn a_socket_below_admin_is_refused_before_anything_else_is_asked(subject: Subject) {
    for (text, level) in [("user", Level::User), ("operator", Level::Operator)] {
        let haproxy = subject.haproxy().level(text).start();
        let error = run(refused(haproxy.connect(), haproxy.address()));
        assert!(matches!(error, Error::Level { level: found, .. } if found == level), "{error}");
        assert!(error.hint().unwrap().contains("level admin"));
    }
}

#[test]
fn the_master_socket_is_recognised() {
    for version in HaproxyVersion::ALL {
        let haproxy = Haproxy::new(version).master().start();
        let error = run(refused(&SystemConnect, Address::Unix(haproxy.master_socket())));
        assert!(matches!(error, Error::MasterSocket { .. }), "{error}");
    }
}

fn a_new_certificate_is_served_from_a_directory(subject: Subject) {
    let pki = Pki::with_two_intermediates();
    let leaf = pki.leaf("a.test").names(&["a.test", "*.b.test"]).issue();
    let haproxy = subject.haproxy().certificate("old.pem", &pki.leaf("old.test").issue().fullchain_and_key()).start();
    let (slot, dir, bundle) = (haproxy.in_directory("a.pem"), haproxy.directory(), bundle(&leaf));
    run(async {
        let mut session = open(&haproxy).await;
        assert_eq!(session.lists().await.unwrap(), std::slice::from_ref(&dir));
        assert!(!session.certificates().await.unwrap().contains(&slot));
        assert_eq!(session.certificate(&slot).await.unwrap(), None);

        session.create(&slot).await.unwrap();
        let empty = session.certificate(&slot).await.unwrap().unwrap();
        assert_eq!((empty.status, empty.leaf), (Status::Empty, None));
        let mut session = push(session, &slot, &bundle).await;
        assert_eq!(session.certificate(&slot).await.unwrap().unwrap().status, Status::Unused);
        assert_eq!(haproxy.shown("a.test"), None);
        // People write a directory with a slash at its end.
        session.attach(&format!("{dir}/").parse().unwrap(), &slot, None, &[]).await.unwrap();

        let loaded = session.certificate(&slot).await.unwrap().unwrap();
        assert_eq!(loaded.status, Status::Used);
        assert!(loaded.is(bundle.facts()));
        assert_eq!(loaded.chain.len(), 2);
        let held = loaded.leaf.unwrap();
        assert_eq!((&held.names, &held.serial), (&bundle.facts().names, &bundle.facts().serial));
        assert_eq!((held.not_before, held.not_after), (Some(leaf.not_before()), Some(leaf.not_after())));

        let entries = session.entries(&dir).await.unwrap();
        let lines: Vec<_> = entries.iter().map(|entry| (entry.name.to_string(), entry.line)).collect();
        assert_eq!(lines, [(haproxy.in_directory("old.pem").to_string(), 0), (slot.to_string(), 1)]);
        assert_eq!(ListKind::of(&dir, &entries), ListKind::Directory);
    });
    for name in ["a.test", "x.b.test"] {
        assert_eq!(haproxy.shown(name).unwrap(), leaf.serial());
    }
}

fn a_new_certificate_is_served_from_a_crt_list_with_its_filters(subject: Subject) {
    let leaf = Pki::new().leaf("a.test").names(&["a.test", "*.b.test"]).issue();
    let haproxy = subject.haproxy().crt_list("").start();
    let (slot, list): (Slot, _) = ("/elsewhere/a.pem".parse().unwrap(), haproxy.crt_list());
    let options: Options = "alpn h2,http/1.1 ssl-min-ver TLSv1.2".parse().unwrap();
    let filters: Vec<Filter> = ["*.b.test", "!no.b.test"].map(|text| text.parse().unwrap()).into();
    run(async {
        let mut session = open(&haproxy).await;
        assert_eq!(ListKind::of(&list, &session.entries(&list).await.unwrap()), ListKind::Unknown);
        session.create(&slot).await.unwrap();
        let mut session = push(session, &slot, &bundle(&leaf)).await;
        session.attach(&list, &slot, Some(&options), &filters).await.unwrap();
        let entries = session.entries(&list).await.unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!((&entries[0].name, entries[0].options.as_str()), (&Name::Slot(slot.clone()), options.as_str()));
        assert_eq!(entries[0].filters, ["*.b.test", "!no.b.test"]);
        assert_eq!(ListKind::of(&list, &entries), ListKind::File);
        assert_eq!(haproxy.shown("x.b.test").unwrap(), leaf.serial());
        assert_eq!(haproxy.shown("a.test"), None);
        assert_eq!(haproxy.shown("no.b.test"), None);
        if let Some(sni) = session.sni().await.unwrap() {
            assert!(sni.iter().any(|line| line.sni == "*.b.test" && line.name == Name::Slot(slot.clone())), "{sni:?}");
        }

        session.detach(&list, &slot, entries[0].line).await.unwrap();
        session.delete(&slot).await.unwrap();
        assert_eq!(session.certificates().await.unwrap().names.len(), 0);
        assert_eq!(haproxy.shown("x.b.test"), None);
    });
}

fn a_slot_ending_in_crt_is_renewed(subject: Subject) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = subject.haproxy().certificate("a.crt", &old.fullchain_and_key()).start();
    run(async { push(open(&haproxy).await, &haproxy.in_directory("a.crt"), &bundle(&new)).await });
    assert_eq!(haproxy.shown("a.test").unwrap(), new.serial());
}

fn a_staged_certificate_is_served_only_after_its_commit(subject: Subject) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = subject.haproxy().certificate("a.pem", &old.fullchain_and_key()).start();
    let slot = haproxy.in_directory("a.pem");
    run(async {
        let mut staged = open(&haproxy).await.stage(&slot, &bundle(&new)).await.unwrap();
        assert_eq!(staged.session().certificates().await.unwrap().open, Some(Name::Slot(slot.clone())));
        assert!(staged.session().certificate(&slot).await.unwrap().unwrap().is(bundle(&old).facts()));
        assert_eq!(haproxy.shown("a.test").unwrap(), old.serial());
        let mut session = staged.commit().await.unwrap();
        assert_eq!(session.certificates().await.unwrap().open, None);
    });
    assert_eq!(haproxy.shown("a.test").unwrap(), new.serial());
}

fn an_aborted_certificate_is_never_served(subject: Subject) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = subject.haproxy().certificate("a.pem", &old.fullchain_and_key()).start();
    run(async {
        let staged = open(&haproxy).await.stage(&haproxy.in_directory("a.pem"), &bundle(&new)).await.unwrap();
        let mut session = staged.abort().await.unwrap();
        assert_eq!(session.certificates().await.unwrap().open, None);
    });
    assert_eq!(haproxy.shown("a.test").unwrap(), old.serial());
}

fn refusals_are_told_apart(subject: Subject) {
    let leaf = Pki::new().leaf("a.test").issue();
    let haproxy = subject.haproxy().certificate("a.pem", &leaf.fullchain_and_key()).second_crt_list("").start();
    let (a, new) = (haproxy.in_directory("a.pem"), haproxy.in_directory("new.pem"));
    let (dir, list): (_, Slot) = (haproxy.directory(), haproxy.crt_list());
    let (nowhere, elsewhere): (Slot, Slot) = ("/nowhere".parse().unwrap(), "/elsewhere/a.pem".parse().unwrap());
    let bad: Options = "bogus".parse().unwrap();
    run(async {
        let mut session = open(&haproxy).await;
        let why = |result: Result<(), Error>| result.unwrap_err().rejection().unwrap().clone();
        assert_eq!(why(session.create(&a).await), Rejection::Exists);
        assert_eq!(why(session.delete(&nowhere).await), Rejection::NoSlot);
        assert_eq!(why(session.delete(&a).await), Rejection::InUse);
        assert_eq!(why(session.attach(&nowhere, &a, None, &[]).await), Rejection::NoList);
        assert_eq!(why(session.attach(&list, &nowhere, None, &[]).await), Rejection::NoSlot);
        assert_eq!(why(session.attach(&list, &a, Some(&bad), &[]).await), Rejection::BadEntry);
        assert_eq!(why(session.attach(&dir, &a, None, &[]).await), Rejection::Attached);
        assert_eq!(why(session.detach(&list, &a, 7).await), Rejection::NoEntry);
        assert_eq!(why(session.abort_stale(&a).await), Rejection::NoTransaction);
        session.create(&new).await.unwrap();
        assert_eq!(why(session.attach(&list, &new, None, &[]).await), Rejection::Empty);
        session.delete(&new).await.unwrap();
        assert_eq!(*session.entries(&nowhere).await.unwrap_err().rejection().unwrap(), Rejection::NoList);
        let map: Map = "/nomap".parse().unwrap();
        assert_eq!(*session.map_entries(&map).await.unwrap_err().rejection().unwrap(), Rejection::NoMap);
        let (key, value): (Word, Word) = ("k".parse().unwrap(), "v".parse().unwrap());
        assert_eq!(why(session.map_set(&map, &key, &value).await), Rejection::NoMap);

        session.create(&elsewhere).await.unwrap();
        let mut session = push(session, &elsewhere, &bundle(&leaf)).await;
        let outside = session.attach(&dir, &elsewhere, None, &[]).await;
        if subject.version() < HaproxyVersion::V3_2 {
            assert_eq!(why(outside), Rejection::OutsideDirectory);
        } else {
            outside.unwrap();
        }
        let failed = session.stage(&nowhere, &bundle(&leaf)).await.unwrap_err();
        assert_eq!(failed.error.rejection(), Some(&Rejection::NoSlot));
        assert!(failed.session.unwrap().is_in_step());
    });
}

/// H1: at one length HAProxy aborts, or hangs. Each length is tried; what is written is told by the length of the slot's name.
fn no_length_around_a_buffer_kills_haproxy(subject: Subject) {
    const BUFSIZE: usize = 16384;
    let mut haproxy = subject.haproxy().start();
    let leaf = Pki::new().leaf("a.test").pem_size(15_900).issue();
    let bundle = bundle(&leaf);
    let pid = haproxy.pid();
    // The one in memory cannot surprise.
    let step = if matches!(subject, Subject::Real(_)) { 1 } else { 19 };
    let around = (BUFSIZE - 64 - 200..=BUFSIZE + 200).step_by(step);
    run(async {
        let mut session = open(&haproxy).await;
        for size in around {
            let rest = "set ssl cert  <<\n\n".len() + bundle.combined_pem().len();
            let slot: Slot = format!("/{}", "n".repeat(size - rest - 1)).parse().unwrap();
            let fits = session.info().fits(&slot, &bundle);
            let failed = session.stage(&slot, &bundle).await.unwrap_err();
            if size < BUFSIZE - 64 {
                // It was read in full, and there is no such slot.
                assert_eq!(failed.error.rejection(), Some(&Rejection::NoSlot), "{size}");
                assert_eq!(fits, Ok(()));
            } else {
                assert!(matches!(failed.error, Error::TooLarge { .. }), "{size}: {}", failed.error);
                assert_eq!(fits.unwrap_err().suggested, 32768);
            }
            session = failed.session.unwrap();
        }
        session.certificates().await.unwrap();
    });
    assert!(haproxy.is_alive());
    assert_eq!(haproxy.pid(), pid);
}

fn a_foreign_transaction_on_another_slot_is_seen_and_left_alone(subject: Subject) {
    let pki = Pki::new();
    let (a, b, theirs) = (pki.leaf("a.test").issue(), pki.leaf("b.test").issue(), pki.leaf("a.test").issue());
    let haproxy = subject
        .haproxy()
        .certificate("a.pem", &a.fullchain_and_key())
        .certificate("b.pem", &b.fullchain_and_key())
        .start();
    let slot = haproxy.in_directory("a.pem");
    foreign_transaction(&haproxy, &slot, &theirs);
    run(async {
        let mut session = open(&haproxy).await;
        let all = session.certificates().await.unwrap();
        assert_eq!((all.open, all.names.len()), (Some(Name::Slot(slot.clone())), 2));
        let open = session.transaction(&slot).await.unwrap().unwrap();
        assert!(open.is(bundle(&theirs).facts()));
        assert_eq!(session.transaction(&haproxy.in_directory("b.pem")).await.unwrap(), None);
    });
    let committed = haproxy.cli(&format!("commit ssl cert {slot}"));
    assert!(committed.contains("Success!"), "{committed}");
    assert_eq!(haproxy.shown("a.test").unwrap(), theirs.serial());
}

fn a_foreign_transaction_on_the_same_slot_is_recognised(subject: Subject) {
    let pki = Pki::new();
    let (old, ours, theirs) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = subject.haproxy().certificate("a.pem", &old.fullchain_and_key()).start();
    let slot = haproxy.in_directory("a.pem");
    run(async {
        // Open before ours.
        foreign_transaction(&haproxy, &slot, &theirs);
        let failed = open(&haproxy).await.stage(&slot, &bundle(&ours)).await.unwrap_err();
        assert!(matches!(failed.error, Error::ForeignTransaction { .. }), "{}", failed.error);
        assert_eq!(failed.session.unwrap().certificates().await.unwrap().open, None);

        // Changed between ours and its commit.
        let staged = open(&haproxy).await.stage(&slot, &bundle(&ours)).await.unwrap();
        let answer = haproxy.cli_payload(&format!("set ssl cert {slot}"), &theirs.fullchain_and_key());
        assert!(answer.contains("Transaction updated"), "{answer}");
        let failed = staged.commit().await.unwrap_err();
        assert!(matches!(failed.error, Error::ForeignTransaction { .. }), "{}", failed.error);
        assert_eq!(failed.session.unwrap().certificates().await.unwrap().open, None);

        // Ended between ours and its commit.
        let staged = open(&haproxy).await.stage(&slot, &bundle(&ours)).await.unwrap();
        assert!(haproxy.cli(&format!("abort ssl cert {slot}")).contains("aborted"));
        let failed = staged.commit().await.unwrap_err();
        assert!(matches!(failed.error, Error::ForeignTransaction { .. }), "{}", failed.error);
    });
    assert_eq!(haproxy.shown("a.test").unwrap(), old.serial());
}

/// H2: 2.6 puts B into A's transaction.
fn a_set_that_meets_a_foreign_transaction_changes_nothing_that_is_served(subject: Subject) {
    let pki = Pki::new();
    let (a, b, new) = (pki.leaf("a.test").issue(), pki.leaf("b.test").issue(), pki.leaf("b.test").issue());
    let haproxy = subject
        .haproxy()
        .certificate("a.pem", &a.fullchain_and_key())
        .certificate("b.pem", &b.fullchain_and_key())
        .start();
    let (theirs, ours) = (haproxy.in_directory("a.pem"), haproxy.in_directory("b.pem"));
    run(async {
        foreign_transaction(&haproxy, &theirs, &a);
        let failed = open(&haproxy).await.stage(&ours, &bundle(&new)).await.unwrap_err();
        let left = failed.session.unwrap().certificates().await.unwrap().open;
        if subject.version() == HaproxyVersion::V2_6 {
            assert!(matches!(failed.error, Error::ForeignTransaction { .. }), "{}", failed.error);
            assert_eq!(left, None);
        } else {
            let open = theirs.to_string();
            assert_eq!(failed.error.rejection(), Some(&Rejection::OtherTransaction { open }));
            assert_eq!(left, Some(Name::Slot(theirs.clone())));
        }
        assert_eq!(failed.error.retry(), Retry::Backoff);
    });
    assert_eq!(haproxy.shown("a.test").unwrap(), a.serial());
    assert_eq!(haproxy.shown("b.test").unwrap(), b.serial());
}

fn a_transaction_left_behind_is_found_and_aborted(subject: Subject) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = subject.haproxy().certificate("a.pem", &old.fullchain_and_key()).start();
    let (slot, bundle) = (haproxy.in_directory("a.pem"), bundle(&new));
    run(async {
        drop(open(&haproxy).await.stage(&slot, &bundle).await.unwrap());
        let mut session = open(&haproxy).await;
        assert_eq!(session.certificates().await.unwrap().open, Some(Name::Slot(slot.clone())));
        assert!(session.transaction(&slot).await.unwrap().unwrap().is(bundle.facts()));
        session.abort_stale(&slot).await.unwrap();
        push(session, &slot, &bundle).await;
    });
    assert_eq!(haproxy.shown("a.test").unwrap(), new.serial());
}

/// H4, and how to mend it.
fn of_two_certificates_for_one_name_the_one_loaded_first_is_served(subject: Subject) {
    let pki = Pki::new();
    let (first, second, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = subject
        .haproxy()
        .certificate("p1.pem", &first.fullchain_and_key())
        .certificate("p2.pem", &second.fullchain_and_key())
        .start();
    let (p1, p2) = (haproxy.in_directory("p1.pem"), haproxy.in_directory("p2.pem"));
    run(async {
        let shown = || haproxy.shown("a.test").unwrap();
        assert_eq!(shown(), first.serial());
        let mut session = push(open(&haproxy).await, &p1, &bundle(&new)).await;
        assert_eq!(shown(), second.serial());
        // The listing of 3.2 has them in the order in which they are served.
        let order = |sni: Vec<hotcert::haproxy::Sni>| -> Vec<_> {
            sni.into_iter().filter(|line| line.sni == "a.test").map(|line| line.name.slot().unwrap().clone()).collect()
        };
        if let Some(sni) = session.sni().await.unwrap() {
            assert_eq!(order(sni), [p2.clone(), p1.clone()]);
        }
        let mut session = push(session, &p2, &bundle(&second)).await;
        assert_eq!(shown(), new.serial());
        if let Some(sni) = session.sni().await.unwrap() {
            assert_eq!(order(sni), [p1.clone(), p2.clone()]);
        }
        // Loading again what is behind anyway changes nothing.
        push(session, &p2, &bundle(&second)).await;
        assert_eq!(shown(), new.serial());
    });
}

fn a_long_listing_is_read_to_its_end_and_locks_nobody(subject: Subject) {
    const COUNT: usize = 600;
    let pem = Pki::new().leaf("a.test").issue().fullchain_and_key();
    let mut builder = subject.haproxy();
    for number in 0..COUNT {
        builder = builder.certificate(&format!("{number:03}-{}.pem", "x".repeat(60)), &pem);
    }
    let haproxy = builder.start();
    run(async {
        let mut session = open(&haproxy).await;
        let names = session.certificates().await.unwrap().names;
        assert_eq!(names.len(), COUNT);
        assert_eq!(session.entries(&haproxy.directory()).await.unwrap().len(), COUNT);
        let slots: Vec<Slot> = names.iter().map(|name| name.slot().unwrap().clone()).collect();
        let loaded = session.certificates_of(&slots).await.unwrap();
        assert!(loaded.iter().all(|loaded| loaded.as_ref().is_some_and(|loaded| loaded.status == Status::Used)));

        let fresh = Pki::new().leaf("a.test").issue();
        push(open(&haproxy).await, &slots[0], &bundle(&fresh)).await;
        assert!(session.certificate(&slots[0]).await.unwrap().unwrap().is(bundle(&fresh).facts()));
    });
}

/// HAProxy writes a description into one buffer, and cuts what does not fit; 2.6 aborts over some, so that it is not asked.
fn a_description_that_is_cut_is_still_recognised_where_it_can_be_asked_for(subject: Subject) {
    let pki = Pki::new();
    let counts = [300, 400, 420, 421, 422, 423, 424, 425, 426, 427, 428, 436, 444, 500];
    let leaves = counts.map(|count| {
        let names: Vec<String> = (0..count).map(|number| format!("n{number:05}.aaaaaaaaaaaaaaaaaaaa.test")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        pki.leaf(names[0]).names(&names).issue()
    });
    let mut builder = subject.haproxy();
    for (number, leaf) in leaves.iter().enumerate() {
        builder = builder.certificate(&format!("{number}.pem"), &leaf.fullchain_and_key());
    }
    let mut haproxy = builder.start();
    run(async {
        let mut session = open(&haproxy).await;
        let mut asked = Vec::new();
        for (number, leaf) in leaves.iter().enumerate() {
            let (slot, facts) = (haproxy.in_directory(&format!("{number}.pem")), bundle(leaf).facts().clone());
            match session.info().can_describe(&slot, &facts) {
                Ok(()) => asked.push((slot, facts)),
                Err(refused) => assert_eq!((subject.version(), refused.suggested), (HaproxyVersion::V2_6, 32768)),
            }
        }
        assert_eq!(asked.len(), if subject.version() == HaproxyVersion::V2_6 { 1 } else { counts.len() });
        for (slot, facts) in &asked {
            assert!(session.certificate(slot).await.unwrap().unwrap().is(facts), "{slot}");
        }
        let slots: Vec<Slot> = asked.iter().map(|(slot, _)| slot.clone()).collect();
        let loaded = session.certificates_of(&slots).await.unwrap();
        assert!(loaded.iter().zip(&asked).all(|(loaded, (_, facts))| loaded.as_ref().unwrap().is(facts)));
    });
    assert!(haproxy.is_alive());
}

fn a_map_answers_with_the_value_set_last(subject: Subject) {
    let mut kinds = vec![Http01::Map];
    if subject.version() >= HaproxyVersion::V3_0 {
        kinds.push(Http01::VirtualMap);
    }
    for kind in kinds {
        let haproxy = subject.haproxy().map(kind.clone()).start();
        let map: Map = match kind {
            Http01::VirtualMap => "virt@acme".parse().unwrap(),
            _ => haproxy.dir().join("acme.map").to_str().unwrap().parse().unwrap(),
        };
        let answer = || haproxy.challenge("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA");
        let key: Word = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA".parse().unwrap();
        run(async {
            let mut session = open(&haproxy).await;
            assert_eq!(session.map_entries(&map).await.unwrap(), []);
            for value in ["one.thumb", "two.thumb"] {
                session.map_set(&map, &key, &value.parse().unwrap()).await.unwrap();
                assert_eq!(answer().as_deref(), Some(value));
            }
            assert_eq!(session.map_entries(&map).await.unwrap(), [(key.to_string(), "two.thumb".to_owned())]);
            session.map_remove(&map, &key).await.unwrap();
            session.map_remove(&map, &key).await.unwrap();
            assert_eq!(answer(), None);
        });
    }
}

fn a_fresh_session_after_a_reload_reaches_another_process(subject: Subject) {
    let leaf = Pki::new().leaf("a.test").issue();
    let mut haproxy = subject.haproxy().certificate("a.pem", &leaf.fullchain_and_key()).master().start();
    run(async {
        let mut before = open(&haproxy).await;
        haproxy.reload();
        let after = open(&haproxy).await;
        assert_ne!(before.info().pid, after.info().pid);
        let process = Process::ask(haproxy.connect(), &haproxy.address()).await.unwrap();
        assert_eq!((process.pid, process.started_at), (after.info().pid, after.info().started_at));
        // The old worker answers on, as if nothing had happened.
        before.certificates().await.unwrap();
    });
}

#[test]
fn a_silent_peer_is_given_up_after_five_seconds() {
    let scratch = Scratch::new();
    let fake = FakeSocket::silent(scratch.join("silent.sock"));
    let start = Instant::now();
    let error = run(refused(&SystemConnect, Address::Unix(fake.path().to_owned())));
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!((5..7).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(start.elapsed() >= Duration::from_secs(5));
}

#[test]
fn a_socket_of_another_program_is_recognised() {
    let scratch = Scratch::new();
    let fake = FakeSocket::replying(scratch.join("http.sock"), "HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = run(refused(&SystemConnect, Address::Unix(fake.path().to_owned())));
    assert!(matches!(error, Error::NotHaproxy { .. }), "{error}");
}

#[test]
fn a_connection_by_tls_is_refused_instead_of_spoken_in_plain_text() {
    let error = run(refused(&SystemConnect, "tls://127.0.0.1:1".parse().unwrap()));
    assert!(error.to_string().contains("none is given"), "{error}");
}

/// Every command with every refusal, as HAProxy's own command line has them: word for word the same, but for what a process calls
/// its own.
fn every_command_is_answered_alike_by_the_real_one_and_the_one_in_memory(subject: Subject) {
    let Subject::Fake(version) = subject else { return };
    let pki = Pki::with_two_intermediates();
    let leaf = |name: &str, names: &[&str]| pki.leaf(name).names(names).issue();
    let (a, b) = (leaf("a.test", &["a.test", "*.b.test"]), leaf("c.test", &["c.test"]));
    let (new, other) = (leaf("a.test", &["a.test", "new.test"]), leaf("other.test", &["other.test"]));
    let transcripts = [Subject::Real(version), subject].map(|subject| {
        let lines = "# ours\n\n{dir}/certs/a.pem [alpn h2] x.test *.y.test !n.y.test\n{dir}/certs/b.pem\n";
        let haproxy = subject
            .haproxy()
            .certificate("a.pem", &a.fullchain_and_key())
            .certificate("b.pem", &b.fullchain_and_key())
            .map(Http01::Map)
            .second_crt_list(lines)
            .start();
        transcript(&haproxy, &new, &other)
    });
    let [real, fake] = &transcripts;
    let differ: Vec<_> = real.iter().zip(fake).filter(|(real, fake)| real != fake).collect();
    assert!(differ.is_empty(), "{differ:#?}");
}

fn transcript(haproxy: &Bench, new: &Leaf, other: &Leaf) -> Vec<(String, String)> {
    let dir = haproxy.dir().to_str().unwrap().to_owned();
    let script = include_str!("conformance/commands.txt");
    let payloads = [
        ("NEW", new.fullchain_and_key()),
        ("LEAF", new.cert_pem()),
        ("KEY", new.key_pem()),
        ("WRONG", new.fullchain() + &other.key_pem()),
        ("REVERSED", new.chain_pem() + &new.cert_pem() + &new.key_pem()),
        ("BAD", new.fullchain_and_key().replacen("MII", "M!I", 1)),
    ];
    let mut answers = Vec::new();
    for line in script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let command = line.replace("{dir}", &dir);
        let answer = match command.split_once(" << ") {
            None => haproxy.cli(&command),
            Some((command, payload)) => {
                let known = payloads.iter().find(|(name, _)| *name == payload);
                haproxy.cli_payload(command, known.map_or(payload, |(_, text)| text))
            }
        };
        answers.push((line.to_owned(), own_words_removed(&answer.replace(&dir, "{dir}"))));
    }
    answers
}

/// Leaves out addresses, line numbers of the configuration, the list of commands, and the files that 3.2 knows of a slot.
fn own_words_removed(answer: &str) -> String {
    let is_kept = |line: &&str| !line.contains(" filename: ") || line.starts_with("Filename: ");
    let mut lines: Vec<String> = answer.split('\n').filter(is_kept).map(str::to_owned).collect();
    for line in &mut lines {
        if line.starts_with("0x") {
            *line = line.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap();
        }
        if let Some((before, after)) = line.clone().split_once("haproxy.cfg:") {
            *line = format!("{before}haproxy.cfg:{}", after.trim_start_matches(|c: char| c.is_ascii_digit()));
        }
    }
    if lines[0].starts_with("Unknown command") { lines[0].clone() } else { lines.join("\n") }
}

#[test]
fn a_haproxy_that_is_too_old_is_refused_and_says_so() {
    let versions = ["1.9.16", "2.0.35", "2.1.12", "2.2.0", "2.3.21", "2.5.14", "3.5-dev5"];
    for version in versions {
        let layout = Layout { bufsize: 16384, level: "admin".to_owned(), binds: Vec::new(), maps: Vec::new() };
        let fake = Fake::start(Profile::named(version), layout, 1).unwrap();
        let address: Address = "/run/haproxy.sock".parse().unwrap();
        let opened = run(Session::open(&fake, &address));
        assert_eq!(opened.is_ok(), version >= "2.2", "{version}");
        match opened {
            Ok(session) => assert_eq!(session.info().started_at.is_some(), version >= "2.4", "{version}"),
            Err(error) => {
                let expected = format!("HAProxy {version} at {address} is too old: hotcert needs 2.2 or newer");
                assert_eq!((error.to_string(), error.retry()), (expected, Retry::Never));
                assert!(error.hint().unwrap().contains("upgrade HAProxy"));
            }
        }
    }
}
