use super::*;
use crate::model::RevocationReason;

#[test]
fn what_was_stored_is_read_back() {
    let fix = Fixture::new();
    let bundle = bundle();
    assert!(fix.store.current(&name()).unwrap().is_none());

    assert_eq!(fix.store.add(&fix.lock(), &bundle, &meta()).unwrap(), 1);
    let stored = fix.store.current(&name()).unwrap().unwrap();
    assert_eq!(stored, Generation::of(1, meta(), &bundle));
    assert_eq!(fix.store.numbered_bundle(&name(), 1).unwrap().combined_pem(), bundle.combined_pem());
    assert_eq!(fix.store.names().unwrap(), [name()]);

    let fullchain = fs::read_to_string(fix.path("certs/example.org/current/fullchain.pem")).unwrap();
    assert_eq!(fullchain, format!("{}{}", bundle.leaf_pem(), bundle.chain_pem()));
    assert_eq!(fs::read_link(fix.path("certs/example.org/current")).unwrap(), Path::new("generations/1"));
}

#[test]
fn only_the_owner_reaches_what_is_stored() {
    let fix = Fixture::new();
    let key = PrivateKey::generate(KeyType::EcdsaP256).unwrap();
    let bundle = bundle_for(&key);
    fix.store.add(&fix.lock(), &bundle, &meta()).unwrap();
    fix.store.begin_journal(&fix.lock(), &key, &small::entry()).unwrap();
    fix.store.remember(&fix.lock(), &["example.org"]).unwrap();

    let secret = key.pem().lines().nth(1).unwrap();
    let mut holders = Vec::new();
    assert_eq!(mode(&fix.store.root), 0o700);
    for entry in tree(&fix.store.root) {
        let path = fix.path(&entry);
        if path.is_symlink() {
            continue;
        }
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{entry}");
        if path.is_file() && fs::read_to_string(&path).unwrap().contains(secret) {
            holders.push(entry);
        }
    }
    assert_eq!(holders, ["certs/example.org/generations/1/privkey.pem", "certs/example.org/journal/privkey.pem"]);
    assert!(!format!("{:?}", fix.store.numbered_bundle(&name(), 1).unwrap()).contains(secret));
}

#[test]
fn adding_the_same_bundle_twice_is_one_generation() {
    let fix = Fixture::new();
    let (one, two) = (bundle(), bundle());
    let lock = fix.lock();
    assert_eq!(fix.store.add(&lock, &one, &meta()).unwrap(), 1);
    assert_eq!(fix.store.add(&lock, &one, &meta()).unwrap(), 1);
    assert_eq!(fix.store.add(&lock, &two, &meta()).unwrap(), 2);
    assert_eq!(fix.store.generations(&name()).unwrap(), [1, 2]);
}

#[test]
fn one_can_go_back_and_forth_again() {
    let fix = Fixture::new();
    let (one, two) = (bundle(), bundle());
    let lock = fix.lock();
    fix.store.add(&lock, &one, &meta()).unwrap();
    assert_eq!(fix.store.previous(&name()).unwrap(), None);
    fix.store.add(&lock, &two, &meta()).unwrap();
    assert_eq!(fix.store.previous(&name()).unwrap(), Some(1));

    fix.store.select(&lock, 1).unwrap();
    assert_eq!(fix.store.current(&name()).unwrap().unwrap().facts, *one.facts());
    assert_eq!(fix.store.add(&lock, &two, &meta()).unwrap(), 2);
    assert_eq!(fix.store.current(&name()).unwrap().unwrap().number, 2);
    assert!(matches!(fix.store.select(&lock, 9), Err(Error::NoGeneration { number: 9, .. })));
}

#[test]
fn five_generations_are_kept_and_the_served_one_with_its_predecessor_always() {
    let fix = Fixture::new();
    let lock = fix.lock();
    for _ in 0..7 {
        fix.store.add(&lock, &bundle(), &meta()).unwrap();
    }
    assert_eq!(fix.store.generations(&name()).unwrap(), [3, 4, 5, 6, 7]);
    fix.store.select(&lock, 3).unwrap();
    assert_eq!(fix.store.add(&lock, &bundle(), &meta()).unwrap(), 8);
    assert_eq!(fix.store.generations(&name()).unwrap(), [4, 5, 6, 7, 8]);
}

#[test]
fn a_broken_link_is_named_and_the_next_certificate_mends_it() {
    let fix = Fixture::new();
    let lock = fix.lock();
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    let two = bundle();
    fix.store.add(&lock, &two, &meta()).unwrap();
    let link = fix.path("certs/example.org/current");
    for target in [None, Some("generations/77"), Some("generations/01"), Some("../../elsewhere"), Some("current")] {
        fs::remove_file(&link).unwrap();
        if let Some(target) = target {
            std::os::unix::fs::symlink(target, &link).unwrap();
        }
        let error = fix.store.current(&name()).unwrap_err();
        assert!(matches!(&error, Error::CurrentBroken { .. }), "{error:?}");
        assert!(error.to_string().contains(link.to_str().unwrap()) && error.hint().is_some());
        assert_eq!(fix.store.add(&lock, &two, &meta()).unwrap(), 2);
        assert_eq!(fix.store.current(&name()).unwrap().unwrap().number, 2);
    }
    fs::remove_file(&link).unwrap();
    fs::write(&link, "").unwrap();
    assert!(matches!(fix.store.current(&name()), Err(Error::CurrentBroken { .. })));
}

#[test]
fn a_damaged_generation_is_named_and_holds_up_neither_the_others_nor_new_ones() {
    let fix = Fixture::new();
    let lock = fix.lock();
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    fix.store.add(&lock, &bundle(), &meta()).unwrap();
    fs::write(fix.path("certs/example.org/current/privkey.pem"), bundle().key().pem()).unwrap();
    assert!(matches!(fix.store.numbered_bundle(&name(), 2), Err(Error::GenerationDamaged { number: 2, .. })));
    assert!(fix.store.select(&lock, 2).is_err());
    assert!(fix.store.numbered_bundle(&name(), 1).is_ok());
    assert_eq!(fix.store.add(&lock, &bundle(), &meta()).unwrap(), 3);
}

#[test]
fn what_was_accepted_is_kept_until_something_else_is() {
    let fix = Fixture::new();
    let add = || {
        let bundle = bundle_for(&PrivateKey::generate(KeyType::EcdsaP256).unwrap());
        fix.store.add(&fix.lock(), &bundle, &meta()).unwrap()
    };
    assert_eq!(fix.store.accepted(&name()), None);
    assert_eq!(add(), 1);
    fix.store.accept(&name(), Some(1)).unwrap();
    let before = fix.store.stamp();
    fix.store.accept(&name(), Some(1)).unwrap();
    assert_eq!(fix.store.stamp(), before, "nothing has changed");
    (2..10).for_each(|number| assert_eq!(add(), number));
    assert_eq!(fix.store.accepted(&name()), Some(1));
    assert!(fix.store.numbered_bundle(&name(), 1).is_ok());
    fix.store.accept(&name(), Some(9)).unwrap();
    assert_eq!(add(), 10);
    assert_eq!((fix.store.accepted(&name()), fix.store.generations(&name()).unwrap().contains(&1)), (Some(9), false));
    fix.store.accept(&name(), None).unwrap();
    assert_eq!(fix.store.accepted(&name()), None);
}

#[test]
fn what_died_before_it_became_current_leaves_a_store_that_can_be_read_however_often() {
    let fix = Fixture::new();
    let current = fix.path("certs/example.org/current");
    for number in 1..4 {
        assert_eq!(fix.store.add(&fix.lock(), &bundle(), &meta()).unwrap(), number);
        // As if it had died before the link was made.
        fs::remove_file(&current).unwrap();
        assert_eq!(fix.store.current(&name()).unwrap(), None);
        assert_eq!(fix.store.generations(&name()).unwrap(), [number]);
    }
    let mark = fix.store.mark(&name()).unwrap();
    fix.store.add(&fix.lock(), &bundle(), &meta()).unwrap();
    fix.store.go_back(&fix.lock(), &mark).unwrap();
    assert_eq!(fix.store.current(&name()).unwrap(), None);
}

#[test]
fn what_is_revoked_is_noted_beside_the_rest_and_not_gone_back_to() {
    let fix = Fixture::new();
    for _ in 0..3 {
        fix.store.add(&fix.lock(), &bundle(), &meta()).unwrap();
    }
    let before = fix.store.generation(&name(), 2).unwrap();
    let revocation =
        Revocation { at: at("2026-11-22T15:00:00Z"), reason: RevocationReason::Superseded, detached: false };
    fix.store.note_revoked(&fix.lock(), 2, &revocation).unwrap();
    assert_eq!(fix.store.previous(&name()).unwrap(), Some(1));
    assert_eq!(fix.store.revocation(&name(), before.facts.sha256).unwrap(), Some(revocation.clone()));
    let revocation = Revocation { detached: true, ..revocation };
    fix.store.note_revoked(&fix.lock(), 2, &revocation).unwrap();
    let after = fix.store.generation(&name(), 2).unwrap();
    assert!(after.is_withdrawn());
    assert_eq!(Generation { revoked: None, ..after }, before);
    assert_eq!(mode(&fix.path("certs/example.org/generations/2/meta.json")), 0o600);
    let current = fix.store.current(&name()).unwrap().unwrap();
    assert_eq!(fix.store.revocation(&name(), current.facts.sha256).unwrap(), None);
    assert!(matches!(fix.store.note_revoked(&fix.lock(), 9, &revocation), Err(Error::NoGeneration { number: 9, .. })));
}
