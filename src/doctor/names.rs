//! What the DNS says about the names: their addresses, and the authorities that their CAA records admit.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::authority::Told;
use super::{CAREFUL, Check, Doctor, Finding, REST, gather};
use crate::config::{Order, Solver};
use crate::model::{ChallengeKind, DnsName, Identifier};
use crate::probe::dns::{Asking, CaaSet, Error, Resolver};
use crate::probe::{Target, is_of_this_machine};
use crate::renew::Obstacle;

/// A name that is ordered, with what proves it.
pub(super) struct Ordered {
    pub(super) name: Identifier,
    pub(super) order: Order,
    /// The first solver that fits; `None` where none does.
    pub(super) solver: Option<Solver>,
    addresses: Option<Result<Vec<IpAddr>, Error>>,
    caa: Option<Result<Option<CaaSet>, Error>>,
}

/// What was looked up.
pub(super) struct Lookups {
    pub(super) names: Vec<Ordered>,
    resolver: Resolver,
    /// Names beyond those that were looked up.
    more: usize,
}

/// Looks up the names of all certificates that are ordered, or a beginning of them.
pub(super) async fn look(doctor: &Doctor) -> Lookups {
    let mut wanted: BTreeMap<&Identifier, &Order> = BTreeMap::new();
    for (certificate, order) in doctor.ordered() {
        for name in &certificate.domains {
            wanted.entry(name).or_insert(order);
        }
    }
    let more = wanted.len().saturating_sub(CAREFUL);
    let resolver = Resolver::new(&doctor.config.resolver);
    let names = join_all(wanted.into_iter().take(CAREFUL).map(|(name, order)| {
        let resolver = &resolver;
        async move {
            let solver = order.solvers.iter().find(|solver| solver.fits(name)).cloned();
            let at = DnsName::of(name);
            let connects = solver
                .as_ref()
                .is_some_and(|solver| matches!(solver.kind(), ChallengeKind::Http01 | ChallengeKind::TlsAlpn01));
            let addresses = async {
                let at = at.as_ref().filter(|_| connects)?;
                timeout(REST, resolver.addresses(at)).await.ok()
            };
            let caa = async { timeout(REST, resolver.caa(at.as_ref()?)).await.ok() };
            let (addresses, caa) = tokio::join!(addresses, caa);
            Ordered { name: name.clone(), order: order.clone(), solver, addresses, caa }
        }
    }))
    .await;
    Lookups { names, resolver, more }
}

impl Lookups {
    /// Where an authority asks for a challenge of a name: where the configured servers say that it is.
    pub(super) fn where_to_ask(&self, of: &Ordered) -> Target {
        match &of.addresses {
            Some(Ok(addresses)) if self.resolver.is_configured() && !addresses.is_empty() => {
                Target::At(addresses.clone())
            }
            _ => Target::Resolved,
        }
    }

    /// How many names were left out, in words.
    pub(super) fn rest(&self) -> String {
        if self.more > 0 { format!(" ({} more names were not tried)", self.more) } else { String::new() }
    }

    /// What the DNS says about the addresses.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let check = Check::Dns;
        let (mut findings, mut good) = (Vec::new(), Vec::new());
        for of in &self.names {
            let name = of.name.human();
            let is_certain =
                self.resolver.is_configured() || of.solver.as_ref().is_some_and(|solver| solver.probe.is_none());
            match &of.addresses {
                Some(Ok(addresses)) if !addresses.is_empty() => {
                    let listed: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                    let own = addresses.iter().any(|address| is_of_this_machine(*address));
                    let behind =
                        if own { "" } else { ", none of this machine (behind NAT or a load balancer that is right)" };
                    good.push((name, format!("{}{behind}", listed.join(", "))));
                }
                Some(Err(error)) if error.is_unheard() => {
                    let cure = error.hint();
                    findings.push(Finding::error(check, "resolver", error, "no name can be looked up from here", cure));
                    // The others fare alike.
                    break;
                }
                Some(Ok(_) | Err(Error::NoSuchName { .. })) => {
                    let exists = matches!(&of.addresses, Some(Ok(_)));
                    let what = if exists { "it has neither an A nor an AAAA record" } else { "there is no such name" };
                    let message = "the authority would find nobody to ask";
                    let cause = if is_certain {
                        what.to_owned()
                    } else {
                        format!("{what}, as far as the resolver of this machine sees")
                    };
                    let cure = format!(
                        "add an A or AAAA record for {name} that leads to this HAProxy, or prove the name by dns-01"
                    );
                    findings.push(if is_certain {
                        Finding::broken(check, &name, message, cause, cure)
                    } else {
                        Finding::look(check, &name, message, cause, cure)
                    });
                }
                Some(Err(error)) => {
                    findings.push(Finding::error(check, &name, error, "authorities are told the same", error.hint()));
                }
                None => {}
            }
        }
        gather(check, "name", &good, findings)
    }
}

/// Whether CAA records admit the authorities from which each name is ordered.
pub(super) fn caa(lookups: &Lookups, authorities: &Told) -> Vec<Finding> {
    let check = Check::Caa;
    let (mut findings, mut good) = (Vec::new(), Vec::new());
    for of in &lookups.names {
        let name = of.name.human();
        let Some(looked) = &of.caa else { continue };
        let set = match looked {
            Ok(Some(set)) => set,
            Ok(None) => {
                good.push((name, "no CAA records, so every authority may issue".to_owned()));
                continue;
            }
            Err(error) if error.is_unheard() => break,
            Err(error) => {
                let cause = "an authority that is told the same does not issue";
                findings.push(Finding::error(check, &name, error, cause, error.hint()));
                continue;
            }
        };
        let Some(kind) = of.solver.as_ref().map(Solver::kind) else { continue };
        let mut admitted = Vec::new();
        for issuer in &of.order.issuers {
            let Some(authority) = authorities.get(&issuer.name) else { continue };
            let (identities, account) = (authority.identities.as_slice(), authority.account.as_deref());
            if identities.is_empty() {
                continue;
            }
            let Some(forbidden) =
                set.forbids(&Asking { identities, account, kind, is_wildcard: of.name.is_wildcard() })
            else {
                admitted.push(issuer.name.as_str());
                continue;
            };
            let cure = match &forbidden.cure {
                Some(cure) => format!("add this record to the zone, or use another issuer:\n{}. IN {cure}", set.at),
                None => format!("remove what is critical at {}, or ask whoever set it", set.at),
            };
            let reason = forbidden.reason;
            let obstacle = Obstacle::Forbidden {
                name: of.name.clone(),
                issuer: issuer.name.clone(),
                at: set.at.clone(),
                records: forbidden.records.into_iter().cloned().collect(),
                reason,
                cure: None,
            };
            findings.push(Finding::broken(check, &name, obstacle.to_string(), reason, cure));
        }
        if !admitted.is_empty() {
            good.push((name, format!("the records at {} admit {}", set.at, admitted.join(", "))));
        }
    }
    gather(check, "name", &good, findings)
}
