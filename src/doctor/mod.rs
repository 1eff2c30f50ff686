//! What stands in the way of hotcert on this machine, each with its cause and its cure.
//!
//! Owns the checks: one file for each, or for each family. A check looks, and says [`Finding`]s; how they are shown is for the
//! command line. Most facts come from modules below, which decide by them every day; the doctor only asks them.
//!
//! Nothing is changed anywhere: no file is written, no transaction is opened, and of an authority only its directory is asked for.
//! (To try the road of a challenge, the listener of its solver listens for a moment.)
//!
//! All checks go on at the same time, and each has a deadline: whatever hangs, the whole takes less than ten seconds.

mod authority;
mod daemon;
mod directory;
mod disk;
mod finding;
mod here;
mod jobs;
mod memory;
mod names;
mod node;
mod paths;
mod process;
mod restart;
mod road;
mod served;
mod state;
mod version;
mod who;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use finding::{Check, Finding, Verdict};
pub use here::nodes as nodes_here;

use crate::clock::Clock;
use crate::config::{Certificate, Config, Issuer, Order};
use crate::haproxy::Connect;
use crate::model::{CertName, NodeName};
use crate::reconcile::{Pushes, Reconciler, Report, View};
use crate::store::Store;

/// How long a look at the sockets may take.
const SOCKETS: Duration = Duration::from_secs(3);
/// How long a look at what the nodes have loaded may take, which follows it.
const NODES: Duration = Duration::from_secs(5);
/// How long everything else may take.
const REST: Duration = Duration::from_secs(8);
/// Of so many certificates, and of so many names, each is proved by a handshake and by a look at its road; of others a beginning.
const CAREFUL: usize = 32;

/// Looks at everything.
pub struct Doctor {
    /// What is configured.
    pub config: Arc<Config>,
    /// What is stored; [`Store::to_look_at`] is enough.
    pub store: Store,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How nodes are reached.
    pub connect: Arc<dyn Connect>,
    /// Below which the files of the system are.
    pub root: PathBuf,
}

/// What was seen of the nodes.
struct Nodes {
    report: Report,
    views: BTreeMap<NodeName, View>,
}

impl Doctor {
    /// What every check says, in the order of [`Check::ALL`].
    pub async fn examine(&self) -> Vec<Finding> {
        let (nodes, on_disk, daemon, abroad) =
            tokio::join!(self.nodes(), self.on_disk(), daemon::check(self), self.abroad());
        let mut findings: Vec<Finding> = [self.configuration(), nodes, on_disk, daemon, abroad].concat();
        findings.sort_by_key(|finding| finding.name);
        findings
    }

    /// What is accepted and has no effect, and files that cannot be read.
    fn configuration(&self) -> Vec<Finding> {
        let check = Check::Configuration;
        let warnings = self.config.warnings.iter().map(|warning| {
            let cure = "change the line, or take it away; `hotcert config check` reads the file again";
            Finding::look(check, "settings", warning, "it is accepted, and has no effect", cure)
        });
        let unreadable = self.config.unreadable.iter().map(|problem| {
            let cure =
                "correct the path, or let the user that runs hotcert read it; `hotcert config check` tries again";
            Finding::look(check, &problem.key, problem.to_string(), "whoever runs this cannot read the file", cure)
        });
        let mut findings: Vec<_> = warnings.chain(unreadable).collect();
        if findings.is_empty() {
            let config = &self.config;
            let found = format!(
                "{} on {}",
                count(config.configured_names().len(), "certificate"),
                count(config.nodes.len(), "node")
            );
            findings.push(Finding::good(check, "settings", found));
        }
        findings
    }

    /// All that is seen through the sockets.
    async fn nodes(&self) -> Vec<Finding> {
        if self.config.nodes.is_empty() {
            let message = "no HAProxy is configured, and none was found that runs";
            let cause = "processes of other users are seen by root alone, and those of another container by nobody";
            let cure = "start HAProxy, or name its socket: `hotcert doctor --socket /run/haproxy/admin.sock`; `hotcert config init` writes a configuration";
            return vec![Finding::look(Check::Socket, "HAProxy", message, cause, cure)];
        }
        let nodes = join_all(self.config.nodes.values().map(|node| node::open(self, node))).await;
        let (mut findings, mut opened, mut away) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
        for (name, seen, said) in nodes {
            findings.extend(said);
            match seen {
                Some(seen) => _ = opened.insert(name, seen),
                None => _ = away.insert(name),
            }
        }
        let Ok(nodes) = timeout(NODES, self.look(away)).await else {
            let cause = format!("what the nodes have loaded could not be read within {} s", NODES.as_secs());
            let cure = "look whether HAProxy hangs, by `hotcert status`; with very many certificates the look takes longer, and that is no fault";
            findings.push(Finding::look(Check::Served, "nodes", "not known what is served", cause, cure));
            return findings;
        };
        let nodes = Arc::new(nodes);
        for (name, view) in &nodes.views {
            let Some(seen) = opened.get(name) else { continue };
            findings.extend(version::check(&view.node, &view.info, self.clock.now()));
            findings.extend(paths::check(&self.config, view, seen));
            findings.extend(process::transaction(view));
            findings.extend(process::old_workers(view, self.clock.now()));
        }
        findings.extend(served::check(&self.config, &nodes));
        findings.extend(served::expiry(&self.config, &self.store, &nodes, self.clock.now()));
        findings.extend(served::renewal(&nodes.report));
        let opened = Arc::new(opened);
        let (twins, files) = tokio::join!(
            process::twins(&nodes),
            blocking(Check::Restart, "nodes", {
                let (nodes, opened, store) = (Arc::clone(&nodes), Arc::clone(&opened), self.store.clone());
                move || {
                    let mut findings = memory::payload(&nodes, &store);
                    for (name, view) in &nodes.views {
                        if let Some(seen) = opened.get(name) {
                            findings.extend(restart::check(view, seen));
                        }
                    }
                    findings
                }
            })
        );
        findings.extend(twins);
        findings.extend(files);
        findings
    }

    /// Looks at all nodes but those that do not answer.
    async fn look(&self, away: BTreeSet<NodeName>) -> Nodes {
        let reconciler = Reconciler {
            config: &self.config,
            store: &self.store,
            clock: &*self.clock,
            connect: &*self.connect,
            pushes: Pushes::default(),
            stop: CancellationToken::new(),
            away,
            few: None,
        };
        let some: BTreeSet<CertName> = self.config.certificates.keys().take(CAREFUL).cloned().collect();
        let (report, views) = reconciler.examine(Some(&some)).await;
        Nodes { report, views }
    }

    /// All that is on disk.
    async fn on_disk(&self) -> Vec<Finding> {
        let (config, root) = (Arc::clone(&self.config), self.root.clone());
        let own = blocking(Check::StateDir, self.config.state_dir.display(), move || {
            let who = who::Who::at(&root);
            [state::check(&config.state_dir, &who), directory::check(&config, &who), disk::check(&config)].concat()
        });
        let (config, root) = (Arc::clone(&self.config), self.root.clone());
        let others = blocking(Check::RenewalJobs, self.root.display(), move || jobs::check(&config, &root));
        let (own, others) = tokio::join!(own, others);
        [own, others].concat()
    }

    /// All that is asked over the network.
    async fn abroad(&self) -> Vec<Finding> {
        let (authorities, lookups) = tokio::join!(authority::look(self), names::look(self));
        let (mut findings, authorities) = authorities;
        findings.extend(authority::budget(self));
        findings.extend(lookups.findings());
        findings.extend(names::caa(&lookups, &authorities));
        findings.extend(road::check(self, &lookups).await);
        findings
    }

    /// The certificates that are ordered from authorities, with how.
    fn ordered(&self) -> impl Iterator<Item = (&Certificate, &Order)> {
        let ordered = self.config.certificates.values().filter_map(|of| Some((of, of.order.as_ref()?)));
        ordered.filter(|(_, order)| !order.is_internal())
    }

    /// The authorities that are in use or configured, each once.
    fn issuers(&self) -> Vec<&Issuer> {
        let mut issuers: Vec<&Issuer> = Vec::new();
        let used = self.ordered().flat_map(|(_, order)| &order.issuers);
        for issuer in used.chain(self.config.issuers.values()).filter(|issuer| issuer.directory.is_some()) {
            if !issuers.iter().any(|known| (&known.name, &known.directory) == (&issuer.name, &issuer.directory)) {
                issuers.push(issuer);
            }
        }
        issuers
    }
}

/// Does what blocks, on a thread that holds up nobody.
async fn blocking(
    check: Check,
    subject: impl Display,
    work: impl FnOnce() -> Vec<Finding> + Send + 'static,
) -> Vec<Finding> {
    let subject = subject.to_string();
    if let Ok(Ok(findings)) = timeout(NODES, tokio::task::spawn_blocking(work)).await {
        return findings;
    }
    let cause = format!("the file system did not answer within {} s", NODES.as_secs());
    let cure = "look by `df` and `dmesg` whether a disk or a network mount hangs";
    vec![Finding::look(check, subject, "not known", cause, cure)]
}

/// What many things have in common when they are well, in one line; each that is not, in its own.
fn gather(check: Check, what: &str, good: &[(String, String)], mut bad: Vec<Finding>) -> Vec<Finding> {
    /// How many are named.
    const NAMED: usize = 3;
    match good {
        [] => {}
        [(subject, message)] => bad.push(Finding::good(check, subject, message)),
        all => {
            let named: Vec<_> =
                all.iter().take(NAMED).map(|(subject, message)| format!("{subject}: {message}")).collect();
            let more = if all.len() > NAMED { "; …" } else { "" };
            bad.push(Finding::good(check, count(all.len(), what), format!("{}{more}", named.join("; "))));
        }
    }
    bad
}

/// As in `1 name` and `2 names`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
