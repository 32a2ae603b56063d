//! The clairvoyant: the most that anybody could make of a scenario.
//!
//! It knows all who will come in a phase, and fills the capacity of the phase as a
//! knapsack: first each class's floor with the best of that class, then the rest
//! by worth per unit of cost, the last request cut to fit. It need not keep to the
//! order of time, so no door can do better; what it does not know is how lucky a
//! single service will be, for neither does the shop.

use super::judge::Judge;
use crate::arrivals::Schedule;
use crate::scenario::Scenario;
use crate::tally::span::Span;

/// What could be made of one phase.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// The worth of the answers.
    pub(crate) worth: f64,
    /// Requests answered, by class of the scenario.
    pub(crate) good: Vec<f64>,
    /// Requests of the schedule: no retries, no funnels.
    pub(crate) offered: Vec<f64>,
}

/// The requests of one phase that cost and are worth the same.
struct Heap {
    number: f64,
    cost: f64,
    worth: f64,
    /// Of the scenario, for the counts.
    class: usize,
    /// Of the policy, for the floors.
    floor_of: usize,
}

/// What could be made of each phase, in the sum of all seeds.
pub(crate) fn bounds(scenario: &Scenario, judge: &Judge, seeds: &[u64]) -> Vec<Bound> {
    let arrivals = arrivals(scenario, seeds);
    let spans = scenario.spans();
    let phases = scenario.phases.iter().zip(&spans).zip(&arrivals);
    phases
        .map(|((phase, Span { start, end }), counts)| {
            let seconds = (*end - *start).as_secs_f64() * seeds.len() as f64;
            bound(scenario, judge, counts, scenario.origin.capacity_in(phase) * seconds)
        })
        .collect()
}

/// Arrivals by phase and template.
fn arrivals(scenario: &Scenario, seeds: &[u64]) -> Vec<Vec<f64>> {
    let mut counts = vec![vec![0.0; scenario.mix.len()]; scenario.phases.len()];
    for seed in seeds {
        for arrival in Schedule::new(scenario, *seed) {
            counts[arrival.phase][arrival.template] += 1.0;
        }
    }
    counts
}

fn bound(scenario: &Scenario, judge: &Judge, counts: &[f64], capacity: f64) -> Bound {
    let classes = scenario.classes();
    let mut heaps: Vec<Heap> = scenario
        .mix
        .iter()
        .enumerate()
        .map(|(index, template)| Heap {
            number: counts[index],
            cost: template.cost,
            worth: template.worth(),
            class: classes.iter().position(|name| *name == template.class).unwrap_or_default(),
            floor_of: judge.own_class(index, 0).index(),
        })
        .collect();
    heaps.sort_by(|a, b| (b.worth / b.cost).total_cmp(&(a.worth / a.cost)));
    let mut knapsack = Knapsack {
        room: capacity,
        bound: Bound { worth: 0.0, good: vec![0.0; classes.len()], offered: vec![0.0; classes.len()] },
    };
    for heap in &heaps {
        knapsack.bound.offered[heap.class] += heap.number;
    }
    for (class, policy) in judge.policy.core.classes().iter().enumerate() {
        let mut floor = capacity * f64::from(policy.floor.millionths()) / 1e6;
        for heap in heaps.iter_mut().filter(|heap| heap.floor_of == class) {
            floor -= knapsack.take(heap, floor);
        }
    }
    for heap in &mut heaps {
        knapsack.take(heap, f64::INFINITY);
    }
    knapsack.bound
}

struct Knapsack {
    room: f64,
    bound: Bound,
}

impl Knapsack {
    /// Takes as much of a heap as there is room for, and at most `cost_max`; answers its cost.
    fn take(&mut self, heap: &mut Heap, cost_max: f64) -> f64 {
        let cost = (heap.number * heap.cost).min(self.room).min(cost_max);
        let number = cost / heap.cost;
        heap.number -= number;
        self.room -= cost;
        self.bound.worth += number * heap.worth;
        self.bound.good[heap.class] += number;
        cost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll::policy;
    use std::path::Path;

    #[test]
    fn capacity_goes_to_floors_and_then_to_what_is_worth_most() {
        let text = "\
name: two
description: half of the load is orders
origin: { workers: 10, service: { mean: 100ms } }
slo: 1s
patience: 2s
arrivals: constant
mix:
  - { name: order, class: checkout, paths: [/checkout], worth: 10, cost: 2, weight: 1 }
  - { name: page, class: browse, paths: [/], worth: 1, weight: 1 }
phases:
  - { name: busy, duration: 10s, load: 4x }
";
        let scenario = Scenario::parse(Path::new("two.yaml"), text).unwrap();
        let judge = Judge::new(policy::storefront(), &scenario).unwrap();
        let bounds = bounds(&scenario, &judge, &[1]);
        // 1000 units: browse has a floor of 3 %, which is 30 pages; the rest are 485 of about 2000 orders.
        let Bound { worth, good, .. } = &bounds[0];
        assert_eq!((good[0].round(), good[1].round(), worth.round()), (485.0, 30.0, 4_880.0));
    }
}
