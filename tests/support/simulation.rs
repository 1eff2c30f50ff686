//! Days of renewals in seconds: the real engine with a store of its own, and a clock that a test moves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hotcert::bundle::Trust;
use hotcert::clock::Clock;
use hotcert::config::{Certificate, Issuer, Limits, Method, Order, Solver, Via};
use hotcert::model::{CertName, KeyType};
use hotcert::renew::{Renewer, Round};
use hotcert::store::Store;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::authority::ScriptedAuthority;
use super::net::Port;
use super::{Scratch, Webroot};

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct MovedClock(Arc<Mutex<Timestamp>>);

impl MovedClock {
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(now)))
    }

    pub fn set(&self, now: Timestamp) {
        *self.0.lock().expect("nobody panics with it") = now;
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("nobody panics with it")
    }
}

/// A store, its certificates, and what answers for them.
#[derive(Debug)]
pub struct Simulation {
    pub store: Store,
    pub certificates: Vec<Certificate>,
    pub clock: MovedClock,
    roots: Vec<CertificateDer<'static>>,
    trust: Trust,
    webroot: Webroot,
    scratch: Scratch,
}

impl Simulation {
    /// So many certificates of one authority, none of which exists yet. Challenges are answered by a web server on this port.
    pub fn new(count: usize, now: Timestamp, directory: &str, root_ca: &Path, root_pem: &str, port: &Port) -> Self {
        let scratch = Scratch::new();
        let webroot = Webroot::serve(port.addr());
        let issuer = issuer("test", directory, root_ca);
        let solver = Solver {
            name: "web".to_owned(),
            method: Method::Http01(Via::Webroot { path: webroot.path().to_owned() }),
            names: Vec::new(),
            probe: Some(port.addr().to_string().parse().expect("it is an address")),
        };
        let certificate = |number| Certificate {
            domains: vec![format!("c{number}.test").parse().expect("it is a name")],
            order: Some(Order {
                issuers: vec![issuer.clone()],
                solvers: vec![solver.clone()],
                keys: vec![KeyType::EcdsaP256],
            }),
            ..Certificate::new(format!("c{number}.test").parse().expect("it is a name"))
        };
        let roots = certificates(root_pem);
        Self {
            store: Store::open(&scratch.join("state")).expect("a store can be made"),
            certificates: (0..count).map(certificate).collect(),
            clock: MovedClock::new(now),
            trust: Trust::new(roots.clone()),
            roots,
            webroot,
            scratch,
        }
    }

    /// Adds an issuer to every certificate, after the others.
    pub fn or_from(mut self, name: &str, directory: &str, root_ca: &Path, root_pem: &str) -> Self {
        for order in self.certificates.iter_mut().filter_map(|certificate| certificate.order.as_mut()) {
            order.issuers.push(issuer(name, directory, root_ca));
        }
        self.roots.extend(certificates(root_pem));
        self.trust = Trust::new(self.roots.clone());
        self
    }

    /// The issuer of each certificate.
    pub fn issuers(&self) -> Vec<String> {
        let issuer = |certificate: &Certificate| self.store.current(&certificate.name).unwrap()?.meta.issuer;
        self.certificates.iter().filter_map(issuer).collect()
    }

    /// Keeps to the limits of Let's Encrypt.
    pub fn limited(mut self) -> Self {
        for order in self.certificates.iter_mut().filter_map(|certificate| certificate.order.as_mut()) {
            order.issuers[0].limits = Some(Limits::Letsencrypt);
        }
        self
    }

    pub fn renewer(&self) -> Renewer<'_> {
        Renewer::new(&self.store, &self.clock, &self.trust)
    }

    /// Where the store is.
    pub fn state_dir(&self) -> PathBuf {
        self.scratch.join("state")
    }

    /// The answers to challenges that are there.
    pub fn challenges(&self) -> Vec<PathBuf> {
        self.webroot.challenges()
    }

    /// One round of all certificates.
    pub async fn round(&self, force: bool) -> Round {
        self.renewer().round(&self.certificates, force).await
    }

    /// One round that orders everything.
    pub async fn issue_all(&self) {
        let round = self.round(false).await;
        assert!(round.failures.is_empty() && round.held.is_empty(), "{round:?}");
        assert_eq!(round.ordered.len(), self.certificates.len());
    }

    /// The end of validity of each certificate.
    pub fn ends(&self) -> BTreeMap<CertName, Timestamp> {
        let end = |name: &CertName| self.store.current(name).unwrap().map(|generation| generation.facts.not_after);
        self.certificates
            .iter()
            .filter_map(|certificate| Some((certificate.name.clone(), end(&certificate.name)?)))
            .collect()
    }

    /// How often each certificate was issued.
    pub fn generations(&self) -> Vec<u64> {
        let newest = |certificate: &Certificate| self.store.generations(&certificate.name).unwrap().last().copied();
        self.certificates.iter().filter_map(newest).collect()
    }

    /// Forgets what authorities said about the right time, so that they are asked again.
    pub fn forget_renewal_info(&self) {
        for certificate in &self.certificates {
            let path = self.scratch.join("state/certs").join(certificate.name.as_str()).join("renewal.json");
            std::fs::remove_file(path).expect("it was there");
        }
    }

    /// Rounds until an instant, each when the one before asked for it. `at` moves the clocks, and sees each round.
    pub async fn run(&self, end: Timestamp, mut at: impl FnMut(Timestamp, Option<&Round>)) {
        /// More than any of the tests needs by far: less than a round a minute for a fortnight.
        const MOST: usize = 5000;
        for _ in 0..MOST {
            let now = self.clock.now();
            if now >= end {
                return;
            }
            let round = self.round(false).await;
            at(now, Some(&round));
            assert!(round.wake_at >= now + SignedDuration::from_secs(30), "a busy loop: {round:?} at {now}");
            let next = round.wake_at.min(end);
            self.clock.set(next);
            at(next, None);
        }
        panic!("more than {MOST} rounds");
    }
}

/// An authority of our own, certificates of it, and one time for both: the machine's clock may be wrong by `skew`.
pub struct Shortlived {
    pub authority: ScriptedAuthority,
    pub simulation: Simulation,
    pub begin: Timestamp,
    skew: Mutex<SignedDuration>,
}

impl Shortlived {
    /// Let's Encrypt's `shortlived`.
    pub const LIFETIME: SignedDuration = SignedDuration::from_hours(160);

    /// So many certificates, none of which exists yet.
    pub fn prepared(count: usize) -> Self {
        let begin = Timestamp::from_second(Timestamp::now().as_second()).expect("it is the present");
        let authority = ScriptedAuthority::start(Some(begin), Self::LIFETIME);
        let (directory, root) = (authority.directory(), authority.root_pem());
        let simulation = Simulation::new(count, begin, &directory, &authority.root_ca(), &root, &Port::reserve());
        Self { authority, simulation, begin, skew: Mutex::default() }
    }

    /// So many certificates that were just issued.
    pub async fn issued(count: usize) -> Self {
        let all = Self::prepared(count);
        all.simulation.issue_all().await;
        all.authority.forget();
        all
    }

    /// The authority's time.
    pub fn now(&self) -> Timestamp {
        self.simulation.clock.now() - *self.skew.lock().expect("nobody panics with it")
    }

    /// Makes the machine's clock wrong from now on.
    pub fn skew(&self, skew: SignedDuration) {
        let now = self.now();
        *self.skew.lock().expect("nobody panics with it") = skew;
        self.simulation.clock.set(now + skew);
    }

    /// Time passes while nobody looks, as when the machine is suspended.
    pub fn sleep(&self, span: SignedDuration) {
        let now = self.now() + span;
        self.simulation.clock.set(self.simulation.clock.now() + span);
        self.authority.set_time(now);
    }

    /// Rounds until so many hours after the beginning; nothing may ever be expired.
    pub async fn run_until(&self, hours: i64) {
        let skew = *self.skew.lock().expect("nobody panics with it");
        let end = self.begin + SignedDuration::from_hours(hours) + skew;
        self.simulation
            .run(end, |wall, _| {
                let now = wall - skew;
                self.authority.set_time(now);
                for (name, end) in self.simulation.ends() {
                    assert!(end > now, "{name} expired");
                }
            })
            .await;
    }

    /// How many orders were asked for.
    pub fn orders(&self) -> usize {
        self.authority.asked().iter().filter(|asked| asked.path == "/order").count()
    }
}

fn issuer(name: &str, directory: &str, root_ca: &Path) -> Issuer {
    Issuer {
        name: name.to_owned(),
        directory: Some(directory.parse().expect("it is a directory")),
        contact: vec!["admin@example.org".to_owned()],
        terms_agreed: true,
        root_ca: Some(root_ca.to_owned()),
        staging: None,
        profile: None,
        limits: None,
        eab: None,
        preferred_chain: None,
    }
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("it is PEM")
}
