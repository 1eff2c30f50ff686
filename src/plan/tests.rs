use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::model::{KeyKind, KeyType, Serial, Sha256};

/// `HAProxy` as far as a plan can tell: slots, lists, and the order in which slots were loaded.
#[derive(Debug, Clone, Default)]
struct Model {
    slots: BTreeMap<Slot, Option<Held>>,
    attached: BTreeMap<Slot, BTreeSet<String>>,
    /// What kind of key each slot holds, whether or not it shows.
    kinds: BTreeMap<Slot, KeyKind>,
    /// Slots in the order of their last load.
    loaded: Vec<Slot>,
    published: BTreeSet<CertName>,
    listed: BTreeSet<CertName>,
    superseded: BTreeMap<CertName, Vec<Superseded>>,
    stale: Option<Slot>,
}

impl Model {
    /// The leaf that a client is shown that can use one kind of key: of the slot of that kind that was loaded first.
    fn shown(&self, (name, kind): &Contested) -> Option<Sha1> {
        self.loaded
            .iter()
            .filter(|slot| self.is_used(slot) && self.kinds.get(slot) == Some(kind))
            .filter_map(|slot| self.slots[slot].as_ref())
            .find(|held| held.names.contains(name))
            .map(|held| held.sha1)
    }

    fn is_used(&self, slot: &Slot) -> bool {
        self.attached.get(slot).is_some_and(|lists| !lists.is_empty())
    }

    fn actual(&self, desired: &Desired, look: bool) -> Actual {
        let mut actual = Actual {
            stale: self.stale.clone(),
            slots: self.slots.clone(),
            attached: self.attached.clone(),
            superseded: self.superseded.clone(),
            published: self.published.clone(),
            listed: self.listed.clone(),
            shown: BTreeMap::new(),
        };
        for (slot, held) in &mut actual.slots {
            if let Some(held) = held {
                held.used = self.is_used(slot);
            }
        }
        if look {
            actual.shown = rightful(desired, &actual)
                .into_keys()
                .filter_map(|at| self.shown(&at).map(|shown| (at, shown)))
                .collect();
        }
        actual
    }

    fn apply(&mut self, desired: &Desired, plan: &Plan) {
        for step in &plan.steps {
            match step {
                Step::AbortStale { slot } => assert_eq!(self.stale.take().as_ref(), Some(slot)),
                Step::Create { slot, .. } => {
                    assert!(self.stale.is_none() && self.slots.insert(slot.clone(), None).is_none());
                }
                Step::Replace { slot, with, .. } => {
                    assert!(self.stale.is_none(), "a transaction is opened while another one is open");
                    let held = match with {
                        Contents::Generation(name) => {
                            let want = &desired.certificates[name];
                            self.kinds.extend(want.facts.kind().map(|kind| (slot.clone(), kind)));
                            held(want)
                        }
                        Contents::OwnFile => self.slots[slot].clone().unwrap(),
                    };
                    *self.slots.get_mut(slot).expect("a slot is created before it is loaded") = Some(held);
                    self.loaded.retain(|loaded| loaded != slot);
                    self.loaded.push(slot.clone());
                }
                Step::Publish { certificate } => {
                    self.published.insert(certificate.clone());
                }
                Step::Attach { certificate, slot, to, in_memory, in_file } => {
                    assert!(self.slots[slot].is_some(), "HAProxy refuses to attach an empty slot");
                    if *in_memory {
                        self.attached.entry(slot.clone()).or_default().insert(to.list.clone());
                        self.loaded.retain(|loaded| loaded != slot);
                        self.loaded.push(slot.clone());
                    }
                    if *in_file {
                        assert!(self.published.contains(certificate), "a list must not name a file that is not there");
                        self.listed.insert(certificate.clone());
                    }
                }
                Step::Detach { certificate, slot, from, .. } => {
                    assert!(self.is_used(slot), "an entry goes only once another one serves");
                    let left = self.superseded.get_mut(certificate).expect("there is such an entry");
                    left.retain(|superseded| superseded.from != *from);
                }
                Step::Delete { .. } | Step::Unpublish { .. } => unreachable!("nothing is deleted implicitly"),
            }
        }
    }
}

fn held(want: &Want) -> Held {
    Held {
        sha1: want.facts.sha1,
        chain_length: want.facts.chain_length,
        names: want.answers(),
        kind: want.facts.kind(),
        expired: want.expired,
        staple: want.staple,
        used: true,
        reloadable: true,
    }
}

fn slot(index: usize) -> Slot {
    format!("/certs/{index}.pem").parse().unwrap()
}

fn names(bits: u8) -> BTreeSet<Identifier> {
    (0..4).filter(|bit| bits & (1 << bit) != 0).map(|bit| format!("n{bit}.test").parse().unwrap()).collect()
}

/// None, or one that is the fresher the greater the number is.
fn staple(day: u8) -> Option<Staple> {
    let at = |days: u8| Timestamp::from_second(i64::from(days) * 24 * 60 * 60).unwrap();
    (day > 0).then(|| Staple { this_update: at(day), next_update: at(day + 7) })
}

fn want(index: usize, version: u8, bits: u8, directory: bool) -> Want {
    want_of(KeyType::EcdsaP256, index, version, bits, directory)
}

fn want_of(key: KeyType, index: usize, version: u8, bits: u8, directory: bool) -> Want {
    let der = [u8::try_from(index).unwrap(), version, bits, u8::from(key == KeyType::EcdsaP256)];
    Want {
        slot: slot(index),
        facts: Facts {
            serial: Serial::from_bytes(&der),
            sha1: Sha1::of(&der),
            sha256: Sha256::of(&der),
            not_before: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
            names: names(bits),
            issuer: String::new(),
            chain_length: 1,
            key_type: Some(key),
            renewal_id: None,
        },
        expired: false,
        staple: staple(bits % 3),
        attachment: Some(Attachment {
            list: if directory { "/certs" } else { "/list.txt" }.to_owned(),
            directory,
            options: None,
            filters: Vec::new(),
        }),
        publish: true,
    }
}

fn any_key() -> impl Strategy<Value = KeyType> {
    prop_oneof![Just(KeyType::EcdsaP256), Just(KeyType::Rsa2048)]
}

prop_compose! {
    fn any_desired()(certificates in proptest::collection::vec((any_key(), 0u8..3, 1u8..16, any::<bool>()), 0..5)) -> Desired {
        Desired {
            certificates: certificates
                .into_iter()
                .enumerate()
                .map(|(index, (key, version, bits, directory))| {
                    (format!("c{index}").parse().unwrap(), want_of(key, index, version, bits, directory))
                })
                .collect(),
        }
    }
}

/// Slots 0 to 4 may be ours; 5 to 7 are always foreign. Of some it does not show what kind of key they hold.
fn any_model() -> impl Strategy<Value = Model> {
    let bools = || (any::<bool>(), any::<bool>());
    let one = (any_key(), 0usize..8, 0u8..3, 1u8..16, bools(), bools(), any::<bool>());
    (proptest::collection::vec(one, 0..8), any::<bool>()).prop_map(|(slots, stale)| {
        let mut model = Model::default();
        for (key, index, version, bits, (filled, attached), (published, expired), shows_kind) in slots {
            let mut held = held(&want_of(key, index, version, bits, true));
            held.expired = expired && index > 4;
            held.staple = staple(version);
            held.kind = held.kind.filter(|_| shows_kind);
            let slot = slot(index);
            model.kinds.insert(slot.clone(), key.kind());
            model.loaded.retain(|loaded| *loaded != slot);
            model.loaded.push(slot.clone());
            model.slots.insert(slot.clone(), filled.then_some(held));
            model.attached.remove(&slot);
            if attached && filled {
                model.attached.insert(slot.clone(), BTreeSet::from(["/certs".to_owned()]));
            }
            if published {
                model.published.insert(format!("c{index}").parse().unwrap());
            }
        }
        model.stale = stale.then(|| model.loaded.first().cloned()).flatten();
        model
    })
}

proptest! {
    #[test]
    fn applying_a_plan_yields_what_is_desired_and_the_second_plan_is_empty(desired in any_desired(), mut model in any_model()) {
        let before = model.clone();
        let first = plan(&desired, &model.actual(&desired, true));
        model.apply(&desired, &first);

        let actual = model.actual(&desired, true);
        prop_assert_eq!(plan(&desired, &actual), Plan::default());
        for want in desired.certificates.values() {
            prop_assert!(want.is_held(model.slots[&want.slot].as_ref()));
            prop_assert!(want.is_stapled_in(&actual));
            prop_assert!(model.is_used(&want.slot));
        }
        for (at, owner) in rightful(&desired, &actual) {
            prop_assert_eq!(model.shown(&at), Some(desired.certificates[&owner].facts.sha1));
        }
        let ours: BTreeSet<_> = desired.certificates.values().map(|want| &want.slot).collect();
        for (slot, held) in before.slots.iter().filter(|(slot, _)| !ours.contains(slot)) {
            prop_assert_eq!(&model.slots[slot], held, "a foreign slot was changed");
            prop_assert_eq!(model.attached.get(slot), before.attached.get(slot));
        }
    }

    #[test]
    fn a_renewal_keeps_the_right_certificate_in_front_even_when_nobody_looks(desired in any_desired(), renewed in 0usize..5) {
        let mut model = Model::default();
        let first = plan(&desired, &model.actual(&desired, false));
        model.apply(&desired, &first);

        let mut next = desired.clone();
        if let Some(want) = next.certificates.get_mut(&format!("c{renewed}").parse::<CertName>().unwrap()) {
            want.facts.sha1 = Sha1::of(b"renewed");
        }
        let second = plan(&next, &model.actual(&next, false));
        model.apply(&next, &second);
        for (at, owner) in rightful(&next, &model.actual(&next, false)) {
            prop_assert_eq!(model.shown(&at), Some(next.certificates[&owner].facts.sha1));
        }
    }

    #[test]
    fn of_a_certificate_that_stands_alone_its_own_slot_tells_all_that_is_to_be_done(
        desired in any_desired(),
        mut model in any_model(),
        renewed in 0usize..5,
        bits in 1u8..16,
    ) {
        model.apply(&desired, &plan(&desired, &model.actual(&desired, true)));
        let shared = shared(&desired, &model.actual(&desired, true));
        let name: CertName = format!("c{renewed}").parse().unwrap();
        let Some(before) = desired.certificates.get(&name) else { return Ok(()) };
        let facts = Facts { sha1: Sha1::of(b"renewed"), names: names(bits), ..before.facts.clone() };
        let next = Want { facts, ..before.clone() };

        let few = Desired { certificates: BTreeMap::from([(name.clone(), next.clone())]) };
        let mut seen = model.actual(&few, false);
        seen.slots.retain(|slot, _| *slot == next.slot);
        let all = Desired { certificates: desired.certificates.clone().into_iter().chain(few.certificates.clone()).collect() };
        if next.stands_alone(&seen, &shared) {
            prop_assert_eq!(plan(&few, &seen), plan(&all, &model.actual(&all, true)));
        }
    }
}

#[test]
fn a_certificate_stands_alone_with_names_of_its_own_that_are_none_but_those_that_it_had() {
    let both = |bits: u8| [("c0", want(0, 0, 3, true)), ("c1", want(1, 0, bits, true))];
    let of = |both: [(&str, Want); 2]| Desired {
        certificates: both.into_iter().map(|(name, want)| (name.parse().unwrap(), want)).collect(),
    };
    let is_alone = |desired: &Desired, next: &Want| {
        let mut model = Model::default();
        model.apply(desired, &plan(desired, &model.actual(desired, true)));
        let actual = model.actual(desired, true);
        next.stands_alone(&actual, &shared(desired, &actual))
    };
    let apart = of(both(12));
    assert!(is_alone(&apart, &want(0, 1, 3, true)));
    assert!(is_alone(&apart, &want(0, 1, 1, true)));
    assert!(!is_alone(&apart, &want(0, 1, 7, true)), "a name more, which others may have");
    assert!(!is_alone(&apart, &want_of(KeyType::Rsa2048, 0, 1, 3, true)), "a key of another kind");
    assert!(!is_alone(&apart, &want(0, 1, 3, false)), "another list");
    assert!(!is_alone(&apart, &want(2, 1, 3, true)), "a new slot");
    assert!(!is_alone(&of(both(6)), &want(0, 1, 3, true)), "a name that both have");
}

#[test]
fn what_is_in_step_needs_nothing() {
    let desired = Desired { certificates: BTreeMap::from([("c0".parse().unwrap(), want(0, 0, 1, true))]) };
    let mut model = Model::default();
    let first = plan(&desired, &model.actual(&desired, true));
    let shown: Vec<_> = first.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "create slot /certs/0.pem",
            "load /certs/0.pem",
            "publish the file of c0 for HAProxy's next start",
            "attach /certs/0.pem to directory /certs in memory",
        ]
    );
    model.apply(&desired, &first);
    assert!(plan(&desired, &model.actual(&desired, true)).is_empty());
}

#[test]
fn another_entry_is_added_before_the_old_one_goes_and_rivals_stay_behind() {
    let certificates = [0, 1].map(|at| (format!("c{at}").parse().unwrap(), want(at, 0, 1, false)));
    let desired = Desired { certificates: BTreeMap::from(certificates) };
    let mut model = Model::default();
    model.apply(&desired, &plan(&desired, &model.actual(&desired, true)));

    // The options of c0 are others now: its entry is not what is wanted.
    let (name, from): (CertName, _) = ("c0".parse().unwrap(), want(0, 0, 1, false).attachment.unwrap());
    model.attached.get_mut(&slot(0)).unwrap().clear();
    model.listed.remove(&name);
    model.superseded.insert(name, vec![Superseded { from, in_memory: true, in_file: true }]);
    let steps = plan(&desired, &model.actual(&desired, true));
    let shown: Vec<_> = steps.steps.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "attach /certs/0.pem to crt-list /list.txt in memory and in the file",
            "detach /certs/0.pem from crt-list /list.txt in memory and in the file",
            "load /certs/1.pem again unchanged, so that it gives way to another certificate for the same name",
        ]
    );
    model.apply(&desired, &steps);
    assert!(plan(&desired, &model.actual(&desired, true)).is_empty());
}

#[test]
fn certificates_of_two_kinds_do_not_compete_and_one_of_an_unknown_kind_competes_with_both() {
    let of = |key, index| want_of(key, index, 0, 1, true);
    let pair = BTreeMap::from([
        ("c0".parse().unwrap(), of(KeyType::EcdsaP256, 0)),
        ("c1".parse().unwrap(), of(KeyType::Rsa2048, 1)),
    ]);
    let desired = Desired { certificates: pair };
    let mut model = Model::default();
    model.apply(&desired, &plan(&desired, &model.actual(&desired, true)));
    assert_eq!(rightful(&desired, &model.actual(&desired, true)), BTreeMap::new());

    // One is renewed alone, or drifts alone.
    let mut next = desired.clone();
    next.certificates.get_mut(&"c0".parse::<CertName>().unwrap()).unwrap().facts.sha1 = Sha1::of(b"renewed");
    let steps = plan(&next, &model.actual(&next, true)).steps;
    assert!(
        matches!(steps.as_slice(), [Step::Replace { reason: Reason::Stale, slot: at, .. }] if *at == slot(0)),
        "{steps:?}"
    );

    let twin = slot(5);
    for (kind, with) in [(Some(KeyKind::Rsa), 1), (None, 2)] {
        let mut model = model.clone();
        model.slots.insert(twin.clone(), Some(Held { kind, ..held(&of(KeyType::Rsa2048, 5)) }));
        model.attached.insert(twin.clone(), BTreeSet::from(["/certs".to_owned()]));
        model.kinds.insert(twin.clone(), KeyKind::Rsa);
        model.loaded.insert(0, twin.clone());
        let actual = model.actual(&desired, true);
        assert_eq!(rightful(&desired, &actual).len(), with);
        let steps = plan(&desired, &actual).steps;
        assert!(
            matches!(steps.as_slice(), [Step::Replace { slot, reason: Reason::GiveWay, .. }] if *slot == twin),
            "{steps:?}"
        );
    }
}

#[test]
fn a_lost_chain_is_drift() {
    let desired = Desired { certificates: BTreeMap::from([("c0".parse().unwrap(), want(0, 0, 1, true))]) };
    let mut model = Model::default();
    model.apply(&desired, &plan(&desired, &model.actual(&desired, true)));
    model.slots.get_mut(&slot(0)).unwrap().as_mut().unwrap().chain_length = 0;
    let steps = plan(&desired, &model.actual(&desired, true)).steps;
    assert!(matches!(steps.as_slice(), [Step::Replace { reason: Reason::Stale, .. }]));
}

#[test]
fn a_fresher_response_is_loaded_and_an_older_one_or_none_is_not() {
    for (at_hand, stapled, is_loaded) in [(2, 1, true), (2, 0, true), (1, 1, false), (1, 2, false), (0, 1, false)] {
        let mut want = want(0, 0, 1, true);
        want.staple = staple(stapled);
        let mut desired = Desired { certificates: BTreeMap::from([("c0".parse().unwrap(), want)]) };
        let mut model = Model::default();
        model.apply(&desired, &plan(&desired, &model.actual(&desired, true)));
        desired.certificates.values_mut().for_each(|want| want.staple = staple(at_hand));
        let steps = plan(&desired, &model.actual(&desired, true)).steps;
        assert_eq!(matches!(steps.as_slice(), [Step::Replace { reason: Reason::Staple, .. }]), is_loaded, "{steps:?}");
        assert_eq!(steps.is_empty(), !is_loaded, "{steps:?}");
    }
}

#[test]
fn an_expired_foreign_certificate_gives_way_and_an_unreadable_one_is_a_conflict() {
    let desired = Desired { certificates: BTreeMap::from([("c0".parse().unwrap(), want(0, 0, 1, true))]) };
    for reloadable in [true, false] {
        let mut model = Model::default();
        model.slots.insert(slot(5), Some(Held { expired: true, reloadable, ..held(&want(5, 0, 1, true)) }));
        model.attached.insert(slot(5), BTreeSet::from(["/certs".to_owned()]));
        model.kinds.insert(slot(5), KeyKind::Ecdsa);
        model.loaded.push(slot(5));
        // The first plan cannot know whether the foreign one will stand in front, and makes sure.
        model.apply(&desired, &plan(&desired, &model.actual(&desired, true)));
        let second = plan(&desired, &model.actual(&desired, true));
        assert_eq!(second.is_empty(), reloadable, "{second:?}");
        assert_eq!(second.conflicts.len(), usize::from(!reloadable));
    }
}
