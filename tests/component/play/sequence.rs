//! Sequences by chance: what users do, what goes wrong meanwhile, and restarts.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::pool::Kind;
use super::server::{FOREIGN, Other};
use super::wire::Fault;
use super::world::{Start, StartNode, World};
use crate::support::{Chance, HaproxyVersion};
use hotcert::reconcile::Report;

/// Steps of one sequence.
const STEPS: usize = 8;
/// A round gives about so many commands to a node.
const COMMANDS: usize = 60;
/// A push has about so many steps.
const DEATHS: usize = 40;

/// Plays the sequence of a seed. A failure says which one it was, and what was done.
pub fn play(seed: u64, real: Option<HaproxyVersion>) {
    let mut log = Vec::new();
    let played = catch_unwind(AssertUnwindSafe(|| Player::new(seed, real, &mut log).play()));
    if let Err(payload) = played {
        eprintln!("TEST_SEED={seed} TEST_SEQUENCES=1 plays this again:\n  {}", log.join("\n  "));
        resume_unwind(payload);
    }
}

struct Player<'a> {
    chance: Chance,
    world: World,
    real: Option<HaproxyVersion>,
    log: &'a mut Vec<String>,
    /// Which leaf of each certificate was pushed last.
    pushed: Vec<usize>,
}

impl<'a> Player<'a> {
    fn new(seed: u64, real: Option<HaproxyVersion>, log: &'a mut Vec<String>) -> Self {
        let mut chance = Chance::of(seed);
        let nodes = if real.is_some() { 1 + chance.below(2) } else { 1 + chance.below(3) };
        let start = Start {
            real: real.is_some(),
            certificates: 1 + chance.below(4),
            shares: chance.one_in(3),
            nodes: (0..nodes).map(|_| node_by(&mut chance, real)).collect(),
        };
        log.push(format!("{start:?}"));
        let world = World::new(&start);
        let pushed = vec![0; world.kinds.len()];
        Self { chance, world, real, log, pushed }
    }

    fn play(mut self) {
        for _ in 0..STEPS {
            self.end_others();
            let before = self.world.shown();
            for node in &self.world.nodes {
                node.server.others().disturbed = false;
            }
            let report = self.step();
            let happened = self.world.wires.mend();
            self.log.push(format!(
                "    happened: {happened:?}, clean: {:?}",
                report.as_ref().map(|report| report.failures.is_empty())
            ));
            if let Some(report) = &report {
                self.log.extend(report.problems.iter().map(|problem| format!("    {}", problem.message)));
            }
            self.world.judge(&before, &happened, report.as_ref());
        }
        self.log.push("converge".to_owned());
        self.world.converge();
    }

    /// Whoever has a transaction open ends it after a step.
    fn end_others(&mut self) {
        for node in self.world.nodes.iter().filter(|node| node.server.is_up()) {
            let other = if self.chance.one_in(2) { Other::Commit } else { Other::Abort };
            node.server.act(&other);
        }
    }

    /// Does something, and lets something go wrong meanwhile. The report is of a round that was made to its end.
    fn step(&mut self) -> Option<Report> {
        let faults = if self.chance.one_in(3) { 0 } else { 1 + self.chance.below(2) };
        let most = COMMANDS * self.world.nodes.len();
        for _ in 0..faults {
            let fault = self.fault();
            let at = self.chance.below(most);
            self.log.push(format!("  at {at}: {fault:?}"));
            // A program that opens a transaction in the middle of a round soon ends it.
            if let Fault::Other(Other::Set(..)) = fault {
                let end = if self.chance.one_in(2) { Other::Commit } else { Other::Abort };
                let soon = at + 1 + self.chance.below(COMMANDS);
                self.world.plan(soon, Fault::Other(end));
            }
            self.world.plan(at, fault);
        }
        let dies = self.chance.one_in(6).then(|| self.chance.below(DEATHS));
        let at = self.chance.below(self.world.kinds.len());
        let kind: &'static Kind = self.world.kinds[at];
        let node = self.chance.below(self.world.nodes.len());
        let file = format!("{}.pem", kind.name);
        match self.chance.below(16) {
            0..=5 => self.push_next(at, kind, dies),
            6 => {
                let older = self.chance.below(self.pushed[at] + 1);
                let force = self.chance.one_in(2);
                self.say(format!("push {} {older}, which may be older, force: {force}, dies: {dies:?}", kind.name));
                let end = self.world.push(kind, &kind.items[older], force, dies).done();
                self.heard(end)
            }
            7 => {
                self.say(format!("roll back {}, dies: {dies:?}", kind.name));
                self.world.roll_back(kind, dies).done().flatten()
            }
            8 if self.world.nodes.len() < if self.real.is_some() { 2 } else { 3 } => {
                let start = node_by(&mut self.chance, self.real);
                self.say(format!("add {start:?}"));
                self.world.add_node(&start);
                self.sync(dies)
            }
            9 => {
                self.say(format!("take {file} away from n{}", node + 1));
                self.world.nodes[node].server.remove(&file);
                self.sync(dies)
            }
            10 => {
                self.say(format!("restart n{}", node + 1));
                self.world.nodes[node].server.restart();
                self.sync(dies)
            }
            11 => {
                self.say(format!("reload n{}", node + 1));
                if self.world.nodes[node].server.is_up() {
                    self.world.nodes[node].server.reload();
                }
                self.sync(dies)
            }
            12 if self.world.nodes[node].server.is_up() => {
                self.say(format!("kill n{}", node + 1));
                self.world.nodes[node].server.kill();
                self.sync(dies)
            }
            13 | 14 if self.world.nodes[node].server.is_up() => {
                let other = self.other(false);
                self.say(format!("another program on n{}: {other:?}", node + 1));
                self.world.nodes[node].server.act(&other);
                self.sync(dies)
            }
            _ => self.sync(dies),
        }
    }

    fn push_next(&mut self, at: usize, kind: &'static Kind, dies: Option<usize>) -> Option<Report> {
        let next = (self.pushed[at] + 1).min(kind.items.len() - 1);
        self.pushed[at] = next;
        self.say(format!("push {} {next}, dies: {dies:?}", kind.name));
        let end = self.world.push(kind, &kind.items[next], false, dies).done();
        self.heard(end)
    }

    fn heard(&mut self, end: Option<Result<Report, String>>) -> Option<Report> {
        match end {
            Some(Ok(report)) => return Some(report),
            Some(Err(why)) => self.say(format!("  refused: {why}")),
            None => self.say("  died".to_owned()),
        }
        None
    }

    fn sync(&mut self, dies: Option<usize>) -> Option<Report> {
        self.say(format!("sync, dies: {dies:?}"));
        self.world.round(dies).done().flatten()
    }

    fn say(&mut self, text: String) {
        self.log.push(text);
    }

    fn fault(&mut self) -> Fault {
        // What hangs, or waits for others, takes its time where that is real.
        let kinds = if self.real.is_some() { 8 } else { 11 };
        match self.chance.below(kinds) {
            0 => Fault::CutBefore,
            1 | 2 => Fault::CutAfter,
            3 => Fault::CutWithin,
            4 => Fault::Restart,
            5 => Fault::Reload,
            6 | 7 => Fault::Other(self.other(true)),
            8 => Fault::Locked(1 + self.chance.below(300)),
            9 => Fault::HangBefore,
            _ => Fault::HangAfter,
        }
    }

    /// What another program does; one that works at the same time as hotcert, or one between.
    fn other(&mut self, meanwhile: bool) -> Other {
        let kind = *self.chance.pick(&self.world.kinds);
        let (file, serial) = if self.chance.one_in(3) {
            (FOREIGN.to_owned(), self.chance.pick(self.world.foreign).serial.clone())
        } else {
            (format!("{}.pem", kind.name), self.chance.pick(&kind.aliens).serial.clone())
        };
        // A transaction that stays open is waited for, with a hundred looks at every node.
        let sets = meanwhile || (self.real.is_none() && self.chance.one_in(4));
        match self.chance.below(6) {
            0..=1 if sets => Other::Set(file, serial),
            2 => Other::Commit,
            3 => Other::Abort,
            4 if file != FOREIGN && !meanwhile => Other::Delete(file),
            _ => Other::Replace(file, serial),
        }
    }
}

fn node_by(chance: &mut Chance, real: Option<HaproxyVersion>) -> StartNode {
    let version = real.unwrap_or_else(|| *chance.pick(&HaproxyVersion::ALL));
    let serves = (0..4).filter(|_| chance.one_in(3)).collect();
    StartNode { version, by_list: chance.one_in(3), serves }
}
