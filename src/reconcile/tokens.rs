//! Tokens that `HAProxy` itself answers, on every node: desired state like certificates, only shorter-lived.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Error, Reconciler};
use crate::config::Node;
use crate::haproxy::{Map, Session, Word};
use crate::model::{Invalid, chain};
use crate::store::{self, Place, Token};

/// How often the maps are looked at while tokens are wanted: a reload empties them, and the authority asks at any moment.
const PERIOD: Duration = Duration::from_millis(250);

/// How long another process may be at it, which waits for the slowest node.
const LOCK_DEADLINE: Duration = Duration::from_secs(3);

/// Keeps the maps of all nodes as the store wants them, until told to stop.
pub struct Keeper<'a> {
    /// How the nodes are reached, and where the tokens are stored.
    pub reconciler: &'a Reconciler<'a>,
}

/// A token cannot be brought to a node.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The node or the store refuses.
    #[error(transparent)]
    Round(#[from] Error),
    /// Another process is at it, and a node keeps it waiting.
    #[error("another process is bringing http-01 tokens to nodes")]
    Busy,
    /// The map or the token cannot be written in a command.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl TokenError {
    fn nobody_listens(&self) -> bool {
        matches!(self, Self::Round(Error::Node { source, .. }) if source.nobody_listens())
    }
}

impl Keeper<'_> {
    /// Looks again and again; after `stop` once more, so that what was retired is taken away.
    pub async fn run(&self, stop: CancellationToken) {
        let mut said = String::new();
        loop {
            // Before the round: one that was under way at the stop may have missed the last changes.
            let last = stop.is_cancelled();
            if let Err(error) = self.round().await {
                let text = error.to_string();
                if text != said {
                    tracing::warn!(error = %chain(&error), "http-01 tokens are not on every node yet");
                    said = text;
                }
            }
            if last {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Adds what is wanted and missing, and takes away what is not wanted any more, on every node at once. A node on which
    /// nobody listens answers no challenge either: it holds up no order, as long as there is another.
    pub async fn round(&self) -> Result<(), TokenError> {
        let store = self.reconciler.store;
        if store.tokens().map_err(Error::Store)?.is_empty() {
            return Ok(());
        }
        // What is wanted is looked up under the lock: else one who is slow would add again what another one has just taken away,
        // and forgotten.
        let lock = store::until(LOCK_DEADLINE, || store.try_lock_answers()).await.map_err(Error::Store)?;
        let lock = lock.ok_or(TokenError::Busy)?;
        let mut tokens = store.tokens().map_err(Error::Store)?;
        tokens.retain(|token| matches!(token.place, Place::Map(_)));
        if tokens.is_empty() {
            return Ok(());
        }
        let nodes = self.reconciler.config.nodes.values().map(|node| self.on_node(node, &tokens));
        let outcomes = futures_util::future::join_all(nodes).await;
        let (mut reached, mut first_error) = (false, None);
        for outcome in outcomes {
            match outcome {
                Ok(()) => reached = true,
                Err(error) if error.nobody_listens() => _ = first_error.get_or_insert(error),
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = first_error {
            if !reached {
                return Err(error);
            }
            tracing::debug!(%error, "a node that cannot be reached gets no http-01 tokens");
        }
        for token in tokens {
            if !token.wanted {
                store.remove_retired_token(&lock, &token.token).map_err(Error::Store)?;
            } else if !token.placed {
                store.mark_placed(&token.token).map_err(Error::Store)?;
            }
        }
        Ok(())
    }

    async fn on_node(&self, node: &Node, tokens: &[Token]) -> Result<(), TokenError> {
        let fail = |error| Error::node(node, error);
        let mut session = Session::open(self.reconciler.connect, node.endpoint()).await.map_err(fail)?;
        let mut maps: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        for token in tokens {
            let Place::Map(map_name) = &token.place else { continue };
            let map: Map = map_name.parse()?;
            let key: Word = token.token.parse()?;
            if !maps.contains_key(map_name.as_str()) {
                maps.insert(map_name, session.map_entries(&map).await.map_err(fail)?);
            }
            // The first of equal keys counts.
            let value = maps[map_name.as_str()].iter().find(|(found, _)| *found == token.token).map(|(_, value)| value);
            match value {
                Some(_) if !token.wanted => session.map_remove(&map, &key).await.map_err(fail)?,
                found if token.wanted && found != Some(&token.key_authorization) => {
                    session.map_set(&map, &key, &token.key_authorization.parse()?).await.map_err(fail)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
