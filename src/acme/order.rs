//! Orders (RFC 8555, section 7.4), step by step.
//!
//! ```text
//! pending --(every name validated)--> ready --finalize--> processing --> valid
//!    |                                  |                     |
//!    +----------------------------------+---------------------+-------> invalid
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use instant_acme::{AuthorizationStatus, OrderStatus};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use tracing::trace;

use super::account::Signer;
use super::answer::{retry_at, sent_at};
use super::authorization::Authorization;
use super::challenge::to_library;
use super::http::{call, is_usable};
use super::patience::again;
use super::problem::{Problem, sanitised};
use super::{Challenge, Error, chain, csr};
use crate::bundle::PrivateKey;
use crate::model::{ChallengeKind, Identifier};

/// The first pause between two looks at an order; each is half as long again as the one before. `Retry-After` goes before.
const FIRST_POLL: Duration = Duration::from_millis(250);

/// The longest pause between two looks, where the authority does not ask for a longer one.
const LONGEST_POLL: Duration = Duration::from_secs(5);

/// How often an order is finalised that the authority says is not ready, although it said before that it is: its servers may
/// not agree yet.
const FINALISE_ATTEMPTS: u32 = 4;

/// How far an order has come (section 7.1.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Names are to be validated.
    Pending,
    /// To be finalised.
    Ready,
    /// The certificate is being issued.
    Processing,
    /// The certificate is there.
    Valid,
    /// It failed, and is of no use any more.
    Invalid,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
        })
    }
}

/// An order. Its status is what the authority said last.
pub struct Order {
    library: instant_acme::Order,
    signer: Arc<Signer>,
    /// The root to which the chain should lead.
    preferred: Option<String>,
    status: Status,
    /// What was asked for.
    identifiers: Vec<Identifier>,
    expires: Option<Timestamp>,
    retry_at: Option<Timestamp>,
    /// The authority's time when it last answered.
    seen_at: Timestamp,
}

/// The fields of an order's object that instant-acme drops.
#[derive(Deserialize)]
struct Dropped {
    #[serde(default)]
    expires: Value,
    identifiers: Vec<Named>,
}

/// An identifier of an order (RFC 8555, section 7.1.3).
#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) value: String,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order({}, {})", self.url(), self.status)
    }
}

impl Order {
    /// An order for these names, as the authority's answer has it.
    pub(super) fn new(
        library: instant_acme::Order,
        signer: &Arc<Signer>,
        identifiers: &[Identifier],
        answer: Option<Response<Bytes>>,
    ) -> Result<Self, Error> {
        let mut order = Self {
            library,
            signer: signer.clone(),
            preferred: None,
            status: Status::Pending,
            identifiers: identifiers.to_vec(),
            expires: None,
            retry_at: None,
            seen_at: Timestamp::now(),
        };
        order.observe(answer)?;
        Ok(order)
    }

    /// The order's URL, by which it can be [resumed](super::Account::resume).
    #[must_use]
    pub fn url(&self) -> &str {
        self.library.url()
    }

    /// How far it has come.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The names that the certificate is asked for.
    #[must_use]
    pub fn identifiers(&self) -> &[Identifier] {
        &self.identifiers
    }

    /// When the authority forgets it, where it says so.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// The challenges to answer, of the kind that is chosen for each name among those that are offered and known. Names that the
    /// authority has validated before need none, so there may be none at all.
    pub async fn challenges(
        &mut self,
        mut choose: impl FnMut(&Identifier, &[ChallengeKind]) -> Option<ChallengeKind>,
    ) -> Result<Vec<Challenge>, Error> {
        let mut challenges = Vec::new();
        let mut failures = Vec::new();
        for authorization in self.authorizations().await? {
            match authorization.status {
                AuthorizationStatus::Valid => {}
                AuthorizationStatus::Pending => {
                    let chosen = choose(&authorization.identifier, &authorization.kinds());
                    challenges.push(authorization.challenge(chosen, self.signer.key.thumbprint())?);
                }
                _ => failures.push(authorization.failure()),
            }
        }
        if failures.is_empty() { Ok(challenges) } else { Err(Error::AuthorizationFailed { failures }) }
    }

    /// Tells the authority that a challenge can be answered now (section 7.5.1). One that was declared ready before is left
    /// alone.
    pub async fn ready(&mut self, challenge: &Challenge) -> Result<(), Error> {
        if challenge.begun {
            return Ok(());
        }
        again!(call(async {
            let mut authorizations = self.library.authorizations();
            while let Some(authorization) = authorizations.next().await {
                let mut authorization = authorization?;
                if let Some(mut handle) = authorization.challenge(to_library(challenge.kind))
                    && handle.url == challenge.url
                {
                    return match handle.set_ready().await {
                        // The validation failed at once, which `await_ready` reports by name.
                        Err(instant_acme::Error::Api(_)) => Ok(()),
                        other => other,
                    };
                }
            }
            Err(instant_acme::Error::Str("a challenge is gone"))
        }))?;
        trace!(target: "hotcert::step", "acme: challenge ready");
        Ok(())
    }

    /// Waits until every name is validated, or one is refused.
    pub async fn await_ready(&mut self, deadline: Duration) -> Result<(), Error> {
        self.poll(deadline, |status| status != Status::Pending).await?;
        if self.status != Status::Invalid {
            return Ok(());
        }
        let failures: Vec<_> = self
            .authorizations()
            .await?
            .iter()
            .filter(|found| !matches!(found.status, AuthorizationStatus::Valid | AuthorizationStatus::Pending))
            .map(Authorization::failure)
            .collect();
        if failures.is_empty() { Err(self.invalid()) } else { Err(Error::AuthorizationFailed { failures }) }
    }

    /// Asks for the certificate (section 7.4), with the caller's key, which is journalled. An order that was finalised before,
    /// as after a crash, is left alone.
    pub async fn finalize(&mut self, key: &PrivateKey) -> Result<(), Error> {
        if matches!(self.status, Status::Processing | Status::Valid) {
            return Ok(());
        }
        if self.status == Status::Invalid {
            return Err(self.invalid());
        }
        let csr = csr::request(&self.identifiers, key)?;
        let mut pause = FIRST_POLL;
        for attempt in 1.. {
            match again!(call(self.library.finalize_csr(&csr))) {
                Ok((.., answer)) => {
                    self.observe(answer)?;
                    break;
                }
                // Its status says what to do (section 7.4).
                Err(Error::Refused(problem)) if problem.kind == "orderNotReady" && attempt < FINALISE_ATTEMPTS => {
                    tokio::time::sleep(pause).await;
                    pause += pause;
                    self.refresh().await?;
                    match self.status {
                        Status::Pending | Status::Ready => {}
                        Status::Processing | Status::Valid => break,
                        Status::Invalid => return Err(self.invalid()),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        trace!(target: "hotcert::step", "acme: order finalised");
        Ok(())
    }

    /// Wishes for a chain that ends at, or below, the authority with this common name, where one is offered (section 7.4.2).
    pub fn prefer_chain(&mut self, root: &str) {
        self.preferred = Some(root.to_owned());
    }

    /// Waits for the certificate and downloads it: leaf and intermediates in PEM, by the authority's default chain unless
    /// [another](Order::prefer_chain) is wished for.
    pub async fn certificate(&mut self, deadline: Duration) -> Result<String, Error> {
        self.poll(deadline, |status| matches!(status, Status::Valid | Status::Invalid)).await?;
        if self.status == Status::Invalid {
            return Err(self.invalid());
        }
        let (chain, answer) = again!(call(self.library.certificate()))?;
        trace!(target: "hotcert::step", "acme: certificate downloaded");
        let chain = chain.ok_or(Error::Incomplete { what: "a valid order without a certificate" })?;
        Ok(match (&self.preferred, answer) {
            (Some(root), Some(answer)) => chain::preferred(&self.signer, chain, answer.headers(), root).await,
            _ => chain,
        })
    }

    async fn poll(&mut self, deadline: Duration, done: impl Fn(Status) -> bool) -> Result<(), Error> {
        let end = Instant::now() + deadline;
        let mut pause = FIRST_POLL;
        while !done(self.status) {
            let asked = self.retry_at.take();
            let wait = asked.map_or(pause, |asked| between(self.seen_at, asked));
            if Instant::now() + wait > end {
                let url = self.url().to_owned();
                return Err(Error::OrderSlow { url, status: self.status, after: deadline, retry_at: asked });
            }
            tokio::time::sleep(wait).await;
            pause = (pause + pause / 2).min(LONGEST_POLL);
            self.refresh().await?;
        }
        Ok(())
    }

    async fn refresh(&mut self) -> Result<(), Error> {
        let ((), answer) = again!(call(async { self.library.refresh().await.map(drop) }))?;
        self.observe(answer)
    }

    /// Takes over what an answer with the order's object says, if it is the order that was asked for.
    fn observe(&mut self, answer: Option<Response<Bytes>>) -> Result<(), Error> {
        self.status = match self.library.state().status {
            OrderStatus::Pending => Status::Pending,
            OrderStatus::Ready => Status::Ready,
            OrderStatus::Processing => Status::Processing,
            OrderStatus::Valid => Status::Valid,
            OrderStatus::Invalid => Status::Invalid,
        };
        if let Some(answer) = answer {
            self.seen_at = sent_at(answer.headers());
            self.retry_at = retry_at(answer.headers(), self.seen_at);
            let order: Dropped = serde_json::from_slice(answer.body())
                .map_err(|_| Error::Incomplete { what: "an order without identifiers" })?;
            self.expires = order.expires.as_str().and_then(|instant| instant.parse().ok());
            self.check_names(&order.identifiers)?;
        }
        self.check_urls()
    }

    /// The certificate would be for other names; and whoever lets us prove them, may use that elsewhere.
    fn check_names(&self, found: &[Named]) -> Result<(), Error> {
        let parsed: Option<BTreeSet<Identifier>> = found.iter().map(|name| name.value.parse().ok()).collect();
        if parsed.is_some_and(|names| names.iter().eq(self.identifiers.iter().collect::<BTreeSet<_>>())) {
            return Ok(());
        }
        let found = found.iter().map(|name| name.value.as_str()).collect::<Vec<_>>().join(", ");
        Err(self.untrustworthy(&format!("it is for {}", if found.is_empty() { "no name" } else { &found })))
    }

    fn check_urls(&mut self) -> Result<(), Error> {
        let url = self.library.url().to_owned();
        let state = self.library.state();
        let of_authorizations = state.authorizations.iter().map(|authorization| &authorization.url);
        let (count, most) = (state.authorizations.len(), self.identifiers.len());
        let named = [&url, &state.finalize].into_iter().chain(&state.certificate).chain(of_authorizations);
        let what = match named.into_iter().find(|url| !is_usable(url)) {
            Some(bad) => format!("it names a URL that is not https: {bad}"),
            None if count > most => format!("it has {count} authorizations for {most} names"),
            None => return Ok(()),
        };
        Err(self.untrustworthy(&what))
    }

    fn untrustworthy(&self, what: &str) -> Error {
        Error::Untrustworthy { url: sanitised(self.url()), what: sanitised(what) }
    }

    async fn authorizations(&mut self) -> Result<Vec<Authorization>, Error> {
        let mut all = Vec::new();
        // One call for each: what a call has fetched is kept, so a refused nonce costs one attempt of one authorization.
        for index in 0..self.library.state().authorizations.len() {
            let (mut found, answer) = again!(call(async {
                let mut authorizations = self.library.authorizations();
                for _ in 0..index {
                    authorizations.next().await.transpose()?;
                }
                match authorizations.next().await.transpose()? {
                    Some(found) => Authorization::of(&found),
                    None => Err(instant_acme::Error::Str("an authorization is gone")),
                }
            }))?;
            found.complete(answer.as_ref());
            if let Some(what) = found.flaw(&self.identifiers) {
                return Err(self.untrustworthy(&what));
            }
            all.push(found);
        }
        Ok(all)
    }

    fn invalid(&mut self) -> Error {
        let reason = self.library.state().error.as_ref().map(|problem| Problem::from_library(problem).to_string());
        Error::OrderInvalid {
            url: sanitised(self.url()),
            reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
        }
    }
}

fn between(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or(Duration::ZERO)
}
