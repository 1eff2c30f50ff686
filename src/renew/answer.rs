//! Answering challenges, whichever way is configured, and taking every answer away again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::listeners::Shared;
use super::{Error, Renewer};
use crate::config::{Solver as Configured, Via};
use crate::model::{CertName, Token};
use crate::solver::{Solver, Webroot};
use crate::store::{self, Place, Store};

/// How long a token may take to reach every node: each has a deadline of some seconds of its own.
const PLACED_DEADLINE: Duration = Duration::from_secs(15);

/// What answers for one order. Dropped, it takes every answer away, however the order ends: also when it is given up in the middle.
pub(super) struct Answers<'a> {
    renewer: &'a Renewer<'a>,
    certificate: &'a CertName,
    /// What answers; `None` when `HAProxy` does, from a map: the store says what has to be in it.
    solver: Option<Solver>,
    /// Keeps the listener, which others may use as well.
    _listener: Option<Arc<Shared>>,
    /// Where answers would be found after a crash: then they are stored before they are placed.
    place: Option<Place>,
    presented: Vec<Token>,
}

impl<'a> Answers<'a> {
    pub(super) async fn open(
        renewer: &'a Renewer<'a>,
        certificate: &'a CertName,
        configured: &Configured,
    ) -> Result<Self, Error> {
        let listener = match &configured.via {
            Via::Listener { listen } => Some(renewer.listeners.at(*listen, renewer.store).await?),
            _ => None,
        };
        let (solver, place) = match &configured.via {
            Via::Listener { .. } => (listener.as_ref().map(|shared| Solver::Listener(Arc::clone(shared))), None),
            Via::Webroot { path } => (Some(Solver::Webroot(Webroot::new(path))), Some(Place::Webroot(path.clone()))),
            Via::Stateless => (Some(Solver::Stateless), None),
            Via::HaproxyMap { map } => (None, Some(Place::Map(map.clone()))),
        };
        let answers = Self { renewer, certificate, solver, _listener: listener, place, presented: Vec::new() };
        clear_leftovers(renewer.store, certificate)?;
        Ok(answers)
    }

    /// Makes an answer available everywhere.
    pub(super) async fn present(&mut self, token: &Token, key_authorization: &str) -> Result<(), Error> {
        self.presented.push(token.clone());
        if let Some(place) = &self.place {
            self.renewer.store.put_token(&store::Token {
                token: token.to_string(),
                key_authorization: key_authorization.to_owned(),
                place: place.clone(),
                certificate: self.certificate.clone(),
                wanted: true,
                placed: false,
            })?;
        }
        match &self.solver {
            Some(solver) => Ok(solver.present(token, key_authorization)?),
            None => self.placed(token).await,
        }
    }

    /// Takes an answer away.
    pub(super) fn withdraw(&self, token: &Token) -> Result<(), Error> {
        let Some(solver) = &self.solver else { return Ok(self.renewer.store.retire_token(token.as_str())?) };
        solver.withdraw(token)?;
        if self.place.is_some() {
            self.renewer.store.remove_token(token.as_str())?;
        }
        Ok(())
    }

    /// Waits until every node has a token.
    async fn placed(&self, token: &Token) -> Result<(), Error> {
        let store = self.renewer.store;
        let is_placed = |stored: &store::Token| stored.token == token.as_str() && stored.placed;
        store::until(PLACED_DEADLINE, || Ok::<_, Error>(store.tokens()?.into_iter().find(is_placed)))
            .await?
            .map(drop)
            .ok_or_else(|| Error::TokenNotPlaced { token: token.clone(), waited: PLACED_DEADLINE })
    }
}

impl Renewer<'_> {
    /// Takes away what crashes left of attempts that nobody goes on with: they ended before there was anything to go on with.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        let left: BTreeSet<CertName> = self.store.tokens()?.into_iter().map(|stored| stored.certificate).collect();
        for name in left {
            // Whoever is at work on it needs them.
            if let Some(lock) = self.store.try_lock_certificate(&name)?
                && self.store.read_journal(&lock)?.is_none()
            {
                clear_leftovers(self.store, &name)?;
            }
        }
        Ok(())
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        for token in &self.presented {
            // It does no harm but to order, so it is no failure.
            if let Err(error) = self.withdraw(token) {
                tracing::warn!(certificate = %self.certificate, %error, "an answer to a challenge was left behind");
            }
        }
    }
}

/// Takes away what a crash left of an earlier attempt at a certificate, in whichever way it was answered.
fn clear_leftovers(store: &Store, certificate: &CertName) -> Result<(), Error> {
    for stored in store.tokens()?.into_iter().filter(|stored| stored.certificate == *certificate) {
        match &stored.place {
            Place::Map(_) if stored.wanted => store.retire_token(&stored.token)?,
            Place::Map(_) => {}
            Place::Webroot(path) => {
                if let Ok(token) = stored.token.parse()
                    && let Err(error) = Webroot::new(path).remove(&token)
                {
                    tracing::warn!(%certificate, %error, "an answer to a challenge was left behind");
                    continue;
                }
                store.remove_token(&stored.token)?;
            }
        }
    }
    Ok(())
}
