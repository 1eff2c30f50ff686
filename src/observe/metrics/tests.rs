use std::collections::BTreeSet;
use std::time::Instant;

use jiff::SignedDuration;

use super::*;
use crate::observe::testing::{at, certificate, node, report};
use crate::observe::{Counters, IssuerState, Round};
use crate::reconcile::{CertificateReport, NodeReport, OldWorker, Tally, Transaction};
use crate::schedule::Left;

const NOW: &str = "2026-11-22T12:00:00Z";

/// One of which everything is known, and something of everything wrong.
fn snapshot(certificates: Vec<CertificateReport>) -> Snapshot {
    let name: crate::model::NodeName = "edge".parse().unwrap();
    let worker = OldWorker {
        pid: 2,
        started_at: at("2026-11-20T00:00:00Z"),
        connections: 1,
        tls_connections: 1,
        outdated: Vec::new(),
        detail: None,
        stale: None,
        in_use: false,
    };
    let transaction = Transaction { slot: "/x".to_owned(), ours: false, since: at("2026-11-22T11:00:00Z") };
    let node = NodeReport { old_workers: vec![worker], transaction: Some(transaction), ..node() };
    let report = report(certificates, vec![node]);
    let left = Some(Left { new_orders: 299, registered_domain: 49, exact_set: 4 });
    let issuer = IssuerState { name: "private".to_owned(), left, held: None };
    let mut tally = Tally::default();
    tally.outcomes.insert("loaded", 3);
    tally.outcomes.insert("too-large", 1);
    (tally.buckets[0], tally.buckets[10], tally.took) = (3, 1, std::time::Duration::from_millis(60_006));
    let counters = Counters {
        pushes: [(name.clone(), tally)].into(),
        renewals: [("private".to_owned(), 7)].into(),
        renewal_failures: [("authority", 2)].into(),
    };
    let round = Round { at: at(NOW), succeeded_at: Some(at(NOW)) };
    let rounds = [(name, round)].into();
    Snapshot { report: Some(Arc::new(report)), rounds, issuers: vec![issuer], counters, ..Snapshot::empty(at(NOW)) }
}

fn text(snapshot: Snapshot, format: Format) -> String {
    let usage = Usage { cpu_seconds: Some(1.5), resident_bytes: Some(4096) };
    write(Arc::new(snapshot), usage, format).unwrap()
}

#[test]
fn everything_is_written_in_both_formats() {
    let written = text(snapshot(vec![certificate("shop.test")]), Format::Open);
    insta::assert_snapshot!(written.replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    let classic = text(snapshot(vec![certificate("shop.test")]), Format::Classic);
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&written), samples(&classic));
    assert!(classic.contains("# TYPE hotcert_pushes_total counter\n") && !classic.contains("EOF"), "{classic}");
}

#[test]
fn before_the_first_look_there_are_only_the_numbers_of_the_process() {
    let written = text(Snapshot::empty(at(NOW)), Format::Classic);
    assert!(written.contains("hotcert_build_info{") && !written.contains("hotcert_node"), "{written}");
}

#[test]
fn a_prometheus_gets_what_it_asks_for_and_a_person_what_can_be_read() {
    let wanted = |accept: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Format::wanted_by(&headers)
    };
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    assert_eq!(wanted(prometheus), Format::Open);
    assert_eq!(wanted("text/html,*/*;q=0.8"), Format::Classic);
    assert_eq!(Format::wanted_by(&HeaderMap::new()), Format::Classic);
}

#[test]
fn the_documentation_explains_each_metric_and_no_other() {
    let written = text(snapshot(vec![certificate("shop.test")]), Format::Classic);
    let declared = written.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let declared: BTreeSet<&str> = declared.collect();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md")).unwrap();
    let explained = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    let explained: BTreeSet<&str> =
        explained.filter(|name| name.starts_with("hotcert_") || name.starts_with("process_")).collect();
    assert_eq!(declared, explained);
}

#[test]
fn many_certificates_are_written_in_a_fraction_of_a_scrape_interval() {
    let many = (0..10_000).map(|number| certificate(&format!("n{number}.test"))).collect();
    let (snapshot, began) = (snapshot(many), Instant::now());
    let written = text(snapshot, Format::Open);
    let took = SignedDuration::try_from(began.elapsed()).unwrap();
    assert_eq!(written.matches("where=\"wire\"").count(), 10_000);
    // Some hundred times what it takes without optimisation on a busy machine.
    assert!(took < SignedDuration::from_secs(10), "{took:?} for {} bytes", written.len());
}
