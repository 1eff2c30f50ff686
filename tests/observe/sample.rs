//! Reports as a daemon makes them, and a server that shows them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use hotcert::config::Observe;
use hotcert::model::KeyType;
use hotcert::observe::{Event, EventKind, Feed, Pulse, Server, Snapshot};
use hotcert::reconcile::{CertState, CertificateReport, NodeReport, NodeState, Problem, Report, ServedBy, Verified};
use hotcert::schedule::Window;
use hotcert::store::Source;
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const DAY: f64 = 86400.0;

/// A server that shows whatever it is given.
pub struct Shown {
    pub address: SocketAddr,
    snapshots: watch::Sender<Arc<Snapshot>>,
    _pulse: watch::Sender<Pulse>,
    _runtime: Runtime,
}

impl Shown {
    pub fn start(report: Option<Report>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let snapshots = watch::Sender::new(Arc::new(Snapshot::empty(Timestamp::now())));
        let pulse = watch::Sender::new(Pulse::now(None));
        let feed = Feed { snapshots: snapshots.subscribe(), pulse: pulse.subscribe() };
        let observe = Observe { listen: "127.0.0.1:0".parse().unwrap(), insecure: false };
        let server = runtime.block_on(Server::bind(observe, feed, CancellationToken::new())).unwrap();
        let address = server.local_addr().unwrap();
        runtime.spawn(server.run());
        let shown = Self { address, snapshots, _pulse: pulse, _runtime: runtime };
        if let Some(report) = report {
            shown.show(report);
        }
        shown
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Shows another report, with what has happened since the one before.
    pub fn show(&self, report: Report) {
        let before = Arc::clone(&self.snapshots.borrow());
        let next = Snapshot { report: Some(Arc::new(report)), ..Snapshot::empty(Timestamp::now()) };
        self.snapshots.send_replace(Arc::new(next.after(&before)));
    }

    /// Adds what happened before this test.
    pub fn recall(&self, events: &[(f64, EventKind, &str, Option<&str>, &str)]) {
        let events = events.iter().map(|(at, kind, certificate, node, message)| Event {
            number: 0,
            at: days(*at),
            kind: *kind,
            certificate: Some(certificate.parse().unwrap()),
            node: node.map(|node| node.parse().unwrap()),
            message: (*message).to_owned(),
        });
        let events: VecDeque<_> = events.collect();
        self.snapshots.send_modify(|snapshot| Arc::make_mut(snapshot).events = events);
    }
}

/// So many days from now.
#[expect(clippy::cast_possible_truncation, reason = "a few days")]
pub fn days(number: f64) -> Timestamp {
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    now.checked_add(SignedDuration::from_secs((number * DAY) as i64)).unwrap()
}

/// A certificate that is served by these nodes, of such an age and lifetime in days.
pub fn certificate(name: &str, age: f64, lifetime: f64, nodes: &[&str]) -> CertificateReport {
    let share = if lifetime < 10.0 { 1.0 / 2.0 } else { 2.0 / 3.0 };
    let number = name.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(byte));
    let serial = format!("04{number:016x}{number:016x}").parse().unwrap();
    CertificateReport {
        name: name.parse().unwrap(),
        configured_name: name.parse().unwrap(),
        key: Some(KeyType::default()),
        domains: [name.to_owned(), format!("www.{name}")].iter().map(|name| name.parse().unwrap()).collect(),
        source: Source::Acme,
        issuer: Some("letsencrypt".to_owned()),
        state: CertState::Serving,
        sha256: Some(hotcert::model::Sha256::of(name.as_bytes())),
        not_before: Some(days(-age)),
        not_after: Some(days(lifetime - age)),
        renew_at: Some(days(lifetime * share - age)),
        renewal_window: Window::new(days(lifetime * share - age - 1.0), days(lifetime * share - age + 1.0)),
        next_issuer: Some("letsencrypt".to_owned()),
        next_try: None,
        problem: None,
        generation: Some(3),
        revoked: None,
        nodes: nodes
            .iter()
            .map(|node| ServedBy {
                name: node.parse().unwrap(),
                slot: Some(format!("/etc/haproxy/certs/{name}.pem")),
                state: NodeState::InSync,
                serial: Some(Clone::clone(&serial)),
                verified: Verified::Handshake,
                not_after: Some(days(lifetime - age)),
                shown_not_after: Some(days(lifetime - age)),
                detail: None,
            })
            .collect(),
        serial: Some(serial),
    }
}

pub fn node(name: &str) -> NodeReport {
    NodeReport {
        name: name.parse().unwrap(),
        address: format!("/run/haproxy/{name}.sock"),
        reachable: true,
        version: Some("3.2.4".to_owned()),
        pid: Some(4711),
        started_at: Some(days(-3.0)),
        old_workers: Vec::new(),
        files: Vec::new(),
        foreign: Vec::new(),
        transaction: None,
        detail: None,
    }
}

pub fn report(certificates: Vec<CertificateReport>, nodes: Vec<NodeReport>) -> Report {
    Report { certificates, nodes, problems: Vec::new(), warnings: Vec::new(), failures: Vec::new() }
}

/// Everything is as it should be.
pub fn good() -> Report {
    let both = ["edge-1", "edge-2"];
    let certificates = vec![
        certificate("api.example.org", 12.0, 90.0, &both),
        certificate("example.org", 41.0, 90.0, &both),
        certificate("fast.example.net", 2.1, 6.6, &both),
        certificate("login.example.com", 57.0, 90.0, &both),
        certificate("shop.example.com", 3.0, 90.0, &both),
        certificate("static.example.net", 30.0, 90.0, &both[..1]),
    ];
    report(certificates, both.map(node).to_vec())
}

/// A node is away, a certificate has expired, another is not there, an old worker serves what is over.
pub fn broken() -> Report {
    let mut report = good();
    let refused = "cannot connect to /run/haproxy/edge-2.sock";
    for certificate in &mut report.certificates {
        for served in certificate.nodes.iter_mut().filter(|served| served.name.as_str() == "edge-2") {
            (served.state, served.verified, served.serial) = (NodeState::Unreachable, Verified::None, None);
            served.detail = Some(refused.to_owned());
            certificate.state = CertState::Stored;
        }
    }
    let expired = &mut report.certificates[3];
    expired.state = CertState::Failed;
    (expired.not_before, expired.not_after) = (Some(days(-91.0)), Some(days(-1.0)));
    expired.renew_at = Some(days(-31.0));
    expired.problem = Some("http-01 of login.example.com: the authority was answered 404".to_owned());
    expired.next_try = Some(days(0.02));
    let mut missing = certificate("new.example.org", 0.0, 90.0, &["edge-1"]);
    (missing.state, missing.serial, missing.sha256, missing.generation) = (CertState::Missing, None, None, None);
    (missing.not_before, missing.not_after, missing.renew_at) = (None, None, None);
    (missing.nodes[0].state, missing.nodes[0].verified) = (NodeState::Absent, Verified::None);
    missing.nodes[0].serial = None;
    report.certificates.push(missing);
    let away = &mut report.nodes[1];
    (away.reachable, away.version, away.pid, away.started_at) = (false, None, None, None);
    away.detail = Some(refused.to_owned());
    report.nodes[0].detail = Some("old worker 4012 still serves serial 03ff of login.example.com".to_owned());
    report.problems = vec![Problem {
        certificate: None,
        node: Some("edge-2".parse().unwrap()),
        file: None,
        message: format!("node edge-2: {refused}: Connection refused (os error 111)"),
        hint: Some("start HAProxy, or see whether `stats socket` in its configuration names this path".to_owned()),
    }];
    report
}
