//! How a report is judged and told.

use hotcert::observe::overview::{Overview, Tone};
use hotcert::reconcile::{CertState, NodeState};

use crate::sample::{broken, certificate, good, node, report};

#[test]
fn a_node_that_is_away_is_one_trouble_however_many_certificates_it_has() {
    let overview = Overview::of(&broken(), None);
    let told: Vec<_> = overview.troubles.iter().map(|trouble| (trouble.tone, &*trouble.message)).collect();
    assert_eq!(
        told,
        [
            (
                Tone::Broken,
                "node edge-2: cannot connect to /run/haproxy/edge-2.sock: Connection refused (os error 111)"
            ),
            (Tone::Broken, "http-01 of login.example.com: the authority was answered 404"),
            (Tone::Broken, "there is no certificate yet"),
            (Tone::Look, "old worker 4012 still serves serial 03ff of login.example.com"),
        ]
    );
    let away = &overview.troubles[0];
    assert_eq!((away.concerned, &*away.nodes), (5, &["edge-2".to_owned()][..]));
    assert!(away.hint.as_ref().is_some_and(|hint| hint.starts_with("start HAProxy")), "{away:?}");
    assert!(overview.troubles[1].next_try.is_some());
    let headline =
        "1 node cannot be reached, 2 certificates are not served as they should be, 4 certificates need a look";
    assert_eq!(overview.headline(), headline);
    let first: Vec<_> = overview.certificates.iter().map(|certificate| &*certificate.name).take(3).collect();
    assert_eq!(first, ["login.example.com", "new.example.org", "api.example.org"]);
}

#[test]
fn what_is_well_is_told_in_one_sentence() {
    let all = Overview::of(&good(), None);
    assert_eq!(all.headline(), "All 6 certificates are served as they should be");
    assert_eq!((all.tone(), all.troubles.len()), (Tone::Good, 0));
    assert_eq!(all.next_renewal().unwrap().1, "fast.example.net");
    let one = report(vec![certificate("a.test", 1.0, 90.0, &["edge"])], vec![node("edge")]);
    assert_eq!(Overview::of(&one, None).headline(), "The certificate is served as it should be");
    assert_eq!(Overview::of(&report(vec![], vec![]), None).headline(), "No certificate is managed yet");
}

#[test]
fn what_is_not_where_it_should_be_is_a_trouble_even_when_nobody_says_why() {
    let mut report = good();
    report.certificates[0].state = CertState::Stored;
    report.certificates[0].nodes[0].state = NodeState::Absent;
    let overview = Overview::of(&report, None);
    assert_eq!(overview.certificates[0].tone, Tone::Broken);
    assert_eq!(overview.troubles[0].message, "not every node serves what is stored");
    assert_eq!(overview.troubles[0].certificates, ["api.example.org"]);
    assert_eq!(overview.troubles[0].tone, Tone::Broken, "no client gets it from that node");
}

#[test]
fn an_overview_reads_back_what_it_writes() {
    let overview = Overview::of(&broken(), None);
    let text = serde_json::to_string(&overview).unwrap();
    assert_eq!(serde_json::from_str::<Overview>(&text).unwrap(), overview);
}
