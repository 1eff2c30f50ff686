//! Proof: real handshakes, on the addresses where clients come in, for every name of every certificate.
//!
//! A client of the kind of key that a certificate has is to get it, over each version of TLS that is spoken there: with the leaf
//! and the chain that were stored. Where few names are to be proved they are asked for several times, because several processes
//! may answer at one address; in a round of many each is asked for once.
//!
//! A process without any network, such as the loader under systemd, cannot shake hands. That is no failure of the certificate.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Once;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::{Error, Reconciler, Scope, Seen, Stored, twins};
use crate::model::{Authority, CertName, Facts, Identifier, KeyKind, NodeName, Sha256};
use crate::probe::{self, Offer, Served, Version};
use crate::store::Generation;

/// How often a handshake that shows something else is repeated, and how long it waits before: a process that is going away may
/// still answer.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(300);
/// How long a name such as `localhost` may take to resolve.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
/// How many handshakes go on at the same time: enough to wait for nobody, and few enough that clients feel nothing of it.
pub(super) const AT_ONCE: usize = 8;
/// How many handshakes a round takes for names to be asked for more than once over each version of TLS. One costs `HAProxy` up to
/// 2 ms.
const HANDSHAKES: usize = 16;
/// How often one name is asked for over each version, at most: of two processes at one address each answers half of the clients,
/// so that one in 256 pairs escapes.
const REPEATED: usize = 4;
/// For more names than this, each is asked for once, by a client that speaks every version.
pub(super) const CAREFUL: usize = 64;
/// How many failures of a round are looked into for their cause. More of them have the same.
const INQUIRIES: usize = 8;

/// Said once for a process, which gets no network later.
static WITHOUT_NETWORK: Once = Once::new();

/// The outcome for each certificate on each node with an address to ask.
pub(super) type Handshakes = BTreeMap<(NodeName, CertName), Result<(), Misserved>>;

/// Clients get something else.
pub(super) struct Misserved {
    /// What is wrong.
    pub(super) error: Error,
    /// End of validity of what they are shown instead.
    pub(super) not_after: Option<Timestamp>,
}

/// What is to be proved: that clients who want a name get its certificate at an address.
pub(super) struct Question<'a> {
    pub(super) node: &'a NodeName,
    /// The process that answers for the node.
    pub(super) pid: u32,
    pub(super) address: &'a Authority,
    pub(super) name: Identifier,
    /// The only kind of key that the client can use.
    kind: Option<KeyKind>,
    /// The certificate that is to be proved.
    certificate: &'a CertName,
    /// The certificate that should serve the name.
    pub(super) owner: &'a CertName,
    pub(super) expected: &'a Generation,
}

/// What is wrong with what a client gets.
pub(super) struct Wrong {
    /// What the client offers.
    pub(super) offer: Offer,
    /// What it is shown, in words.
    pub(super) found: String,
    /// End of its validity.
    pub(super) not_after: Option<Timestamp>,
    /// Whether it is shown a certificate at all.
    pub(super) is_shown: bool,
    /// Whether somebody answers who speaks TLS.
    pub(super) is_answered: bool,
}

/// Shakes hands as a client that wants `name`, and can use keys of one kind alone.
pub(super) async fn shake(
    address: &Authority,
    name: &Identifier,
    kind: Option<KeyKind>,
) -> Result<Served, probe::Error> {
    probe::handshake(resolve(address).await?, Some(name), Offer { version: None, kind }).await
}

pub(super) async fn resolve(address: &Authority) -> Result<SocketAddr, probe::Error> {
    let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
    let found = tokio::time::timeout(RESOLVE_DEADLINE, lookup).await.ok().and_then(Result::ok);
    let unknown = || probe::Error::Unresolvable { name: Identifier::Dns(address.host.clone()), source: None };
    found.and_then(|mut addresses| addresses.next()).ok_or_else(unknown)
}

impl Reconciler<'_> {
    /// One look at every name of the scope.
    pub(super) async fn handshakes(&self, scope: Scope<'_>, stored: &Stored, seen: &Seen) -> Handshakes {
        self.shake_hands(scope, stored, seen, 1).await
    }

    /// The same after a change: what is wrong at first is looked at again.
    pub(super) async fn prove(&self, scope: Scope<'_>, stored: &Stored, seen: &Seen) -> Handshakes {
        self.shake_hands(scope, stored, seen, ATTEMPTS).await
    }

    async fn shake_hands(&self, scope: Scope<'_>, stored: &Stored, seen: &Seen, attempts: usize) -> Handshakes {
        let questions = questions(scope, stored, seen);
        let mut answers = Vec::new();
        let mut open: Vec<usize> = (0..questions.len()).collect();
        answers.resize_with(questions.len(), || None);
        for attempt in 1..=attempts {
            // What was wrong once may be right by chance.
            let times = if attempt == 1 { times(questions.len()) } else { Some(REPEATED) };
            let mut asked = Vec::new();
            for batch in open.chunks(AT_ONCE) {
                asked.extend(join_all(batch.iter().map(|&at| questions[at].ask(times))).await);
            }
            for (&at, answer) in open.iter().zip(asked) {
                let address = questions[at].address;
                let is_beside =
                    |wrong: &Wrong| !wrong.is_shown && (self.is_behind_unreachable(address, seen) || cannot_ask());
                answers[at] = (!answer.as_ref().is_err_and(is_beside)).then_some(answer);
            }
            open.retain(|&at| matches!(answers[at], Some(Err(_))));
            if open.is_empty() {
                break;
            }
            if attempt < attempts {
                tokio::time::sleep(PAUSE).await;
            }
        }
        let mut handshakes = Handshakes::new();
        let mut inquiries = 0;
        for (question, answer) in questions.iter().zip(answers) {
            let Some(answer) = answer else { continue };
            let key = (question.node.clone(), question.certificate.clone());
            let known = handshakes.entry(key).or_insert(Ok(()));
            // The first that is wrong is told.
            if known.is_ok()
                && let Err(wrong) = answer
            {
                let not_after = wrong.not_after;
                let outcome = if wrong.is_answered && inquiries < INQUIRIES {
                    inquiries += 1;
                    twins::inquire(question, wrong).await
                } else {
                    Err(question.not_served(&wrong.found, Offer::default()))
                };
                *known = outcome.map_err(|error| Misserved { error, not_after });
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
}

/// Everything that is to be proved in a scope.
fn questions<'a>(scope: Scope<'_>, stored: &'a Stored, seen: &'a Seen) -> Vec<Question<'a>> {
    let mut questions = Vec::new();
    for (node, view) in &seen.views {
        for (certificate, want) in &view.desired.certificates {
            // What HAProxy does not even hold needs no client to tell of it.
            if scope.is_some_and(|scope| !scope.contains(certificate)) || !want.is_held_in(&view.actual) {
                continue;
            }
            for name in want.answers() {
                let owner = view.owner(want, &name).unwrap_or(certificate);
                let Some(expected) = stored.generations.get(owner) else { continue };
                questions.extend(view.node.verify.iter().map(|address| {
                    let (pid, name, kind) = (view.info.pid, name.clone(), want.facts.kind());
                    Question { node, pid, address, name, kind, certificate, owner, expected }
                }));
            }
        }
    }
    questions
}

/// How often each of so many names is asked for over each version; `None` for once over whichever version comes about.
fn times(questions: usize) -> Option<usize> {
    let versions = Version::ALL.len();
    (questions <= CAREFUL).then(|| (HANDSHAKES / (questions * versions).max(1)).clamp(1, REPEATED))
}

impl Question<'_> {
    /// Asks so many times over each version. One that is not spoken there is no failure as long as another one is.
    async fn ask(&self, times: Option<usize>) -> Result<(), Wrong> {
        let kind = self.kind;
        let any = Offer { version: None, kind };
        let of = |error: &probe::Error| Wrong {
            offer: any,
            found: format!("no certificate ({error})"),
            not_after: None,
            is_shown: false,
            is_answered: matches!(error, probe::Error::Refused { .. }),
        };
        let address = resolve(self.address).await.map_err(|error| of(&error))?;
        let offers = match times {
            None => vec![any],
            Some(times) => Version::ALL.map(|version| Offer { version: Some(version), kind }).repeat(times),
        };
        let mut refused = None;
        let mut is_proved = false;
        for offer in offers {
            match probe::handshake(address, Some(&self.name), offer).await {
                Ok(served) => {
                    self.judge(&served).map_err(|found| {
                        let not_after = Facts::read(&served.leaf, 0).map(|facts| facts.not_after);
                        Wrong { offer, found, not_after, is_shown: true, is_answered: true }
                    })?;
                    is_proved = true;
                }
                Err(error @ probe::Error::Refused { .. }) => refused = Some(error),
                Err(error) => return Err(of(&error)),
            }
        }
        match refused {
            Some(error) if !is_proved => Err(of(&error)),
            _ => Ok(()),
        }
    }

    /// What a client was shown, in words, when it is not what it should be.
    pub(super) fn judge(&self, served: &Served) -> Result<(), String> {
        let expected = self.expected;
        if Sha256::of(&served.leaf) != expected.facts.sha256 {
            return Err(describe(served));
        }
        let shown: Vec<_> = served.chain.iter().map(|der| Sha256::of(der)).collect();
        if shown != expected.chain {
            let (shown, expected) = (shown.len(), expected.chain.len());
            return Err(format!("the right leaf with another chain ({shown} certificates, not {expected})"));
        }
        Ok(())
    }

    pub(super) fn not_served(&self, found: &str, offer: Offer) -> Error {
        Error::NotServed {
            node: self.node.clone(),
            address: self.address.to_string(),
            name: self.name.human(),
            offer,
            found: format!("{found}, not serial {} of certificate {}", self.expected.facts.serial, self.owner),
        }
    }
}

/// What a leaf is, in words.
pub(super) fn describe(served: &Served) -> String {
    let Some(facts) = Facts::read(&served.leaf, served.chain.len()) else { return "another certificate".to_owned() };
    let names: Vec<_> = facts.names.iter().map(Identifier::human).collect();
    format!("serial {} for {}, valid until {}", facts.serial, names.join(", "), facts.not_after)
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
