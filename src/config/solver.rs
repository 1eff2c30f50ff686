//! Ways to answer challenges.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::DEFAULT_LISTEN;
use crate::model::{Authority, ChallengeKind, DnsName, DnsProvider, Identifier};

/// A way to answer challenges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solver {
    /// Its name in the configuration.
    pub name: String,
    /// Which challenges it answers, and how.
    pub method: Method,
    /// The names that it is for; empty for all. `*.example.org` stands for everything below `example.org`.
    #[serde(default)]
    pub names: Vec<Identifier>,
    /// Where the pre-flight asks, instead of the addresses that the DNS names.
    pub probe: Option<Authority>,
}

/// Which challenges are answered, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A file on port 80 (RFC 8555, section 8.3).
    Http01(Via),
    /// A record in the DNS (RFC 8555, section 8.4).
    Dns01(Dns),
    /// A record that a person has set (draft-ietf-acme-dns-persist).
    DnsPersist01,
    /// A handshake on port 443 (RFC 8737), answered by hotcert itself, to which `HAProxy` passes it on.
    TlsAlpn01 {
        /// Where it listens.
        listen: SocketAddr,
    },
}

/// Who answers http-01 challenges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// hotcert itself, behind a rule of `HAProxy`.
    Listener {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// `HAProxy`, from the account's thumbprint in its configuration.
    Stateless,
    /// `HAProxy`, from a map that is filled through the runtime API.
    HaproxyMap {
        /// The map, as `HAProxy`'s configuration names it.
        map: String,
    },
    /// A web server that serves a directory.
    Webroot {
        /// Its document root.
        path: PathBuf,
    },
}

/// How dns-01 challenges are answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Who keeps the records.
    pub provider: DnsProvider,
    /// The zone in which they are, where it is not to be looked up.
    pub zone: Option<DnsName>,
    /// How long they may take to reach every server of their zone.
    pub propagation: SignedDuration,
}

impl Solver {
    /// What answers when nothing is configured: a listener behind `HAProxy`.
    #[must_use]
    pub fn default_listener() -> Self {
        let method = Method::Http01(Via::Listener { listen: DEFAULT_LISTEN });
        Self { name: "default".to_owned(), method, names: Vec::new(), probe: None }
    }

    /// The kind of challenge that it answers.
    #[must_use]
    pub fn kind(&self) -> ChallengeKind {
        match self.method {
            Method::Http01(_) => ChallengeKind::Http01,
            Method::TlsAlpn01 { .. } => ChallengeKind::TlsAlpn01,
            Method::Dns01(_) => ChallengeKind::Dns01,
            Method::DnsPersist01 => ChallengeKind::DnsPersist01,
        }
    }

    /// Whether it can prove a name, and is for it.
    #[must_use]
    pub fn fits(&self, name: &Identifier) -> bool {
        let is_for = |pattern: &Identifier| match (pattern, name) {
            (Identifier::Dns(pattern), Identifier::Dns(name)) => {
                pattern == name
                    || pattern.strip_prefix('*').is_some_and(|below| name.ends_with(below) && name.len() > below.len())
            }
            _ => pattern == name,
        };
        self.kind().can_prove(name) && (self.names.is_empty() || self.names.iter().any(is_for))
    }

    /// Why none of the solvers proves a name.
    #[must_use]
    pub fn unprovable(name: &Identifier, solvers: &[Solver]) -> String {
        let kinds: BTreeSet<_> = solvers.iter().map(Solver::kind).collect();
        let kinds: Vec<_> = kinds.into_iter().map(ChallengeKind::as_str).collect();
        match name {
            _ if solvers.iter().any(|solver| solver.kind().can_prove(name)) => {
                format!("{} is among the `names` of no solver", name.human())
            }
            Identifier::Dns(_) => {
                format!("{} is a wildcard, and {} cannot prove one", name.human(), kinds.join(" and "))
            }
            Identifier::Ip(_) => format!("{name} is an address, and {} cannot prove one", kinds.join(" and ")),
        }
    }
}

/// What answers where a certificate does not say it: those that are for certain names, then the one that is for all; `None` when there
/// are several of these.
pub(super) fn default_solvers(solvers: &BTreeMap<String, Solver>) -> Option<Vec<Solver>> {
    let (mut chosen, for_all): (Vec<_>, Vec<_>) =
        solvers.values().cloned().partition(|solver| !solver.names.is_empty());
    if for_all.len() > 1 {
        return None;
    }
    chosen.extend(for_all);
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solver_is_for_the_names_that_it_can_prove_and_is_told_of() {
        let fits = |patterns: &[&str], name: &str| {
            let names = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            Solver { names, ..Solver::default_listener() }.fits(&name.parse().unwrap())
        };
        assert!(fits(&[], "a.test") && fits(&[], "192.0.2.1") && !fits(&[], "*.a.test"));
        assert!(fits(&["a.test"], "a.test") && !fits(&["a.test"], "b.a.test"));
        assert!(fits(&["*.a.test"], "c.b.a.test") && !fits(&["*.a.test"], "a.test") && !fits(&["*.a.test"], "xa.test"));
        assert!(fits(&["b.test", "192.0.2.1"], "192.0.2.1") && !fits(&["*.a.test"], "192.0.2.1"));
    }
}
