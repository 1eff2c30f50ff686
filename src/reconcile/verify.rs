//! Proof: real handshakes, on the addresses where clients come in, for every name of every certificate.
//!
//! A process without any network, such as the loader under systemd, cannot shake hands. That is no failure of the certificate.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Once;
use std::time::Duration;

use super::{Error, Reconciler, Scope, Seen, Stored};
use crate::model::{Authority, CertName, Facts, Identifier, KeyKind, NodeName, Sha256};
use crate::probe::{self, Served};
use crate::store::Generation;

/// How often a handshake that shows something else is repeated, and how long it waits before: behind one address may stand
/// several processes, and one that is going away may still answer.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(300);
/// How long a name such as `localhost` may take to resolve.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
/// The label that stands for the `*` of a wildcard in a handshake.
const ANY_LABEL: &str = "hotcert-probe";

/// Said once for a process, which gets no network later.
static WITHOUT_NETWORK: Once = Once::new();

/// The outcome for each certificate on each node with an address to ask. `Err` has what is wrong.
pub(super) type Handshakes = BTreeMap<(NodeName, CertName), Result<(), Error>>;

/// Shakes hands as a client that wants `name`, and can use keys of one `kind`, or of any.
pub(super) async fn shake(address: &Authority, name: &Identifier, kind: Option<KeyKind>) -> Result<Served, String> {
    let resolved =
        tokio::time::timeout(RESOLVE_DEADLINE, tokio::net::lookup_host((address.host.as_str(), address.port)))
            .await
            .ok()
            .and_then(Result::ok)
            .and_then(|mut addresses| addresses.next());
    let Some(resolved) = resolved else {
        return Err(format!("{} has no address", address.host));
    };
    let asked = match name {
        Identifier::Dns(pattern) if name.is_wildcard() => Identifier::Dns(pattern.replacen('*', ANY_LABEL, 1)),
        other => other.clone(),
    };
    probe::handshake(resolved, Some(&asked), kind).await.map_err(|error| error.to_string())
}

impl Reconciler<'_> {
    /// One look at every name of the scope.
    pub(super) async fn handshakes(&self, scope: Scope<'_>, stored: &Stored, seen: &Seen) -> Handshakes {
        let mut handshakes = Handshakes::new();
        for (node, view) in &seen.views {
            for (name, want) in &view.desired.certificates {
                // What HAProxy does not even hold needs no client to tell of it.
                if scope.is_some_and(|scope| !scope.contains(name)) || !want.is_held_in(&view.actual) {
                    continue;
                }
                let mut outcome = None;
                for identifier in want.answers() {
                    let owner = view.owner(want, &identifier).unwrap_or(name);
                    let Some(expected) = stored.generations.get(owner) else { continue };
                    for address in &view.node.verify {
                        let served = shake(address, &identifier, want.facts.kind()).await;
                        if served.is_err() && (self.is_behind_unreachable(address, seen) || cannot_ask()) {
                            continue;
                        }
                        let judged = judge(served, expected).map_err(|found| Error::NotServed {
                            node: node.clone(),
                            address: address.to_string(),
                            name: identifier.human(),
                            found,
                            expected: format!("serial {} of certificate {owner}", expected.facts.serial),
                        });
                        // The first that is wrong is told.
                        if !matches!(outcome, Some(Err(_))) {
                            outcome = Some(judged);
                        }
                    }
                }
                handshakes.extend(outcome.map(|outcome| ((node.clone(), name.clone()), outcome)));
            }
        }
        handshakes
    }

    /// Whether clients of a node that is down come in there: flags give all nodes the same addresses. That nobody answers is
    /// told as the node's failure, then.
    fn is_behind_unreachable(&self, address: &Authority, seen: &Seen) -> bool {
        let mut nodes = seen.unreachable.keys().filter_map(|name| self.config.nodes.get(name));
        nodes.any(|node| node.verify.contains(address))
    }

    /// The same after a change: what is wrong at first is looked at again.
    pub(super) async fn prove(&self, scope: Scope<'_>, stored: &Stored, seen: &Seen) -> Handshakes {
        for _ in 1..ATTEMPTS {
            let handshakes = self.handshakes(scope, stored, seen).await;
            if handshakes.values().all(Result::is_ok) {
                return handshakes;
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.handshakes(scope, stored, seen).await
    }
}

/// Whether nobody can be asked from here, which says nothing about what clients get. What `HAProxy` has in memory is the proof then.
pub(super) fn cannot_ask() -> bool {
    let cannot = probe::has_no_network();
    if cannot {
        WITHOUT_NETWORK.call_once(|| {
            tracing::info!("there is no network to shake hands: what is served is proved from HAProxy's memory alone");
        });
    }
    cannot
}

/// What a client was shown, in words, when it is not what it should be.
fn judge(served: Result<Served, String>, expected: &Generation) -> Result<(), String> {
    let served = served.map_err(|error| format!("no certificate ({error})"))?;
    if Sha256::of(&served.leaf) != expected.facts.sha256 {
        let found = Facts::read(&served.leaf, served.chain.len());
        return Err(found.map_or_else(
            || "another certificate".to_owned(),
            |facts| {
                let names: BTreeSet<_> = facts.names.iter().map(Identifier::human).collect();
                format!(
                    "serial {} for {}, valid until {}",
                    facts.serial,
                    names.into_iter().collect::<Vec<_>>().join(", "),
                    facts.not_after
                )
            },
        ));
    }
    let shown: Vec<_> = served.chain.iter().map(|der| Sha256::of(der)).collect();
    if shown != expected.chain {
        let (shown, expected) = (shown.len(), expected.chain.len());
        return Err(format!("the right leaf with another chain ({shown} certificates, not {expected})"));
    }
    Ok(())
}
