//! The checks that a bundle passes before anything else sees it.

use jiff::Timestamp;
use std::collections::BTreeSet;

use super::assemble::{Assembled, assemble};
use super::refusal::{Check, Notice, Refusal};
use super::{Bundle, Facts, Trust};
use crate::model::{CertName, Identifier, KeyKind, Sha1};

/// What a certificate is measured against.
pub struct Gate<'a> {
    /// The certificate, for messages.
    pub name: &'a CertName,
    /// The kind that its key must be of; `None` for any. `HAProxy` takes either in either place.
    pub kind: Option<KeyKind>,
    /// The present instant.
    pub now: Timestamp,
    /// Roots that may have issued a leaf without intermediates.
    pub trust: &'a Trust,
    /// The names that it must cover because they are configured.
    pub required: &'a BTreeSet<Identifier>,
    /// What it would replace, in the store and on each node.
    pub rivals: &'a [Rival],
    /// Whether age, names and validity are passed over.
    pub force: bool,
}

/// A certificate that a new one would replace.
#[derive(Debug, Clone)]
pub struct Rival {
    /// Where it is, for messages, such as `node edge`.
    pub place: String,
    /// Its SHA-1 fingerprint.
    pub sha1: Sha1,
    /// Start of its validity; `None` when its age does not count: a self-signed placeholder is older than anything real.
    pub not_before: Option<Timestamp>,
    /// What it covers.
    pub names: BTreeSet<Identifier>,
}

/// A bundle that passed, and what was repaired on the way.
#[derive(Debug)]
pub struct Admitted {
    /// The bundle.
    pub bundle: Bundle,
    /// What was repaired, for the operator to read.
    pub notices: Vec<Notice>,
}

impl Gate<'_> {
    /// Passes the contents of one or more files (a certificate and its key, say) through every check.
    pub fn admit(&self, inputs: &[&[u8]]) -> Result<Admitted, Refusal> {
        self.checked(inputs).map_err(|check| Refusal { name: self.name.clone(), check })
    }

    fn checked(&self, inputs: &[&[u8]]) -> Result<Admitted, Check> {
        let Assembled { bundle, notices, complete } = assemble(inputs, self.trust)?;
        if !complete {
            return Err(Check::Chainless { issuer: bundle.facts.issuer });
        }
        if let Some(expected) = self.kind.filter(|kind| bundle.facts.kind() != Some(*kind)) {
            let found = bundle.facts.key_type.map_or_else(|| "another".to_owned(), |key| key.to_string());
            return Err(Check::WrongKind { expected, found });
        }
        if !self.force {
            self.judge(&bundle.facts)?;
        }
        Ok(Admitted { bundle, notices })
    }

    /// The checks that `force` passes over.
    fn judge(&self, facts: &Facts) -> Result<(), Check> {
        if facts.not_before > self.now {
            return Err(Check::NotYetValid { not_before: facts.not_before, now: self.now });
        }
        if facts.not_after <= self.now {
            return Err(Check::Expired { not_after: facts.not_after, now: self.now });
        }
        names_kept(&facts.names, self.required, "the configuration")?;
        for rival in self.rivals.iter().filter(|rival| rival.sha1 != facts.sha1) {
            rival.keeps_names(&facts.names)?;
            if let Some(expected) = rival.not_before.filter(|start| *start > facts.not_before) {
                return Err(Check::Older { place: rival.place.clone(), expected, found: facts.not_before });
            }
        }
        Ok(())
    }
}

impl Rival {
    /// Checks that nothing it serves would be lost with a certificate for these names.
    pub fn keeps_names(&self, names: &BTreeSet<Identifier>) -> Result<(), Check> {
        names_kept(names, &self.names, &self.place)
    }
}

fn names_kept(names: &BTreeSet<Identifier>, needed: &BTreeSet<Identifier>, place: &str) -> Result<(), Check> {
    let list = |names: Vec<&Identifier>| names.iter().map(|name| name.human()).collect::<Vec<_>>().join(", ");
    let missing: Vec<_> = needed.iter().filter(|name| !names.iter().any(|own| own.covers(name))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Check::NameLost { missing: list(missing), place: place.to_owned(), found: list(names.iter().collect()) })
}
