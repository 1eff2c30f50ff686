//! The configuration that all tasks work by.

use crate::bundle::Trust;
use crate::config::{Config, Remembered};
use crate::model::{NodeName, chain};
use crate::store::{Stamp, Store};

/// A configuration, and the roots that it trusts.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Roots that may end a chain.
    pub trust: Trust,
    /// The state of the store when it was asked what it remembers.
    pub stamp: Stamp,
}

impl Loaded {
    /// The same with what the store remembers. What cannot be read there is left out, so that it holds up nothing else.
    pub(super) fn recalling(&self, store: &Store) -> Self {
        let mut loaded = Self { stamp: store.stamp(), ..self.clone() };
        match store.recall::<Remembered>() {
            Ok((remembered, failures)) => {
                for error in failures {
                    tracing::warn!(error = %chain(&error), "what is remembered of a certificate cannot be read");
                }
                loaded.config.recall(remembered);
            }
            Err(error) => tracing::error!(error = %chain(&error), "what is remembered cannot be read"),
        }
        loaded
    }

    /// The configuration of one node. Its certificates say which other nodes they have.
    pub(super) fn narrowed_to(&self, node: &NodeName) -> Config {
        let mut config = self.config.clone();
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
