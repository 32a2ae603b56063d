//! The best static limit of a scenario: what a hand-tuned proxy can do at best.
//!
//! It is hardly ever one number: all limits whose useful work is within a hundredth
//! of the best are as good, and a limit that is found elsewhere is wrong by its
//! distance to them.

use super::contest::{Contestant, pooled};
use super::judge::Judge;
use crate::scenario::Scenario;
use std::collections::BTreeSet;

/// A static limit, and the share of the capacity that it turned into good answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    pub(crate) limit: u32,
    pub(crate) useful: f64,
    /// The least and the greatest limit that are as good.
    pub(crate) as_good: (u32, u32),
}

/// By how much of the capacity a limit may fall short and still be as good as the best.
const AS_GOOD: f64 = 0.01;

impl Best {
    /// The distance of `limit` to those that are as good, over their nearer end.
    pub(crate) fn error_of(&self, limit: f64) -> f64 {
        let (least, greatest) = (f64::from(self.as_good.0), f64::from(self.as_good.1));
        if limit < least { (least - limit) / least } else { (limit - greatest).max(0.0) / greatest }
    }
}

/// The limit with the most useful work over all phases.
pub(crate) fn best_static_limit(scenario: &Scenario, judge: &Judge, seeds: &[u64]) -> Best {
    let useful = |limit| {
        let ledger = pooled(scenario, judge, Contestant::StaticLimit(limit), seeds);
        let of_phase = |(index, phase)| {
            let capacity = scenario.origin.capacity_in(phase);
            ledger.tally.useful_work(index, capacity).map_or(0.0, |share| share * capacity)
        };
        let served: f64 = scenario.phases.iter().enumerate().map(of_phase).sum();
        served / scenario.phases.iter().map(|phase| scenario.origin.capacity_in(phase)).sum::<f64>()
    };
    let swept: Vec<(u32, f64)> =
        static_limits(scenario.origin.workers).into_iter().map(|limit| (limit, useful(limit))).collect();
    let best = swept.iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("some limits are swept");
    let as_good = || swept.iter().filter(|(_, useful)| *useful >= best.1 - AS_GOOD).map(|(limit, _)| *limit);
    let as_good = (as_good().min().unwrap_or(best.0), as_good().max().unwrap_or(best.0));
    Best { limit: best.0, useful: best.1, as_good }
}

/// Where it may lie: the workers or a few less, and a queue before them up to three times as long, in
/// steps of their square root, for it is chance that the queue bridges.
fn static_limits(workers: usize) -> BTreeSet<u32> {
    let (workers, root) = (workers as f64, (workers as f64).sqrt());
    let queues = [-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0].map(|roots| roots * root);
    let multiples = [workers, 3.0 * workers];
    queues.into_iter().chain(multiples).map(|queue| (workers + queue).ceil() as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_wrong_by_its_distance_to_those_that_are_as_good() {
        let best = Best { limit: 20, useful: 0.99, as_good: (16, 24) };
        assert_eq!(
            [12.0, 16.0, 20.0, 24.0, 30.0].map(|limit| best.error_of(limit)),
            [0.25, 0.0, 0.0, 0.0, 0.25]
        );
    }
}
