//! Answering challenges, whichever way is configured, and taking every answer away again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{TryStreamExt, stream};

use super::listeners::Shared;
use super::records::{self, Awaited};
use super::{Error, Renewer};
use crate::config::{Dns, Method, Solver as Configured, Via};
use crate::model::{CertName, Identifier, Token, chain};
use crate::solver::{Listener, Responder, Solver, Webroot};
use crate::store::{self, Place, Store};

/// How long a token may take to reach every node: each has a deadline of some seconds of its own.
const PLACED_DEADLINE: Duration = Duration::from_secs(15);

/// Records that are looked for at the same time, each at every server of its zone.
const AWAITED_AT_ONCE: usize = 8;

/// What answers for one order. Dropped, it takes every answer away but records of the DNS, however the order ends: also when it is
/// given up in the middle. Records take time, and are taken away by [`Answers::close`], or by [`Renewer::tidy`].
pub(super) struct Answers<'a> {
    renewer: &'a Renewer<'a>,
    certificate: &'a CertName,
    /// What is in use, by the name of the solver.
    ways: BTreeMap<String, Way>,
    presented: Vec<(String, Token)>,
    /// Records that were added, and that nobody has seen yet.
    awaited: Vec<Awaited>,
}

/// How a solver answers.
enum Way {
    /// By this process, or from a directory.
    Here {
        solver: Solver,
        /// Keeps the listener, which others may use as well.
        _listener: Option<Arc<Shared<Listener>>>,
        /// Where answers would be found after a crash: then they are stored before they are placed.
        place: Option<Place>,
    },
    /// By this process, in a handshake.
    Handshake(Arc<Shared<Responder>>),
    /// By a record that is added.
    Dns(Dns),
    /// By a record that is there already.
    Set,
    /// By `HAProxy`, from a map: the store says what has to be in it.
    Map(String),
}

impl<'a> Answers<'a> {
    /// Begins with nothing, after what a crash left is taken away.
    pub(super) async fn open(renewer: &'a Renewer<'a>, certificate: &'a CertName) -> Result<Self, Error> {
        clear_leftovers(renewer.store, certificate).await?;
        Ok(Self { renewer, certificate, ways: BTreeMap::new(), presented: Vec::new(), awaited: Vec::new() })
    }

    /// Makes an answer for a name available everywhere; a record is yet to be [awaited](Answers::settle).
    pub(super) async fn present(
        &mut self,
        solver: &Configured,
        name: &Identifier,
        token: &Token,
        key_authorization: &str,
    ) -> Result<(), Error> {
        if !self.ways.contains_key(&solver.name) {
            let way = Way::open(self.renewer, solver).await?;
            self.ways.insert(solver.name.clone(), way);
        }
        let way = &self.ways[&solver.name];
        self.presented.push((solver.name.clone(), token.clone()));
        let place = match way {
            Way::Here { place, .. } => place.clone(),
            Way::Handshake(_) | Way::Set => None,
            Way::Map(map) => Some(Place::Map(map.clone())),
            Way::Dns(dns) => {
                let added = self.renewer.add_record(self.certificate, name, dns, token, key_authorization).await?;
                self.awaited.push(added);
                return Ok(());
            }
        };
        if let Some(place) = place {
            self.renewer.store.put_token(&store::Token {
                token: token.to_string(),
                key_authorization: key_authorization.to_owned(),
                place,
                certificate: self.certificate.clone(),
                wanted: true,
                placed: false,
                hindrance: None,
            })?;
        }
        match way {
            Way::Here { solver, .. } => Ok(solver.present(token, key_authorization)?),
            Way::Handshake(responder) => Ok(responder.add(name, token, key_authorization).await?),
            Way::Map(_) => self.placed(token).await,
            Way::Dns(_) | Way::Set => Ok(()),
        }
    }

    /// Waits until what was made available is seen everywhere.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let waits = stream::iter(self.awaited.iter().map(Ok));
        waits.try_for_each_concurrent(AWAITED_AT_ONCE, |awaited| self.renewer.await_record(awaited)).await?;
        self.awaited.clear();
        Ok(())
    }

    /// Takes every answer away, records included. One that cannot be taken away is noted, and is tried again in later rounds.
    pub(super) async fn close(self) {
        if let Err(error) = records::clear(self.renewer.store, self.certificate).await {
            tracing::warn!(certificate = %self.certificate, error = %chain(&error), "a record was left behind");
        }
    }

    /// Takes an answer away.
    pub(super) fn withdraw(&self, solver: &str, token: &Token) -> Result<(), Error> {
        match self.ways.get(solver) {
            Some(Way::Here { solver, place, .. }) => {
                solver.withdraw(token)?;
                if place.is_some() {
                    self.renewer.store.remove_token(token.as_str())?;
                }
            }
            Some(Way::Handshake(responder)) => responder.remove(token),
            Some(Way::Map(_)) => self.renewer.store.retire_token(token.as_str())?,
            Some(Way::Dns(_) | Way::Set) | None => {}
        }
        Ok(())
    }

    /// Waits until every node has a token, or one will not take it.
    async fn placed(&self, token: &Token) -> Result<(), Error> {
        let store = self.renewer.store;
        let mut hindrance = None;
        let is_placed = store::until(PLACED_DEADLINE, || {
            let stored = store.tokens()?.into_iter().find(|stored| stored.token == token.as_str());
            let is_placed = stored.as_ref().is_some_and(|stored| stored.placed);
            hindrance = stored.and_then(|stored| stored.hindrance);
            let is_settled = is_placed || hindrance.as_ref().is_some_and(|hindrance| hindrance.lasts);
            Ok::<_, Error>(is_settled.then_some(is_placed))
        });
        match is_placed.await? {
            Some(true) => Ok(()),
            _ => Err(Error::TokenNotPlaced { token: token.clone(), hindrance }),
        }
    }
}

impl Way {
    async fn open(renewer: &Renewer<'_>, configured: &Configured) -> Result<Self, Error> {
        let here = |solver, listener, place| Self::Here { solver, _listener: listener, place };
        Ok(match &configured.method {
            Method::Http01(Via::Listener { listen }) => {
                let shared = renewer.listeners.at(*listen, renewer.store, Listener::bind).await?;
                here(Solver::Listener(Arc::clone(&shared)), Some(shared), None)
            }
            Method::Http01(Via::Webroot { path }) => {
                here(Solver::Webroot(Webroot::new(path)), None, Some(Place::Webroot(path.clone())))
            }
            Method::Http01(Via::Stateless) => here(Solver::Stateless, None, None),
            Method::Http01(Via::HaproxyMap { map }) => Self::Map(map.clone()),
            Method::TlsAlpn01 { listen } => {
                Self::Handshake(renewer.responders.at(*listen, renewer.store, Responder::bind).await?)
            }
            Method::Dns01(dns) => Self::Dns(dns.clone()),
            Method::DnsPersist01 => Self::Set,
        })
    }
}

impl Renewer<'_> {
    /// Takes away what crashes left of attempts that nobody goes on with: they ended before there was anything to go on with.
    pub(super) async fn sweep(&self) -> Result<(), Error> {
        let left: BTreeSet<CertName> = self.store.tokens()?.into_iter().map(|stored| stored.certificate).collect();
        let clears = left.into_iter().map(|name| async move {
            // Whoever is at work on it needs them.
            if let Some(lock) = self.store.try_lock_certificate(&name)? {
                // Whoever goes on with an order adds its records anew, and nobody may ever go on with it.
                records::clear(self.store, &name).await?;
                if self.store.read_journal(&lock)?.is_none() {
                    clear_leftovers(self.store, &name).await?;
                }
            }
            Ok(())
        });
        join_all(clears).await.into_iter().collect()
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        for (solver, token) in &self.presented {
            // It does no harm but to order, so it is no failure.
            if let Err(error) = self.withdraw(solver, token) {
                tracing::warn!(certificate = %self.certificate, error = %chain(&error), "an answer to a challenge was left behind");
            }
        }
    }
}

/// Takes away what a crash left of an earlier attempt at a certificate, in whichever way it was answered.
async fn clear_leftovers(store: &Store, certificate: &CertName) -> Result<(), Error> {
    records::clear(store, certificate).await?;
    for stored in store.tokens()?.into_iter().filter(|stored| stored.certificate == *certificate) {
        match &stored.place {
            Place::Map(_) if stored.wanted => store.retire_token(&stored.token)?,
            Place::Map(_) | Place::Dns { .. } => {}
            Place::Webroot(path) => {
                if let Ok(token) = stored.token.parse()
                    && let Err(error) = Webroot::new(path).remove(&token)
                {
                    tracing::warn!(%certificate, error = %chain(&error), "an answer to a challenge was left behind");
                    continue;
                }
                store.remove_token(&stored.token)?;
            }
        }
    }
    Ok(())
}
