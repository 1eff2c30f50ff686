//! Counts what was loaded, and how long it took.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::NodeName;

/// What was loaded since a process began; clones count together.
#[derive(Debug, Clone, Default)]
pub struct Pushes(Arc<Mutex<BTreeMap<NodeName, Tally>>>);

/// What was loaded on one node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// How often, by outcome: [`Pushes::LOADED`], or the kind of failure.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How many took at most so long as [`Tally::BOUNDS`] says, and longer than the bound before; the last ones took longer.
    pub buckets: [u64; Tally::BOUNDS.len() + 1],
    /// How long all took together.
    pub took: Duration,
}

impl Tally {
    /// Bounds of the buckets, in seconds: a transaction takes two milliseconds where nothing is in its way, and ten seconds are
    /// the deadline of an answer.
    pub const BOUNDS: [f64; 10] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
}

impl Pushes {
    /// The outcome when nothing failed.
    pub const LOADED: &str = "loaded";

    /// Counts one.
    pub(super) fn note(&self, node: &NodeName, outcome: &'static str, took: Duration) {
        let mut nodes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = nodes.entry(node.clone()).or_default();
        *tally.outcomes.entry(outcome).or_default() += 1;
        let bucket = Tally::BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound);
        tally.buckets[bucket.unwrap_or(Tally::BOUNDS.len())] += 1;
        tally.took += took;
    }

    /// What was counted until now, by node.
    #[must_use]
    pub fn until_now(&self) -> BTreeMap<NodeName, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_in_the_bucket_of_its_time() {
        let (pushes, node) = (Pushes::default(), "edge".parse().unwrap());
        for (outcome, milliseconds) in [("loaded", 1), ("loaded", 2), ("node", 3), ("loaded", 60_000)] {
            pushes.clone().note(&node, outcome, Duration::from_millis(milliseconds));
        }
        let tally = &pushes.until_now()[&node];
        assert_eq!(tally.outcomes, BTreeMap::from([("loaded", 3), ("node", 1)]));
        assert_eq!((tally.buckets[0], tally.buckets[1], tally.buckets[10]), (2, 1, 1));
        assert_eq!(tally.buckets.iter().sum::<u64>(), 4);
        assert_eq!(tally.took, Duration::from_millis(60_006));
    }
}
