//! Sequences of user actions, faults and restarts against HAProxy in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::play::sequence::play;
use crate::play::wire::Fault;
use crate::play::world::{Start, StartNode, World};
use crate::support::{Chance, HaproxyVersion};

/// How many sequences are played unless `TEST_SEQUENCES` says otherwise.
const SEQUENCES: usize = 60;

#[test]
fn whatever_is_done_and_goes_wrong_clients_get_the_old_or_the_new_certificate_and_two_rounds_converge() {
    let given = std::env::var("TEST_SEQUENCES").ok();
    let count: usize = given.map_or(SEQUENCES, |count| count.parse().unwrap());
    let first = Chance::seed();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, Into::into) {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < count
                {
                    play(first.wrapping_add(number as u64), None);
                }
            });
        }
    });
}

/// Two nodes of the versions that differ most, which serve a certificate of ours.
fn fleet() -> World {
    let node = |version| StartNode { version, by_list: version == HaproxyVersion::V3_2, serves: vec![0] };
    let nodes = vec![node(HaproxyVersion::V2_6), node(HaproxyVersion::V3_2)];
    let mut world = World::new(&Start { real: false, certificates: 1, shares: false, nodes });
    world.push_clean(1);
    world
}

#[test]
fn a_fleet_push_that_is_cut_off_after_any_command_leaves_the_old_or_the_new_certificate_and_is_finished_by_the_next_round()
 {
    let mut world = fleet();
    let before = world.wires.commands();
    world.push_clean(2);
    let commands = world.wires.commands() - before;
    assert!(commands > 50, "{commands}");
    for at in 0..commands {
        for after in [true, false] {
            let new = 1 + at % 2;
            world.push_disturbed(new, None, &[(at, Fault::Down { after })]);
            world.push_clean(new);
        }
        world.push_clean(2 - at % 2);
    }
}

#[test]
fn a_fleet_push_that_dies_after_any_step_leaves_the_old_or_the_new_certificate_and_is_finished_by_the_next_round() {
    let mut world = fleet();
    world.push_clean(2);
    let mut at = 0;
    while !world.push_disturbed(1 + at % 2, Some(at), &[]) {
        world.push_clean(1 + at % 2);
        at += 1;
    }
    assert!(at > 15, "{at}");
}
