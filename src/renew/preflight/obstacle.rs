//! What the DNS can say that keeps an authority from issuing.

use crate::model::{DnsName, Identifier, sanitised};
use crate::probe::dns::{self, Caa};

/// How many records of a kind a message shows.
const SHOWN: usize = 8;

/// Something in the DNS is in the way of a challenge, or of the authority.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// CAA records do not admit the authority.
    #[error("the CAA records at {at} forbid {issuer} to issue for {}: {}", .name.human(), listed(.records))]
    Forbidden {
        /// The name.
        name: Identifier,
        /// The issuer in the configuration.
        issuer: String,
        /// Where the records are.
        at: DnsName,
        /// The records at fault.
        records: Vec<Caa>,
        /// What they do, in words.
        reason: &'static str,
        /// A record that would allow it.
        cure: Option<Caa>,
    },
    /// Nobody can be asked for the challenge.
    #[error("{} has no address: the DNS has neither an A nor an AAAA record of it", .name.human())]
    NoAddress {
        /// The name.
        name: Identifier,
        /// Whether there are other records of it.
        exists: bool,
    },
    /// The record that proves a name for good is not there.
    #[error("no record proves {} to {issuer}: at {at} the DNS has {}", .name.human(), texts(.found))]
    NotPersistent {
        /// The name.
        name: Identifier,
        /// The issuer in the configuration.
        issuer: String,
        /// Where it has to be.
        at: String,
        /// The record to set, as one types it into a zone.
        line: String,
        /// What is there instead.
        found: Vec<String>,
    },
    /// The record that proves a name for good cannot be looked up.
    #[error("whether a record proves {} cannot be looked up", .name.human())]
    Unknown {
        /// The name.
        name: Identifier,
        /// Why.
        source: Box<dns::Error>,
    },
}

impl Obstacle {
    /// Whether it is in the way of one authority, and not of any.
    pub(in super::super) fn is_of_issuer(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::NotPersistent { .. })
    }

    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Forbidden { reason, at, cure: Some(cure), .. } => {
                format!(
                    "{reason}; no order was spent. Add this record to the zone, or use another issuer:\n\n{at}. IN {cure}"
                )
            }
            Self::Forbidden { reason, at, .. } => {
                format!("{reason}; no order was spent. Remove what is critical at {at}, or ask whoever set it")
            }
            Self::NoAddress { name, exists } => {
                let name = name.human();
                let what = if *exists { "an A or AAAA record" } else { "the name, with an A or AAAA record" };
                format!("no order was spent. Add {what} to the zone of {name}, or prove it by dns-01")
            }
            Self::NotPersistent { line, .. } => {
                format!("no order was spent. Set this record once; it proves the name from then on:\n\n{line}")
            }
            Self::Unknown { source, .. } => source.hint(),
        }
    }
}

fn listed(records: &[Caa]) -> String {
    let shown: Vec<_> = records.iter().take(SHOWN).map(|record| sanitised(&record.to_string())).collect();
    shown.join(", ")
}

fn texts(found: &[String]) -> String {
    if found.is_empty() {
        return "no TXT record".to_owned();
    }
    let shown: Vec<_> = found.iter().take(SHOWN).map(|text| format!("{:?}", sanitised(text))).collect();
    shown.join(", ")
}
