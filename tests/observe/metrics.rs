//! Numbers, and the rules and the dashboard that are made of them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;

use hotcert::model::Facts;
use rustix::process::Signal;

use crate::scrape::{Tower, get, get_as};
use crate::support::client::{Connection, Options, handshake};
use crate::support::pebble::BLOCKED;
use crate::support::secrets::{self, Secret};
use crate::support::sidecar::DEADLINE;
use crate::support::{Answering, Haproxy, HaproxyVersion, PebbleVersion, Scratch, Town, poll, tool};

const NAME: &str = "shop.test";

#[test]
fn the_numbers_follow_what_happens_to_2_6() {
    numbers_follow(HaproxyVersion::V2_6);
}

#[test]
fn the_numbers_follow_what_happens_to_3_2() {
    numbers_follow(HaproxyVersion::V3_2);
}

fn numbers_follow(version: HaproxyVersion) {
    let town = Town::new(Answering::Map, Haproxy::new(version).master(), PebbleVersion::V2_10, &[NAME, BLOCKED]);
    let mut tower = Tower::new(town);
    let sidecar = tower.sidecar();
    let mut all = Vec::new();

    // One is ordered and served, the other one is refused.
    let first = tower.wait_for(&sidecar, "one is served", |now| {
        now.not_after(NAME, "node0", "wire").is_some()
            && now.get(&format!("hotcert_certificate_renewal_failing{{certificate=\"{BLOCKED}\"}}")) == Some(1.0)
    });
    let shown = handshake(tower.town.house.nodes[0].https_addr(), NAME, Options::default()).unwrap();
    let end = seconds(Facts::read(shown.leaf(), 0).unwrap().not_after.as_second());
    for (node, place) in [("", "stored"), ("node0", "memory"), ("node0", "wire")] {
        assert_eq!(first.not_after(NAME, node, place), Some(end), "{place}");
    }
    for (series, value) in [
        ("hotcert_certificates{state=\"serving\"}", 1),
        ("hotcert_certificates{state=\"missing\"}", 1),
        ("hotcert_node_up{node=\"node0\"}", 1),
        ("hotcert_node_old_workers{node=\"node0\"}", 0),
        ("hotcert_issuer_held{issuer=\"pebble\"}", 0),
        ("hotcert_renewal_failures_total{kind=\"authority\"}", 1),
    ] {
        assert!(first.is(series, value), "{series} {value}\n{}", first.text);
    }
    assert!(first.text.contains(&format!("hotcert_node_info{{node=\"node0\",version=\"{}.", version.name())));
    let budget = "hotcert_issuer_budget_left{issuer=\"pebble\",limit=\"new-orders\"}";
    assert!(first.get(budget).is_some_and(|left| left < 300.0), "{}", first.text);
    all.push(first.clone());

    // A renewal.
    tower.run(&["renew", "--force", NAME]).expect_code(0);
    let ordered = "hotcert_renewals_total{issuer=\"pebble\"}";
    let (orders, loads) = (first.get(ordered).unwrap(), first.loaded());
    let renewed = tower
        .wait_for(&sidecar, "a renewal", |now| now.get(ordered) == Some(orders + 1.0) && now.loaded() >= loads + 1.0);

    // A push, which is counted with its time.
    let (leaf, file) = tower.town.house.leaf("other.test");
    tower.run(&["push", &file]).expect_code(0);
    let pushed = tower.wait_for(&sidecar, "a push", |now| {
        now.loaded() >= renewed.loaded() + 1.0 && now.not_after("other.test", "node0", "memory").is_some()
    });
    let count = pushed.get("hotcert_push_duration_seconds_count{node=\"node0\"}").unwrap();
    assert!(count >= pushed.loaded() && pushed.in_state("in-sync") == Some(2.0), "{}", pushed.text);

    // Another program has the transaction: what comes next is drift, until that one gives up.
    let slot = tower.town.house.nodes[0].crt_dir().join(format!("{NAME}.pem"));
    let foreign = tower.town.house.leaf(NAME).0.fullchain_and_key();
    let set = tower.town.house.nodes[0].cli_payload(&format!("set ssl cert {}", slot.display()), &foreign);
    assert!(set.starts_with("Transaction created"), "{set}");
    sidecar.signal(Signal::HUP);
    let open = "hotcert_node_transaction_start_time_seconds{node=\"node0\",owner=\"other\"}";
    all.push(tower.wait_for(&sidecar, "a transaction", |now| now.get(open).is_some()));
    let (next, file) = tower.town.house.leaf("other.test");
    let push = tower.town.house.hotcert.spawn(tower.arguments(&["push", &file]));
    tower.wait_for(&sidecar, "drift", |now| now.in_state("stale") == Some(1.0));
    tower.town.house.nodes[0].cli(&format!("abort ssl cert {}", slot.display()));
    push.wait(DEADLINE).expect_code(0);
    tower.wait_for(&sidecar, "no drift", |now| {
        now.in_state("stale") == Some(0.0) && now.get(open).is_none() && now.in_state("in-sync") == Some(2.0)
    });

    // A reload that leaves a worker behind.
    let mut busy = Connection::open(tower.town.house.nodes[0].https_addr(), NAME, Options::default()).unwrap();
    busy.begin("/").unwrap();
    tower.town.house.nodes[0].reload();
    let old = "hotcert_node_old_workers{node=\"node0\"}";
    all.push(tower.wait_for(&sidecar, "an old worker", |now| now.is(old, 1)));
    drop(busy);
    tower.wait_for(&sidecar, "no old worker", |now| now.is(old, 0));

    // A node that is away.
    tower.town.house.haproxy().kill();
    tower.wait_for(&sidecar, "a node that is away", |now| {
        now.is("hotcert_node_up{node=\"node0\"}", 0) && now.in_state("unreachable") == Some(3.0)
    });
    let ready = get(&tower.port, "/readyz").unwrap();
    assert!(ready.status == 200 && ready.text().contains("node node0 is away\n"), "{ready:?}");
    tower.town.house.haproxy().restart();
    all.push(tower.wait_for(&sidecar, "a node that is back", |now| now.is("hotcert_node_up{node=\"node0\"}", 1)));

    let names: BTreeSet<&str> = all.iter().flat_map(super::scrape::Scrape::names).collect();
    expect_used_names(&names);
    for scrape in &all {
        expect_good_by_promtool(&tower, &scrape.text);
    }
    let open_metrics = get_as(&tower.port, "/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(open_metrics.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open_metrics.text().ends_with("\n# EOF\n"), "{open_metrics:?}");

    let key =
        fs::read_to_string(tower.town.house.hotcert.state_dir().join(format!("certs/{NAME}/current/privkey.pem")));
    let secrets = [
        Secret::of("ordered", &key.unwrap()),
        Secret::of("pushed", &leaf.key_pem()),
        Secret::of("pushed again", &next.key_pem()),
    ];
    for path in ["/metrics", "/readyz", "/healthz"] {
        secrets::expect_none(&secrets, path, &get(&tower.port, path).unwrap().body);
    }
    sidecar.stop().0.expect_code(0);
    assert!(poll(DEADLINE, || get(&tower.port, "/healthz").is_none().then_some(())).is_some());
}

#[expect(clippy::cast_precision_loss, reason = "instants are small enough")]
fn seconds(at: i64) -> f64 {
    at as f64
}

/// What rules and dashboard ask for, there is.
fn expect_used_names(names: &BTreeSet<&str>) {
    for file in ["alerts.yml", "alerts_test.yml", "dashboard.json"] {
        let text = fs::read_to_string(format!("{}/docs/monitoring/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let used: BTreeSet<&str> =
            words.filter(|word| word.starts_with("hotcert_") || word.starts_with("process_")).collect();
        assert!(!used.is_empty(), "{file} asks for nothing");
        let unknown: Vec<_> = used.difference(names).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}, which nobody shows");
    }
}

fn expect_good_by_promtool(tower: &Tower, text: &str) {
    let file = tower.town.house.hotcert.scratch().write("scrape.txt", text);
    let mut check = Command::new(tool::packaged("promtool"));
    let ended = tool::run(check.args(["check", "metrics"]).stdin(File::open(file).unwrap())).expect_success();
    assert_eq!(ended.output, "", "promtool has something to say\n{text}");
}

#[test]
fn the_alert_rules_do_what_they_say() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut promtool = Command::new(tool::packaged("promtool"));
        tool::run(promtool.args(arguments).current_dir(directory)).expect_success();
    }
    // Each rule is tested.
    let read = |file: &str| fs::read_to_string(format!("{directory}/{file}")).unwrap();
    let (rules, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    let named = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let untested: Vec<_> = named.filter(|name| !tests.contains(&format!("alertname: {name}\n"))).collect();
    assert_eq!(untested, Vec::<&str>::new());
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring.md")).unwrap();
    let explained = |name: &str| page.contains(&format!("| `{name}` |"));
    let unexplained: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .filter(|name| !explained(name))
        .collect();
    assert_eq!(unexplained, Vec::<&str>::new());
}

#[test]
fn the_dashboard_fits_into_any_grafana() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/monitoring/dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        let place = &panel["gridPos"];
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel:#}");
        for source in std::iter::once(panel).chain(panel["targets"].as_array().unwrap()) {
            assert_eq!(source["datasource"]["uid"], "${datasource}", "{panel:#}");
        }
        assert!(!panel["title"].as_str().unwrap().is_empty() && !panel["description"].as_str().unwrap().is_empty());
    }
    // As a rule, each query is one that a Prometheus understands.
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = queries.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "5m"));
    let rules: String = queries
        .enumerate()
        .map(|(number, query)| format!("  - {{ record: panel:{number}, expr: {} }}\n", serde_json::json!(query)))
        .collect();
    let scratch = Scratch::new();
    let rules = scratch.write("rules.yml", format!("groups:\n- name: dashboard\n  rules:\n{rules}"));
    let mut promtool = Command::new(tool::packaged("promtool"));
    tool::run(promtool.args(["check", "rules"]).arg(rules)).expect_success();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job", "node"]);
}
