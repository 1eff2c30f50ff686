//! What `issue` and `push` remember, so that later commands need no flags.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Certificate, Config, Node, Setting};
use crate::model::{Address, CertName, NodeName};

/// How a certificate was ordered or pushed without a configuration file: the certificate with all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The certificate, with its issuer and solver.
    pub certificate: Certificate,
    /// The nodes that serve it.
    pub nodes: Vec<Node>,
}

impl Remembered {
    /// What has to be remembered of a certificate.
    #[must_use]
    pub fn of(config: &Config, certificate: &Certificate) -> Self {
        Self { certificate: certificate.clone(), nodes: config.nodes_of(certificate).cloned().collect() }
    }
}

impl Config {
    /// Adds what the store remembers. What is configured under the same name wins. Where nodes are configured or given by flags,
    /// a certificate that is remembered for other sockets is left out: it is not theirs to serve.
    pub fn recall(&mut self, remembered: impl IntoIterator<Item = Remembered>) {
        let nodes_are_given = !self.nodes.is_empty();
        let remembered: Vec<_> = remembered.into_iter().collect();
        // What was ordered in one piece before it was ordered in two is the past.
        let in_two = remembered.iter().map(|remembered| &remembered.certificate);
        let in_two = in_two.filter(|certificate| certificate.kind.is_some() && certificate.order.is_some());
        let in_two: BTreeSet<CertName> = in_two.map(Certificate::configured_name).collect();
        for Remembered { mut certificate, nodes } in remembered {
            if self.overrules(&certificate) || certificate.kind.is_none() && in_two.contains(&certificate.name) {
                continue;
            }
            // What was imported before there was a node is for all.
            if nodes_are_given && !nodes.is_empty() && !nodes.iter().any(|node| self.node_at(&node.socket).is_some()) {
                let sockets: Vec<_> = nodes.iter().map(|node| node.socket.to_string()).collect();
                let (name, sockets) = (&certificate.name, sockets.join(", "));
                self.warnings.push(format!("certificate {name} is left out: it is remembered for {sockets}"));
                continue;
            }
            certificate.nodes = if nodes_are_given {
                nodes.iter().filter_map(|node| self.node_at(&node.socket)).collect()
            } else {
                nodes.into_iter().map(|node| self.adopt(node)).collect()
            };
            self.settings.push(Setting {
                key: format!("certificate.{}", certificate.name),
                value: certificate.domains.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
                origin: "remembered".to_owned(),
            });
            self.remembered.insert(certificate.name.clone());
            self.certificates.insert(certificate.name.clone(), certificate);
        }
    }

    fn node_at(&self, socket: &Address) -> Option<NodeName> {
        self.nodes.values().find(|node| node.socket == *socket).map(|node| node.name.clone())
    }

    /// Adds a remembered node, or finds the one with the same socket. Its name may be taken by another socket.
    fn adopt(&mut self, mut node: Node) -> NodeName {
        if let Some(same) = self.node_at(&node.socket) {
            return same;
        }
        let base = node.name.clone();
        let mut number = 2;
        while self.nodes.contains_key(&node.name) {
            node.name = format!("{base}-{number}").parse().unwrap_or_else(|_| base.clone());
            number += 1;
        }
        let name = node.name.clone();
        self.nodes.insert(name.clone(), node);
        name
    }
}
