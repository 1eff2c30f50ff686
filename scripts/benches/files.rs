//! From the last write of a watched file to a handshake that shows it, and what an idle sidecar costs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::report::{Section, mb, ms};
use crate::support::sidecar::{self, serial};
use crate::support::{Haproxy, HaproxyVersion, Hotcert, Leaf, Pki, Sidecar, poll};
use crate::usage::Usage;
use crate::{Scale, VERSIONS};

/// How long anything may take here.
const DEADLINE: Duration = Duration::from_mins(3);
/// How long an idle daemon is watched.
const IDLE: Duration = Duration::from_secs(30);

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

pub fn part(scale: &Scale) -> Section {
    const ROUNDS: usize = 21;
    let mut section = Section::new(
        "File to wire",
        "From the last rename of a watched file to a handshake that shows it, asked for every five milliseconds; and what the daemon \
         costs that watches, over half a minute without any change.",
    );
    let mut rows = Vec::new();
    for version in VERSIONS {
        let bench = Bench::new(version, scale.watched);
        let mut one: Vec<Duration> = (0..ROUNDS).map(|_| bench.replace(1)).collect();
        one.sort_unstable();
        let (median, longest) = (one[ROUNDS / 2], one[ROUNDS - 1]);
        let all = bench.replace(scale.watched);
        // What followed is over, and the memory that it took is given back.
        std::thread::sleep(Duration::from_secs(15));
        let before = Usage::of(bench.sidecar.id());
        std::thread::sleep(IDLE);
        let idle = Usage::of(bench.sidecar.id()).since(before);
        let share = idle.cpu.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
        rows.push(vec![
            version.name().to_owned(),
            scale.watched.to_string(),
            ms(median),
            ms(longest),
            ms(all),
            format!("{share:.2} % of a core"),
            mb(idle.resident),
        ]);
        section.aim(
            &format!("one changed file of {}, HAProxy {}", scale.watched, version.name()),
            "median ≤ 50 ms, longest of 21 ≤ 150 ms",
            format!("{}, {}", ms(median), ms(longest)),
            median <= Duration::from_millis(50) && longest <= Duration::from_millis(150),
            "a file is only taken once it has rested, and its generation is synced to disk before it is loaded; the first change after a \
             start is loaded by a round about everything",
        );
    }
    let columns = ["HAProxy", "watched", "one file, median", "longest", "all files", "idle", "resident"];
    section.table(&columns, rows);
    section
}
