//! The best static limit of a scenario: what a hand-tuned proxy can do at best.

use super::contest::{Contestant, pooled};
use super::judge::Judge;
use super::shop::Shop;
use crate::scenario::Scenario;
use std::collections::BTreeSet;

/// A static limit, and the share of the capacity that it turned into good answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Best {
    pub(crate) limit: u32,
    pub(crate) useful: f64,
}

/// The limit with the most useful work over all phases.
pub(crate) fn best_static_limit(scenario: &Scenario, judge: &Judge, seeds: &[u64]) -> Best {
    let useful = |limit| {
        let ledger = pooled(scenario, judge, Contestant::StaticLimit(limit), seeds);
        let of_phase = |(index, phase)| {
            let capacity = Shop::capacity(scenario, phase);
            ledger.tally.useful_work(index, capacity).map_or(0.0, |share| share * capacity)
        };
        let served: f64 = scenario.phases.iter().enumerate().map(of_phase).sum();
        served / scenario.phases.iter().map(|phase| Shop::capacity(scenario, phase)).sum::<f64>()
    };
    let swept =
        static_limits(scenario.origin.workers).into_iter().map(|limit| Best { limit, useful: useful(limit) });
    swept.max_by(|a, b| a.useful.total_cmp(&b.useful)).expect("some limits are swept")
}

/// Where it may lie: the workers, and a queue before them from none to three times as long, in steps of
/// their square root, for it is chance that the queue bridges.
fn static_limits(workers: usize) -> BTreeSet<u32> {
    let (workers, root) = (workers as f64, (workers as f64).sqrt());
    let queues = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0].map(|roots| roots * root);
    let multiples = [workers, 3.0 * workers];
    queues.into_iter().chain(multiples).map(|queue| (workers + queue).ceil() as u32).collect()
}
