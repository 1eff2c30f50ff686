//! What `HAProxy` holds of files for clients, as far as it shows it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::bundle::{ClientPem, Crl, Served};
use crate::haproxy::listing::date;
use crate::model::{Serial, Sha1};

/// What `HAProxy` holds under the name of such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldFile {
    /// The fingerprints of authorities.
    Ca(BTreeSet<Sha1>),
    /// Revocation lists.
    Crl(Vec<HeldCrl>),
}

/// A revocation list, as far as `HAProxy` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCrl {
    /// Who made it, OpenSSL style.
    pub issuer: String,
    /// When it was made.
    pub this_update: Option<Timestamp>,
    /// When there should be a later one.
    pub next_update: Option<Timestamp>,
    /// What is revoked.
    pub revoked: BTreeSet<Serial>,
    /// Whether there is more than was shown: a description ends where a buffer does, after some hundred serials.
    pub cut: bool,
}

impl HeldFile {
    /// Whether it is what a file has, as far as it was shown.
    #[must_use]
    pub fn is(&self, pem: &ClientPem) -> bool {
        match (self, pem) {
            (Self::Ca(held), ClientPem::Ca(wanted)) => {
                held.len() == wanted.len() && wanted.iter().all(|one| held.contains(&one.sha1))
            }
            (Self::Crl(held), ClientPem::Crl(wanted)) => {
                let mut rest: Vec<&Crl> = wanted.iter().collect();
                held.iter().all(|list| {
                    let found = rest.iter().position(|wanted| list.is(wanted));
                    found.is_some_and(|at| {
                        rest.swap_remove(at);
                        true
                    })
                }) && rest.is_empty()
            }
            _ => false,
        }
    }

    /// The revocation lists, to measure others against.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        let Self::Crl(lists) = self else { return Vec::new() };
        lists.iter().map(|list| Served { issuer: list.issuer.clone(), this_update: list.this_update }).collect()
    }

    /// Short texts by which the parts are recognised later on.
    #[must_use]
    pub fn marks(&self) -> BTreeSet<String> {
        match self {
            Self::Ca(held) => held.iter().map(ToString::to_string).collect(),
            Self::Crl(lists) => lists.iter().map(|list| mark(list.this_update, list.next_update)).collect(),
        }
    }

    /// The same of a file.
    #[must_use]
    pub fn marks_of(pem: &ClientPem) -> BTreeSet<String> {
        match pem {
            ClientPem::Ca(all) => all.iter().map(|one| one.sha1.to_string()).collect(),
            ClientPem::Crl(all) => all.iter().map(|one| mark(Some(one.this_update), Some(one.next_update))).collect(),
        }
    }
}

fn mark(this: Option<Timestamp>, next: Option<Timestamp>) -> String {
    format!("{}/{}", this.unwrap_or_default(), next.unwrap_or_default())
}

impl HeldCrl {
    fn is(&self, wanted: &Crl) -> bool {
        let serials: BTreeSet<_> = wanted.revoked.iter().collect();
        self.this_update == Some(wanted.this_update)
            && self.next_update == Some(wanted.next_update)
            && wanted.issuer.is_shown_as(&self.issuer) != Some(false)
            && self.revoked.iter().all(|serial| serials.contains(serial))
            && (self.cut || self.revoked.len() == serials.len())
    }

    /// Reads the description of one list; `None` where there is none.
    pub(super) fn parse(reply: &str, bufsize: usize) -> Option<Self> {
        /// More than any line about a revoked certificate has.
        const LONGEST_LINE: usize = 256;
        let field = |name: &str| {
            reply
                .lines()
                .find_map(|line| line.trim().split_once(": ").filter(|(key, _)| *key == name).map(|(_, value)| value))
        };
        let serials = reply.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: ")?.parse().ok());
        Some(Self {
            issuer: field("Issuer")?.to_owned(),
            this_update: field("Last Update").and_then(date),
            next_update: field("Next Update").and_then(date),
            revoked: serials.collect(),
            cut: reply.len() + LONGEST_LINE > bufsize,
        })
    }
}
