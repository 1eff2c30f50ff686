//! What the DNS can have against a look.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::CHAIN;
use crate::model::DnsName;
use crate::schedule::Retry;

/// The DNS was asked, and this is not what it should say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such name.
    #[error("{name} does not exist in the DNS")]
    NoSuchName {
        /// The name.
        name: DnsName,
    },
    /// A server failed, or refuses to tell.
    #[error("the DNS answers {code} to a question for {kind} records of {name}")]
    Failed {
        /// The name.
        name: DnsName,
        /// The type of the records.
        kind: RecordType,
        /// Its code, such as `SERVFAIL`.
        code: String,
    },
    /// No server answered.
    #[error("no DNS server answers a question for {kind} records of {name} ({servers} asked)")]
    Unheard {
        /// The name.
        name: DnsName,
        /// The type of the records.
        kind: RecordType,
        /// Who was asked.
        servers: String,
        /// What went wrong, where it was not silence.
        #[source]
        source: Option<std::io::Error>,
    },
    /// What came back is no DNS message, or none that answers the question.
    #[error("the DNS server {server} answers a question for {kind} records of {name} by what is no answer")]
    Malformed {
        /// The name.
        name: DnsName,
        /// The type of the records.
        kind: RecordType,
        /// Who answered.
        server: SocketAddr,
    },
    /// The server does not know the zone of the name.
    #[error("the DNS server {server} is named as a server of {name}, and is none")]
    Lame {
        /// The name.
        name: DnsName,
        /// Who answered.
        server: SocketAddr,
    },
    /// Aliases lead nowhere.
    #[error("the alias (CNAME) {name} leads in a circle, or over more than {CHAIN} other aliases")]
    Endless {
        /// Where the chain begins.
        name: DnsName,
    },
    /// An alias leads to what is no name.
    #[error("the alias (CNAME) {name} leads to {target}, which is no host name")]
    OddTarget {
        /// The alias.
        name: DnsName,
        /// Where it leads.
        target: String,
    },
    /// The DNS does not tell in which zone a name is.
    #[error("the DNS does not tell in which zone {name} is")]
    NoZone {
        /// The name.
        name: DnsName,
    },
    /// A record did not reach every server in time.
    #[error("the TXT record {name} is not on every server within {} s: {}", .waited.as_secs(), .lacking.join(", "))]
    NotPropagated {
        /// The name of the record.
        name: DnsName,
        /// The servers that lack it, each with its address and what it does.
        lacking: Vec<String>,
        /// How long was waited.
        waited: Duration,
    },
}

impl Error {
    /// Whether it makes sense to look again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        Retry::Backoff
    }

    /// Whether nobody could be asked, so that an authority may well see more.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        matches!(self, Self::Unheard { .. })
    }

    /// What to do about it, for people.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoSuchName { name } => format!("add a record for {name} where its zone is kept"),
            Self::Failed { code, .. } if code == "SERVFAIL" => {
                "one of the servers of the zone fails, or its signatures (DNSSEC) are broken: ask whoever keeps the zone"
                    .to_owned()
            }
            Self::Failed { .. } | Self::Unheard { .. } | Self::Malformed { .. } => {
                "name a DNS server that answers by `resolver = \"ADDRESS\"`, or correct /etc/resolv.conf".to_owned()
            }
            Self::Lame { .. } => "correct the NS records of the zone, or the server".to_owned(),
            Self::Endless { name } | Self::OddTarget { name, .. } => format!("correct the CNAME record {name}"),
            Self::NoZone { .. } => {
                "look whether the name is registered and its zone set up, or set `zone` in the solver".to_owned()
            }
            Self::NotPropagated { .. } => {
                "look whether whoever keeps the zone has added it, and these servers take over changes (notify, zone transfer); \
                 slow servers get more time by `propagation` of the solver"
                    .to_owned()
            }
        }
    }

    pub(super) fn failed(name: &DnsName, kind: RecordType, code: ResponseCode) -> Self {
        let code = match code {
            ResponseCode::FormErr => "FORMERR".to_owned(),
            ResponseCode::ServFail => "SERVFAIL".to_owned(),
            ResponseCode::NotImp => "NOTIMP".to_owned(),
            ResponseCode::Refused => "REFUSED".to_owned(),
            other => format!("code {}", u16::from(other)),
        };
        Self::Failed { name: name.clone(), kind, code }
    }
}
