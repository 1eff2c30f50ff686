//! What `hotcert::haproxy` assumes of HAProxy's runtime API, and what it does with it, on each version.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hotcert::bundle::Bundle;
use hotcert::haproxy::{
    Error, Filter, Info, Level, ListKind, Map, Name, Options, Process, Rejection, Session, Status, SystemConnect, Word,
};
use hotcert::model::{Address, Slot};
use hotcert::schedule::Retry;
use support::client::handshake;
use support::fake::FakeSocket;
use support::{Haproxy, HaproxyVersion, Http01, Leaf, Pki, Scratch, each_haproxy};

each_haproxy! {
    opening_tells_version_level_and_limit,
    a_socket_below_admin_is_refused_before_anything_else_is_asked,
    the_master_socket_is_recognised,
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
    of_two_certificates_for_one_name_the_one_loaded_first_is_served,
    a_long_listing_is_read_to_its_end_and_locks_nobody,
    a_description_that_is_cut_is_still_recognised_where_it_can_be_asked_for,
    a_map_answers_with_the_value_set_last,
    a_fresh_session_after_a_reload_reaches_another_process,
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn open(haproxy: &Haproxy) -> Session {
    Session::open(&SystemConnect, &Address::Unix(haproxy.socket())).await.unwrap()
}

async fn refused(address: Address) -> Error {
    Session::open(&SystemConnect, &address).await.unwrap_err()
}

fn bundle(leaf: &Leaf) -> Bundle {
    Bundle::reopen(&"test".parse().unwrap(), &[leaf.fullchain_and_key().as_bytes()]).unwrap()
}

fn in_directory(haproxy: &Haproxy, name: &str) -> Slot {
    haproxy.crt_dir().join(name).to_str().unwrap().parse().unwrap()
}

fn directory(haproxy: &Haproxy) -> Slot {
    haproxy.crt_dir().to_str().unwrap().parse().unwrap()
}

fn crt_list(haproxy: &Haproxy) -> Slot {
    haproxy.crt_list().to_str().unwrap().parse().unwrap()
}

fn served(addr: SocketAddr, name: &str) -> Option<String> {
    handshake(addr, name, support::client::Options::default()).ok().map(|served| served.serial)
}

async fn push(session: Session, slot: &Slot, bundle: &Bundle) -> Session {
    session.stage(slot, bundle).await.unwrap().commit().await.unwrap()
}

/// The slot of an open transaction of some other program.
fn foreign_transaction(haproxy: &Haproxy, slot: &Slot, leaf: &Leaf) {
    let answer = haproxy.cli_payload(&format!("set ssl cert {slot}"), &leaf.fullchain_and_key());
    assert!(answer.contains("Transaction created"), "{answer}");
}

fn opening_tells_version_level_and_limit(version: HaproxyVersion) {
    let haproxy = Haproxy::new(version).global("tune.bufsize 20001").tcp_stats().start();
    run(async {
        for address in [Address::Unix(haproxy.socket()), format!("tcp://{}", haproxy.stats_addr()).parse().unwrap()] {
            let session = Session::open(&SystemConnect, &address).await.unwrap();
            let Info { pid, version: told, started_at, stopping, level, payload_limit } = session.info().clone();
            assert_eq!(pid, haproxy.pid());
            assert!(told.to_string().starts_with(version.name()), "{told}");
            assert_eq!((level, stopping), (Level::Admin, false));
            let age = jiff::Timestamp::now().duration_since(started_at).as_secs();
            assert!((0..60).contains(&age), "{age}");
            // The pool shows the size rounded up.
            assert!((20001..20017).contains(&payload_limit.bufsize), "{payload_limit:?}");
            assert_eq!(session.info().capabilities().sni_listing, version >= HaproxyVersion::V3_2);
        }
    });
}

fn a_socket_below_admin_is_refused_before_anything_else_is_asked(version: HaproxyVersion) {
    for (text, level) in [("user", Level::User), ("operator", Level::Operator)] {
        let haproxy = Haproxy::new(version).stats_level(text).start();
        let error = run(refused(Address::Unix(haproxy.socket())));
        assert!(matches!(error, Error::Level { level: found, .. } if found == level), "{error}");
        assert!(error.hint().unwrap().contains("level admin"));
    }
}

fn the_master_socket_is_recognised(version: HaproxyVersion) {
    let haproxy = Haproxy::new(version).master().start();
    let error = run(refused(Address::Unix(haproxy.master_socket())));
    assert!(matches!(error, Error::MasterSocket { .. }), "{error}");
}

fn a_new_certificate_is_served_from_a_directory(version: HaproxyVersion) {
    let pki = Pki::with_two_intermediates();
    let leaf = pki.leaf("a.test").names(&["a.test", "*.b.test"]).issue();
    let haproxy =
        Haproxy::new(version).certificate("old.pem", &pki.leaf("old.test").issue().fullchain_and_key()).start();
    let (slot, dir, bundle) = (in_directory(&haproxy, "a.pem"), directory(&haproxy), bundle(&leaf));
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
        assert_eq!(served(haproxy.https_addr(), "a.test"), None);
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
        assert_eq!(lines, [(in_directory(&haproxy, "old.pem").to_string(), 0), (slot.to_string(), 1)]);
        assert_eq!(ListKind::of(&dir, &entries), ListKind::Directory);
    });
    for name in ["a.test", "x.b.test"] {
        assert_eq!(served(haproxy.https_addr(), name).unwrap(), leaf.serial());
    }
}

fn a_new_certificate_is_served_from_a_crt_list_with_its_filters(version: HaproxyVersion) {
    let leaf = Pki::new().leaf("a.test").names(&["a.test", "*.b.test"]).issue();
    let haproxy = Haproxy::new(version).crt_list("").start();
    let (slot, list): (Slot, _) = ("/elsewhere/a.pem".parse().unwrap(), crt_list(&haproxy));
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
        assert_eq!(served(haproxy.https_addr(), "x.b.test").unwrap(), leaf.serial());
        assert_eq!(served(haproxy.https_addr(), "a.test"), None);
        assert_eq!(served(haproxy.https_addr(), "no.b.test"), None);
        if let Some(sni) = session.sni().await.unwrap() {
            assert!(sni.iter().any(|line| line.sni == "*.b.test" && line.name == Name::Slot(slot.clone())), "{sni:?}");
        }

        session.detach(&list, &slot, entries[0].line).await.unwrap();
        session.delete(&slot).await.unwrap();
        assert_eq!(session.certificates().await.unwrap().names.len(), 0);
        assert_eq!(served(haproxy.https_addr(), "x.b.test"), None);
    });
}

fn a_slot_ending_in_crt_is_renewed(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version).certificate("a.crt", &old.fullchain_and_key()).start();
    run(async { push(open(&haproxy).await, &in_directory(&haproxy, "a.crt"), &bundle(&new)).await });
    assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), new.serial());
}

fn a_staged_certificate_is_served_only_after_its_commit(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version).certificate("a.pem", &old.fullchain_and_key()).start();
    let slot = in_directory(&haproxy, "a.pem");
    run(async {
        let mut staged = open(&haproxy).await.stage(&slot, &bundle(&new)).await.unwrap();
        assert_eq!(staged.session().certificates().await.unwrap().open, Some(Name::Slot(slot.clone())));
        assert!(staged.session().certificate(&slot).await.unwrap().unwrap().is(bundle(&old).facts()));
        assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), old.serial());
        let mut session = staged.commit().await.unwrap();
        assert_eq!(session.certificates().await.unwrap().open, None);
    });
    assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), new.serial());
}

fn an_aborted_certificate_is_never_served(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version).certificate("a.pem", &old.fullchain_and_key()).start();
    run(async {
        let staged = open(&haproxy).await.stage(&in_directory(&haproxy, "a.pem"), &bundle(&new)).await.unwrap();
        let mut session = staged.abort().await.unwrap();
        assert_eq!(session.certificates().await.unwrap().open, None);
    });
    assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), old.serial());
}

fn refusals_are_told_apart(version: HaproxyVersion) {
    let leaf = Pki::new().leaf("a.test").issue();
    let haproxy = Haproxy::new(version)
        .certificate("a.pem", &leaf.fullchain_and_key())
        .tls2("ssl crt-list {dir}/crt-list.txt strict-sni")
        .file("crt-list.txt", "")
        .start();
    let (a, new) = (in_directory(&haproxy, "a.pem"), in_directory(&haproxy, "new.pem"));
    let (dir, list): (_, Slot) = (directory(&haproxy), crt_list(&haproxy));
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
        if version < HaproxyVersion::V3_2 {
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
fn no_length_around_a_buffer_kills_haproxy(version: HaproxyVersion) {
    const BUFSIZE: usize = 16384;
    let mut haproxy = Haproxy::new(version).start();
    let leaf = Pki::new().leaf("a.test").pem_size(15_900).issue();
    let bundle = bundle(&leaf);
    let pid = haproxy.pid();
    let around = BUFSIZE - 64 - 200..=BUFSIZE + 200;
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

fn a_foreign_transaction_on_another_slot_is_seen_and_left_alone(version: HaproxyVersion) {
    let pki = Pki::new();
    let (a, b, theirs) = (pki.leaf("a.test").issue(), pki.leaf("b.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version)
        .certificate("a.pem", &a.fullchain_and_key())
        .certificate("b.pem", &b.fullchain_and_key())
        .start();
    let slot = in_directory(&haproxy, "a.pem");
    foreign_transaction(&haproxy, &slot, &theirs);
    run(async {
        let mut session = open(&haproxy).await;
        let all = session.certificates().await.unwrap();
        assert_eq!((all.open, all.names.len()), (Some(Name::Slot(slot.clone())), 2));
        let open = session.transaction(&slot).await.unwrap().unwrap();
        assert!(open.is(bundle(&theirs).facts()));
        assert_eq!(session.transaction(&in_directory(&haproxy, "b.pem")).await.unwrap(), None);
    });
    let committed = haproxy.cli(&format!("commit ssl cert {slot}"));
    assert!(committed.contains("Success!"), "{committed}");
    assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), theirs.serial());
}

fn a_foreign_transaction_on_the_same_slot_is_recognised(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, ours, theirs) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version).certificate("a.pem", &old.fullchain_and_key()).start();
    let slot = in_directory(&haproxy, "a.pem");
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
    assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), old.serial());
}

/// H2: 2.6 puts B into A's transaction.
fn a_set_that_meets_a_foreign_transaction_changes_nothing_that_is_served(version: HaproxyVersion) {
    let pki = Pki::new();
    let (a, b, new) = (pki.leaf("a.test").issue(), pki.leaf("b.test").issue(), pki.leaf("b.test").issue());
    let haproxy = Haproxy::new(version)
        .certificate("a.pem", &a.fullchain_and_key())
        .certificate("b.pem", &b.fullchain_and_key())
        .start();
    let (theirs, ours) = (in_directory(&haproxy, "a.pem"), in_directory(&haproxy, "b.pem"));
    run(async {
        foreign_transaction(&haproxy, &theirs, &a);
        let failed = open(&haproxy).await.stage(&ours, &bundle(&new)).await.unwrap_err();
        let left = failed.session.unwrap().certificates().await.unwrap().open;
        if version == HaproxyVersion::V2_6 {
            assert!(matches!(failed.error, Error::ForeignTransaction { .. }), "{}", failed.error);
            assert_eq!(left, None);
        } else {
            let open = theirs.to_string();
            assert_eq!(failed.error.rejection(), Some(&Rejection::OtherTransaction { open }));
            assert_eq!(left, Some(Name::Slot(theirs.clone())));
        }
        assert_eq!(failed.error.retry(), Retry::Backoff);
    });
    assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), a.serial());
    assert_eq!(served(haproxy.https_addr(), "b.test").unwrap(), b.serial());
}

fn a_transaction_left_behind_is_found_and_aborted(version: HaproxyVersion) {
    let pki = Pki::new();
    let (old, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version).certificate("a.pem", &old.fullchain_and_key()).start();
    let (slot, bundle) = (in_directory(&haproxy, "a.pem"), bundle(&new));
    run(async {
        drop(open(&haproxy).await.stage(&slot, &bundle).await.unwrap());
        let mut session = open(&haproxy).await;
        assert_eq!(session.certificates().await.unwrap().open, Some(Name::Slot(slot.clone())));
        assert!(session.transaction(&slot).await.unwrap().unwrap().is(bundle.facts()));
        session.abort_stale(&slot).await.unwrap();
        push(session, &slot, &bundle).await;
    });
    assert_eq!(served(haproxy.https_addr(), "a.test").unwrap(), new.serial());
}

/// H4, and how to mend it.
fn of_two_certificates_for_one_name_the_one_loaded_first_is_served(version: HaproxyVersion) {
    let pki = Pki::new();
    let (first, second, new) = (pki.leaf("a.test").issue(), pki.leaf("a.test").issue(), pki.leaf("a.test").issue());
    let haproxy = Haproxy::new(version)
        .certificate("p1.pem", &first.fullchain_and_key())
        .certificate("p2.pem", &second.fullchain_and_key())
        .start();
    let (p1, p2) = (in_directory(&haproxy, "p1.pem"), in_directory(&haproxy, "p2.pem"));
    run(async {
        let shown = || served(haproxy.https_addr(), "a.test").unwrap();
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

fn a_long_listing_is_read_to_its_end_and_locks_nobody(version: HaproxyVersion) {
    const COUNT: usize = 600;
    let pem = Pki::new().leaf("a.test").issue().fullchain_and_key();
    let mut builder = Haproxy::new(version);
    for number in 0..COUNT {
        builder = builder.certificate(&format!("{number:03}-{}.pem", "x".repeat(60)), &pem);
    }
    let haproxy = builder.start();
    run(async {
        let mut session = open(&haproxy).await;
        let names = session.certificates().await.unwrap().names;
        assert_eq!(names.len(), COUNT);
        assert_eq!(session.entries(&directory(&haproxy)).await.unwrap().len(), COUNT);
        let slots: Vec<Slot> = names.iter().map(|name| name.slot().unwrap().clone()).collect();
        let loaded = session.certificates_of(&slots).await.unwrap();
        assert!(loaded.iter().all(|loaded| loaded.as_ref().is_some_and(|loaded| loaded.status == Status::Used)));

        let fresh = Pki::new().leaf("a.test").issue();
        push(open(&haproxy).await, &slots[0], &bundle(&fresh)).await;
        assert!(session.certificate(&slots[0]).await.unwrap().unwrap().is(bundle(&fresh).facts()));
    });
}

/// HAProxy writes a description into one buffer, and cuts what does not fit; 2.6 aborts over some, so that it is not asked.
fn a_description_that_is_cut_is_still_recognised_where_it_can_be_asked_for(version: HaproxyVersion) {
    let pki = Pki::new();
    let counts = [300, 400, 420, 421, 422, 423, 424, 425, 426, 427, 428, 436, 444, 500];
    let leaves = counts.map(|count| {
        let names: Vec<String> = (0..count).map(|number| format!("n{number:05}.aaaaaaaaaaaaaaaaaaaa.test")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        pki.leaf(names[0]).names(&names).issue()
    });
    let mut builder = Haproxy::new(version);
    for (number, leaf) in leaves.iter().enumerate() {
        builder = builder.certificate(&format!("{number}.pem"), &leaf.fullchain_and_key());
    }
    let mut haproxy = builder.start();
    run(async {
        let mut session = open(&haproxy).await;
        let mut asked = Vec::new();
        for (number, leaf) in leaves.iter().enumerate() {
            let (slot, facts) = (in_directory(&haproxy, &format!("{number}.pem")), bundle(leaf).facts().clone());
            match session.info().can_describe(&slot, &facts) {
                Ok(()) => asked.push((slot, facts)),
                Err(refused) => assert_eq!((version, refused.suggested), (HaproxyVersion::V2_6, 32768)),
            }
        }
        assert_eq!(asked.len(), if version == HaproxyVersion::V2_6 { 1 } else { counts.len() });
        for (slot, facts) in &asked {
            assert!(session.certificate(slot).await.unwrap().unwrap().is(facts), "{slot}");
        }
        let slots: Vec<Slot> = asked.iter().map(|(slot, _)| slot.clone()).collect();
        let loaded = session.certificates_of(&slots).await.unwrap();
        assert!(loaded.iter().zip(&asked).all(|(loaded, (_, facts))| loaded.as_ref().unwrap().is(facts)));
    });
    assert!(haproxy.is_alive());
}

fn a_map_answers_with_the_value_set_last(version: HaproxyVersion) {
    let mut kinds = vec![Http01::Map];
    if version >= HaproxyVersion::V3_0 {
        kinds.push(Http01::VirtualMap);
    }
    for kind in kinds {
        let haproxy = Haproxy::new(version).http01(kind.clone()).start();
        let map: Map = match kind {
            Http01::VirtualMap => "virt@acme".parse().unwrap(),
            _ => haproxy.map().to_str().unwrap().parse().unwrap(),
        };
        let answer = || {
            let path = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";
            support::http::http_get(haproxy.http_addr(), "a.test", path).unwrap()
        };
        let key: Word = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA".parse().unwrap();
        run(async {
            let mut session = open(&haproxy).await;
            assert_eq!(session.map_entries(&map).await.unwrap(), []);
            for value in ["one.thumb", "two.thumb"] {
                session.map_set(&map, &key, &value.parse().unwrap()).await.unwrap();
                assert_eq!(answer().text(), value);
            }
            assert_eq!(session.map_entries(&map).await.unwrap(), [(key.to_string(), "two.thumb".to_owned())]);
            session.map_remove(&map, &key).await.unwrap();
            session.map_remove(&map, &key).await.unwrap();
            assert_eq!(answer().status, 404);
        });
    }
}

fn a_fresh_session_after_a_reload_reaches_another_process(version: HaproxyVersion) {
    let leaf = Pki::new().leaf("a.test").issue();
    let mut haproxy = Haproxy::new(version).certificate("a.pem", &leaf.fullchain_and_key()).master().start();
    run(async {
        let mut before = open(&haproxy).await;
        haproxy.reload();
        let after = open(&haproxy).await;
        assert_ne!(before.info().pid, after.info().pid);
        let process = Process::ask(&SystemConnect, &Address::Unix(haproxy.socket())).await.unwrap();
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
    let error = run(refused(Address::Unix(fake.path().to_owned())));
    assert!(matches!(error, Error::Silent { .. }), "{error}");
    assert!((5..7).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert!(start.elapsed() >= Duration::from_secs(5));
}

#[test]
fn a_socket_of_another_program_is_recognised() {
    let scratch = Scratch::new();
    let fake = FakeSocket::replying(scratch.join("http.sock"), "HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = run(refused(Address::Unix(fake.path().to_owned())));
    assert!(matches!(error, Error::NotHaproxy { .. }), "{error}");
}

#[test]
fn a_connection_by_tls_is_refused_instead_of_spoken_in_plain_text() {
    let error = run(refused("tls://127.0.0.1:1".parse().unwrap()));
    assert!(error.to_string().contains("none is given"), "{error}");
}
