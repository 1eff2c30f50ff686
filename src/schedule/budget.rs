//! How much may be asked of an authority that counts.
//!
//! The limits are those of Let's Encrypt (its documentation "Rate Limits", August 2026): token buckets, each of which is full at
//! first and refills at a steady rate. What was spent is remembered as events, from which each bucket is computed.

use std::collections::BTreeSet;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::later;
use crate::model::Identifier;

/// A bucket: how many it holds, and after which time one comes back.
struct Bucket {
    capacity: i32,
    refill: SignedDuration,
}

/// New orders of an account: 300 in 3 hours.
const NEW_ORDERS: Bucket = Bucket { capacity: 300, refill: SignedDuration::from_secs(36) };
/// Certificates for a registered domain: 50 in 7 days.
const REGISTERED_DOMAIN: Bucket = Bucket { capacity: 50, refill: SignedDuration::from_mins(202) };
/// Certificates for exactly the same names: 5 in 7 days. No exception is ever made to this one.
const EXACT_SET: Bucket = Bucket { capacity: 5, refill: SignedDuration::from_hours(34) };
/// Failed authorizations of a name: 5 in an hour.
const FAILED_AUTHORIZATIONS: Bucket = Bucket { capacity: 5, refill: SignedDuration::from_mins(12) };
/// How many of the certificates for the same names are left for emergencies and for people: one that is lost, and one that goes
/// wrong on the way.
const EXACT_SET_RESERVE: i32 = 2;
/// Events older than this count nowhere: every bucket is full again.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(8 * 24);

/// What counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: Kind,
}

/// What counts towards a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An order for these names. It counts as a certificate unless it failed: nobody knows how one ended that a crash cut short.
    Order {
        /// The names.
        names: BTreeSet<Identifier>,
        /// Whether it ended without a certificate.
        failed: bool,
    },
    /// A name that could not be validated.
    FailedAuthorization {
        /// The name.
        name: Identifier,
    },
}

/// What an order is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To renew in time.
    Routine,
    /// Little of the lifetime is left, there is no certificate at all, or somebody asked for it: the reserve may be used.
    Emergency,
}

/// A limit that can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// New orders of the account.
    NewOrders,
    /// Certificates for a registered domain, or the network of an address.
    RegisteredDomain(String),
    /// Certificates for exactly the same names.
    ExactSet,
    /// Failed authorizations of a name.
    FailedAuthorizations(Identifier),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewOrders => write!(f, "{} new orders in 3 hours", NEW_ORDERS.capacity),
            Self::RegisteredDomain(domain) => {
                write!(f, "{} certificates for {domain} in 7 days", REGISTERED_DOMAIN.capacity)
            }
            Self::ExactSet => write!(f, "{} certificates for exactly these names in 7 days", EXACT_SET.capacity),
            Self::FailedAuthorizations(name) => {
                write!(f, "{} failed validations of {} in an hour", FAILED_AUTHORIZATIONS.capacity, name.human())
            }
        }
    }
}

/// A limit is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Which one.
    pub limit: Limit,
    /// When the next order is possible.
    pub until: Timestamp,
}

/// How many are left of what an authority allows, by our own count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// New orders of the account.
    pub new_orders: i64,
    /// Certificates for the registered domain that has had most.
    pub registered_domain: i64,
    /// Certificates for the set of names that was ordered most often.
    pub exact_set: i64,
}

/// What was asked of an authority, in the order in which it happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Events(Vec<Event>);

impl Events {
    /// Whether an order for these names may be made now. Where several limits are reached, the one that lasts longest is told.
    pub fn check(&self, names: &BTreeSet<Identifier>, purpose: Purpose, now: Timestamp) -> Result<(), Spent> {
        let mut limits = vec![(Limit::NewOrders, self.next(&NEW_ORDERS, 0, Event::is_order))];
        for domain in names.iter().map(registered).collect::<BTreeSet<_>>() {
            let of_domain = |event: &Event| {
                event.certificate().is_some_and(|names| names.iter().map(registered).any(|own| own == domain))
            };
            let next = self.next(&REGISTERED_DOMAIN, 0, of_domain);
            limits.push((Limit::RegisteredDomain(domain), next));
        }
        let reserve = if purpose == Purpose::Routine { EXACT_SET_RESERVE } else { 0 };
        limits.push((Limit::ExactSet, self.next(&EXACT_SET, reserve, |event| event.certificate() == Some(names))));
        for name in names {
            let next = self.next(&FAILED_AUTHORIZATIONS, 0, |event| event.failed() == Some(name));
            limits.push((Limit::FailedAuthorizations(name.clone()), next));
        }
        let reached = limits.into_iter().filter_map(|(limit, until)| Some(Spent { limit, until: until? }));
        match reached.max_by_key(|spent| spent.until).filter(|spent| spent.until > now) {
            Some(spent) => Err(spent),
            None => Ok(()),
        }
    }

    /// How much is left now of what counts for every order: of domains and of sets of names, that of which least is left.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> Left {
        let left = |bucket: &Bucket, counts: &dyn Fn(&Event) -> bool| {
            let missing = self.full(bucket, counts).map_or(SignedDuration::ZERO, |full| full.duration_since(now));
            let (missing, refill) = (missing.as_secs().max(0), bucket.refill.as_secs());
            (i64::from(bucket.capacity) - (missing + refill - 1) / refill).max(0)
        };
        let sets: BTreeSet<_> = self.0.iter().filter_map(Event::certificate).collect();
        let domains: BTreeSet<String> = sets.iter().copied().flatten().map(registered).collect();
        let of_domain = |domain: &String| {
            let is_of = |names: &BTreeSet<Identifier>| names.iter().map(registered).any(|own| own == *domain);
            left(&REGISTERED_DOMAIN, &|event| event.certificate().is_some_and(is_of))
        };
        let of_set = |set: &BTreeSet<Identifier>| left(&EXACT_SET, &|event| event.certificate() == Some(set));
        Left {
            new_orders: left(&NEW_ORDERS, &Event::is_order),
            registered_domain: domains.iter().map(of_domain).min().unwrap_or(REGISTERED_DOMAIN.capacity.into()),
            exact_set: sets.into_iter().map(of_set).min().unwrap_or(EXACT_SET.capacity.into()),
        }
    }

    /// Adds one, and forgets those that count nowhere any more.
    pub fn add(&mut self, event: Event) {
        let oldest = later(event.at, -REMEMBERED);
        self.0.retain(|old| old.at > oldest);
        self.0.push(event);
    }

    /// Takes one back that did not happen.
    pub fn take_back(&mut self, event: &Event) {
        self.0.retain(|other| other != event);
    }

    /// Notes that an order has failed.
    pub fn mark_failed(&mut self, event: &Event) {
        for other in self.0.iter_mut().filter(|other| *other == event) {
            if let Kind::Order { failed, .. } = &mut other.kind {
                *failed = true;
            }
        }
    }

    /// When a bucket next has one to give: a leaky bucket as a meter (ITU-T I.371, "virtual scheduling"). `None` for at once.
    fn next(&self, bucket: &Bucket, reserve: i32, counts: impl Fn(&Event) -> bool) -> Option<Timestamp> {
        self.full(bucket, counts).map(|full| later(full, -(bucket.refill * (bucket.capacity - reserve - 1))))
    }

    /// The instant at which a bucket is full again; `None` for one from which nothing was taken.
    fn full(&self, bucket: &Bucket, counts: impl Fn(&Event) -> bool) -> Option<Timestamp> {
        let mut full: Option<Timestamp> = None;
        for event in self.0.iter().filter(|event| counts(event)) {
            full = Some(later(full.map_or(event.at, |full| full.max(event.at)), bucket.refill));
        }
        full
    }
}

impl Event {
    fn is_order(&self) -> bool {
        matches!(self.kind, Kind::Order { .. })
    }

    /// The names of the certificate that was issued, or may have been.
    fn certificate(&self) -> Option<&BTreeSet<Identifier>> {
        match &self.kind {
            Kind::Order { names, failed: false } => Some(names),
            _ => None,
        }
    }

    fn failed(&self) -> Option<&Identifier> {
        match &self.kind {
            Kind::FailedAuthorization { name } => Some(name),
            Kind::Order { .. } => None,
        }
    }
}

/// What a name is counted under: the domain that somebody registered (by the Public Suffix List), an IPv4 address, or the /64 of
/// an IPv6 address.
fn registered(name: &Identifier) -> String {
    match name {
        Identifier::Dns(name) => {
            let name = name.strip_prefix("*.").unwrap_or(name);
            psl::domain_str(name).unwrap_or(name).to_owned()
        }
        Identifier::Ip(std::net::IpAddr::V4(address)) => address.to_string(),
        Identifier::Ip(std::net::IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn names(names: &[&str]) -> BTreeSet<Identifier> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn order(at: Timestamp, names: &BTreeSet<Identifier>) -> Event {
        Event { at, kind: Kind::Order { names: names.clone(), failed: false } }
    }

    const NOON: &str = "2026-01-01T12:00:00Z";

    #[test]
    fn the_sixth_certificate_for_the_same_names_waits_and_the_last_two_are_for_emergencies() {
        let (now, wanted) = (at(NOON), names(&["a.test", "b.test"]));
        let mut events = Events::default();
        for count in 0..5 {
            let routine = events.check(&wanted, Purpose::Routine, now);
            assert_eq!(routine.is_ok(), count < 3, "{count}: {routine:?}");
            assert_eq!(events.check(&wanted, Purpose::Emergency, now), Ok(()), "{count}");
            events.add(order(now, &wanted));
        }
        let until = at("2026-01-02T22:00:00Z");
        assert_eq!(events.check(&wanted, Purpose::Emergency, now), Err(Spent { limit: Limit::ExactSet, until }));
        assert_eq!(events.check(&wanted, Purpose::Emergency, until), Ok(()));
        assert_eq!(events.check(&names(&["a.test"]), Purpose::Routine, now), Ok(()), "another set");
    }

    #[test]
    fn what_failed_counts_as_an_order_and_not_as_a_certificate() {
        let (now, wanted) = (at(NOON), names(&["a.test"]));
        let mut events = Events::default();
        for _ in 0..300 {
            let event = order(now, &wanted);
            events.add(event.clone());
            events.mark_failed(&event);
        }
        let spent = events.check(&wanted, Purpose::Routine, now).unwrap_err();
        assert_eq!(spent, Spent { limit: Limit::NewOrders, until: at("2026-01-01T12:00:36Z") });
        events.take_back(&Event { at: now, kind: Kind::Order { names: wanted.clone(), failed: true } });
        assert_eq!(events, Events::default());
    }

    #[test]
    fn what_is_left_comes_back_one_by_one() {
        let now = at(NOON);
        let mut events = Events::default();
        assert_eq!(events.left(now), Left { new_orders: 300, registered_domain: 50, exact_set: 5 });
        for _ in 0..2 {
            events.add(order(now, &names(&["a.shop.test"])));
        }
        events.add(order(now, &names(&["b.shop.test"])));
        assert_eq!(events.left(now), Left { new_orders: 297, registered_domain: 47, exact_set: 3 });
        let failed = order(now, &names(&["b.shop.test"]));
        events.mark_failed(&failed);
        assert_eq!(events.left(now), Left { new_orders: 297, registered_domain: 48, exact_set: 3 });
        let minute = events.left(at("2026-01-01T12:01:00Z"));
        assert_eq!(minute, Left { new_orders: 298, registered_domain: 48, exact_set: 3 });
        for _ in 0..400 {
            events.add(order(now, &names(&["a.shop.test"])));
        }
        assert_eq!(events.left(now), Left { new_orders: 0, registered_domain: 0, exact_set: 0 });
    }

    #[test]
    fn domains_are_counted_by_what_somebody_registered() {
        let now = at(NOON);
        let mut events = Events::default();
        for number in 0..50 {
            events.add(order(now, &names(&[&format!("n{number}.shop.co.uk")])));
        }
        let spent = events.check(&names(&["*.shop.co.uk", "other.test"]), Purpose::Emergency, now).unwrap_err();
        assert_eq!(spent.limit, Limit::RegisteredDomain("shop.co.uk".to_owned()));
        assert_eq!(spent.until, at("2026-01-01T15:22:00Z"));
        assert_eq!(events.check(&names(&["a.other.co.uk"]), Purpose::Routine, now), Ok(()));
        let of = |name: &str| registered(&name.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2::9"));
        assert_eq!(of("192.0.2.1"), "192.0.2.1");
        assert_eq!(of("localhost"), "localhost");
    }

    #[test]
    fn a_name_that_keeps_failing_is_left_alone_for_a_while() {
        let (now, wanted) = (at(NOON), names(&["a.test"]));
        let mut events = Events::default();
        for _ in 0..5 {
            assert_eq!(events.check(&wanted, Purpose::Routine, now), Ok(()));
            let name = "a.test".parse().unwrap();
            events.add(Event { at: now, kind: Kind::FailedAuthorization { name } });
        }
        let spent = events.check(&wanted, Purpose::Emergency, now).unwrap_err();
        assert_eq!(spent.until, at("2026-01-01T12:12:00Z"));
        assert_eq!(spent.limit.to_string(), "5 failed validations of a.test in an hour");
    }

    #[test]
    fn what_counts_nowhere_is_forgotten() {
        let wanted = names(&["a.test"]);
        let mut events = Events::default();
        events.add(order(at("2026-01-01T12:00:00Z"), &wanted));
        events.add(order(at("2026-01-08T12:00:00Z"), &wanted));
        assert_eq!(events.0.len(), 2);
        events.add(order(at("2026-01-10T12:00:00Z"), &wanted));
        assert_eq!(events.0.len(), 2);
    }
}
