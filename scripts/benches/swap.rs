//! Swapping certificates: by hotcert, by a replay, by `socat`, by a reload.

use std::time::{Duration, Instant};

use crate::node::{Node, Shape};
use crate::others;
use crate::report::{Chart, Section, Series, median, ms, number, rate};
use crate::stock::{Root, Stock};
use crate::sync::hotcert;
use crate::{Scale, VERSIONS};

/// How many `socat` programs' worth is measured; the rest is as slow.
const BY_SOCAT: usize = 100;

pub fn part(scale: &Scale) -> Section {
    let mut section = Section::new(
        "Swapping certificates",
        "Certificates a second. `hotcert sync` at full pace is the whole command: reading the store, looking at HAProxy, swapping \
         with files published and synced, and looking again on a new connection. The replay writes the same commands from memory \
         and does nothing else: HAProxy's own limit. `socat` is one program for each of list, set and commit, measured with up to \
         100 certificates. A reload reads all files anew; its time is until the new process answers.",
    );
    let (mut rows, mut bars) = (Vec::new(), [Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new()]);
    let root = Root::new();
    for &count in scale.swapped {
        let stock = Stock::new(count);
        let state = root.join("state");
        stock.fill(&state, &root, 1);
        for version in VERSIONS {
            stock.select(&state, count, 0);
            let mut node = Node::start(Shape::of(version), &stock, &root, 0);
            let mut times: [Vec<Duration>; 4] = Default::default();
            let (mut own_cpu, mut their_cpu) = (Duration::ZERO, Duration::ZERO);
            // The first look is at a store that nobody has read yet.
            hotcert(&["sync"], &[&node], &state, Some("full"));
            let rounds = rounds(count);
            let mut held = 0;
            for round in 0..rounds {
                for generation in [1 - held, held] {
                    times[1].push(others::replay(&node, &stock, count, generation));
                }
                held = 1 - held;
                stock.select(&state, count, held);
                let before = node.usage();
                let run = hotcert(&["sync"], &[&node], &state, Some("full"));
                their_cpu += node.usage().since(before).cpu;
                own_cpu += run.cpu;
                times[0].push(run.wall);
                if round == 0 {
                    let some = count.min(BY_SOCAT);
                    times[2].push(others::socat(&node, &stock, some, 1 - held).mul_f64(number(count) / number(some)));
                    hotcert(&["sync"], &[&node], &state, Some("full"));
                }
            }
            stock.select(&state, count, 1 - held);
            let default = hotcert(&["sync"], &[&node], &state, None).wall;
            let began = Instant::now();
            drop(node.reload());
            times[3].push(began.elapsed());
            let [own, replayed, by_socat, reload] = times.each_mut().map(|times| median(times));
            let share = replayed.as_secs_f64() / own.as_secs_f64();
            let cpu = own_cpu.as_secs_f64() / their_cpu.as_secs_f64().max(1e-9);
            rows.push(vec![
                version.name().to_owned(),
                count.to_string(),
                format!("{} ({:.0}/s)", ms(own), rate(count, own)),
                format!("{} ({:.0}/s)", ms(default), rate(count, default)),
                format!("{} ({:.0}/s)", ms(replayed), rate(count, replayed)),
                format!("{} ({:.0}/s)", ms(by_socat), rate(count, by_socat)),
                ms(reload),
                format!("{share:.2}"),
                format!("{:.1} ×", by_socat.as_secs_f64() / own.as_secs_f64()),
                format!("{:.0} %", cpu * 100.0),
            ]);
            let label = format!("{} × {count}", version.name());
            for (bars, took) in bars.iter_mut().zip([own, default, replayed, by_socat, reload]) {
                bars.push((label.clone(), rate(count, took)));
            }
            if count == scale.swapped[scale.swapped.len() - 1] {
                aims(&mut section, version.name(), count, share, by_socat.as_secs_f64() / own.as_secs_f64(), cpu);
            }
        }
    }
    let columns = [
        "HAProxy",
        "certificates",
        "hotcert, full",
        "hotcert, adaptive",
        "replay",
        "socat",
        "reload",
        "share of the limit",
        "against socat",
        "CPU of HAProxy's",
    ];
    section.table(&columns, rows);
    let names = ["hotcert, full", "hotcert, adaptive", "replay (the limit)", "socat", "reload"];
    section.charts.push(Chart {
        file: "swap.svg".to_owned(),
        title: "Certificates swapped".to_owned(),
        unit: "a second".to_owned(),
        along: None,
        series: names.iter().zip(bars).map(|(name, points)| Series { name: (*name).to_owned(), points }).collect(),
    });
    section
}

/// How often so many certificates are swapped: few are over in a moment, and vary more.
fn rounds(count: usize) -> usize {
    match count {
        0..=1 => 15,
        2..=100 => 7,
        _ => 3,
    }
}

fn aims(section: &mut Section, version: &str, count: usize, share: f64, against: f64, cpu: f64) {
    let (of_socat, of_cpu) = if version == "2.6" { (10.0, 0.10) } else { (40.0, 0.07) };
    section.aim(
        &format!("{count} at full pace, HAProxy {version}"),
        "≥ 0.95 of the replay",
        format!("{share:.2}"),
        share >= 0.95,
        if version == "2.6" {
            "the command begins and ends with a look at everything; each certificate is looked at once more before its commit, for 2.6 \
             may put it into another program's transaction, which takes HAProxy itself a tenth longer"
        } else {
            "the command begins and ends with a look at everything, while HAProxy has nothing to do; reading, writing, syncing and \
             renaming the files takes hotcert about as long as HAProxy needs for a certificate"
        },
    );
    section.aim(
        &format!("{count} against one socat for each command, HAProxy {version}"),
        &format!("≥ {of_socat:.0} ×"),
        format!("{against:.1} ×"),
        against >= of_socat,
        "the same, and one `socat` for each command is quicker here (see the table) than where the aim was set",
    );
    section.aim(
        &format!("hotcert's CPU while pushing {count}, HAProxy {version}"),
        &format!("≤ {:.0} % of HAProxy's", of_cpu * 100.0),
        format!("{:.0} %", cpu * 100.0),
        cpu <= of_cpu,
        "most of it is the kernel's, for files that are read, created, synced and renamed, and for both looks at everything; the \
         figure of the aim is that of pushing alone",
    );
}
