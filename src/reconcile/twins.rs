//! Why clients are shown something wrong: always, only those of one kind, or now and then, because several processes accept
//! connections at one address.
//!
//! Linux shares the clients of an address among all sockets that are bound to it with `SO_REUSEPORT`, as `HAProxy` binds (socket(7)).
//! So a process that somebody forgot takes its part of them, with the certificates that it started with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::future::join_all;

use super::Error;
use super::verify::{Question, Wrong, resolve};
use crate::model::{Authority, Facts, Identifier, Sha256};
use crate::probe::{self, Listener, Offer, Served};

/// How many handshakes go on at the same time to learn whether all clients are shown the same, and how often that is done while
/// they agree: two processes that share clients agree eight times once in 128 times, and 32 times never in practice.
const HANDSHAKES: usize = 8;
const ROUNDS: usize = 4;

/// Handshakes with an address that disagree, and the processes that accept connections there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twins {
    address: Authority,
    /// For which was asked.
    name: Identifier,
    /// How many handshakes were answered.
    handshakes: usize,
    /// How many of them showed what.
    found: String,
    listeners: Vec<Listener>,
    /// The one that answers for the node.
    pid: u32,
}

/// Looks again at what was wrong, and says what exactly it is; nothing, when it has passed.
pub(super) async fn inquire(question: &Question<'_>, wrong: Wrong) -> Result<(), Error> {
    let Ok(address) = resolve(question.address).await else {
        return Err(question.not_served(&wrong.found, Offer::default()));
    };
    let mut shown = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let handshakes = (0..HANDSHAKES).map(|_| probe::handshake(address, Some(&question.name), wrong.offer));
        // One that was not answered tells nothing.
        let is_answer = |shown: &_| matches!(shown, Ok(_) | Err(probe::Error::Refused { .. }));
        let answers: Vec<_> = join_all(handshakes).await.into_iter().filter(is_answer).collect();
        for answer in &answers {
            *counts.entry(said(question, answer.as_ref())).or_default() += 1;
        }
        shown.extend(answers);
        if counts.len() != 1 {
            break;
        }
    }
    if counts.len() > 1 {
        let counts: Vec<_> = counts.into_iter().map(|(said, count)| format!("{count} {said}")).collect();
        let listeners = tokio::task::spawn_blocking(move || probe::listeners(address)).await.unwrap_or_default();
        let twins = Twins {
            address: question.address.clone(),
            name: question.name.clone(),
            handshakes: shown.len(),
            found: counts.join(" and "),
            listeners,
            pid: question.pid,
        };
        return Err(Error::Twins { node: question.node.clone(), twins: Box::new(twins) });
    }
    let found = match shown.into_iter().next() {
        Some(Ok(served)) => match question.judge(&served) {
            Ok(()) => return Ok(()),
            Err(found) => {
                let others = probe::handshake(address, Some(&question.name), Offer::default()).await;
                let is_for_all = others.is_ok_and(|others| leaf(&others) == leaf(&served));
                return Err(question.not_served(&found, if is_for_all { Offer::default() } else { wrong.offer }));
            }
        },
        _ => wrong.found,
    };
    let others = probe::handshake(address, Some(&question.name), Offer::default()).await;
    Err(question.not_served(&found, if others.is_ok() { wrong.offer } else { Offer::default() }))
}

/// What a handshake showed, in as few words as tell it from others.
fn said(question: &Question<'_>, shown: Result<&Served, &probe::Error>) -> String {
    match shown {
        Ok(served) => {
            let serial = Facts::read(&served.leaf, 0).map_or_else(String::new, |facts| format!(" {}", facts.serial));
            let is_leaf = leaf(served) == question.expected.facts.sha256;
            let chain = if is_leaf && question.judge(served).is_err() { " with another chain" } else { "" };
            format!("showed serial{serial}{chain}")
        }
        Err(probe::Error::Refused { alert, .. }) => format!("were refused ({alert})"),
        Err(error) => error.to_string(),
    }
}

fn leaf(served: &Served) -> Sha256 {
    Sha256::of(&served.leaf)
}

/// Those that accept connections beside a node and do not belong to it; nobody, where the node's own process is not seen among them.
#[must_use]
pub fn strangers(listeners: &[Listener], pid: u32) -> Vec<&Listener> {
    let own: BTreeSet<_> =
        listeners.iter().filter(|listener| listener.pid == pid).flat_map(|own| &own.sockets).collect();
    let is_strange = |listener: &&Listener| !listener.sockets.iter().any(|socket| own.contains(socket));
    if own.is_empty() { Vec::new() } else { listeners.iter().filter(is_strange).collect() }
}

impl Twins {
    /// What to do about it, for people.
    pub(super) fn hint(&self) -> String {
        let strangers = strangers(&self.listeners, self.pid);
        if strangers.is_empty() {
            return format!(
                "find them by `ss -ltnp 'sport = :{}'` as root; the HAProxy of this node calls itself process {}; end the \
                 other one: an old HAProxy ends its connections and goes by `kill -USR1 PID`",
                self.address.port, self.pid
            );
        }
        let (who, pids): (Vec<_>, Vec<_>) =
            strangers.iter().map(|stranger| (describe(stranger), stranger.pid.to_string())).unzip();
        format!(
            "{} does not belong to the HAProxy of this node, which is process {}: end it by `kill -USR1 {}`, by which an old \
             HAProxy ends its connections and goes",
            who.join(" and "),
            self.pid,
            pids.join(" ")
        )
    }
}

/// As in "process 97 (haproxy) and process 812 (haproxy) answer there".
impl fmt::Display for Twins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, name, handshakes, found, .. } = self;
        write!(f, "of {handshakes} handshakes with {address} for {} {found}: ", name.human())?;
        let listeners: Vec<_> = self.listeners.iter().map(describe).collect();
        match &listeners[..] {
            [] | [_] => f.write_str("more than one process answers there"),
            [others @ .., last] => write!(f, "{} and {last} answer there", others.join(", ")),
        }
    }
}

fn describe(listener: &Listener) -> String {
    format!("process {} ({})", listener.pid, listener.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twins(listeners: &[(u32, u64)]) -> Twins {
        let listener = |&(pid, socket)| Listener { pid, name: "haproxy".to_owned(), sockets: BTreeSet::from([socket]) };
        Twins {
            address: "[::1]:443".parse().unwrap(),
            name: "a.test".parse().unwrap(),
            handshakes: 8,
            found: "3 showed serial 0a and 5 showed serial 0b".to_owned(),
            listeners: listeners.iter().map(listener).collect(),
            pid: 97,
        }
    }

    #[test]
    fn who_shares_a_socket_with_the_node_belongs_to_it() {
        let found = twins(&[(96, 1), (97, 1), (812, 2)]);
        let expected = "of 8 handshakes with [::1]:443 for a.test 3 showed serial 0a and 5 showed serial 0b: \
                        process 96 (haproxy), process 97 (haproxy) and process 812 (haproxy) answer there";
        assert_eq!(found.to_string(), expected);
        assert!(found.hint().contains("`kill -USR1 812`"), "{}", found.hint());
    }

    #[test]
    fn nobody_is_accused_where_the_own_process_is_not_seen() {
        for found in [twins(&[]), twins(&[(1, 1), (2, 2)])] {
            assert!(found.hint().contains("`ss -ltnp 'sport = :443'`"), "{}", found.hint());
        }
        assert!(twins(&[]).to_string().ends_with(": more than one process answers there"));
    }
}
