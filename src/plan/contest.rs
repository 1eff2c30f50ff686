//! Names that several slots cover: which slot should serve, and what has to be loaded so that it does.
//!
//! `HAProxy` keeps a certificate of each kind of key for a name, and serves the one that the client can use; so those of different
//! kinds do not compete. One whose kind is not known competes with all.
//!
//! Of one kind, `HAProxy` serves a name from the slot that was loaded first, and a commit moves its slot to the end. So one order must do
//! for all names: ours before foreign ones, valid before expired, few names before many (the more specific), then by name.
//! Whatever is loaded is followed, in that order, by all that it competes with and that should stand behind it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{Actual, Conflict, Contested, Desired};
use crate::model::{CertName, Identifier, KeyKind, Sha1, Slot};

/// Which slots are to be loaded, and in which order.
pub(super) struct Settled {
    pub(super) order: Vec<Slot>,
    pub(super) conflicts: Vec<Conflict>,
}

/// A name, and the kind of key that who asks for it can use.
type Question<'c> = (&'c Identifier, KeyKind);

/// What more than one contender answers for, each with its contenders by rank.
type Shared<'c> = BTreeMap<Question<'c>, Vec<usize>>;

struct Contender<'a> {
    slot: &'a Slot,
    certificate: Option<&'a CertName>,
    sha1: Sha1,
    names: BTreeSet<Identifier>,
    kind: Option<KeyKind>,
    expired: bool,
    in_step: bool,
    reloadable: bool,
}

impl Contender<'_> {
    /// Smaller serves.
    fn rank(&self) -> impl Ord {
        // Names of certificates, not slots, so that ours have one order on all nodes.
        (self.certificate.is_none(), self.expired, self.names.len(), self.certificate, self.slot)
    }
}

pub(super) fn settle(desired: &Desired, actual: &Actual) -> Settled {
    let contenders = contenders(desired, actual);
    let mut loaded: BTreeSet<usize> = (0..contenders.len()).filter(|&index| !contenders[index].in_step).collect();
    let mut conflicts = Vec::new();
    let shared = rivals(&contenders);
    for (&question, rivals) in contested(&contenders, &shared) {
        let winner = &contenders[rivals[0]];
        let behind = &rivals[1..];
        let shown = actual.shown.get(&owned(question));
        let shown = shown.and_then(|shown| behind.iter().find(|&&at| contenders[at].sha1 == *shown));
        let (Some(&shown), Some(certificate)) = (shown, winner.certificate) else {
            continue;
        };
        if contenders[shown].can_be_loaded() {
            loaded.extend(behind.iter().filter(|&&at| contenders[at].can_be_loaded()));
        } else {
            // Whatever else is loaded again, it stays in front.
            let slot = contenders[shown].slot.clone();
            let conflict = Conflict { name: question.0.clone(), certificate: certificate.clone(), slot };
            if !conflicts.contains(&conflict) {
                conflicts.push(conflict);
            }
        }
    }

    // What is loaded moves behind its rivals, so those that should stand behind it are loaded after it.
    for at in 0..contenders.len() {
        if loaded.contains(&at) {
            let rivals = contenders[at].questions().filter_map(|question| shared.get(&question)).flatten().copied();
            let is_another = |other: usize| contenders[other].sha1 != contenders[at].sha1;
            loaded.extend(rivals.filter(|&other| other > at && contenders[other].can_be_loaded() && is_another(other)));
        }
    }
    Settled { order: loaded.into_iter().map(|at| contenders[at].slot.clone()).collect(), conflicts }
}

impl Contender<'_> {
    fn can_be_loaded(&self) -> bool {
        self.certificate.is_some() || self.reloadable
    }

    /// What it answers for.
    fn questions(&self) -> impl Iterator<Item = Question<'_>> {
        let kinds = KeyKind::ALL.into_iter().filter(|kind| self.kind.is_none_or(|own| own == *kind));
        kinds.flat_map(|kind| self.names.iter().map(move |name| (name, kind)))
    }
}

/// All that serves or should, by rank.
fn contenders<'a>(desired: &'a Desired, actual: &'a Actual) -> Vec<Contender<'a>> {
    let wanted: BTreeSet<_> = desired.certificates.values().map(|want| &want.slot).collect();
    let ours = desired.certificates.iter().map(|(name, want)| Contender {
        slot: &want.slot,
        certificate: Some(name),
        sha1: want.facts.sha1,
        names: want.answers(),
        kind: want.facts.kind(),
        expired: want.expired,
        in_step: want.is_held_in(actual) && want.is_stapled_in(actual) && want.is_attached_in(actual),
        reloadable: true,
    });
    let foreign = actual.slots.iter().filter(|(slot, _)| !wanted.contains(slot)).filter_map(|(slot, held)| {
        let held = held.as_ref().filter(|held| held.used)?;
        Some(Contender {
            slot,
            certificate: None,
            sha1: held.sha1,
            names: held.names.clone(),
            kind: held.kind,
            expired: held.expired,
            in_step: true,
            reloadable: held.reloadable,
        })
    });
    let mut contenders: Vec<_> = ours.chain(foreign).collect();
    contenders.sort_by(|a, b| a.rank().cmp(&b.rank()));
    contenders
}

/// What more than one contender answers for, each with its contenders by rank.
fn rivals<'c>(contenders: &'c [Contender<'_>]) -> Shared<'c> {
    // Of thousands few share a name with another one.
    let mut seen = HashSet::new();
    let again = contenders.iter().flat_map(Contender::questions).filter(|question| !seen.insert(*question));
    let mut shared: Shared<'_> = again.map(|question| (question, Vec::new())).collect();
    if shared.is_empty() {
        return shared;
    }
    for (at, contender) in contenders.iter().enumerate() {
        for question in contender.questions() {
            if let Some(rivals) = shared.get_mut(&question) {
                rivals.push(at);
            }
        }
    }
    shared
}

/// The names with several contenders of a kind that hold different leaves. A name that only foreign slots cover is none of our business.
fn contested<'s>(
    contenders: &[Contender<'_>],
    shared: &'s Shared<'_>,
) -> impl Iterator<Item = (&'s Question<'s>, &'s Vec<usize>)> {
    shared.iter().filter(|(_, rivals)| {
        contenders[rivals[0]].certificate.is_some()
            && rivals[1..].iter().any(|&at| contenders[at].sha1 != contenders[rivals[0]].sha1)
    })
}

/// What more than one contender answers for.
pub(super) fn shared(desired: &Desired, actual: &Actual) -> BTreeSet<Contested> {
    rivals(&contenders(desired, actual)).into_keys().map(owned).collect()
}

/// The certificate that should serve each name which it shares with another slot.
pub(super) fn rightful(desired: &Desired, actual: &Actual) -> BTreeMap<Contested, CertName> {
    let contenders = contenders(desired, actual);
    let shared = rivals(&contenders);
    contested(&contenders, &shared)
        .filter_map(|(question, rivals)| Some((owned(*question), contenders[rivals[0]].certificate?.clone())))
        .collect()
}

fn owned((name, kind): Question<'_>) -> Contested {
    (name.clone(), kind)
}
