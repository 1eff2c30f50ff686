//! Before and after a change: what else clients notice of it than the certificate that was to be changed.
//!
//! A new entry of a crt-list brings its own options, a key of another kind other ciphers, and whatever is loaded may become the
//! certificate for clients that name no host. None of that is a failure, and all of it surprises. It is looked at where few
//! names are concerned, and the round goes on without it where nobody answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use super::verify::{AT_ONCE, CAREFUL, Handshakes, cannot_ask, describe, resolve};
use super::{Seen, Stored};
use crate::model::{Authority, CertName, Facts, Identifier, NodeName, Sha1, Sha256};
use crate::plan::{Contents, Step};
use crate::probe::{self, Offer, Served, Session, Version};

/// How long the look before a change may take: it must not hold up a certificate.
const DEADLINE: Duration = Duration::from_secs(2);

/// Something that clients notice of a change, and that was perhaps not meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What has changed.
    pub kind: Noticed,
    /// The node on which it has.
    pub node: NodeName,
    /// Where clients see it.
    pub address: String,
    /// In words.
    pub message: String,
}

/// What clients notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Noticed {
    /// A version of TLS is no longer spoken for a name, or is spoken now.
    Protocol,
    /// Another cipher suite is chosen.
    Cipher,
    /// Another application protocol is chosen (ALPN, RFC 7301).
    Alpn,
    /// Clients that name no host are shown another certificate, which is not the next generation of the one before.
    DefaultCertificate,
    /// Clients that resume a session go on with the old certificate. That is how `HAProxy` is up to 3.0, and passes.
    Resumption,
}

/// How clients were served before a change.
#[derive(Default)]
pub(super) struct Before {
    places: Vec<Place>,
    /// The leaves in the slots that are to be loaded.
    held: BTreeMap<(NodeName, CertName), Sha1>,
}

/// An address, and the name that a client asks it for.
struct Place {
    node: NodeName,
    /// The process that answers for the node.
    pid: u32,
    address: Authority,
    /// `None` for a client that names no host.
    name: Option<Identifier>,
    /// Whether it is tried to resume sessions.
    resumes: bool,
    looks: Vec<Look>,
    sessions: Vec<Session>,
}

/// What a client saw.
#[derive(Clone)]
enum Look {
    Served(Box<Served>),
    /// The server wants no handshake with it.
    Refused,
    /// Nothing that tells of `HAProxy`.
    Nothing,
}

/// What was noticed, in words, by kind, node and address; and for which names.
type Changes = BTreeMap<(Noticed, NodeName, String, String), BTreeSet<String>>;

impl Before {
    /// Looks at what clients see of everything that is going to be changed.
    pub(super) async fn look(seen: &Seen) -> Self {
        let (mut places, held) = places(seen);
        if places.is_empty() || cannot_ask() {
            return Self::default();
        }
        let looks = async {
            for batch in places.chunks_mut(AT_ONCE) {
                join_all(batch.iter_mut().map(Place::look_before)).await;
            }
        };
        match tokio::time::timeout(DEADLINE, looks).await {
            Ok(()) => Self { places, held },
            Err(_) => Self::default(),
        }
    }

    /// What has changed since.
    pub(super) async fn compare(self, stored: &Stored, seen: &Seen, handshakes: &Handshakes) -> Vec<Warning> {
        let Self { mut places, held } = self;
        // What is wrong is told as that, and another process was perhaps started with another configuration.
        places.retain(|place| {
            let is_same = seen.views.get(&place.node).is_some_and(|view| view.info.pid == place.pid);
            is_same && !handshakes.iter().any(|((node, _), outcome)| *node == place.node && outcome.is_err())
        });
        let is_next = |node: &NodeName, before: &Served, after: &Served| {
            let sha256 = Sha256::of(&after.leaf);
            let next = stored.generations.iter().find(|(_, next)| next.facts.sha256 == sha256);
            let replaced = next.and_then(|(name, _)| held.get(&(node.clone(), name.clone())));
            replaced == Some(&Sha1::of(&before.leaf))
        };
        let mut changes = Changes::new();
        for batch in places.chunks_mut(AT_ONCE) {
            let looks = join_all(batch.iter_mut().map(Place::look_after)).await;
            for (place, (after, resumed)) in batch.iter().zip(looks) {
                place.compare(&after, resumed, is_next, &mut changes);
            }
        }
        changes.into_iter().map(Warning::of).collect()
    }
}

/// Where to look on account of what is going to be loaded, and what the slots hold that it replaces.
fn places(seen: &Seen) -> (Vec<Place>, BTreeMap<(NodeName, CertName), Sha1>) {
    let mut places = Vec::new();
    let mut held = BTreeMap::new();
    for (node, view) in &seen.views {
        let mut is_changed = false;
        let mut changing = BTreeSet::new();
        for step in &view.plan.steps {
            is_changed |= is_noticed(step);
            if let Step::Replace { with: Contents::Generation(name), .. } | Step::Attach { certificate: name, .. } =
                step
            {
                changing.insert(name);
            }
        }
        if !is_changed {
            continue;
        }
        let place = |address: &Authority, name: Option<Identifier>, resumes| Place {
            node: node.clone(),
            pid: view.info.pid,
            address: address.clone(),
            name,
            resumes,
            looks: Vec::new(),
            sessions: Vec::new(),
        };
        places.extend(view.node.verify.iter().map(|address| place(address, None, false)));
        for certificate in changing {
            let Some(want) = view.desired.certificates.get(certificate) else { continue };
            if let Some(Some(found)) = view.actual.slots.get(&want.slot) {
                held.insert((node.clone(), certificate.clone()), found.sha1);
            }
            for (at, name) in want.answers().into_iter().enumerate() {
                // One name of each certificate tells whether sessions are resumed.
                places.extend(view.node.verify.iter().map(|address| place(address, Some(name.clone()), at == 0)));
            }
        }
    }
    if places.len() > CAREFUL {
        places.retain(|place| place.name.is_none());
        places.truncate(CAREFUL);
    }
    (places, held)
}

/// Whether a step changes what the running `HAProxy` serves.
fn is_noticed(step: &Step) -> bool {
    match step {
        Step::Replace { .. } | Step::Attach { in_memory: true, .. } | Step::Detach { .. } => true,
        Step::AbortStale { .. }
        | Step::Create { .. }
        | Step::Publish { .. }
        | Step::Attach { in_memory: false, .. }
        | Step::Delete { .. }
        | Step::Unpublish { .. } => false,
    }
}

impl Place {
    /// What clients of each sort offer. Those that name no host are of one sort.
    fn offers(&self) -> Vec<Offer> {
        match self.name {
            None => vec![Offer::default()],
            Some(_) => Version::ALL.map(|version| Offer { version: Some(version), kind: None }).to_vec(),
        }
    }

    async fn look_before(&mut self) {
        let Ok(resolved) = resolve(&self.address).await else { return };
        for offer in self.offers() {
            let look = if self.resumes {
                probe::begin(resolved, self.name.as_ref(), offer).await.map(|(served, session)| {
                    self.sessions.push(session);
                    served
                })
            } else {
                probe::handshake(resolved, self.name.as_ref(), offer).await
            };
            self.looks.push(Look::of(look));
        }
    }

    /// Looks again, and whether the server resumes a session from before.
    async fn look_after(&mut self) -> (Vec<Look>, bool) {
        let mut looks = Vec::new();
        let Ok(resolved) = resolve(&self.address).await else { return (looks, false) };
        for offer in self.offers() {
            looks.push(Look::of(probe::handshake(resolved, self.name.as_ref(), offer).await));
        }
        let mut resumed = false;
        for session in std::mem::take(&mut self.sessions) {
            resumed |= session.resumes().await.unwrap_or(false);
        }
        (looks, resumed)
    }

    /// Notes what differs.
    fn compare(
        &self,
        after: &[Look],
        resumed: bool,
        is_next: impl Fn(&NodeName, &Served, &Served) -> bool,
        changes: &mut Changes,
    ) {
        let mut note = |noticed, what: String| {
            let names = changes.entry((noticed, self.node.clone(), self.address.to_string(), what)).or_default();
            names.extend(self.name.as_ref().map(Identifier::human));
        };
        let Some(name) = &self.name else {
            if let ([Look::Served(before)], [after]) = (&self.looks[..], after) {
                default_certificate(before, after, |after| is_next(&self.node, before, after), note);
            }
            return;
        };
        let pairs = || self.looks.iter().zip(after).zip(Version::ALL);
        // A name that was not served before, but by chance of the default, has nothing to compare.
        let served = |look: &Look| look.served().is_some_and(|served| is_for(name, served));
        let was_served = self.looks.iter().any(served) && after.iter().any(served);
        if !was_served {
            return;
        }
        for ((before, after), version) in pairs() {
            match (before, after) {
                (Look::Served(before), Look::Served(after)) => {
                    if before.cipher != after.cipher {
                        let what = format!("chooses {} instead of {} over {version}", after.cipher, before.cipher);
                        note(Noticed::Cipher, what);
                    }
                    if before.alpn != after.alpn {
                        let what = format!("chooses {} instead of {}", protocol(after), protocol(before));
                        note(Noticed::Alpn, what);
                    }
                }
                (Look::Served(_), Look::Refused) => note(Noticed::Protocol, format!("no longer speaks {version}")),
                (Look::Refused, Look::Served(_)) => note(Noticed::Protocol, format!("speaks {version} as well")),
                _ => {}
            }
        }
        let is_another = pairs().any(|((before, after), _)| {
            before.served().zip(after.served()).is_some_and(|(before, after)| before.leaf != after.leaf)
        });
        if resumed && is_another {
            note(
                Noticed::Resumption,
                "goes on showing the old certificate to clients that resume a session".to_owned(),
            );
        }
    }
}

fn default_certificate(
    before: &Served,
    after: &Look,
    is_next: impl Fn(&Served) -> bool,
    mut note: impl FnMut(Noticed, String),
) {
    let now = match after {
        Look::Served(after) if after.leaf == before.leaf || is_next(after) => return,
        Look::Served(after) => describe(after),
        Look::Refused => "no certificate".to_owned(),
        Look::Nothing => return,
    };
    let what = format!("shows clients that name no host {now}, instead of {}", describe(before));
    note(Noticed::DefaultCertificate, what);
}

fn is_for(name: &Identifier, served: &Served) -> bool {
    Facts::read(&served.leaf, 0).is_some_and(|facts| facts.covers(name))
}

fn protocol(served: &Served) -> &str {
    served.alpn.as_deref().unwrap_or("no application protocol")
}

impl Look {
    fn of(look: Result<Served, probe::Error>) -> Self {
        match look {
            Ok(served) => Self::Served(Box::new(served)),
            Err(probe::Error::Refused { .. }) => Self::Refused,
            Err(_) => Self::Nothing,
        }
    }

    fn served(&self) -> Option<&Served> {
        match self {
            Self::Served(served) => Some(served),
            _ => None,
        }
    }
}

impl Warning {
    fn of(((kind, node, address, what), names): ((Noticed, NodeName, String, String), BTreeSet<String>)) -> Self {
        let names: Vec<_> = names.into_iter().collect();
        let of = if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) };
        let message = match kind {
            Noticed::Resumption => format!("{address} {what}{of}, until their tickets expire"),
            _ => format!("since this change {address} {what}{of}"),
        };
        Self { kind, node, address, message }
    }

    /// Whether it is as it has to be, and only good to know.
    #[must_use]
    pub fn is_notice(&self) -> bool {
        self.kind == Noticed::Resumption
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}: {}", self.node, self.message)
    }
}
