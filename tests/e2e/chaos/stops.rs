//! `SIGTERM` at any point.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::process::signal_process;
use crate::support::sidecar::DEADLINE;
use crate::support::{
    Answering, Chance, Haproxy, HaproxyVersion, Hotcert, House, PebbleVersion, Point, Sidecar, Stepping, Steps, Town,
    poll,
};

/// How long a service manager waits for a stop.
const STOP: Duration = Duration::from_secs(5);
/// How soon it ends when it is told twice.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Towns in which points are tried at the same time: a run mostly waits.
const WORKERS: usize = 4;
/// Of the points where a step is taken again, one in so many is tried.
const REPEATED: usize = 4;

#[test]
fn stopped_at_any_step_it_ends_in_time_and_the_next_start_goes_on_with_the_same_order() {
    let mut chance = Chance::new();
    for answering in [Answering::Map, Answering::Webroot] {
        let points = choose(all_points(answering), &mut chance);
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    let mut town = new_town(answering);
                    while let index = next.fetch_add(1, Ordering::Relaxed)
                        && let Some(point) = points.get(index)
                    {
                        town.names = vec![format!("p{index}.test")];
                        town.house.hotcert = Hotcert::new();
                        if catch_unwind(AssertUnwindSafe(|| stop_at(point, &town))).is_err() {
                            failed.lock().unwrap().push(point.to_string());
                            town = new_town(answering);
                        }
                    }
                });
            }
        });
        let failed = failed.into_inner().unwrap();
        assert!(failed.is_empty(), "{answering:?}: {} of {} points: {failed:#?}", failed.len(), points.len());
    }
}

#[test]
fn told_twice_it_ends_at_once() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let hanging = house.nodes[0].pid();
    signal_process(hanging, Signal::STOP);
    // Its first look waits for an answer.
    let mut sidecar = Sidecar::start_unready(&house.hotcert, house.flags());
    sidecar.wait_for("running");
    // One that is told before its first look has nothing to wait for.
    let locks = house.hotcert.state_dir().join("locks");
    let is_of_node = |lock: &DirEntry| lock.file_name().as_encoded_bytes().starts_with(b"node-");
    let has_begun = || fs::read_dir(&locks).ok()?.flatten().any(|lock| is_of_node(&lock)).then_some(());
    assert!(poll(DEADLINE, has_begun).is_some(), "{}", sidecar.log());
    sidecar.signal(Signal::TERM);
    sidecar.wait_for("stopping");
    let (outcome, took) = sidecar.stop();
    signal_process(hanging, Signal::CONT);
    assert!(outcome.clone().expect_code(0).stderr.contains("stopping at once"), "{outcome:?}");
    assert!(took < AT_ONCE, "{took:?}");
}

fn new_town(answering: Answering) -> Town {
    Town::new(answering, Haproxy::new(HaproxyVersion::V3_2), PebbleVersion::V2_10, &["clean.test"])
}

fn arguments(town: &Town) -> Vec<OsString> {
    std::iter::once("run".into()).chain(town.flags()).collect()
}

/// The steps of a run that is stopped when everything is served.
fn all_points(answering: Answering) -> Vec<Point> {
    let town = new_town(answering);
    let run = Stepping::start(&arguments(&town), None);
    let served = poll(DEADLINE, || town.is_served().then_some(()));
    run.signal(Signal::TERM);
    let steps = run.wait();
    assert!(served.is_some() && steps.succeeded, "{steps:?}");
    steps.points()
}

/// Where each step is taken first, and some of the others. At the very start a signal meets no handler yet, and nothing to stop.
fn choose(points: Vec<Point>, chance: &mut Chance) -> Vec<Point> {
    let mut known = BTreeSet::new();
    let mut chosen: Vec<_> = points.into_iter().skip(1).collect();
    chosen.retain(|point| known.insert(point.step.clone()) || chance.one_in(REPEATED));
    chosen
}

fn stop_at(point: &Point, town: &Town) {
    let before = [town.pebble.orders(), town.pebble.certificates()];
    let mut run = Stepping::start(&arguments(town), Some((point, Signal::TERM)));
    // In another run the last points may not be reached.
    poll(DEADLINE, || (run.was_struck() || run.has_ended() || town.is_served()).then_some(()));
    if !run.was_struck() {
        run.signal(Signal::TERM);
    }
    let ended = poll(STOP, || run.has_ended().then_some(()));
    if ended.is_none() {
        run.signal(Signal::KILL);
    }
    let stopped = run.wait();
    let named = Named { point, stopped: &stopped };
    assert!(ended.is_some(), "not ended after {STOP:?}");
    assert!(stopped.succeeded, "not a success");
    town.house.expect_no_open_transaction();
    assert_eq!(town.answers(), Vec::<String>::new(), "answers to challenges are left");
    town.house.nodes[0].check().unwrap();

    let mut sidecar = town.sidecar();
    town.expect_served(&sidecar);
    sidecar.wait_for("ready");
    let (outcome, took) = sidecar.stop();
    let outcome = outcome.expect_code(0);
    assert!(took < STOP, "{took:?}");
    let after = [town.pebble.orders(), town.pebble.certificates()];
    assert_eq!(after, before.map(|count| count + 1), "orders and certificates\n{outcome:?}");
    town.expect_nothing_half_done();
    drop(named);
}

/// Says at which point an assertion failed, and after which steps.
struct Named<'a> {
    point: &'a Point,
    stopped: &'a Steps,
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("this was for {}\n{:?}", self.point, self.stopped);
        }
    }
}
