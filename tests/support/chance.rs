//! Random choices of a test, which a printed seed repeats.

use std::ops::Range;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Names a seed that is to be used again.
const SEED: &str = "TEST_SEED";

/// A source of random choices.
#[derive(Debug)]
pub struct Chance(StdRng);

impl Chance {
    /// A source with the seed in `TEST_SEED`, or a new one; it is printed, and a failed test shows it.
    pub fn new() -> Self {
        Self::of(Self::seed())
    }

    /// The seed in `TEST_SEED`, or a new one; it is printed.
    pub fn seed() -> u64 {
        let given = std::env::var(SEED).ok().map(|seed| seed.parse().expect("a seed is a number"));
        let seed = given.unwrap_or_else(rand::random);
        eprintln!("{SEED}={seed}");
        seed
    }

    /// A source with this seed.
    pub fn of(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Another source, for another thread.
    pub fn fork(&mut self) -> Self {
        Self(StdRng::seed_from_u64(self.0.random()))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// Whether one of `count` equally likely cases is met.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    /// A time in a range.
    pub fn time(&mut self, range: Range<Duration>) -> Duration {
        self.0.random_range(range)
    }
}
