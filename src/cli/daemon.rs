//! Handing a command to a daemon, where one runs on the same state directory and for the same things.

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::outcome::Outcome;
use super::request::Request;
use crate::config::{Config, Node};
use crate::control::{Client, Error};
use crate::daemon::Role;
use crate::model::{Sha256, chain};

/// What a daemon tells of itself to whoever connects.
#[derive(Debug, Serialize, Deserialize)]
pub struct About {
    role: Role,
    nodes: Vec<Node>,
    /// Of the certificates, and of how they are ordered, as far as the file says.
    configured: Sha256,
}

impl About {
    /// What a daemon with this configuration tells, which is without what the store remembers.
    #[must_use]
    pub fn of(config: &Config, role: Role) -> Self {
        Self { role, nodes: config.nodes.values().cloned().collect(), configured: digest(config) }
    }

    /// Whether the daemon would do what this program would do by itself. What is not said here is the daemon's to say.
    fn stands_for(&self, config: &Config) -> bool {
        let says_nodes = !config.nodes.is_empty();
        let says_certificates = !config.issuers.is_empty() || !config.certificates.is_empty();
        let has = |node: &Node| self.nodes.iter().any(|other| repeats(node, other));
        let same_nodes = self.nodes.len() == config.nodes.len() && config.nodes.values().all(has);
        (!says_nodes || same_nodes) && (!says_certificates || self.configured == digest(config))
    }
}

/// Whether a node is the same as the daemon's, as far as it is described. Flags have no way to name it.
fn repeats(node: &Node, other: &Node) -> bool {
    let described = Node {
        name: other.name.clone(),
        socket: node.socket.clone(),
        master: node.master.clone().or(other.master.clone()),
        tls: node.tls.clone().or(other.tls.clone()),
        crt_dir: node.crt_dir.clone().or(other.crt_dir.clone()),
        haproxy_crt_dir: node.haproxy_crt_dir.clone().or(other.haproxy_crt_dir.clone()),
        crt_list: node.crt_list.clone().or(other.crt_list.clone()),
        verify: if node.verify.is_empty() { other.verify.clone() } else { node.verify.clone() },
        owner: node.owner.clone().or(other.owner.clone()),
        group: node.group.clone().or(other.group.clone()),
        mode: node.mode.or(other.mode),
        push_pace: other.push_pace,
        ca_files: if node.ca_files.is_empty() { other.ca_files.clone() } else { node.ca_files.clone() },
        crl_files: if node.crl_files.is_empty() { other.crl_files.clone() } else { node.crl_files.clone() },
    };
    described == *other
}

fn digest(config: &Config) -> Sha256 {
    let parts = (&config.trust, &config.issuers, &config.solvers, &config.certificates);
    // What cannot be written as JSON, such as a path that is no UTF-8, is equal to nothing.
    let json = serde_json::to_vec(&parts).unwrap_or_else(|_| format!("{parts:?}").into_bytes());
    Sha256::of(&json)
}

/// Lets a daemon do it; `None` when this program has to.
pub(super) async fn ask(config: &Config, request: &Request) -> Result<Option<Outcome>, Failure> {
    let client = match Client::connect(&config.state_dir).await {
        Ok(Some(client)) => client,
        Ok(None) => return Ok(None),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::warn!(error, "working without the daemon");
            return Ok(None);
        }
    };
    let daemon = client.pid();
    let about: About = match client.about() {
        Ok(about) => about,
        Err(error) => {
            tracing::warn!(error = %chain(&error), daemon, "working without the daemon");
            return Ok(None);
        }
    };
    let is_its_part = match about.role {
        Role::All => true,
        Role::Loader => !request.orders(),
        Role::Agent => false,
    };
    if !is_its_part {
        tracing::debug!(daemon, role = %about.role, "this is not the daemon's part; working without it");
        return Ok(None);
    }
    if !about.stands_for(config) {
        tracing::info!(daemon, "the daemon has other nodes or certificates; working without it");
        return Ok(None);
    }
    tracing::debug!(daemon, "the daemon does it");
    match client.ask::<Outcome>(request).await {
        Ok(outcome) if outcome.failures.iter().any(Failure::is_stopping) => {
            tracing::info!(daemon, "the daemon is stopping, and has begun nothing; working without it");
            Ok(None)
        }
        Ok(outcome) => Ok(Some(outcome)),
        Err(error) if request.is_read_only() || matches!(error, Error::Unsent(_)) => {
            tracing::info!(%error, "the daemon gave no answer; working without it");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = match &error {
            Error::Broken(_) => "the daemon ended; run the command again",
            Error::Silent => "see how the daemon is by its log; then run the command again",
            _ => "restart the daemon, so that it is of the same version; then run the command again",
        };
        Self::later(&error, hint, "daemon")
    }
}
