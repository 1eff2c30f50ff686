use super::small::DIRECTORY;
use super::*;
use crate::schedule::{Again, Event, Kind};

fn trouble() -> Trouble {
    let now = at("2026-11-22T14:00:00Z");
    Trouble::new(1, "the authority is down", now, Some(Again::after(1, now, 0)), false)
}

fn in_trouble(generation: u64, by_ari: Option<jiff::Timestamp>) -> Renewal {
    let mut renewal = Renewal::of(generation, by_ari);
    renewal.trouble = Some(trouble());
    renewal
}

#[test]
fn what_is_noted_about_a_renewal_is_void_for_another_generation() {
    let fix = Fixture::new();
    let by_ari = Some(at("2026-11-20T14:00:00Z"));
    let renewal = in_trouble(3, by_ari);
    fix.store.save_renewal(&fix.lock(), &renewal).unwrap();
    assert_eq!(fix.store.renewal(&name(), Some(3)).unwrap(), renewal);
    assert_eq!(fix.store.renewal(&name(), Some(4)).unwrap(), Renewal::of(4, by_ari));
    assert_eq!(fix.store.renewal(&name(), None).unwrap().trouble, None);
}

#[test]
fn a_failure_holds_until_its_time_and_what_only_a_person_can_end_for_ever() {
    let mut renewal = in_trouble(1, None);
    let mut standing = Standing::default();
    let hold = |renewal: &Renewal, standing: &Standing, now| renewal.hold("test", standing, at(now), false);
    let found = hold(&renewal, &standing, "2026-11-22T14:00:30Z").unwrap();
    assert_eq!((found.until, found.demanded), (Some(at("2026-11-22T14:01:00Z")), false));
    assert_eq!(hold(&renewal, &standing, "2026-11-22T14:01:00Z"), None);
    standing.trouble = Some(Trouble { again: None, ..trouble() });
    assert_eq!(hold(&renewal, &standing, "2027-11-22T14:00:00Z").unwrap().until, None);
    renewal.trouble = None;
    assert!(hold(&renewal, &standing, "2027-11-22T14:00:00Z").is_some());
}

#[test]
fn what_failed_with_one_issuer_holds_there_alone_and_outlives_a_generation() {
    let fix = Fixture::new();
    let mut renewal = Renewal::of(1, None);
    let lasting = Trouble { again: Some(Again::at(at("2026-11-24T00:00:00Z"))), ..trouble() };
    renewal.refusals.insert("one".to_owned(), lasting.clone());
    renewal.refusals.insert("over".to_owned(), trouble());
    let now = at("2026-11-23T00:00:00Z");
    let standing = Standing::default();
    assert_eq!(renewal.hold("one", &standing, now, false).unwrap().until, Some(at("2026-11-24T00:00:00Z")));
    assert_eq!((renewal.hold("two", &standing, now, false), renewal.failures("two")), (None, 0));

    fix.store.save_renewal(&fix.lock(), &renewal).unwrap();
    assert_eq!(fix.store.renewal(&name(), Some(2)).unwrap().refusals, renewal.refusals);
    let next = renewal.followed_by(2, None, "two", now);
    assert_eq!(next.refusals.into_iter().collect::<Vec<_>>(), [("one".to_owned(), lasting)]);
    assert!(renewal.followed_by(2, None, "one", now).refusals.is_empty());
}

#[test]
fn what_is_held_everywhere_is_held_until_the_first_is_free() {
    let hold = |until: Option<&str>, problem: &str, demanded| Hold {
        until: until.map(at),
        problem: problem.to_owned(),
        demanded,
    };
    let all = Hold::of_all(vec![
        hold(None, "paused", true),
        hold(Some("2026-11-24T00:00:00Z"), "a limit", true),
        hold(Some("2026-11-23T00:00:00Z"), "paused", false),
    ]);
    assert_eq!(all.unwrap(), hold(Some("2026-11-23T00:00:00Z"), "paused; a limit", false));
    assert_eq!(Hold::of_all(Vec::new()), None);
}

#[test]
fn a_text_of_any_length_is_kept_within_bounds() {
    let long = Trouble::new(1, &"ä".repeat(1_000_000), at("2026-11-22T14:00:00Z"), None, false);
    assert!(long.problem.len() < 10_000);
}

#[test]
fn notes_that_are_damaged_are_begun_anew() {
    let fix = Fixture::new();
    fix.store.save_renewal(&fix.lock(), &in_trouble(1, None)).unwrap();
    fix.store.change_standing(DIRECTORY, |standing| standing.trouble = Some(trouble())).unwrap();
    let files: Vec<_> = tree(&fix.store.root).into_iter().filter(|path| path.contains(".json")).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for damage in ["", "{", "[]", "{\"trouble\": 7}", "\u{0}\u{0}"] {
        for file in &files {
            assert_eq!(mode(&fix.path(file)), 0o600);
            fs::write(fix.path(file), damage).unwrap();
        }
        assert_eq!(fix.store.renewal(&name(), Some(1)).unwrap(), Renewal::of(1, None), "{damage:?}");
        assert_eq!(fix.store.standing(DIRECTORY).unwrap(), Standing::default(), "{damage:?}");
    }
    fix.store.change_standing(DIRECTORY, |standing| standing.trouble = Some(trouble())).unwrap();
    assert_eq!(fix.store.standing(DIRECTORY).unwrap().trouble, Some(trouble()));
}

#[test]
fn nothing_is_lost_when_many_change_how_we_stand_with_an_authority() {
    let fix = Fixture::new();
    let now = at("2026-11-22T14:00:00Z");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let store = &fix.store;
            scope.spawn(move || {
                for count in 0..5 {
                    let name = format!("n{number}-{count}.test").parse().unwrap();
                    let event = Event { at: now, kind: Kind::FailedAuthorization { name } };
                    store.change_standing(DIRECTORY, |standing| standing.events.add(event)).unwrap();
                }
            });
        }
    });
    let events = serde_json::to_value(fix.store.standing(DIRECTORY).unwrap().events).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 40);
}
