//! What a daemon takes to start and has resident, and what a reload of `HAProxy` takes beside one renewal.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Scale;
use crate::node::{Node, Shape};
use crate::report::{Section, mb, ms, number};
use crate::stock::{Root, Stock};
use crate::support::HaproxyVersion;
use crate::support::http::http_get;
use crate::support::net::Port;
use crate::sync::{configuration, hotcert, program};
use crate::usage::Usage;

/// How long a daemon may take to be ready.
const START: Duration = Duration::from_mins(2);
/// When its memory is looked at: most of what it took to start is given back by then.
const SETTLED: Duration = Duration::from_secs(30);
/// The most with which the page and the metrics are looked at, too.
const OBSERVED: usize = 10_000;

pub fn part(scale: &Scale) -> Section {
    let mut section = Section::new(
        "Start-up and memory",
        "`hotcert run` with everything in step: until it is ready, and what it has resident half a minute later; the same with `[observe]` \
         on, after the metrics and the status page were asked for. Then HAProxy alone: what one renewal takes it, both looks of `hotcert \
         sync` included, and what a reload takes, and both its processes have resident while the old one still has a connection.",
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
            reloads.push(reload(&mut section, &mut node, &stock, &state, count));
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
    let columns =
        ["certificates", "one renewal, CPU", "reload after", "reload, CPU", "resident before", "resident with both"];
    section.table(&columns, reloads);
    section
}

/// Starts a daemon; how long it took, and what it has used a while later.
fn daemon(config: &Path, text: &str, observe: Option<&Port>) -> (Duration, Usage) {
    let observed = observe.map(Port::addr);
    let listen = observed.map(|address| format!("[observe]\nlisten = \"{address}\"\n")).unwrap_or_default();
    fs::write(config, format!("{text}{listen}")).unwrap();
    let log = config.with_extension("log");
    let began = Instant::now();
    let mut child = Command::new(program())
        .args(["run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    while !fs::read_to_string(&log).unwrap().contains("ready") && began.elapsed() < START {
        thread::sleep(Duration::from_millis(5));
    }
    let ready = began.elapsed();
    if let Some(address) = observed {
        for path in ["/metrics", "/"] {
            assert_eq!(http_get(address, "localhost", path).unwrap().status, 200, "{path}");
        }
    }
    thread::sleep(SETTLED);
    let usage = Usage::of(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    (ready, usage)
}

/// One renewal, then a reload while a client is there.
fn reload(section: &mut Section, node: &mut Node, stock: &Stock, state: &Path, count: usize) -> Vec<String> {
    hotcert(&["sync"], &[node], state, None);
    stock.select(state, 1, 1);
    let before = node.usage();
    hotcert(&["sync"], &[node], state, None);
    let renewal = node.usage().since(before).cpu;
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
            "`hotcert sync` looks at all certificates before and after; `set` and `commit` alone take about half a millisecond",
        );
    }
    vec![count.to_string(), ms(renewal), ms(took), ms(new.cpu), mb(resident), mb(both)]
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
