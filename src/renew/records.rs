//! Records that prove names (RFC 8555, section 8.4): where they have to be, added, awaited, and taken away.
//!
//! A record is stored before it is added, and forgotten after it was removed, so that whatever ends an attempt, the next one
//! finds what it left.

use std::time::Duration;

use futures_util::future::join_all;

use super::{Error, GRACE, Renewer};
use crate::config::Dns;
use crate::model::{CertName, DnsName, Identifier, Record, RecordValue, Token, chain};
use crate::solver::dns::{self, Keeper};
use crate::store::{self, Place, Store};

/// A record that was added, and that nobody has seen yet.
pub(super) struct Awaited {
    name: Identifier,
    record: Record,
    deadline: Duration,
}

/// Where the record of a name has to be.
struct Spot {
    name: DnsName,
    /// Its zone, where the provider has to be told.
    zone: Option<DnsName>,
}

impl Renewer<'_> {
    /// Checks what can be known before an order is spent: where the record has to be, and that its provider knows us.
    pub async fn check_dns01(&self, name: &Identifier, dns: &Dns) -> Result<(), Error> {
        let spot = self.spot(name, dns).await?;
        if Record::place(name).is_some_and(|place| place != spot.name) {
            tracing::info!(%name, record = %spot.name, "the challenge is delegated");
        }
        let keeper = Keeper { provider: &dns.provider, zone: spot.zone.as_ref() };
        keeper.check(&spot.name).await.map_err(|source| unplaced(name, &spot.name, source))
    }

    /// Adds the record of a name.
    pub(super) async fn add_record(
        &self,
        certificate: &CertName,
        name: &Identifier,
        dns: &Dns,
        token: &Token,
        key_authorization: &str,
    ) -> Result<Awaited, Error> {
        let Spot { name: place, zone } = self.spot(name, dns).await?;
        let record = Record { name: place, value: RecordValue::of(key_authorization) };
        tracing::info!(%name, record = %record.name, provider = dns.provider.name(), "adding a record");
        self.store.put_token(&store::Token {
            token: token.to_string(),
            key_authorization: key_authorization.to_owned(),
            place: Place::Dns { provider: dns.provider.clone(), zone: zone.clone(), record: record.clone() },
            certificate: certificate.clone(),
            wanted: true,
            placed: false,
            hindrance: None,
        })?;
        let scratch = self.store.scratch(token)?;
        let keeper = Keeper { provider: &dns.provider, zone: zone.as_ref() };
        let added = keeper.add(&record, scratch.path()).await;
        // It goes before the note does, by which it is found after a crash.
        drop(scratch);
        if let Err(source) = added {
            if source.is_without_effect() {
                self.store.remove_token(token.as_str())?;
            }
            return Err(unplaced(name, &record.name, source));
        }
        Ok(Awaited { name: name.clone(), record, deadline: dns.propagation.unsigned_abs() })
    }

    /// Waits until every server of its zone has a record.
    pub(super) async fn await_record(&self, awaited: &Awaited) -> Result<(), Error> {
        let Awaited { name, record, deadline } = awaited;
        self.resolver
            .propagated(&record.name, record.value.as_str(), *deadline)
            .await
            .map_err(|source| Error::Dns { name: name.clone(), source: Box::new(source) })
    }

    /// Takes away the records of orders that were just given up, for as long as somebody who stops can wait. What is left then is
    /// taken away by the next round.
    pub async fn tidy(&self) {
        let clearing = async {
            let mut left: Vec<_> = self.store.tokens()?.into_iter().filter(is_record).collect();
            left.dedup_by(|one, other| one.certificate == other.certificate);
            for stored in left {
                // Another process may be at work on it.
                if let Some(_lock) = self.store.try_lock_certificate(&stored.certificate)? {
                    clear(self.store, &stored.certificate).await?;
                }
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(GRACE, clearing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "records may have been left behind"),
            Err(_) => tracing::warn!("records were left behind; the next round takes them away"),
        }
    }

    /// Follows the aliases by which a name delegates its challenges.
    async fn spot(&self, name: &Identifier, dns: &Dns) -> Result<Spot, Error> {
        let unprovable = || Error::Unprovable {
            name: name.clone(),
            reason: format!(
                "{} leaves no room for _acme-challenge before it, so only http-01 or tls-alpn-01 can prove it",
                name.human()
            ),
        };
        let place = Record::place(name).ok_or_else(unprovable)?;
        let failed = |source| Error::Dns { name: name.clone(), source: Box::new(source) };
        let target = match self.resolver.target_of(&place).await {
            Ok(target) => target,
            Err(error) if error.is_unheard() => {
                tracing::warn!(%name, error = %chain(&error), "it is not known whether _acme-challenge of the name is an alias; the record is added there");
                place
            }
            Err(error) => return Err(failed(error)),
        };
        let zone = match &dns.zone {
            Some(zone) => Some(zone.clone()),
            None if dns.provider.needs_zone() => Some(self.resolver.zone_of(&target).await.map_err(failed)?.name),
            None => None,
        };
        Ok(Spot { name: target, zone })
    }
}

/// Takes away the records that are stored for a certificate. One that cannot be taken away stays stored, with a warning.
pub(super) async fn clear(store: &Store, certificate: &CertName) -> Result<(), Error> {
    let tokens = store.tokens()?;
    let stored = tokens.iter().filter(|stored| stored.certificate == *certificate && is_record(stored));
    join_all(stored.map(|stored| remove(store, stored))).await.into_iter().collect()
}

async fn remove(store: &Store, stored: &store::Token) -> Result<(), Error> {
    let (Place::Dns { provider, zone, record }, Ok(token)) = (&stored.place, stored.token.parse()) else {
        return Ok(());
    };
    let scratch = store.scratch(&token)?;
    let removed = Keeper { provider, zone: zone.as_ref() }.remove(record, scratch.path()).await;
    drop(scratch);
    match removed {
        Ok(()) => Ok(store.remove_token(token.as_str())?),
        Err(error) => {
            tracing::warn!(
                certificate = %stored.certificate,
                record = %record.name,
                value = %record.value,
                hint = error.hint(),
                "a record could not be removed, and may still be there; the next round tries again: {}",
                chain(&error)
            );
            Ok(())
        }
    }
}

fn is_record(stored: &store::Token) -> bool {
    matches!(stored.place, Place::Dns { .. })
}

fn unplaced(name: &Identifier, record: &DnsName, source: dns::Error) -> Error {
    Error::Record { name: name.clone(), record: record.clone(), source: Box::new(source) }
}
