//! Tokens that `HAProxy` itself answers, on every node: desired state like certificates, only shorter-lived.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Error, Reconciler};
use crate::config::Node;
use crate::haproxy::{Map, Rejection, Session, Word};
use crate::model::{Invalid, chain};
use crate::schedule::Retry;
use crate::store::{self, Hindrance, Place, Token};

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
    /// The same for whoever waits for the token.
    fn hindrance(&self) -> Hindrance {
        let (hint, lasts) = match self {
            Self::Round(error) => (error.hint(), error.retry() == Retry::Never),
            Self::Busy => (None, false),
            Self::Invalid(_) => (None, true),
        };
        Hindrance { what: chain(self), hint, lasts }
    }

    /// Whether it is about one token, and the node can be asked about others.
    fn is_of_token(&self) -> bool {
        match self {
            Self::Round(Error::Node { source, .. }) => source.rejection().is_some(),
            Self::Round(_) | Self::Busy => false,
            Self::Invalid(_) => true,
        }
    }

    fn nobody_listens(&self) -> bool {
        matches!(self, Self::Round(Error::Node { source, .. }) if source.nobody_listens())
    }
}

/// The tokens that a node would not take, and why.
type Refused = BTreeMap<String, TokenError>;

/// The keys and values of maps.
type Maps<'t> = BTreeMap<&'t str, Vec<(String, String)>>;

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
        let mut refused = match self.on_nodes(&tokens).await {
            Ok(refused) => refused,
            Err(error) => {
                self.note(&tokens, &error)?;
                return Err(error);
            }
        };
        for token in &tokens {
            if let Some(error) = refused.get(&token.token) {
                self.note(std::slice::from_ref(token), error)?;
            } else if !token.wanted {
                store.remove_retired_token(&lock, &token.token).map_err(Error::Store)?;
            } else if !token.placed {
                store.mark_placed(&token.token).map_err(Error::Store)?;
            }
        }
        refused.pop_first().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Notes why tokens are not on every node, for whoever waits for them.
    fn note(&self, tokens: &[Token], error: &TokenError) -> Result<(), TokenError> {
        let hindrance = error.hindrance();
        for token in tokens.iter().filter(|token| token.wanted && token.hindrance.as_ref() != Some(&hindrance)) {
            self.reconciler.store.note_hindrance(&token.token, &hindrance).map_err(Error::Store)?;
        }
        Ok(())
    }

    async fn on_nodes(&self, tokens: &[Token]) -> Result<Refused, TokenError> {
        let nodes = self.reconciler.config.nodes.values().map(|node| self.on_node(node, tokens));
        let outcomes = futures_util::future::join_all(nodes).await;
        let (mut all, mut reached, mut first_error) = (Refused::new(), false, None);
        for outcome in outcomes {
            match outcome {
                Ok(refused) => {
                    reached = true;
                    all.extend(refused);
                }
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
        Ok(all)
    }

    /// Brings tokens to one node. What it refuses holds up no other.
    async fn on_node(&self, node: &Node, tokens: &[Token]) -> Result<Refused, TokenError> {
        let session = Session::open(self.reconciler.connect, node.endpoint()).await;
        let mut session = session.map_err(|error| Error::node(node, error))?;
        let (mut refused, mut maps) = (Refused::new(), Maps::new());
        for token in tokens {
            match bring(token, node, &mut session, &mut maps).await {
                Err(error) if error.is_of_token() => _ = refused.insert(token.token.clone(), error),
                outcome => outcome?,
            }
        }
        Ok(refused)
    }
}

/// Adds a token where it is wanted and missing, and takes it away where it is not wanted any more.
async fn bring<'t>(
    token: &'t Token,
    node: &Node,
    session: &mut Session,
    maps: &mut Maps<'t>,
) -> Result<(), TokenError> {
    let fail = |error| Error::node(node, error);
    let Place::Map(map_name) = &token.place else { return Ok(()) };
    let map: Map = map_name.parse()?;
    let key: Word = token.token.parse()?;
    if !maps.contains_key(map_name.as_str()) {
        let entries = match session.map_entries(&map).await {
            // There is nothing to be taken away.
            Err(error) if !token.wanted && matches!(error.rejection(), Some(Rejection::NoMap)) => return Ok(()),
            entries => entries.map_err(fail)?,
        };
        maps.insert(map_name, entries);
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
    Ok(())
}
