//! Figures of `hotcert run`: how soon files are served, and what an idle sidecar costs.
//!
//! `scripts/bench` runs it. Each figure is printed with what it was measured on; nothing passes or fails.

#![allow(clippy::print_stdout, reason = "figures are for people")]
#![expect(clippy::unwrap_used, reason = "a benchmark may panic anywhere")]

#[path = "../../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::sidecar::{self, serial};
use support::{Haproxy, HaproxyVersion, Hotcert, Leaf, Pki, Sidecar, poll};

/// How long anything may take here: a thousand certificates in a debug build on a busy machine.
const DEADLINE: Duration = Duration::from_mins(5);

/// A HAProxy with certificates that are watched.
struct Bench {
    // Before the directories: fields are dropped in this order.
    sidecar: Sidecar,
    haproxy: Haproxy,
    _hotcert: Hotcert,
    directory: PathBuf,
    pki: Pki,
    names: Vec<String>,
}

impl Bench {
    fn new(version: HaproxyVersion, count: usize) -> Self {
        let haproxy = Haproxy::new(version).start();
        let hotcert = Hotcert::new();
        let directory = hotcert.scratch().dir("watched");
        let pki = Pki::new();
        let names: Vec<String> = (0..count).map(|number| format!("shop{number}.test")).collect();
        for name in &names {
            write(&directory, name, &pki.leaf(name).issue());
        }
        let rest = format!("[[watch]]\ndir = {:?}\n", directory.to_str().unwrap());
        let sidecar = Sidecar::start(&hotcert, sidecar::flags(&hotcert, &[&haproxy], &rest));
        let bench = Self { sidecar, haproxy, _hotcert: hotcert, directory, pki, names };
        bench.expect_all_served();
        bench
    }

    fn expect_all_served(&self) {
        for name in &self.names {
            assert!(poll(DEADLINE, || serial(&self.haproxy, name)).is_some(), "{name}\n{}", self.sidecar.log());
        }
    }

    /// Replaces the first files, and waits until all are served.
    fn replace(&self, count: usize) -> Duration {
        let leaves: Vec<Leaf> = self.names[..count].iter().map(|name| self.pki.leaf(name).issue()).collect();
        let new = self.directory.join(".new");
        fs::create_dir_all(&new).unwrap();
        for (name, leaf) in self.names.iter().zip(&leaves) {
            write(&new, name, leaf);
        }
        for name in &self.names[..count] {
            let file = format!("{name}.pem");
            fs::rename(new.join(&file), self.directory.join(&file)).unwrap();
        }
        let began = Instant::now();
        for (name, leaf) in self.names.iter().zip(&leaves) {
            let served =
                poll(DEADLINE, || (serial(&self.haproxy, name).as_deref() == Some(leaf.serial())).then_some(()));
            assert!(served.is_some(), "{name}\n{}", self.sidecar.log());
        }
        began.elapsed()
    }
}

fn write(directory: &Path, name: &str, leaf: &Leaf) {
    fs::write(directory.join(format!("{name}.pem")), leaf.fullchain_and_key()).unwrap();
}

fn files() {
    const ROUNDS: usize = 21;
    println!("from the last write of a file to a handshake that shows it");
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        for count in [1, 1000] {
            let bench = Bench::new(version, count);
            let mut one: Vec<Duration> = (0..ROUNDS).map(|_| bench.replace(1)).collect();
            one.sort_unstable();
            println!(
                "HAProxy {:4} {count:5} watched:  1 file   median {:7.1?}  longest {:7.1?}",
                version.name(),
                one[ROUNDS / 2],
                one[ROUNDS - 1]
            );
            if count > 1 {
                println!(
                    "HAProxy {:4} {count:5} watched: {count:5} files  all {:7.1?}",
                    version.name(),
                    bench.replace(count)
                );
            }
        }
    }
}

fn idle() {
    let minutes: u64 = std::env::var("MINUTES").map_or(3, |minutes| minutes.parse().unwrap());
    println!("an idle sidecar with 1,000 certificates, over {minutes} minutes");
    for version in [HaproxyVersion::V2_6, HaproxyVersion::V3_2] {
        let bench = Bench::new(version, 1000);
        // What followed the start is over, and the memory that it took is given back.
        std::thread::sleep(Duration::from_mins(1));
        let before = ticks(bench.sidecar.id());
        std::thread::sleep(Duration::from_mins(minutes));
        let used = ticks(bench.sidecar.id()) - before;
        let status = fs::read_to_string(format!("/proc/{}/status", bench.sidecar.id())).unwrap();
        let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        // A hundred ticks are a second, so ticks a second are percents of a core.
        println!(
            "HAProxy {:4}  {:.3} % of a core  {}  {}  {}",
            version.name(),
            f64::from(u32::try_from(used).unwrap()) / f64::from(u32::try_from(minutes * 60).unwrap()),
            line("VmRSS:"),
            line("RssAnon:"),
            line("VmHWM:"),
        );
    }
}

/// Hundredths of a second of processors that a process has used (`proc_pid_stat(5)`, `utime` and `stime`).
fn ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

fn main() {
    // cargo adds `--bench`.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for (name, bench) in [("files", files as fn()), ("idle", idle)] {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            bench();
        }
    }
}
