//! Names that several slots cover: which slot should serve, and what has to be loaded so that it does.
//!
//! `HAProxy` keeps a certificate of each kind of key for a name, and serves the one that the client can use; so those of different
//! kinds do not compete. One whose kind is not known competes with all.
//!
//! Of one kind, `HAProxy` serves a name from the slot that was loaded first, and a commit moves its slot to the end. So one order must do
//! for all names: ours before foreign ones, valid before expired, few names before many (the more specific), then by name.
//! Whatever is loaded is followed, in that order, by all that it competes with and that should stand behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Actual, Conflict, Contested, Desired};
use crate::model::{CertName, Identifier, KeyKind, Sha1, Slot};

/// Which slots are to be loaded, and in which order.
pub(super) struct Settled {
    pub(super) order: Vec<Slot>,
    pub(super) conflicts: Vec<Conflict>,
}

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
    for (at, rivals) in contested(&contenders) {
        let winner = &contenders[rivals[0]];
        let behind = &rivals[1..];
        let shown = actual.shown.get(&at).and_then(|shown| behind.iter().find(|&&at| contenders[at].sha1 == *shown));
        let (Some(&shown), Some(certificate)) = (shown, winner.certificate) else {
            continue;
        };
        if contenders[shown].can_be_loaded() {
            loaded.extend(behind.iter().filter(|&&at| contenders[at].can_be_loaded()));
        } else {
            // Whatever else is loaded again, it stays in front.
            let slot = contenders[shown].slot.clone();
            let conflict = Conflict { name: at.0, certificate: certificate.clone(), slot };
            if !conflicts.contains(&conflict) {
                conflicts.push(conflict);
            }
        }
    }

    // What is loaded moves behind its rivals, so those that should stand behind it are loaded after it.
    let mut by_name: BTreeMap<&Identifier, Vec<usize>> = BTreeMap::new();
    for (at, contender) in contenders.iter().enumerate() {
        for name in &contender.names {
            by_name.entry(name).or_default().push(at);
        }
    }
    for at in 0..contenders.len() {
        if loaded.contains(&at) {
            let rivals = contenders[at].names.iter().flat_map(|name| &by_name[name]).copied();
            let followers = rivals.filter(|&other| {
                other > at && contenders[other].can_be_loaded() && contenders[at].competes_with(&contenders[other])
            });
            loaded.extend(followers);
        }
    }
    Settled { order: loaded.into_iter().map(|at| contenders[at].slot.clone()).collect(), conflicts }
}

impl Contender<'_> {
    fn can_be_loaded(&self) -> bool {
        self.certificate.is_some() || self.reloadable
    }

    fn competes_with(&self, other: &Self) -> bool {
        let of_one_kind = self.kind.is_none() || other.kind.is_none() || self.kind == other.kind;
        of_one_kind && self.sha1 != other.sha1 && !self.names.is_disjoint(&other.names)
    }

    fn serves(&self, kind: KeyKind) -> bool {
        self.kind.is_none_or(|own| own == kind)
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

/// The names of each kind, with its contenders by rank.
fn by_name(contenders: &[Contender<'_>]) -> BTreeMap<Contested, Vec<usize>> {
    let mut by_name: BTreeMap<Contested, Vec<usize>> = BTreeMap::new();
    for (at, contender) in contenders.iter().enumerate() {
        for kind in KeyKind::ALL.into_iter().filter(|kind| contender.serves(*kind)) {
            for name in &contender.names {
                by_name.entry((name.clone(), kind)).or_default().push(at);
            }
        }
    }
    by_name
}

/// The names with more than one contender of a kind that hold different leaves. A name that only foreign slots cover is none of our
/// business.
fn contested(contenders: &[Contender<'_>]) -> BTreeMap<Contested, Vec<usize>> {
    let mut by_name = by_name(contenders);
    by_name.retain(|_, rivals| {
        contenders[rivals[0]].certificate.is_some()
            && rivals[1..].iter().any(|&at| contenders[at].sha1 != contenders[rivals[0]].sha1)
    });
    by_name
}

/// What more than one contender answers for.
pub(super) fn shared(desired: &Desired, actual: &Actual) -> BTreeSet<Contested> {
    let contenders = contenders(desired, actual);
    by_name(&contenders).into_iter().filter(|(_, rivals)| rivals.len() > 1).map(|(contested, _)| contested).collect()
}

/// The certificate that should serve each name which it shares with another slot.
pub(super) fn rightful(desired: &Desired, actual: &Actual) -> BTreeMap<Contested, CertName> {
    let contenders = contenders(desired, actual);
    contested(&contenders)
        .into_iter()
        .filter_map(|(at, rivals)| Some((at, contenders[rivals[0]].certificate?.clone())))
        .collect()
}
