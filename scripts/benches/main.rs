//! Figures of hotcert beside HAProxy's own limit, hooks with `socat`, and reloads; `scripts/bench` runs it.
//!
//! Each part is a program of its own with a time limit, and leaves its figures as JSON; the page is written from what is there.

#![allow(clippy::print_stdout, reason = "figures are for people")]
#![allow(clippy::unwrap_used, reason = "a benchmark may panic anywhere")]
#![allow(unreachable_pub, reason = "modules of one program")]

#[path = "../../tests/support/mod.rs"]
mod support;

mod clients;
mod daemon;
mod files;
mod machine;
mod node;
mod others;
mod parts;
mod plot;
mod report;
mod start;
mod stock;
mod swap;
mod sync;
mod usage;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use report::Section;
use support::HaproxyVersion;

/// The oldest and the newest that are supported.
const VERSIONS: [HaproxyVersion; 2] = [HaproxyVersion::V2_6, HaproxyVersion::V3_2];

type Part = (&'static str, fn(&Scale) -> Section);

/// In the order of the page.
const PARTS: [Part; 6] = [
    ("swap", swap::part),
    ("drift", parts::drift),
    ("files", files::part),
    ("traffic", parts::traffic),
    ("start", start::part),
    ("growth", parts::growth),
];

/// How much is measured.
pub struct Scale {
    /// How many certificates are swapped.
    pub swapped: &'static [usize],
    /// How many certificates a drift check and a start go through.
    pub looked_at: &'static [usize],
    /// How many certificates a node serves while clients come.
    pub served: usize,
    /// How many files are watched.
    pub watched: usize,
    /// How many certificates are swapped where bind lines, nodes or certificates grow.
    pub grown: usize,
    /// How long clients are looked at while nothing is swapped.
    pub idle: Duration,
    /// How long one part may take.
    pub limit: Duration,
}

const QUICK: Scale = Scale {
    swapped: &[1, 100, 1000],
    looked_at: &[1000],
    served: 1000,
    watched: 200,
    grown: 200,
    idle: Duration::from_secs(3),
    limit: Duration::from_mins(4),
};

const FULL: Scale = Scale {
    swapped: &[1, 100, 1000, 10_000],
    looked_at: &[1000, 10_000, 100_000],
    served: 10_000,
    watched: 1000,
    grown: 1000,
    idle: Duration::from_secs(10),
    limit: Duration::from_mins(12),
};

fn main() -> ExitCode {
    // cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_quick = words.iter().any(|word| word == "quick");
    let scale = if is_quick { &QUICK } else { &FULL };
    let directory = results(is_quick);
    if let Some(name) = words.iter().find_map(|word| word.strip_prefix("part=")) {
        let (name, part) = PARTS.iter().find(|(known, _)| *known == name).unwrap();
        let section = part(scale);
        fs::write(directory.join(format!("{name}.json")), serde_json::to_vec_pretty(&section).unwrap()).unwrap();
        return ExitCode::SUCCESS;
    }
    fs::create_dir_all(&directory).unwrap();
    let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
    let wanted: Vec<&str> = names.iter().copied().filter(|name| words.iter().any(|word| word == name)).collect();
    let wanted = if wanted.is_empty() { names.clone() } else { wanted };
    let mut code = ExitCode::SUCCESS;
    for name in wanted {
        println!("{name}");
        let began = Instant::now();
        if run(name, is_quick, scale.limit, &directory) {
            println!("{name}: done in {:.0?}", began.elapsed());
        } else {
            println!("{name}: not finished after {:.0?}; what was measured before stays", began.elapsed());
            code = ExitCode::FAILURE;
        }
        report::write(&directory, &names);
    }
    println!("{}", directory.join("README.md").display());
    code
}

/// Where the page is: that of a quick run is nobody else's.
fn results(is_quick: bool) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if is_quick { here.join("target/benchmarks") } else { here.join("docs/benchmarks") }
}

/// Runs one part by this program itself, and ends it with all that it has started when its time is over.
fn run(name: &str, is_quick: bool, limit: Duration, directory: &Path) -> bool {
    let _ = fs::remove_file(directory.join(format!("{name}.json")));
    let scratch = tempfile::Builder::new().prefix("hotcert-bench-").tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(format!("part={name}")).args(is_quick.then_some("quick"));
    let mut child = command.env("TMPDIR", scratch.path()).process_group(0).spawn().unwrap();
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() >= end => break None,
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let _ = child.wait();
    status.is_some_and(|status| status.success())
}
