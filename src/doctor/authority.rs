//! The authorities: whether they can be reached, what time they say it is, and how much may still be asked of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::SignedDuration;
use tokio::time::timeout;

use super::{Check, Doctor, Finding, REST, gather};
use crate::acme::{Deadlines, Directory};
use crate::config::Issuer;
use crate::model::Identifier;
use crate::renew::connect_within;
use crate::schedule::{CLOCK_TOLERANCE, Purpose};

/// How long one authority may take, which leaves time for what follows.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(3), request: Duration::from_secs(4) };
/// A clock that is off by more than this is not set by the network.
const UNSET: SignedDuration = SignedDuration::from_secs(60);

/// What an authority told, by the name of the issuer.
pub(super) type Told = BTreeMap<String, Authority>;

/// What is to be known of an authority for its records in the DNS.
pub(super) struct Authority {
    /// The domains by which they name it.
    pub(super) identities: Vec<String>,
    /// The URL of our account.
    pub(super) account: Option<String>,
}

/// Asks every authority for its directory.
pub(super) async fn look(doctor: &Doctor) -> (Vec<Finding>, Told) {
    let asked = join_all(doctor.issuers().into_iter().map(|issuer| ask(doctor, issuer))).await;
    let (mut findings, mut told) = (Vec::new(), Told::new());
    for (said, name, authority) in asked {
        findings.extend(said);
        told.extend(authority.map(|authority| (name, authority)));
    }
    (findings, told)
}

async fn ask(doctor: &Doctor, issuer: &Issuer) -> (Vec<Finding>, String, Option<Authority>) {
    let (check, name) = (Check::Authority, &issuer.name);
    let Some(url) = &issuer.directory else { return (Vec::new(), name.clone(), None) };
    let http = match connect_within(issuer, DEADLINES) {
        Ok(http) => http,
        Err(error) => {
            let hint = error.hint().unwrap_or_else(|| "correct `root_ca` of the issuer".to_owned());
            let finding = Finding::error(check, name, &error, "its HTTPS cannot be checked", hint);
            return (vec![finding], name.clone(), None);
        }
    };
    let begun = Instant::now();
    let asked = timeout(DEADLINES.request, Directory::fetch(&http, url)).await;
    let mut findings: Vec<_> = http.authority_time().map(|date| clock(doctor, issuer, date)).into_iter().collect();
    let authority = match asked {
        Ok(Ok(directory)) => {
            let message = format!("{url} answers within {} ms", begun.elapsed().as_millis());
            findings.push(account(doctor, issuer).unwrap_or_else(|| Finding::good(check, name, message)));
            let record = doctor.store.account(url.as_str()).ok().flatten().and_then(|account| account.record);
            let account = record.map(|record| record.url);
            Some(Authority { identities: directory.caa_identities(), account })
        }
        Ok(Err(error)) => {
            let hint = error.hint().unwrap_or_else(|| format!("try it from here: curl -sS {url}"));
            findings.push(Finding::error(check, name, &error, "nothing can be ordered there now", hint));
            None
        }
        Err(_) => {
            let message = format!("{url} did not answer within {} s", DEADLINES.request.as_secs());
            let cause = "it is down, or a firewall drops what leaves this machine";
            findings.push(Finding::broken(check, name, message, cause, format!("try it from here: curl -sS {url}")));
            None
        }
    };
    (findings, name.clone(), authority)
}

/// What keeps us from having an account.
fn account(doctor: &Doctor, issuer: &Issuer) -> Option<Finding> {
    let url = issuer.directory.as_ref()?;
    let trust = crate::bundle::Trust::default();
    let renewer = crate::renew::Renewer::new(&doctor.store, &*doctor.clock, &trust);
    let error = renewer.can_have_account(url, issuer).err()?;
    let hint = error.hint().unwrap_or_else(|| "hotcert account register".to_owned());
    Some(Finding::error(Check::Authority, &issuer.name, &error, "nothing can be ordered without an account", hint))
}

fn clock(doctor: &Doctor, issuer: &Issuer, theirs: jiff::Timestamp) -> Finding {
    let (check, ours) = (Check::Clock, doctor.clock.now());
    let off = ours.duration_since(theirs);
    let seconds = off.abs().as_secs();
    let which = if off.is_positive() { "ahead of" } else { "behind" };
    if off.abs() <= UNSET {
        let message = format!("{seconds} s from the time of {}", issuer.name);
        return Finding::good(check, "clock", message);
    }
    let message = format!("the clock of this machine is {seconds} s {which} the time of {}", issuer.name);
    let cause = format!("it shows {ours}, and the authority says {theirs}");
    let cure = "timedatectl set-ntp true   (or start chrony; in a container, set the clock of its host)";
    if off.abs() > CLOCK_TOLERANCE {
        let cause = format!(
            "{cause}; hotcert takes the authority's time for renewals, but clients and HAProxy judge certificates by theirs"
        );
        return Finding::broken(check, "clock", message, cause, cure);
    }
    Finding::look(check, "clock", message, cause, cure)
}

/// What is left of the limits of authorities that count.
pub(super) fn budget(doctor: &Doctor) -> Vec<Finding> {
    let check = Check::Budget;
    let (mut findings, mut good) = (Vec::new(), Vec::new());
    for issuer in doctor.issuers().into_iter().filter(|issuer| issuer.is_limited()) {
        let Some(url) = &issuer.directory else { continue };
        let standing = doctor.store.standing(url.as_str()).unwrap_or_default();
        let now = standing.offset.now(doctor.clock.now());
        for (certificate, order) in doctor.ordered() {
            if !order.issuers.iter().any(|of| of.name == issuer.name) {
                continue;
            }
            let names: BTreeSet<Identifier> = certificate.domains.iter().cloned().collect();
            if let Err(spent) = standing.events.check(&names, Purpose::Routine, now) {
                let message =
                    format!("{} may not be ordered from {} before {}", certificate.name, issuer.name, spent.until);
                let cause =
                    format!("what hotcert spends of {} is used up, but for what it keeps for emergencies", spent.limit);
                let cure = "wait: it is renewed by itself then; or add another issuer to `issuers`, or use one certificate for several names";
                findings.push(Finding::look(check, &certificate.name, message, cause, cure));
            }
        }
        let left = standing.events.left(now);
        let message = format!(
            "left: {} new orders; {} certificates of the domain, and {} of the set of names, of which least is left",
            left.new_orders, left.registered_domain, left.exact_set
        );
        good.push((issuer.name.clone(), message));
    }
    if !findings.is_empty() {
        good.clear();
    }
    gather(check, "issuer", &good, findings)
}

// The whole must be told in time, whatever follows.
const _: () = assert!(DEADLINES.request.as_secs() < REST.as_secs());
