//! The configuration that all tasks work by.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::bundle::Trust;
use crate::config::{Config, Remembered};
use crate::model::{CertName, NodeName, chain};
use crate::store::{Changed, Stamp, Store};

/// A configuration, and the roots that it trusts.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Arc<Config>,
    /// Roots that may end a chain.
    pub trust: Arc<Trust>,
    /// The state of the store when it was asked what it remembers.
    pub stamp: Stamp,
    /// When it was asked.
    pub asked_at: Stamp,
}

impl Loaded {
    /// A configuration, before the store was asked.
    #[must_use]
    pub fn new(config: Config, trust: Trust) -> Self {
        let (stamp, asked_at) = Default::default();
        Self { config: Arc::new(config), trust: Arc::new(trust), stamp, asked_at }
    }

    /// The same with what the store remembers. What cannot be read there is left out, so that it holds up nothing else.
    pub(super) fn recalling(&self, store: &Store) -> Self {
        let mut loaded = Self { stamp: store.stamp(), asked_at: Stamp::now(), ..self.clone() };
        match store.recall::<Remembered>() {
            Ok((remembered, failures)) => {
                for error in failures {
                    tracing::warn!(error = %chain(&error), "what is remembered of a certificate cannot be read");
                }
                let config = Arc::make_mut(&mut loaded.config);
                config.recall(remembered);
                // Nobody asks a daemon where each value came from.
                config.settings = Vec::new();
                // A copy lies close together; the original is scattered among what was read, and would keep its room.
                loaded.config = Arc::new((*loaded.config).clone());
            }
            Err(error) => tracing::error!(error = %chain(&error), "what is remembered cannot be read"),
        }
        loaded
    }

    /// The same after something was stored. Where nothing else is remembered than `before`, that configuration goes on.
    pub(super) fn recalling_since(&self, before: &Self, store: &Store) -> Self {
        let (stamp, asked_at) = (store.stamp(), Stamp::now());
        // A stamp that is older than before is that of a copy, in which the times of all else say nothing either.
        let is_later = stamp >= before.stamp;
        match store.changed_since(before.asked_at) {
            Ok(Some(changed)) if is_later && before.remembers_the_same(&changed, store) => {
                Self { stamp, asked_at, ..before.clone() }
            }
            _ => self.recalling(store),
        }
    }

    fn remembers_the_same(&self, changed: &Changed, store: &Store) -> bool {
        let remembered = &self.config.remembered;
        let is_forgotten = |name: &CertName| remembered.contains(name) && !store.remembers(name);
        changed.remembered.is_empty() && remembered.is_subset(&changed.all) && !changed.written.iter().any(is_forgotten)
    }

    /// The configuration of one node, with these of its certificates. They say which other nodes they have.
    pub(super) fn of(&self, node: &NodeName, names: &BTreeSet<CertName>) -> Config {
        self.narrowed(self.config.with_only(names), node)
    }

    /// The configuration of one node, with all its certificates.
    pub(super) fn narrowed_to(&self, node: &NodeName) -> Arc<Config> {
        // Of the only one it is that of all, which with many certificates is better not copied.
        if self.config.nodes.keys().eq([node]) {
            return Arc::clone(&self.config);
        }
        Arc::new(self.narrowed((*self.config).clone(), node))
    }

    fn narrowed(&self, mut config: Config, node: &NodeName) -> Config {
        if self.config.nodes.len() > 1 {
            for certificate in config.certificates.values_mut().filter(|certificate| certificate.nodes.is_empty()) {
                certificate.nodes = self.config.nodes.keys().cloned().collect();
            }
        }
        config.nodes.retain(|name, _| name == node);
        config.certificates.retain(|_, certificate| certificate.nodes.is_empty() || certificate.nodes.contains(node));
        config
    }
}
