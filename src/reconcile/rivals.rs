//! What a new certificate is measured against: what the nodes serve in its place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::desire::{self, Place};
use super::inventory::Inventory;
use super::{Error, Reconciler, hanging, one_is_reachable};
use crate::bundle::Rival;
use crate::config::{Certificate, Node};
use crate::haproxy;
use crate::model::{CertName, KeyKind, NodeName, Slot};
use crate::store::publish;

impl Reconciler<'_> {
    /// What the nodes serve now in the slot that a certificate with such a key would get: what a new one is measured against.
    /// Fails where no node can be reached, or the certificate could not be loaded or published. Tells also which nodes hang, see
    /// [`away`](Self::away).
    pub async fn rivals(
        &self,
        name: &CertName,
        kind: Option<KeyKind>,
    ) -> Result<(Vec<Rival>, BTreeSet<NodeName>), Error> {
        let Some(certificate) = self.config.certificates.get(name) else { return Ok(Default::default()) };
        for directory in self.config.nodes_of(certificate).filter_map(|node| node.crt_dir.as_ref()) {
            // Before HAProxy is asked, which cannot say what is wrong with it.
            if certificate.publish {
                publish::check_directory(directory)?;
            }
        }
        let nodes: Vec<_> = self.config.nodes_of(certificate).collect();
        let (inventories, unreachable) =
            self.inventories(nodes, |node, slot| desire::may_be(certificate, node, slot)).await;
        let mut rivals = BTreeMap::new();
        for (node, inventory) in inventories {
            let Place { slot, file, .. } = desire::place(certificate, kind, node, &inventory)
                .map_err(|why| Error::Unplaced { certificate: name.clone(), node: node.name.clone(), why })?;
            if certificate.publish
                && let Some(directory) = file.as_deref().and_then(Path::parent)
            {
                publish::check_directory(directory)?;
            }
            rivals.insert(node.name.clone(), inventory.rival(&slot, node));
        }
        let hanging = hanging(&unreachable).collect();
        Ok((one_is_reachable(rivals, unreachable)?.into_values().flatten().collect(), hanging))
    }

    /// The same for many certificates at once, with one look at each node. What has no place, or no node that can be reached, has
    /// no rivals: whether it can be loaded, the round will tell.
    pub async fn rivals_of(&self, certificates: &[Certificate]) -> BTreeMap<CertName, Vec<Rival>> {
        let (inventories, _) = self.inventories(self.config.nodes.values().collect(), |_, _| true).await;
        let on = |certificate: &Certificate| {
            let nodes: Vec<_> = self.config.nodes_of(certificate).map(|node| &node.name).collect();
            let rivals =
                inventories.iter().filter(|(node, _)| nodes.contains(&&node.name)).filter_map(|(node, seen)| {
                    let place = desire::place(certificate, None, node, seen).ok()?;
                    seen.rival(&place.slot, node)
                });
            (certificate.name.clone(), rivals.collect())
        };
        certificates.iter().map(on).collect()
    }

    /// Reads what nodes have loaded, from all at once; of the slots that are not asked for, only their names.
    async fn inventories<'n>(
        &self,
        nodes: Vec<&'n Node>,
        is_asked_for: impl Fn(&Node, &Slot) -> bool,
    ) -> (Vec<(&'n Node, Inventory)>, BTreeMap<NodeName, haproxy::Error>) {
        let is_asked_for = &is_asked_for;
        let looks = nodes.into_iter().map(|node| async move {
            let look = async {
                let mut session = self.open(node, &self.away).await?;
                Inventory::take_of(&mut session, |slot| is_asked_for(node, slot)).await
            };
            (node, look.await)
        });
        let mut inventories = Vec::new();
        let mut unreachable = BTreeMap::new();
        for (node, look) in futures_util::future::join_all(looks).await {
            match look {
                Ok(inventory) => inventories.push((node, inventory)),
                Err(error) => _ = unreachable.insert(node.name.clone(), error),
            }
        }
        (inventories, unreachable)
    }
}
