//! Many files at once, and how long they take.

use std::time::{Duration, Instant};

use super::place::Place;
use crate::support::poll;

/// Writes so many certificates of one key, and returns how long it took until all were stored.
fn stored_after(place: &Place, count: usize, hours: i64) -> Duration {
    let leaf = place.leaf("many.test", hours);
    let text = leaf.fullchain_and_key();
    for number in 0..count {
        place.write(&format!("{number}.pem"), &text);
    }
    let written = Instant::now();
    let is_stored = |number: usize| place.stored(&number.to_string()).as_deref() == Some(leaf.sha256());
    let mut next = 0;
    let all = poll(Duration::from_mins(20), || {
        while next < count && is_stored(next) {
            next += 1;
        }
        (next == count).then_some(())
    });
    assert!(all.is_some(), "{next} of {count} are stored");
    written.elapsed()
}

#[test]
fn many_files_at_once_are_all_taken() {
    let place = Place::watched();
    stored_after(&place, 300, 5);
    stored_after(&place, 300, 4);
    place.expect_no_problem();
}

#[test]
#[ignore = "a measurement of minutes; run it by hand with --no-capture"]
fn how_long_do_1_000_and_20_000_files_take() {
    let counts = std::env::var("COUNTS").unwrap_or_else(|_| "1000 20000".to_owned());
    for count in counts.split_whitespace().map(|count| count.parse().unwrap()) {
        let place = Place::watched();
        let first = stored_after(&place, count, 5);
        let second = stored_after(&place, count, 4);
        eprintln!("{count} new files: {first:?}; {count} changed files: {second:?}");
        place.expect_no_problem();
    }
}

#[test]
#[ignore = "a measurement of minutes; run it by hand with --no-capture"]
fn what_does_it_cost_to_watch_1_000_certificates() {
    let mut place = Place::new();
    let leaf = place.leaf("many.test", 5);
    for number in 0..1000 {
        for (file, text) in [("fullchain", leaf.fullchain()), ("privkey", leaf.key_pem())] {
            place.write(&format!("archive/{number}/{file}1.pem"), text);
            std::fs::create_dir_all(place.dir().join(format!("live/{number}"))).unwrap();
            let link = place.dir().join(format!("live/{number}/{file}.pem"));
            std::os::unix::fs::symlink(format!("../../archive/{number}/{file}1.pem"), link).unwrap();
        }
    }
    let without = resident();
    place.start();
    place.expect("999", &leaf);
    let taken = resident();
    // Nothing is young any more, and the first whole look is over.
    std::thread::sleep(Duration::from_secs(10));
    place.start();
    std::thread::sleep(Duration::from_secs(10));
    let before = processor_ticks();
    let minutes: u32 = std::env::var("MINUTES").map_or(3, |minutes| minutes.parse().unwrap());
    std::thread::sleep(Duration::from_mins(minutes.into()));
    // Ticks of a hundred in each second: so many percent.
    let used = f64::from(u32::try_from(processor_ticks() - before).unwrap()) / f64::from(minutes * 60);
    eprintln!("{used:.3} % of a core; kB before {without}, when all were taken {taken}, in the end {}", resident());
}

/// Memory of this process that is not that of files, in kB (`proc_pid_status(5)`, `RssAnon`).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Hundredths of a second of processors that this process has used (`proc_pid_stat(5)`, `utime` and `stime`).
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
#[ignore = "a measurement; run it by hand with --no-capture"]
fn how_long_does_one_file_take() {
    let place = Place::watched();
    let mut times: Vec<Duration> = (0..100)
        .map(|number| {
            let leaf = place.leaf("a.test", 500 - number);
            let text = leaf.fullchain_and_key();
            place.write("a.pem", text);
            let written = Instant::now();
            place.expect("a", &leaf);
            written.elapsed()
        })
        .collect();
    times.sort();
    eprintln!("last write to generation: median {:?}, p99 {:?}", times[50], times[98]);
}
