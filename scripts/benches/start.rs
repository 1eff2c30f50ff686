//! What a daemon takes to start and has resident, and what a reload of `HAProxy` takes beside one renewal.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::Scale;
use crate::daemon::Daemon;
use crate::node::{Node, Shape};
use crate::report::{Section, mb, ms, number};
use crate::stock::{Root, Stock};
use crate::support::HaproxyVersion;
use crate::support::http::http_get;
use crate::support::net::Port;
use crate::sync::{configuration, hotcert};
use crate::usage::Usage;

/// When its memory is looked at: most of what it took to start is given back by then.
const SETTLED: Duration = Duration::from_secs(30);
/// How long a renewal is watched after it: until everything is looked at that has to be.
const PROVED: Duration = Duration::from_secs(1);
/// The most with which the page and the metrics are looked at, too.
const OBSERVED: usize = 10_000;

pub fn part(scale: &Scale) -> Section {
    let mut section = Section::new(
        "Start-up and memory",
        "`hotcert run` with everything in step: until it is ready, and what it has resident half a minute later; the same with `[observe]` \
         on, after the metrics and the status page were asked for. Then HAProxy alone: what one renewal by the daemon takes it, both looks \
         and a second of watching included, and one by `hotcert sync`, which looks at everything first; and what a reload takes, and both its \
         processes have resident while the old one still has a connection.",
    );
    let (mut daemons, mut reloads) = (Vec::new(), Vec::new());
    let root = Root::new();
    let state = root.join("state");
    for &count in [0].iter().chain(scale.looked_at) {
        let stock = Stock::new(count.max(1));
        if count > 0 {
            stock.fill(&state, &root, 1);
        } else {
            fs::create_dir_all(&state).unwrap();
            fs::set_permissions(&state, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let mut node = Node::start(Shape::of(HaproxyVersion::V3_2), &stock, &root, 0);
        let text = configuration(&[&node], &state, None);
        let (ready, usage) = daemon(&root.join("hotcert.toml"), &text, None);
        let observed = (count <= OBSERVED).then(|| daemon(&root.join("hotcert.toml"), &text, Some(&Port::reserve())).1);
        daemons.push(vec![
            count.to_string(),
            ms(ready),
            mb(usage.resident),
            mb(usage.peak),
            observed.map_or_else(|| "not measured".to_owned(), |usage| mb(usage.resident)),
            mb(node.usage().resident),
            ms(node.started_in),
        ]);
        aims(&mut section, count, ready, usage);
        if count > 0 {
            reloads.push(reload(&mut section, &mut node, &stock, &root, count));
        }
    }
    let columns = [
        "certificates",
        "ready after",
        "resident",
        "most",
        "resident, observed",
        "HAProxy 3.2 resident",
        "HAProxy's own start",
    ];
    section.table(&columns, daemons);
    let columns = [
        "certificates",
        "one renewal, CPU",
        "by `sync`, CPU",
        "reload after",
        "reload, CPU",
        "resident before",
        "resident with both",
    ];
    section.table(&columns, reloads);
    section
}

/// Starts a daemon; how long it took, and what it has used a while later.
fn daemon(config: &Path, text: &str, observe: Option<&Port>) -> (Duration, Usage) {
    let observed = observe.map(Port::addr);
    let listen = observed.map(|address| format!("[observe]\nlisten = \"{address}\"\n")).unwrap_or_default();
    let daemon = Daemon::start(config, &format!("{text}{listen}"));
    if let Some(address) = observed {
        for path in ["/metrics", "/"] {
            assert_eq!(http_get(address, "localhost", path).unwrap().status, 200, "{path}");
        }
    }
    thread::sleep(SETTLED);
    (daemon.ready_after, daemon.usage())
}

/// One renewal, then a reload while a client is there.
fn reload(section: &mut Section, node: &mut Node, stock: &Stock, root: &Root, count: usize) -> Vec<String> {
    let state = &root.join("state");
    hotcert(&["sync"], &[node], state, None);
    let renewal = {
        let daemon = Daemon::start(&root.join("hotcert.toml"), &configuration(&[node], state, None));
        let before = node.usage();
        stock.select(state, 1, 1);
        daemon.wait_for("loading the certificate");
        thread::sleep(PROVED);
        node.usage().since(before).cpu
    };
    stock.select(state, 1, 0);
    let before = node.usage();
    hotcert(&["sync"], &[node], state, None);
    let command = node.usage().since(before).cpu;
    let client = TcpStream::connect(node.https()).unwrap();
    let (resident, began) = (node.usage().resident, Instant::now());
    let old = node.reload();
    let (took, new) = (began.elapsed(), node.usage());
    let both = new.resident + Usage::of(old.id()).resident;
    drop(client);
    if count == 10_000 {
        let times = new.cpu.as_secs_f64() / renewal.as_secs_f64();
        section.aim(
            "HAProxy's CPU for one renewal of 10000 against a reload",
            "≥ 5000 × less",
            format!("{times:.0} × less"),
            times >= 5000.0,
            "the daemon lists the names of all certificates, and describes the one, before and after; `set` and `commit` alone take about \
             half a millisecond",
        );
    }
    vec![count.to_string(), ms(renewal), ms(command), ms(took), ms(new.cpu), mb(resident), mb(both)]
}

fn aims(section: &mut Section, count: usize, ready: Duration, usage: Usage) {
    let most = match count {
        0 => 12e6,
        10_000 => 25e6,
        100_000 => 60e6,
        _ => return,
    };
    section.aim(
        &format!("memory with {count}"),
        &format!("≤ {:.0} MB", most / 1e6),
        mb(usage.resident),
        number(usage.resident / 1000) * 1000.0 <= most,
        "the report, the names and the configuration of each certificate are kept besides its fingerprints, and the program itself is \
         larger since it is built for speed",
    );
    if count == 10_000 {
        let most = Duration::from_secs(2);
        section.aim("start with 10000 in step", "ready within 2 s", ms(ready), ready <= most, "the disk is slow");
    }
}
