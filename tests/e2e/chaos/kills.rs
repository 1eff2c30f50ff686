//! `SIGKILL` at random moments, again and again.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::hotcert::Running;
use crate::support::{Answering, Chance, Hammer, Haproxy, HaproxyVersion, PebbleVersion, Town, poll};

/// Over all towns, unless `TEST_KILLS` says otherwise.
const KILLS: usize = 250;
/// How often clients come meanwhile.
const CLIENTS: Duration = Duration::from_millis(100);
/// A renewal is forced once in so many starts.
const FORCED: usize = 4;
/// How long the last start may take until all is right.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long a start lives at most; one in so many lives so much longer than it takes to come to a certain phase of a renewal.
const SHORT: Duration = Duration::from_millis(200);
const PATIENT: usize = 12;
/// How far a start came before it was killed, by what it had said; the numbers of those that did are counted.
const PHASES: [&str; 5] =
    ["running", "ordering the certificate", "asking the authority", "certificate stored", "loading the certificate"];

#[test]
fn killed_again_and_again_it_converges_at_the_next_start_with_one_order_for_each_renewal() {
    let mut chance = Chance::new();
    let kills = std::env::var("TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let kinds = [
        (Answering::Map, HaproxyVersion::V3_2, PebbleVersion::V2_10),
        (Answering::Webroot, HaproxyVersion::V2_6, PebbleVersion::V2_4),
        (Answering::Map, HaproxyVersion::V2_8, PebbleVersion::V2_4),
        (Answering::Webroot, HaproxyVersion::V3_0, PebbleVersion::V2_10),
    ];
    let phases: Vec<[usize; PHASES.len()]> = thread::scope(|scope| {
        let towns: Vec<_> = kinds
            .into_iter()
            .map(|(answering, haproxy, pebble)| {
                let chance = chance.fork();
                scope.spawn(move || torment(answering, haproxy, pebble, kills / kinds.len(), chance))
            })
            .collect();
        towns.into_iter().map(|town| town.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let reached: Vec<usize> = (0..PHASES.len()).map(|phase| phases.iter().map(|town| town[phase]).sum()).collect();
    eprintln!("of {kills} starts, so many had come to {PHASES:?}: {reached:?}");
    assert!(reached.iter().all(|count| *count > 0), "a phase was never reached");
}

/// Kills so many starts; returns how many of them came how far.
fn torment(
    answering: Answering,
    haproxy: HaproxyVersion,
    pebble: PebbleVersion,
    kills: usize,
    mut chance: Chance,
) -> [usize; PHASES.len()] {
    let town = Town::new(answering, Haproxy::new(haproxy), pebble, &["a.test", "b.test"]);
    let steady = town.house.push("steady.test");
    let clients = Hammer::start(town.house.nodes[0].https_addr(), "steady.test", CLIENTS, 2);
    // How long a start takes that orders, loads and is left alone.
    let began = Instant::now();
    let first = town.sidecar();
    town.expect_served(&first);
    let span = began.elapsed();
    eprintln!("span {span:?}");
    first.kill();

    let (mut reached, mut forced, mut last) = ([0; PHASES.len()], Vec::<Running>::new(), String::new());
    for _ in 0..kills {
        let sidecar = town.sidecar();
        let is_patient = chance.one_in(PATIENT);
        if is_patient {
            poll(span, || sidecar.log().contains("running").then_some(()));
        }
        if is_patient || chance.one_in(FORCED) {
            forced.push(force(&town, &mut chance));
        }
        if is_patient {
            let phase = *chance.pick(&PHASES);
            poll(span, || sidecar.log().contains(phase).then_some(()));
        }
        thread::sleep(chance.time(Duration::ZERO..SHORT));
        last = sidecar.kill().stderr;
        for (count, phase) in reached.iter_mut().zip(PHASES) {
            *count += usize::from(last.contains(phase));
        }
        // Whoever forces it dies as well, now or later.
        forced.retain_mut(|_| !chance.one_in(4));
    }
    drop(forced);

    let mut sidecar = town.sidecar();
    sidecar.wait_for("ready");
    // An order that was only noted when its writer died is still to be made, or given up.
    let is_done = || town.pebble.orders() == town.generations() && town.house.leftovers().is_empty();
    let right = || (town.is_served() && is_done()).then_some(());
    let converged = poll(DEADLINE, right);
    let (orders, issued, generations) = (town.pebble.orders(), town.pebble.certificates(), town.generations());
    assert!(
        converged.is_some() && issued == generations,
        "{orders} orders, {issued} certificates, {generations} generations, served: {}\n--- now\n{}\n--- before\n{last}",
        town.is_served(),
        sidecar.log()
    );
    assert!(generations > town.names.len(), "no renewal was forced");
    sidecar.stop().0.expect_code(0);
    town.expect_nothing_half_done();
    let report = clients.stop();
    assert_eq!(report.expect_no_errors().serials, [steady.serial()]);
    reached
}

/// Forces the renewal of one certificate; whoever is at work on it goes on with its order when this process dies.
fn force(town: &Town, chance: &mut Chance) -> Running {
    let arguments = ["renew", chance.pick(&town.names).as_str(), "--force"].map(std::ffi::OsString::from);
    town.house.hotcert.spawn(arguments.into_iter().chain(town.flags()))
}
