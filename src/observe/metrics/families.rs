//! All metrics, in the order in which they are written.
//!
//! Names and units follow "Metric and label naming" of the Prometheus documentation: seconds, bytes, instants as seconds since 1970.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::process::Usage;
use super::sheet::{Distribution, Sheet};
use crate::model::NodeName;
use crate::observe::snapshot::{IssuerState, Snapshot};
use crate::reconcile::{CertState, CertificateReport, NodeReport, NodeState, Pushes, Report, Tally};
use crate::schedule::Left;

/// Every state of a certificate, with its word.
const CERT_STATES: [(CertState, &str); 5] = [
    (CertState::Serving, "serving"),
    (CertState::Stored, "stored"),
    (CertState::Issuing, "issuing"),
    (CertState::Missing, "missing"),
    (CertState::Failed, "failed"),
];
/// Every state of a certificate on a node, with its word.
const NODE_STATES: [(NodeState, &str); 5] = [
    (NodeState::InSync, "in-sync"),
    (NodeState::Stale, "stale"),
    (NodeState::Absent, "absent"),
    (NodeState::Detached, "detached"),
    (NodeState::Unreachable, "unreachable"),
];

/// Everything that one scrape shows.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) usage: Usage,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(encoder);
        self.process(&mut sheet)?;
        if let Some(report) = &self.snapshot.report {
            sheet.gauge("hotcert_problems", "Problems that need a look.", count(report.problems.len()))?;
            certificates(&mut sheet, &report.certificates)?;
            renewals(&mut sheet, &report.certificates)?;
            self.nodes(&mut sheet, report)?;
            workers(&mut sheet, &report.nodes)?;
            self.pushes(&mut sheet, &report.nodes)?;
        }
        self.issuers(&mut sheet)
    }
}

impl Scrape {
    fn process(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1)];
        sheet.gauges("hotcert_build_info", "The version of hotcert.", version)?;
        sheet.gauge(
            "process_start_time_seconds",
            "When the process began, in seconds since 1970.",
            seconds(self.snapshot.started_at),
        )?;
        if let Some(cpu) = self.usage.cpu_seconds {
            sheet.counter("process_cpu_seconds", "CPU time that the process has used.", cpu)?;
        }
        if let Some(resident) = self.usage.resident_bytes {
            let help = "Memory of the process that is in use.";
            sheet.gauge("process_resident_memory_bytes", help, i64::try_from(resident).unwrap_or(i64::MAX))?;
        }
        sheet.gauge(
            "hotcert_snapshot_timestamp_seconds",
            "When it was looked at what is shown here.",
            seconds(self.snapshot.at),
        )
    }

    fn nodes(&self, sheet: &mut Sheet<'_>, report: &Report) -> fmt::Result {
        let nodes = &report.nodes;
        sheet.gauges(
            "hotcert_node_up",
            "Whether HAProxy answers on its runtime API.",
            nodes.iter().map(|node| ([("node", node.name.as_str())], i64::from(node.reachable))),
        )?;
        let versions = nodes
            .iter()
            .filter_map(|node| Some(([("node", node.name.as_str()), ("version", node.version.as_deref()?)], 1)));
        sheet.gauges("hotcert_node_info", "The version of HAProxy.", versions)?;
        let started = nodes.iter().filter_map(|node| Some(([("node", node.name.as_str())], seconds(node.started_at?))));
        sheet.gauges("hotcert_node_start_time_seconds", "When the process of HAProxy began.", started)?;
        let rounds = || self.snapshot.rounds.iter();
        sheet.gauges(
            "hotcert_node_last_round_timestamp_seconds",
            "When everything was last compared with the node.",
            rounds().map(|(node, round)| ([("node", node.as_str())], seconds(round.at))),
        )?;
        sheet.gauges(
            "hotcert_node_last_success_timestamp_seconds",
            "When that last ended without a failure.",
            rounds().filter_map(|(node, round)| Some(([("node", node.as_str())], seconds(round.succeeded_at?)))),
        )?;
        sheet.gauges(
            "hotcert_node_certificates",
            "Certificates that the node should serve, by how they stand there: all but in-sync are drift.",
            drift(report).into_iter().flat_map(|(node, states)| {
                let count = |(index, (_, word))| ([("node", node.as_str()), ("state", word)], states[index]);
                NODE_STATES.into_iter().enumerate().map(count).collect::<Vec<_>>()
            }),
        )
    }

    fn pushes(&self, sheet: &mut Sheet<'_>, nodes: &[NodeReport]) -> fmt::Result {
        let none = Tally::default();
        let tally = |node: &NodeReport| self.snapshot.counters.pushes.get(&node.name).unwrap_or(&none);
        let outcomes = nodes.iter().flat_map(|node| {
            let mut outcomes: BTreeMap<&'static str, u64> = BTreeMap::from([(Pushes::LOADED, 0)]);
            outcomes.extend(&tally(node).outcomes);
            outcomes.into_iter().map(|(outcome, times)| ([("node", node.name.as_str()), ("outcome", outcome)], times))
        });
        sheet.counters("hotcert_pushes", "Certificates brought into HAProxy's memory, by outcome.", outcomes)?;
        let distribution = |tally: &Tally| {
            let bounds = Tally::BOUNDS.into_iter().chain([f64::INFINITY]);
            Distribution { buckets: bounds.zip(tally.buckets).collect(), sum: tally.took.as_secs_f64() }
        };
        sheet.histograms(
            "hotcert_push_duration_seconds",
            "How long it took from the first word about a certificate until it was served, or refused.",
            nodes.iter().map(|node| ([("node", node.name.as_str())], distribution(tally(node)))),
        )
    }

    fn issuers(&self, sheet: &mut Sheet<'_>) -> fmt::Result {
        let Snapshot { issuers, counters, .. } = &*self.snapshot;
        let left = |issuer: &IssuerState| {
            let Left { new_orders, registered_domain, exact_set } = issuer.left?;
            Some([("new-orders", new_orders), ("registered-domain", registered_domain), ("exact-set", exact_set)])
        };
        sheet.gauges(
            "hotcert_issuer_budget_left",
            "How many orders the issuer still allows now, by our own count.",
            issuers.iter().flat_map(|issuer| {
                let of = |(limit, left)| ([("issuer", issuer.name.as_str()), ("limit", limit)], left);
                left(issuer).into_iter().flatten().map(of)
            }),
        )?;
        sheet.gauges(
            "hotcert_issuer_held",
            "Whether the issuer is left alone for a while, because it was down or asked for it.",
            issuers.iter().map(|issuer| ([("issuer", issuer.name.as_str())], i64::from(issuer.held.is_some()))),
        )?;
        let mut renewals: BTreeMap<&str, u64> = issuers.iter().map(|issuer| (issuer.name.as_str(), 0)).collect();
        renewals.extend(counters.renewals.iter().map(|(issuer, times)| (issuer.as_str(), *times)));
        let renewals = renewals.into_iter().map(|(issuer, times)| ([("issuer", issuer)], times));
        sheet.counters("hotcert_renewals", "Certificates that were ordered and stored, by issuer.", renewals)?;
        let failures = counters.renewal_failures.iter().map(|(kind, times)| ([("kind", *kind)], *times));
        sheet.counters(
            "hotcert_renewal_failures",
            "Orders that failed when they were due, by kind of failure.",
            failures,
        )
    }
}

fn certificates(sheet: &mut Sheet<'_>, certificates: &[CertificateReport]) -> fmt::Result {
    let in_state = |state| count(certificates.iter().filter(|certificate| certificate.state == state).count());
    sheet.gauges(
        "hotcert_certificates",
        "Certificates, by how far they have come.",
        CERT_STATES.map(|(state, word)| ([("state", word)], in_state(state))),
    )?;
    sheet.gauges(
        "hotcert_certificate_not_before_timestamp_seconds",
        "Start of validity of what is stored.",
        certificates.iter().filter_map(|certificate| {
            Some(([("certificate", certificate.name.as_str())], seconds(certificate.not_before?)))
        }),
    )?;
    let ends = certificates.iter().flat_map(|certificate| {
        let stored = (certificate.not_after, "", "stored");
        let on_nodes = certificate.nodes.iter().flat_map(|node| {
            let name = node.name.as_str();
            [(node.not_after, name, "memory"), (node.shown_not_after, name, "wire")]
        });
        let name = certificate.name.as_str();
        std::iter::once(stored).chain(on_nodes).filter_map(move |(end, node, place)| {
            Some(([("certificate", name), ("node", node), ("where", place)], seconds(end?)))
        })
    });
    sheet.gauges(
        "hotcert_certificate_not_after_timestamp_seconds",
        "End of validity of what is stored, of what HAProxy has in memory, and of what clients were shown last.",
        ends,
    )
}

fn renewals(sheet: &mut Sheet<'_>, certificates: &[CertificateReport]) -> fmt::Result {
    sheet.gauges(
        "hotcert_certificate_renewal_timestamp_seconds",
        "When the certificate is renewed.",
        certificates.iter().filter_map(|certificate| {
            Some(([("certificate", certificate.name.as_str())], seconds(certificate.renew_at?)))
        }),
    )?;
    sheet.gauges(
        "hotcert_certificate_renewal_failing",
        "Whether the last order of the certificate failed, or is held back, or what is stored is revoked.",
        certificates
            .iter()
            .filter(|certificate| {
                certificate.renew_at.or(certificate.next_try).is_some() || certificate.problem.is_some()
            })
            .map(|certificate| {
                ([("certificate", certificate.name.as_str())], i64::from(certificate.problem.is_some()))
            }),
    )
}

fn workers(sheet: &mut Sheet<'_>, nodes: &[NodeReport]) -> fmt::Result {
    sheet.gauges(
        "hotcert_node_old_workers",
        "Workers that finish their connections after a reload, with the certificates that they have.",
        nodes.iter().map(|node| ([("node", node.name.as_str())], count(node.old_workers.len()))),
    )?;
    let oldest = |node: &NodeReport| node.old_workers.iter().map(|worker| worker.started_at).min();
    sheet.gauges(
        "hotcert_node_oldest_worker_start_time_seconds",
        "When the oldest of them began.",
        nodes.iter().filter_map(|node| Some(([("node", node.name.as_str())], seconds(oldest(node)?)))),
    )?;
    sheet.gauges(
        "hotcert_node_transaction_start_time_seconds",
        "Since when a certificate transaction is open: while another program has one, nothing can be loaded.",
        nodes.iter().filter_map(|node| {
            let transaction = node.transaction.as_ref()?;
            let owner = if transaction.ours { "hotcert" } else { "other" };
            Some(([("node", node.name.as_str()), ("owner", owner)], seconds(transaction.since)))
        }),
    )
}

/// How many certificates of each node are in each of the [`NODE_STATES`].
fn drift(report: &Report) -> BTreeMap<&NodeName, [i64; NODE_STATES.len()]> {
    let mut drift: BTreeMap<_, _> = report.nodes.iter().map(|node| (&node.name, [0; NODE_STATES.len()])).collect();
    for served in report.certificates.iter().flat_map(|certificate| &certificate.nodes) {
        let state = NODE_STATES.iter().position(|(state, _)| *state == served.state);
        if let (Some(counts), Some(state)) = (drift.get_mut(&served.name), state) {
            counts[state] += 1;
        }
    }
    drift
}

fn seconds(at: Timestamp) -> i64 {
    at.as_second()
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
