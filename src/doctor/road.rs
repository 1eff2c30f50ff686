//! The road of each challenge, tried as an authority would take it, without an order.
//!
//! Where hotcert itself answers, its listener listens for a moment. Where `HAProxy` answers from a map, or a web server from a directory,
//! nothing is put there: then it is only seen whether the request is passed somewhere else, such as to https.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::names::{Lookups, Ordered};
use super::{Check, Doctor, Finding, NODES, gather};
use crate::acme::AccountKey;
use crate::bundle::Trust;
use crate::config::{Method, Node, Solver, Via};
use crate::haproxy::{Map, Session};
use crate::model::{ChallengeKind, Identifier, causes, chain};
use crate::probe::{self, Target};
use crate::renew::{Asked, Error, Renewer, Trial, haproxy_lines, where_to_ask};
use crate::solver::{Listener, Responder};

/// A thumbprint that is nobody's, where hotcert answers itself and any will do.
const THUMBPRINT: &str = "hotcert-doctor";

/// Tries the road of every name.
pub(super) async fn check(doctor: &Doctor, lookups: &Lookups) -> Vec<Finding> {
    let here = Here::listen(lookups).await;
    let roads = lookups.names.iter().map(|of| {
        let here = &here;
        async move {
            let tried = timeout(NODES, one(doctor, lookups, of, here)).await;
            tried.unwrap_or_else(|_| {
                let (check, name) = (check_of(of.solver.as_ref()), of.name.human());
                let cause = format!(
                    "nothing came back within {} s: a firewall drops what is asked, or a server hangs",
                    NODES.as_secs()
                );
                let cure = format!("try it from outside: curl -v http://{name}/.well-known/acme-challenge/x");
                Err(Finding::look(check, name, "not known whether challenges are answered", cause, cure))
            })
        }
    });
    let mut good: BTreeMap<Check, Vec<(String, String)>> = BTreeMap::new();
    let mut bad: BTreeMap<Check, Vec<Finding>> = BTreeMap::new();
    for (of, tried) in lookups.names.iter().zip(join_all(roads).await) {
        match tried {
            Ok(message) => good.entry(check_of(of.solver.as_ref())).or_default().push((of.name.human(), message)),
            Err(finding) => bad.entry(finding.name).or_default().push(finding),
        }
    }
    let mut findings = Vec::new();
    for check in [Check::Http01, Check::TlsAlpn01, Check::Dns01] {
        findings.extend(gather(
            check,
            "name",
            &good.remove(&check).unwrap_or_default(),
            bad.remove(&check).unwrap_or_default(),
        ));
    }
    findings.extend(join_all(doctor.config.nodes.values().map(|node| maps(doctor, lookups, node))).await.concat());
    findings
}

/// What hotcert itself answers with, for as long as this lasts.
struct Here {
    listeners: BTreeMap<SocketAddr, Result<Arc<Listener>, String>>,
    responders: BTreeMap<SocketAddr, Result<Arc<Responder>, String>>,
}

impl Here {
    async fn listen(lookups: &Lookups) -> Self {
        let mut here = Self { listeners: BTreeMap::new(), responders: BTreeMap::new() };
        for solver in lookups.names.iter().filter_map(|of| of.solver.as_ref()) {
            match &solver.method {
                Method::Http01(Via::Listener { listen }) if !here.listeners.contains_key(listen) => {
                    let bound = Listener::bind(*listen).await.map(Arc::new);
                    here.listeners.insert(*listen, bound.map_err(|error| chain(&error)));
                }
                Method::TlsAlpn01 { listen } if !here.responders.contains_key(listen) => {
                    let bound = Responder::bind(*listen).await.map(Arc::new);
                    here.responders.insert(*listen, bound.map_err(|error| chain(&error)));
                }
                _ => {}
            }
        }
        here
    }
}

async fn one(doctor: &Doctor, lookups: &Lookups, of: &Ordered, here: &Here) -> Result<String, Finding> {
    let name = &of.name;
    let check = check_of(of.solver.as_ref());
    let Some(solver) = &of.solver else {
        let reason = Solver::unprovable(name, &of.order.solvers);
        let error = Error::Unprovable { name: name.clone(), reason: reason.clone() };
        let message = format!("nothing that is configured proves {}", name.human());
        return Err(Finding::broken(check, name.human(), message, reason, error.hint().unwrap_or_default()));
    };
    let there = lookups.where_to_ask(of);
    let trial = Trial::new(name, solver, THUMBPRINT);
    let asked = match &solver.method {
        Method::Http01(Via::Listener { listen }) => {
            let listener = listening(&here.listeners, *listen, check, name)?;
            listener.add(&trial.token, &trial.expected());
            let asked = trial.ask(there).await;
            listener.remove(&trial.token);
            asked
        }
        Method::Http01(Via::Stateless) => {
            let Some(thumbprint) = thumbprint(doctor, of) else {
                let cause = "there is no account yet, and HAProxy's lines contain the thumbprint of its key";
                let cure = "`hotcert account register` makes one; then `hotcert config haproxy` prints the lines";
                return Err(Finding::look(
                    check,
                    name.human(),
                    "not known whether HAProxy answers challenges",
                    cause,
                    cure,
                ));
            };
            Trial::new(name, solver, &thumbprint).ask(there).await
        }
        Method::Http01(Via::HaproxyMap { .. } | Via::Webroot { .. }) => {
            return unanswered(name, solver, there).await.map(|message| format!("{message}{}", lookups.rest()));
        }
        Method::TlsAlpn01 { listen } => {
            let responder = listening(&here.responders, *listen, check, name)?;
            if let Err(error) = responder.add(name, &trial.token, &trial.expected()).await {
                return Err(Finding::error(
                    check,
                    name.human(),
                    &error,
                    "no answer can be made",
                    error.hint().unwrap_or_default(),
                ));
            }
            let asked = trial.ask(there).await;
            responder.remove(&trial.token);
            asked
        }
        Method::Dns01(dns) => {
            let trust = Trust::default();
            let renewer = Renewer::new(&doctor.store, &*doctor.clock, &trust).asking(&doctor.config.resolver);
            return match renewer.check_dns01(name, dns).await {
                Ok(()) => Ok(format!("{} can be asked for its record{}", dns.provider.name(), lookups.rest())),
                Err(error) => {
                    let hint = error.hint().unwrap_or_else(|| "correct the solver".to_owned());
                    Err(Finding::error(check, name.human(), &error, "no record can be set", hint))
                }
            };
        }
        Method::DnsPersist01 => return Ok("proved by a record that stays".to_owned()),
    };
    match asked {
        Ok(Asked::Answered) => Ok(format!("challenges are answered{}", lookups.rest())),
        Ok(Asked::Unasked(error)) => Err(unasked(check, name, &error)),
        Err(Error::Misrouted(misrouted)) => {
            let cure = if misrouted.lines.is_empty() {
                format!("{} first, then look again", misrouted.meaning)
            } else {
                format!("HAProxy needs these lines, above any redirect:\n{}", misrouted.lines)
            };
            Err(Finding::broken(check, name.human(), misrouted.to_string(), misrouted.meaning, cure))
        }
        Err(error) => {
            let hint = error.hint().unwrap_or_else(|| "look at the solver's table in the configuration".to_owned());
            Err(Finding::error(check, name.human(), &error, "challenges are not answered", hint))
        }
    }
}

fn listening<L>(
    all: &BTreeMap<SocketAddr, Result<Arc<L>, String>>,
    listen: SocketAddr,
    check: Check,
    name: &Identifier,
) -> Result<Arc<L>, Finding> {
    match all.get(&listen) {
        Some(Ok(listener)) => Ok(Arc::clone(listener)),
        other => {
            let why = other.and_then(|other| other.as_ref().err()).cloned().unwrap_or_default();
            let message = format!("not known whether challenges are answered: hotcert cannot listen on {listen}");
            let cause = format!("{why}; an order may be in progress, or another program has the address");
            let cure = format!(
                "look again in a minute; if it stays, find who listens by `ss -ltnp 'sport = :{}'`, or set another `listen`",
                listen.port()
            );
            Err(Finding::look(check, name.human(), message, cause, cure))
        }
    }
}

/// Asks for a token that is nowhere: whoever answers challenges says 404.
async fn unanswered(name: &Identifier, solver: &Solver, there: Target) -> Result<String, Finding> {
    let check = Check::Http01;
    let token = Trial::new(name, solver, THUMBPRINT).token;
    let target = match where_to_ask(solver, there).await {
        Ok(target) => target,
        Err((place, error)) => {
            let cure = "correct `probe` of the solver";
            return Err(Finding::broken(
                check,
                name.human(),
                format!("the probe address {place} has no address"),
                error,
                cure,
            ));
        }
    };
    let lines = haproxy_lines(solver, "", None);
    match probe::http01(&target, name, &token).await {
        Err(error) => Err(unasked(check, name, &error)),
        Ok(answer) if answer.status == 404 => Ok(format!(
            "{} is asked, and passes challenges nowhere else (what it answers is seen in an order)",
            answer.address
        )),
        Ok(answer) => {
            let (meaning, cure) = match answer.status {
                300..=399 => (
                    "HAProxy redirects challenges: the rule for them must stand above the redirect",
                    format!("put these lines above the redirect:\n{lines}"),
                ),
                503 => (
                    "the server that answers challenges cannot be reached",
                    "start it, or correct its `server` line".to_owned(),
                ),
                _ => ("something else answers challenges", format!("HAProxy needs these lines:\n{lines}")),
            };
            let message = format!(
                "challenges for {} would not be answered: {} says {}",
                name.human(),
                answer.address,
                answer.status
            );
            Err(Finding::broken(check, name.human(), message, meaning, cure))
        }
    }
}

fn unasked(check: Check, name: &Identifier, error: &probe::Error) -> Finding {
    let port = if check == Check::TlsAlpn01 { 443 } else { 80 };
    let otherwise = format!("an authority that is told the same finds nobody on port {port}");
    let cure = format!(
        "open port {port} of {0} to the world and let HAProxy listen there; if that is so, and this machine cannot reach its own public \
         address, set `probe` of the solver to an address of HAProxy from here",
        name.human()
    );
    let causes = causes(error).join(": ");
    let cause = if causes.is_empty() { otherwise } else { format!("{causes}; {otherwise}") };
    Finding::look(check, name.human(), error.to_string(), cause, cure)
}

/// Of the account at the first authority that the name is ordered from.
fn thumbprint(doctor: &Doctor, of: &Ordered) -> Option<String> {
    let directory = of.order.issuers.iter().find_map(|issuer| issuer.directory.as_ref())?;
    let account = doctor.store.account(directory.as_str()).ok().flatten()?;
    AccountKey::from_pem(account.key_pem.as_str()).ok().map(|key| key.thumbprint().to_owned())
}

/// Whether a node has the maps from which it is to answer.
async fn maps(doctor: &Doctor, lookups: &Lookups, node: &Node) -> Vec<Finding> {
    let mut wanted: Vec<(&str, &Solver)> = Vec::new();
    for solver in lookups.names.iter().filter_map(|of| of.solver.as_ref()) {
        if let Method::Http01(Via::HaproxyMap { map }) = &solver.method
            && !wanted.iter().any(|(known, _)| known == map)
        {
            wanted.push((map, solver));
        }
    }
    let mut findings = Vec::new();
    for (map, solver) in wanted {
        let look = async {
            let mut session = Session::open(&*doctor.connect, node.endpoint()).await.ok()?;
            session.map_entries(&map.parse::<Map>().ok()?).await.err()
        };
        if let Ok(Some(error)) = timeout(NODES, look).await {
            let cure = format!(
                "HAProxy needs these lines, and the file of the map must be there when it starts:\n{}",
                haproxy_lines(solver, "", None)
            );
            let message =
                format!("node {} cannot show the map {map}, from which it is to answer challenges", node.name);
            findings.push(Finding::broken(Check::Http01, &node.name, message, chain(&error), cure));
        }
    }
    findings
}

fn check_of(solver: Option<&Solver>) -> Check {
    match solver.map(Solver::kind) {
        Some(ChallengeKind::TlsAlpn01) => Check::TlsAlpn01,
        Some(ChallengeKind::Dns01 | ChallengeKind::DnsPersist01) => Check::Dns01,
        Some(ChallengeKind::Http01) | None => Check::Http01,
    }
}
