//! Drift checks, clients meanwhile, growth.

use std::thread;
use std::time::{Duration, Instant};

use crate::clients::{Clients, Waits};
use crate::node::{Node, Shape};
use crate::others;
use crate::report::{Chart, Section, Series, mb, median, ms, rate};
use crate::stock::{Root, Stock};
use crate::support::HaproxyVersion;
use crate::sync::hotcert;
use crate::{Scale, VERSIONS};

pub fn drift(scale: &Scale) -> Section {
    let mut section = Section::new(
        "Drift check",
        "`hotcert plan` with everything in step: every published file is read and hashed, and all that HAProxy has in memory is \
         compared. The first run follows a start of HAProxy, the second one the first.",
    );
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    let root = Root::new();
    let state = root.join("state");
    for version in VERSIONS {
        let mut line = Vec::new();
        for &count in scale.looked_at.iter().filter(|&&count| version != HaproxyVersion::V2_6 || count <= 10_000) {
            let stock = Stock::new(count);
            stock.fill(&state, &root, 1);
            let node = Node::start(Shape::of(version), &stock, &root, 0);
            let first = hotcert(&["plan"], &[&node], &state, None);
            let mut walls = Vec::new();
            let mut second = hotcert(&["plan"], &[&node], &state, None);
            for _ in 0..3 {
                walls.push(second.wall);
                second = hotcert(&["plan"], &[&node], &state, None);
            }
            let again = median(&mut walls);
            let (version, counted) = (version.name(), count.to_string());
            rows.push(vec![
                version.to_owned(),
                counted.clone(),
                ms(first.wall),
                ms(again),
                ms(second.cpu),
                mb(second.peak),
            ]);
            line.push((counted, again.as_secs_f64() * 1000.0));
            let most = if count == 10_000 { Some(0.4) } else { (count == 100_000).then_some(4.0) };
            if let Some(most) = most {
                section.aim(
                    &format!("drift check of {count}, HAProxy {version}"),
                    &format!("≤ {most} s"),
                    ms(again),
                    again.as_secs_f64() <= most,
                    "each command reads what it remembers, the store and every published file anew, some 70 µs of processor time for each \
                     certificate, half of them the kernel's",
                );
            }
        }
        lines.push(Series { name: format!("HAProxy {}", version.name()), points: line });
    }
    section.table(&["HAProxy", "certificates", "first", "second", "CPU", "most memory"], rows);
    section.charts.push(Chart {
        file: "drift.svg".to_owned(),
        title: "Drift check".to_owned(),
        unit: "ms".to_owned(),
        along: Some("certificates".to_owned()),
        series: lines,
    });
    section
}

pub fn traffic(scale: &Scale) -> Section {
    let mut section = Section::new(
        "Clients meanwhile",
        "A hundred new handshakes a second, each counted from the moment at which it was due, while all certificates are swapped.",
    );
    let (mut rows, mut bars) = (Vec::new(), Vec::new());
    let root = Root::new();
    let (stock, state) = (Stock::new(scale.served), root.join("state"));
    stock.fill(&state, &root, 1);
    for version in VERSIONS {
        let mut node = Node::start(Shape::of(version), &stock, &root, 0);
        let mut points = Vec::new();
        let (mut idle, mut held) = (None, 0);
        stock.select(&state, stock.names.len(), held);
        for what in ["idle", "hotcert, adaptive", "hotcert, full", "replay", "reload"] {
            if what.starts_with("hotcert") {
                held = 1 - held;
                stock.select(&state, stock.names.len(), held);
            }
            let clients = Clients::start(&node, &stock.names);
            thread::sleep(Duration::from_millis(500));
            let began = Instant::now();
            match what {
                "hotcert, adaptive" => _ = hotcert(&["sync"], &[&node], &state, None),
                "hotcert, full" => _ = hotcert(&["sync"], &[&node], &state, Some("full")),
                "replay" => _ = others::replay(&node, &stock, stock.names.len(), 1 - held),
                "reload" => drop(node.reload()),
                _ => thread::sleep(scale.idle),
            }
            let took = began.elapsed();
            thread::sleep(Duration::from_millis(200));
            let Waits { p50, p99, longest, count, failed } = clients.stop();
            let row =
                [version.name().to_owned(), what.to_owned(), ms(took)].into_iter().chain([p50, p99, longest].map(ms));
            rows.push(row.chain([count.to_string(), failed.to_string()]).collect());
            points.push((what.to_owned(), p99.as_secs_f64() * 1000.0));
            let idle = *idle.get_or_insert(p99);
            if what == "hotcert, adaptive" {
                let allowed = Duration::from_millis(if version == HaproxyVersion::V2_6 { 6 } else { 2 });
                section.aim(
                    &format!("clients at the default pace, HAProxy {}", version.name()),
                    &format!("0 failed, p99 ≤ idle ({}) + {}", ms(idle), ms(allowed)),
                    format!("{failed} failed, p99 {}", ms(p99)),
                    failed == 0 && p99 <= idle + allowed,
                    "clients, hotcert and HAProxy share two processors here",
                );
            }
        }
        bars.push(Series { name: format!("HAProxy {}", version.name()), points });
    }
    section.table(&["HAProxy", "meanwhile", "took", "p50", "p99", "longest", "handshakes", "failed"], rows);
    section.charts.push(Chart {
        file: "clients.svg".to_owned(),
        title: "Handshakes meanwhile, p99".to_owned(),
        unit: "ms".to_owned(),
        along: None,
        series: bars,
    });
    section
}

pub fn growth(scale: &Scale) -> Section {
    let mut section = Section::new(
        "Growth",
        "Certificates a second that `hotcert sync` swaps at full pace on HAProxy 3.2, as what it works on grows. With several nodes \
         each of them gets every certificate; beyond the number of processors they share them.",
    );
    let mut rows = Vec::new();
    let root = Root::new();
    let state = root.join("state");
    let swap = |what: &str, stock: &Stock, nodes: &[Node], count: usize, rows: &mut Vec<Vec<String>>| {
        let nodes: Vec<&Node> = nodes.iter().collect();
        hotcert(&["sync"], &nodes, &state, Some("full"));
        let mut walls = Vec::new();
        for generation in [1, 0, 1] {
            stock.select(&state, count, generation);
            walls.push(hotcert(&["sync"], &nodes, &state, Some("full")).wall);
        }
        stock.select(&state, count, 0);
        let wall = median(&mut walls);
        rows.push(vec![what.to_owned(), count.to_string(), ms(wall), format!("{:.0}", rate(count, wall))]);
        rate(count, wall)
    };
    let shape = Shape::of(HaproxyVersion::V3_2);
    let (mut by_binds, mut by_nodes, mut by_count) = (Vec::new(), Vec::new(), Vec::new());
    let stock = Stock::new(scale.grown);
    stock.fill(&state, &root, 4);
    for binds in [1, 2, 4, 8] {
        let nodes = [Node::start(Shape { binds, ..shape }, &stock, &root, 0)];
        by_binds
            .push((binds.to_string(), swap(&format!("{binds} bind lines"), &stock, &nodes, scale.grown, &mut rows)));
    }
    for count in [1, 2, 4] {
        let nodes: Vec<Node> =
            (0..count).map(|at| Node::start(Shape { threads: 1, ..shape }, &stock, &root, at)).collect();
        by_nodes.push((count.to_string(), swap(&format!("{count} nodes"), &stock, &nodes, scale.grown, &mut rows)));
    }
    for &count in scale.looked_at {
        let stock = Stock::new(count);
        stock.fill(&state, &root, 1);
        let nodes = [Node::start(shape, &stock, &root, 0)];
        let some = count.min(scale.grown);
        by_count.push((count.to_string(), swap(&format!("{some} of {count} loaded"), &stock, &nodes, some, &mut rows)));
    }
    section.table(&["of what", "swapped", "took", "a second"], rows);
    let plots =
        [("binds", "bind lines", by_binds), ("nodes", "nodes", by_nodes), ("loaded", "certificates loaded", by_count)];
    for (file, along, points) in plots {
        section.charts.push(Chart {
            file: format!("{file}.svg"),
            title: format!("Swapping with more {along}"),
            unit: "certificates a second".to_owned(),
            along: Some(along.to_owned()),
            series: vec![Series { name: "hotcert, full".to_owned(), points }],
        });
    }
    section
}
