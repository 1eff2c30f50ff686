//! Deciding what is due, ordering it, and storing the generation.
//!
//! Owns the road from a configured certificate to a stored generation: the pre-flight, the account, the order with its
//! journal, the challenges, the gate. It never talks to `HAProxy`: what it stores is brought there by
//! [`reconcile`](crate::reconcile), tokens for `HAProxy`'s maps included.
//!
//! One process at a time orders a certificate: it holds the certificate's lock, and looks again once it has it. What an
//! authority says about the right time, what failed, and what was asked of an authority is on disk, so that a timer's commands
//! and a daemon behave alike. A [`round`](Renewer::round) looks at many certificates; it holds up none for another. Which of
//! several issuers is asked, and which one instead, is told in `turn.rs`.

mod account;
mod answer;
mod ari;
mod authority;
mod choice;
mod error;
mod failed;
mod internal;
mod kind;
mod listeners;
mod manage;
mod order;
mod outlook;
mod preflight;
mod records;
mod rehearsal;
mod revoke;
mod round;
mod turn;

use std::net::SocketAddr;
use std::time::Duration;

pub use choice::check;
pub use error::Error;
use listeners::Listeners;
pub use manage::{Change, Standing};
use order::Attempt;
pub use order::connect_within;
pub use outlook::{Due, Forecast, Why};
pub use preflight::{Asked, Misrouted, Obstacle, Trial, haproxy_lines, where_to_ask};
pub use rehearsal::Rehearsal;
pub use revoke::By;
pub use round::Round;
use turn::{Standings, Turn};

use tokio_util::sync::CancellationToken;

use crate::acme::Http;
use crate::bundle::Trust;
use crate::clock::Clock;
use crate::config::{Certificate, Issuer};
use crate::model::CertName;
use crate::probe::dns::Resolver;
use crate::schedule::Purpose;
use crate::solver::{Listener, Responder};
use crate::store::{self, CertLock, Hold, Store};

/// How long another process may take to order the same certificate before we give up waiting for it.
const LOCK_DEADLINE: Duration = Duration::from_mins(5);

/// How long an order that is under way may go on after a stop. An answer that is taken away while the authority asks for it fails
/// the order; most authorities are through with it by then, and a service manager's patience is longer.
pub const GRACE: Duration = Duration::from_secs(3);

/// Gets certificates from authorities into the store.
pub struct Renewer<'a> {
    /// Where they are stored.
    pub store: &'a Store,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Roots that may end a chain.
    pub trust: &'a Trust,
    /// What answers challenges, for all orders in progress.
    listeners: Listeners<Listener>,
    responders: Listeners<Responder>,
    /// Tells what an authority is told by the DNS.
    resolver: Resolver,
    stop: CancellationToken,
}

impl<'a> Renewer<'a> {
    /// A renewer; the orders of one share what answers challenges, so there is best one in a process.
    #[must_use]
    pub fn new(store: &'a Store, clock: &'a dyn Clock, trust: &'a Trust) -> Self {
        Self {
            store,
            clock,
            trust,
            listeners: Listeners::default(),
            responders: Listeners::default(),
            resolver: Resolver::new(&[]),
            stop: CancellationToken::new(),
        }
    }

    /// Asks these DNS servers; without any, those of the system.
    #[must_use]
    pub fn asking(self, servers: &[SocketAddr]) -> Self {
        Self { resolver: Resolver::new(servers), ..self }
    }

    /// Once `stop` is cancelled, a round begins no further order; whoever waits for those that are under way gives them [`GRACE`].
    #[must_use]
    pub fn stopped_by(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }
}

/// What [`Renewer::obtain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obtained {
    /// Nothing: the stored generation is good.
    Kept(u64),
    /// It ordered, and stored this generation.
    Ordered(u64),
}

/// Who wants an order, and how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It is done when it is time, and not while something failed a moment ago.
    Scheduled,
    /// Somebody asks for it: only what the other side demanded is waited for.
    Asked,
    /// Somebody insists.
    Forced,
}

impl Manner {
    fn respects(self, hold: &Hold) -> bool {
        match self {
            Self::Scheduled => true,
            Self::Asked => hold.demanded,
            Self::Forced => false,
        }
    }
}

impl Renewer<'_> {
    /// Orders a certificate if it is due, and stores it. Somebody asks for it, so earlier failures do not put it off; that the
    /// authority wants us to wait does, unless it is forced.
    pub async fn obtain(&self, certificate: &Certificate, force: bool) -> Result<Obtained, Error> {
        let manner = if force { Manner::Forced } else { Manner::Asked };
        let Some(mut turn) = Turn::of(certificate) else {
            return Err(Error::NotOrdered { name: certificate.name.clone() });
        };
        loop {
            // On the heap, for it is large.
            if let Some(obtained) = Box::pin(self.order_if_due(&mut turn, manner, None)).await? {
                return Ok(obtained);
            }
        }
    }

    /// Orders a certificate from the next issuer, if it is due under its lock; `None` when the one after that is to be asked. With
    /// `at` it is that one or none, which has just been asked what time it is.
    async fn order_if_due<'c>(
        &self,
        turn: &mut Turn<'c>,
        manner: Manner,
        at: Option<(&'c Issuer, Option<&Http>)>,
    ) -> Result<Option<Obtained>, Error> {
        let Turn { certificate, order, .. } = *turn;
        let name = &certificate.name;
        check(certificate)?;
        let Some(&key_type) = order.keys.first() else { return Err(Error::NotOrdered { name: name.clone() }) };
        let (_turn, lock) = self.lock_to_order(certificate).await?;
        let mut asked: Option<(&Issuer, Http)> = None;
        loop {
            // Looked at under the lock: another process may just have ordered it, or met a failure.
            let seen = self.look_at(turn, manner, &mut Standings::new(self))?;
            let why = match seen.outlook.due {
                Due::Now(why) => why,
                Due::NotBefore(_) if manner == Manner::Forced => Why::Forced,
                // Whether what was revoked is to be replaced is for people to say, and whoever asks for it has said so.
                Due::NotBefore(_) if manner == Manner::Asked && seen.outlook.is_revoked => Why::Revoked,
                Due::NotBefore(at) => {
                    tracing::info!(certificate = %name, due = %at, "the stored certificate is good");
                    // A crash may have closed the journal and left the key of an order that is over.
                    self.store.drop_journal(&lock)?;
                    return Ok(Some(Obtained::Kept(seen.outlook.number.unwrap_or_default())));
                }
            };
            let Some(issuer) = seen.next else {
                let held = seen.hold.map(|hold| Error::held(name, hold));
                return Err(turn.failure().or(held).unwrap_or_else(|| Error::NotOrdered { name: name.clone() }));
            };
            if let Some((expected, _)) = at.filter(|(expected, _)| expected.name != issuer.name) {
                turn.give_up(expected, None);
                return Ok(None);
            }
            let Some(directory) = &issuer.directory else {
                tracing::info!(certificate = %name, issuer = issuer.name, reason = why.as_str(), "issuing the certificate");
                return match self.issue_internally(&lock, certificate, issuer, key_type) {
                    Err(error) if error.is_of_issuer() => {
                        turn.give_up(issuer, Some(error));
                        Ok(None)
                    }
                    outcome => outcome.map(|number| Some(Obtained::Ordered(number))),
                };
            };
            let http = match (at.and_then(|(_, http)| http), &asked) {
                (Some(http), _) => Ok(http.clone()),
                (None, Some((of, http))) if of.name == issuer.name => Ok(http.clone()),
                // A clock that is ahead makes everything look due.
                (None, _) if why.is_timed() => match self.contact(issuer, directory, &seen.standing).await {
                    Ok((http, _)) => {
                        asked = Some((issuer, http));
                        continue;
                    }
                    Err(error) => Err(error),
                },
                (None, _) => order::connect(issuer),
            };
            let http = match http {
                Ok(http) => http,
                Err(error) => {
                    turn.give_up(issuer, Some(error));
                    return Ok(None);
                }
            };
            tracing::info!(certificate = %name, issuer = issuer.name, reason = why.as_str(), "ordering the certificate");
            let attempt = Attempt {
                renewer: self,
                lock: &lock,
                certificate,
                issuer,
                directory,
                key_type,
                http: &http,
                outlook: &seen.outlook,
                standing: &seen.standing,
                // A person who asks may use the reserve.
                purpose: if manner == Manner::Scheduled { seen.outlook.purpose() } else { Purpose::Emergency },
                is_rehearsal: false,
            };
            // On the heap, for it is large, and there may be several at once.
            return match Box::pin(attempt.renew(&order.solvers, why)).await {
                Ok(number) => Ok(Some(Obtained::Ordered(number))),
                Err(error) => {
                    // Of what somebody tried once, and is neither configured nor remembered, nothing is left.
                    attempt.note(&error, at.is_some() || seen.outlook.current.is_some());
                    if !error.is_of_issuer() || self.stop.is_cancelled() {
                        return Err(error);
                    }
                    turn.give_up(issuer, Some(error));
                    Ok(None)
                }
            };
        }
    }

    /// Takes the lock of a certificate, after that of both kinds where it is one of two: while an order is open, an authority may
    /// answer another one for the same names with that same order (Boulder does).
    async fn lock_to_order(&self, certificate: &Certificate) -> Result<(Option<CertLock>, CertLock), Error> {
        let both = match certificate.kind {
            Some(_) => Some(self.lock(&certificate.configured_name()).await?),
            None => None,
        };
        Ok((both, self.lock(&certificate.name).await?))
    }

    /// Takes the lock of a certificate, waiting for another process that has it.
    pub async fn lock(&self, name: &CertName) -> Result<CertLock, Error> {
        if let Some(lock) = self.store.try_lock_certificate(name)? {
            return Ok(lock);
        }
        tracing::info!(certificate = %name, "another hotcert is at work on it; waiting");
        store::until(LOCK_DEADLINE, || self.store.try_lock_certificate(name))
            .await?
            .ok_or_else(|| Error::Busy { name: name.clone(), waited: LOCK_DEADLINE })
    }
}
