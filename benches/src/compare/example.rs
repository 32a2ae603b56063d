//! What a comparison is made of, for its tests: nobody but no proxy, and runs whose load was late where a test says so.
//!
//! It sends nothing: a request in each phase is counted as if it had been sent.

use super::entry::Entry;
use crate::contestant::Contestant;
use crate::scenario::Scenario;
use crate::tally::lag::Departure;
use crate::tally::{Account, Expectation, Tally};
use std::path::Path;
use std::time::Duration;

const SCENARIO: &str = "\
name: small
description: a minute
origin: { workers: 1, service: { mean: 100ms } }
slo: 1s
patience: 2s
mix:
  - { name: order, class: checkout, paths: [/checkout], weight: 1 }
  - { name: cart, class: cart, paths: [/cart], weight: 2 }
  - { name: page, class: browse, paths: [/], weight: 7 }
phases:
  - { name: calm, duration: 60s, load: 1x }
  - { name: hot, duration: 60s, load: 2x }
";

/// Entries with a run for each lag, which is that of its second phase; and the scenario of all of them.
pub(super) fn entries<const RUNS: usize>(lags: &[[Duration; RUNS]]) -> (Scenario, Vec<Entry>) {
    let scenario = Scenario::parse(Path::new("s.yaml"), SCENARIO).unwrap();
    let entry = |lags: &[Duration; RUNS]| Entry {
        runs: lags.iter().map(|lag| run(&scenario, *lag)).collect(),
        ..Entry::new(Contestant::Direct)
    };
    let entries = lags.iter().map(entry).collect();
    (scenario, entries)
}

fn run(scenario: &Scenario, lag: Duration) -> Tally {
    let mut tally = Tally::new(scenario.spans(), scenario.classes().len(), Expectation::Success);
    for (phase, lag) in [(0, Duration::ZERO), (1, lag)] {
        let account = Account { phase, class: 0, cost: 1.0, slo: scenario.slo };
        tally.offer(account, Departure { due: scenario.spans()[phase].start, lag });
    }
    tally
}
