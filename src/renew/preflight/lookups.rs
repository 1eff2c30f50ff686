//! Looking into the DNS before an order, as the authority will: once for each name, several at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures_util::StreamExt;
use futures_util::stream;

use super::super::Error;
use super::super::choice::Choice;
use super::{Applicant, Obstacle};
use crate::config::Solver;
use crate::model::{ChallengeKind, DnsName, Identifier, chain};
use crate::probe::dns::{self, Asking, CaaSet, Resolver};
use crate::probe::{self, Target};
use crate::solver::{persist_record, persists, txt_line};

/// Names that are looked up at the same time: enough for a hundred names within a second or two, and no burden for any server.
const AT_ONCE: usize = 8;
/// Challenges for which the authority connects to the name.
const CONNECTING: [ChallengeKind; 2] = [ChallengeKind::Http01, ChallengeKind::TlsAlpn01];

/// What the DNS says about the names of a certificate.
pub(super) struct Lookups<'a> {
    resolver: &'a Resolver,
    names: &'a [Identifier],
    /// Nothing about a name that could not be looked up because no server answers.
    told: BTreeMap<DnsName, Told>,
}

struct Told {
    caa: Result<Option<CaaSet>, dns::Error>,
    /// `None` where no solver needs them.
    addresses: Option<Result<Vec<IpAddr>, dns::Error>>,
}

impl<'a> Lookups<'a> {
    /// Looks up all names. Where no DNS server answers that is said once, and nothing is known.
    pub(super) async fn of(resolver: &'a Resolver, names: &'a [Identifier], choice: &Choice<'_>) -> Self {
        let mut wanted: BTreeMap<DnsName, bool> = BTreeMap::new();
        for name in names {
            if let Some(at) = DnsName::of(name) {
                *wanted.entry(at).or_default() |= choice.may_be(name, &CONNECTING);
            }
        }
        let mut told = BTreeMap::new();
        let mut wanted = wanted.into_iter();
        if let Some((first, with_addresses)) = wanted.next() {
            let found = Told::of(resolver, &first, with_addresses).await;
            if let Some(error) = found.unheard() {
                tracing::warn!(error = %chain(&error), "the DNS cannot be asked; the authority may see more than we do, so the order goes on");
                return Self { resolver, names, told };
            }
            told.insert(first, found);
        }
        let looks = wanted.map(|(name, with_addresses)| async move {
            let found = Told::of(resolver, &name, with_addresses).await;
            (name, found)
        });
        told.extend(stream::iter(looks).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await);
        Self { resolver, names, told }
    }

    /// Whether the DNS lets a solver prove a name to the authority.
    pub(super) async fn check(
        &self,
        name: &Identifier,
        solver: &Solver,
        applicant: &Applicant<'_>,
    ) -> Result<(), Error> {
        let Some(told) = self.told(name) else { return Ok(()) };
        let kind = solver.kind();
        let outcome = async {
            told.check_caa(name, kind, applicant)?;
            match kind {
                ChallengeKind::Http01 | ChallengeKind::TlsAlpn01 => {
                    // Where the solver says whom to ask, this may be no resolver of the names that the world sees.
                    let is_certain = solver.probe.is_none() || self.resolver.is_configured();
                    told.check_addresses(name, is_certain)
                }
                // Its road begins where the record has to be, which is looked up there.
                ChallengeKind::Dns01 => Ok(()),
                ChallengeKind::DnsPersist01 => self.check_record(name, applicant).await,
            }
        };
        outcome.await.map_err(Error::Obstacle)
    }

    /// Where an authority asks for a challenge: where the configured servers say that the name is.
    pub(super) fn where_to_ask(&self, name: &Identifier) -> Target {
        match self.addresses(name) {
            Some(addresses) if self.resolver.is_configured() && !addresses.is_empty() => Target::At(addresses.to_vec()),
            _ => Target::Resolved,
        }
    }

    /// Says that none of a name's addresses is of this machine, where that is so.
    pub(super) fn tell_of_elsewhere(&self, name: &Identifier) {
        if let Some(addresses) = self.addresses(name)
            && !addresses.is_empty()
            && !addresses.iter().any(|address| probe::is_of_this_machine(*address))
        {
            tracing::warn!(%name, ?addresses, "the name leads to no address of this machine; behind NAT or a load balancer that is right");
        }
    }

    fn addresses(&self, name: &Identifier) -> Option<&[IpAddr]> {
        self.told(name)?.addresses.as_ref()?.as_deref().ok()
    }

    fn told(&self, name: &Identifier) -> Option<&Told> {
        self.told.get(&DnsName::of(name)?)
    }

    /// Looks for the record that proves a name for good.
    async fn check_record(&self, name: &Identifier, applicant: &Applicant<'_>) -> Result<(), Box<Obstacle>> {
        let (Some(account), Some(authority)) = (applicant.account, applicant.identities.first()) else {
            tracing::warn!(%name, "the authority does not tell by which domain a record names it, so there is nothing to look for");
            return Ok(());
        };
        // One record is enough for a name and everything below it.
        let widest = self.names.iter().find(|other| other.is_wildcard() && DnsName::of(other) == DnsName::of(name));
        let (at, text) = persist_record(widest.unwrap_or(name), authority, account);
        let Ok(record) = at.parse() else { return Ok(()) };
        let found = match self.resolver.txt(&record).await {
            Ok((_, texts)) => texts,
            Err(error) if error.is_unheard() => {
                tracing::warn!(%name, error = %chain(&error), "the record that proves the name could not be looked up");
                return Ok(());
            }
            Err(source) => {
                return Err(Box::new(Obstacle::Unknown { name: name.clone(), source: Box::new(source) }));
            }
        };
        if found.iter().any(|text| persists(text, name, applicant.identities, account, applicant.now)) {
            return Ok(());
        }
        let (line, issuer) = (txt_line(&at, &text), applicant.issuer.to_owned());
        Err(Box::new(Obstacle::NotPersistent { name: name.clone(), issuer, at, line, found }))
    }
}

impl Told {
    async fn of(resolver: &Resolver, name: &DnsName, with_addresses: bool) -> Self {
        let addresses = async { if with_addresses { Some(resolver.addresses(name).await) } else { None } };
        let (caa, addresses) = tokio::join!(resolver.caa(name), addresses);
        Self { caa, addresses }
    }

    fn unheard(&self) -> Option<&dns::Error> {
        self.caa.as_ref().err().filter(|error| error.is_unheard())
    }

    fn check_caa(
        &self,
        name: &Identifier,
        kind: ChallengeKind,
        applicant: &Applicant<'_>,
    ) -> Result<(), Box<Obstacle>> {
        let set = match &self.caa {
            Ok(Some(set)) => set,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::warn!(%name, error = %chain(&error), "the CAA records of the name cannot be looked up; an authority that fares the same does not issue");
                return Ok(());
            }
        };
        if applicant.identities.is_empty() {
            tracing::warn!(%name, at = %set.at, "there are CAA records, and the authority does not tell how they name it");
            return Ok(());
        }
        let Applicant { identities, account, .. } = *applicant;
        match set.forbids(&Asking { identities, account, kind, is_wildcard: name.is_wildcard() }) {
            None => Ok(()),
            Some(forbidden) => Err(Box::new(Obstacle::Forbidden {
                name: name.clone(),
                issuer: applicant.issuer.to_owned(),
                at: set.at.clone(),
                records: forbidden.records.into_iter().cloned().collect(),
                reason: forbidden.reason,
                cure: forbidden.cure,
            })),
        }
    }

    fn check_addresses(&self, name: &Identifier, is_certain: bool) -> Result<(), Box<Obstacle>> {
        let exists = match &self.addresses {
            Some(Ok(addresses)) if addresses.is_empty() => true,
            Some(Err(dns::Error::NoSuchName { .. })) => false,
            Some(Err(error)) => {
                tracing::warn!(%name, error = %chain(&error), "the addresses of the name could not be looked up");
                return Ok(());
            }
            _ => return Ok(()),
        };
        let obstacle = Obstacle::NoAddress { name: name.clone(), exists };
        if is_certain {
            return Err(Box::new(obstacle));
        }
        tracing::warn!(%name, error = %chain(&obstacle), "the authority may be told otherwise");
        Ok(())
    }
}
