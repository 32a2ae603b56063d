//! Somebody who is put through a scenario, and what came of it each time.

use super::estimate::Estimate;
use crate::contestant::Contestant;
use crate::scenario::Scenario;
use crate::tally::Tally;

/// Who was put through a scenario, and what came of it each time.
pub(crate) struct Entry {
    pub(crate) contestant: Contestant,
    /// One for each seed.
    pub(crate) runs: Vec<Tally>,
    /// The seeds of those that are a second try, for the load of the first was late.
    pub(crate) repeated: Vec<u64>,
}

impl Entry {
    /// Somebody who has not run yet.
    pub(crate) fn new(contestant: Contestant) -> Entry {
        Entry { contestant, runs: Vec::new(), repeated: Vec::new() }
    }

    /// The counts of all runs.
    pub(crate) fn pooled(&self) -> Tally {
        Tally::pooled(&self.runs).expect("everybody has had a turn")
    }

    /// A figure of those runs that have it.
    pub(crate) fn estimate(&self, figure: impl Fn(&Tally) -> Option<f64>) -> Option<Estimate> {
        Estimate::of(&self.runs.iter().filter_map(figure).collect::<Vec<_>>())
    }

    /// Whether all runs were sent on time.
    pub(crate) fn is_valid(&self, scenario: &Scenario) -> bool {
        self.runs.iter().all(|run| run.is_valid(scenario.told_phases()))
    }
}
