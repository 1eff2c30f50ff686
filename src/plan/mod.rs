//! From what should be served and what is served to the steps between them: a pure function.
//!
//! Owns the order of steps that is safe, and the rule for names that several certificates cover. No I/O, no time, no
//! randomness. Applying a plan yields what was desired, and the plan after that is empty; the property tests say so.

mod attachment;
mod contest;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use attachment::Superseded;

use crate::model::{CertName, Facts, Identifier, KeyKind, Sha1, Slot, Staple};

/// What one node should serve.
#[derive(Debug, Clone, Default)]
pub struct Desired {
    /// The certificates of the node.
    pub certificates: BTreeMap<CertName, Want>,
}

/// How one certificate should be served.
#[derive(Debug, Clone)]
pub struct Want {
    /// The slot that holds it.
    pub slot: Slot,
    /// The facts of its current generation.
    pub facts: Facts,
    /// Whether its time of validity is over.
    pub expired: bool,
    /// The OCSP response that is at hand for it; nothing is taken away where there is none.
    pub staple: Option<Staple>,
    /// How the slot is made to serve; `None` when `HAProxy`'s own configuration names it.
    pub attachment: Option<Attachment>,
    /// Whether a file is kept for the next start.
    pub publish: bool,
}

/// An entry in a crt-list or certificate directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The list, as `HAProxy` names it.
    pub list: String,
    /// Whether it is a certificate directory, in which the file itself is the entry.
    pub directory: bool,
    /// Options, such as `[alpn h2]`.
    pub options: Option<String>,
    /// SNI filters.
    pub filters: Vec<String>,
}

/// What one node serves now.
#[derive(Debug, Clone, Default)]
pub struct Actual {
    /// A transaction that our own process left open, having died.
    pub stale: Option<Slot>,
    /// What each slot holds; `None` when it is empty.
    pub slots: BTreeMap<Slot, Option<Held>>,
    /// The lists in which each slot has an entry; one of ours that is to have another entry there is left out.
    pub attached: BTreeMap<Slot, BTreeSet<String>>,
    /// Entries that were made for a certificate, and are no longer what is wanted.
    pub superseded: BTreeMap<CertName, Vec<Superseded>>,
    /// Certificates whose published file is what it should be.
    pub published: BTreeSet<CertName>,
    /// Certificates whose entry stands in the crt-list file.
    pub listed: BTreeSet<CertName>,
    /// The leaf that clients are shown, for names that several slots cover; without an entry nobody looked.
    pub shown: BTreeMap<Contested, Sha1>,
}

/// A name, as it is asked for by clients that can use one kind of key. `HAProxy` holds a certificate of each kind for a name, and
/// serves the one that the client can use, so only those of one kind stand in each other's way.
pub type Contested = (Identifier, KeyKind);

/// The contents of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Fingerprint of the leaf.
    pub sha1: Sha1,
    /// How many certificates follow the leaf.
    pub chain_length: usize,
    /// What it answers for: its SNI filters, or the names of its leaf.
    pub names: BTreeSet<Identifier>,
    /// Algorithm of its key; one that is not known may be any.
    pub kind: Option<KeyKind>,
    /// Whether its time of validity is over.
    pub expired: bool,
    /// The OCSP response that is stapled to it.
    pub staple: Option<Staple>,
    /// Whether it serves anywhere.
    pub used: bool,
    /// Whether the same contents can be read from its own file, and so be loaded again.
    pub reloadable: bool,
}

/// The steps for one node, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What to do.
    pub steps: Vec<Step>,
    /// What cannot be done.
    pub conflicts: Vec<Conflict>,
}

/// One change of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// End the transaction that our own dead process left open.
    AbortStale {
        /// Its slot.
        slot: Slot,
    },
    /// Make an empty slot.
    Create {
        /// The certificate for which it is.
        certificate: CertName,
        /// The new slot.
        slot: Slot,
    },
    /// Put contents into a slot, in one transaction.
    Replace {
        /// The slot.
        slot: Slot,
        /// What is put in.
        with: Contents,
        /// Why.
        reason: Reason,
    },
    /// Write the file for the next start.
    Publish {
        /// The certificate.
        certificate: CertName,
    },
    /// Make a slot serve.
    Attach {
        /// The certificate.
        certificate: CertName,
        /// Its slot.
        slot: Slot,
        /// Where, and with which options.
        to: Attachment,
        /// Whether the running `HAProxy` lacks the entry.
        in_memory: bool,
        /// Whether the crt-list file lacks it.
        in_file: bool,
    },
    /// Take an entry of ours away. It follows the entry that serves instead, so that there is no gap.
    Detach {
        /// The certificate.
        certificate: CertName,
        /// Its slot.
        slot: Slot,
        /// From where, and which entry.
        from: Attachment,
        /// Whether the running `HAProxy` has the entry.
        in_memory: bool,
        /// Whether the crt-list file has it.
        in_file: bool,
    },
    /// Delete a slot that nothing uses any more; only when somebody asks for it.
    Delete {
        /// The certificate.
        certificate: CertName,
        /// Its slot.
        slot: Slot,
    },
    /// Remove the file for the next start; only when somebody asks for it.
    Unpublish {
        /// The certificate.
        certificate: CertName,
        /// The file.
        file: PathBuf,
    },
}

/// What a slot is loaded with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", content = "certificate", rename_all = "kebab-case")]
pub enum Contents {
    /// The current generation of a certificate of ours.
    Generation(CertName),
    /// What the slot holds already, read from its own file; the slot is not ours.
    OwnFile,
}

/// Why a slot is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is empty.
    New,
    /// It holds another certificate or chain.
    Stale,
    /// It lacks the OCSP response, or has an older one.
    Staple,
    /// It covers a name that another certificate should serve. `HAProxy` serves the one that was loaded first, and loading
    /// moves to the end, so that this one is loaded again unchanged.
    GiveWay,
}

/// A name that the wrong certificate serves, with no way to change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The name.
    pub name: Identifier,
    /// The certificate that should serve it.
    pub certificate: CertName,
    /// The slot in its way.
    pub slot: Slot,
}

impl Plan {
    /// Whether there is nothing to do, and nothing that should be done and cannot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.conflicts.is_empty()
    }
}

/// Computes the steps from `actual` to `desired` for one node. Slots that are not desired are left as they are, but for
/// those that have to give way.
#[must_use]
pub fn plan(desired: &Desired, actual: &Actual) -> Plan {
    let mut steps = Vec::new();
    if let Some(slot) = &actual.stale {
        steps.push(Step::AbortStale { slot: slot.clone() });
    }

    let contest = contest::settle(desired, actual);
    for (name, want) in &desired.certificates {
        if !actual.slots.contains_key(&want.slot) {
            steps.push(Step::Create { certificate: name.clone(), slot: want.slot.clone() });
        }
    }
    let owners: BTreeMap<&Slot, &CertName> =
        desired.certificates.iter().map(|(name, want)| (&want.slot, name)).collect();
    let mut rest: BTreeSet<_> = desired.certificates.keys().collect();
    for slot in contest.order {
        let Some(&name) = owners.get(&slot) else {
            steps.push(Step::Replace { slot, with: Contents::OwnFile, reason: Reason::GiveWay });
            continue;
        };
        let want = &desired.certificates[name];
        // To attach is to load into the list, and as good as loading again.
        if !want.is_held_in(actual) || !want.is_stapled_in(actual) || want.is_attached_in(actual) {
            let reason = want.reason(actual);
            steps.push(Step::Replace { slot, with: Contents::Generation(name.clone()), reason });
        }
        steps.extend(want.kept(name, actual));
        rest.remove(name);
    }
    for name in rest {
        steps.extend(desired.certificates[name].kept(name, actual));
    }
    Plan { steps, conflicts: contest.conflicts }
}

/// The certificate that should serve each name which it shares with another slot. For these names it matters what clients
/// are shown, see [`Actual::shown`].
#[must_use]
pub fn rightful(desired: &Desired, actual: &Actual) -> BTreeMap<Contested, CertName> {
    contest::rightful(desired, actual)
}

/// What more than one slot answers for, of whatever they hold.
#[must_use]
pub fn shared(desired: &Desired, actual: &Actual) -> BTreeSet<Contested> {
    contest::shared(desired, actual)
}

impl Want {
    /// Whether a slot holds just this.
    #[must_use]
    pub fn is_held(&self, held: Option<&Held>) -> bool {
        held.is_some_and(|held| held.sha1 == self.facts.sha1 && held.chain_length == self.facts.chain_length)
    }

    /// Whether its slot holds just this.
    #[must_use]
    pub fn is_held_in(&self, actual: &Actual) -> bool {
        self.is_held(actual.slots.get(&self.slot).and_then(Option::as_ref))
    }

    /// Whether its slot has the OCSP response that is at hand, or a fresher one.
    #[must_use]
    pub fn is_stapled_in(&self, actual: &Actual) -> bool {
        let held = || actual.slots.get(&self.slot).and_then(Option::as_ref)?.staple;
        self.staple.is_none_or(|staple| held().is_some_and(|held| held >= staple))
    }

    /// Whether its slot has the entry that makes it serve.
    #[must_use]
    pub fn is_attached_in(&self, actual: &Actual) -> bool {
        self.attachment
            .as_ref()
            .is_none_or(|to| actual.attached.get(&self.slot).is_some_and(|lists| lists.contains(&to.list)))
    }

    /// Whether it takes the place of what its slot holds, without a change for any other slot: those `shared` with others before are
    /// none of its names, and none of them is new.
    #[must_use]
    pub fn stands_alone(&self, actual: &Actual, shared: &BTreeSet<Contested>) -> bool {
        let Some(Some(held)) = actual.slots.get(&self.slot) else { return false };
        let answers = self.answers();
        let is_shared = || {
            let mut contested = answers.iter().flat_map(|name| self.kinds().map(move |kind| (name.clone(), kind)));
            contested.any(|contested| shared.contains(&contested))
        };
        held.used
            && self.is_attached_in(actual)
            && held.kind == self.facts.kind()
            && answers.is_subset(&held.names)
            && !is_shared()
    }

    /// The kinds of keys for which it serves, as far as is known.
    pub fn kinds(&self) -> impl Iterator<Item = KeyKind> + use<> {
        let kind = self.facts.kind();
        KeyKind::ALL.into_iter().filter(move |of| kind.is_none_or(|kind| kind == *of))
    }

    fn reason(&self, actual: &Actual) -> Reason {
        match actual.slots.get(&self.slot) {
            None | Some(None) => Reason::New,
            Some(_) if self.is_held_in(actual) && !self.is_stapled_in(actual) => Reason::Staple,
            Some(_) if self.is_held_in(actual) => Reason::GiveWay,
            Some(_) => Reason::Stale,
        }
    }

    /// The steps that follow a load, or stand alone when none is needed: the file for the next start, and the entry.
    fn kept(&self, name: &CertName, actual: &Actual) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.publish && !actual.published.contains(name) {
            steps.push(Step::Publish { certificate: name.clone() });
        }
        if let Some(to) = &self.attachment {
            let in_memory = !self.is_attached_in(actual);
            let in_file = self.publish && !to.directory && !actual.listed.contains(name);
            if in_memory || in_file {
                steps.push(Step::Attach {
                    certificate: name.clone(),
                    slot: self.slot.clone(),
                    to: to.clone(),
                    in_memory,
                    in_file,
                });
            }
        }
        for Superseded { from, in_memory, in_file } in actual.superseded.get(name).into_iter().flatten().cloned() {
            let (certificate, slot) = (name.clone(), self.slot.clone());
            steps.push(Step::Detach { certificate, slot, from, in_memory, in_file });
        }
        steps
    }

    /// What it answers for on this node: its filters, or the names of its leaf.
    #[must_use]
    pub fn answers(&self) -> BTreeSet<Identifier> {
        match &self.attachment {
            Some(Attachment { filters, .. }) if !filters.is_empty() => {
                filters.iter().filter_map(|filter| filter.parse().ok()).collect()
            }
            _ => self.facts.names.clone(),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AbortStale { slot } => write!(f, "abort our own transaction on {slot}, left by a process that died"),
            Self::Create { slot, .. } => write!(f, "create slot {slot}"),
            Self::Replace { slot, reason: Reason::New, .. } => write!(f, "load {slot}"),
            Self::Replace { slot, reason: Reason::Stale, .. } => write!(f, "replace the certificate in {slot}"),
            Self::Replace { slot, reason: Reason::Staple, .. } => {
                write!(f, "load {slot} again with the OCSP response beside its file")
            }
            Self::Replace { slot, reason: Reason::GiveWay, .. } => {
                write!(f, "load {slot} again unchanged, so that it gives way to another certificate for the same name")
            }
            Self::Publish { certificate } => write!(f, "publish the file of {certificate} for HAProxy's next start"),
            Self::Attach { slot, to, in_memory, in_file, .. } => {
                write!(f, "attach {slot} to {to} {}", place(*in_memory, *in_file))
            }
            Self::Detach { slot, from, in_memory, in_file, .. } => {
                write!(f, "detach {slot} from {from} {}", place(*in_memory, *in_file))
            }
            Self::Delete { slot, .. } => write!(f, "delete slot {slot}"),
            Self::Unpublish { file, .. } => {
                write!(f, "remove {}, which HAProxy reads at its next start", file.display())
            }
        }
    }
}

fn place(in_memory: bool, in_file: bool) -> &'static str {
    match (in_memory, in_file) {
        (true, true) => "in memory and in the file",
        (true, false) => "in memory",
        _ => "in the file",
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is served from {}, which is not ours and cannot be loaded again, instead of from certificate {}",
            self.name.human(),
            self.slot,
            self.certificate
        )
    }
}
