//! The best `maxconn` for a shop, found as an operator would: by trying.
//!
//! Twice what the shop can do, at one `maxconn` after the other, once more with another
//! seed, and the counts of both added up: a single run of a few seconds may be lucky. The
//! best is the one with the most useful work; among equals the smallest, for it keeps the
//! line short. What was tried is told with the table, so that nobody has to believe it.

use super::told_seeds;
use crate::contestant::{Contestant, Peer};
use crate::play::play;
use crate::report::percent;
use crate::scenario::Scenario;
use crate::scenario::phase::Phase;
use crate::tally::Tally;
use crate::terminal;
use crate::units::Rate;
use serde::Serialize;
use std::path::Path;
use std::time::Duration;

/// What is tried, in quarters of the number of workers.
const QUARTERS: [usize; 6] = [3, 4, 5, 6, 8, 12];
/// Long enough for six seconds of useful work after the two that are left out.
const TRIAL: Duration = Duration::from_secs(8);
const LOAD: Rate = Rate::TimesCapacity(2.0);
/// Runs of each candidate: what two of them agree on is no fluke, and more would not fit into `make bench`.
const RUNS: usize = 2;
/// Useful work within a hundredth is the same: trials of this length tell no more.
const SAME: f64 = 0.01;

/// What was tried, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sweep {
    load: String,
    /// One for each run of a candidate; all have the same.
    seeds: Vec<u64>,
    tried: Vec<Candidate>,
}

/// A `maxconn` that was tried.
#[derive(Clone, Debug, Serialize)]
struct Candidate {
    maxconn: u32,
    /// The cost of what was served in time, as a share of what the shop can do, all runs together.
    useful_work: f64,
    /// Whether all its runs were sent on time.
    valid: bool,
}

impl Sweep {
    /// Tries the HAProxy at `path` before the shop of `scenario`.
    pub(super) async fn of(scenario: &Scenario, path: &Path) -> anyhow::Result<Sweep> {
        let trial = trial(scenario);
        let seeds: Vec<u64> = (trial.seed..).take(RUNS).collect();
        let mut candidates: Vec<(u32, Vec<Tally>)> =
            maxconns(scenario.origin.workers).into_iter().map(|maxconn| (maxconn, Vec::new())).collect();
        // By turns, so that whatever else the machine does falls on all of them.
        for seed in &seeds {
            for (maxconn, runs) in &mut candidates {
                terminal::line(&format!("looking for HAProxy's best maxconn: {maxconn}, seed {seed}"));
                let haproxy = Contestant::Peer(Peer::haproxy(path.to_owned(), *maxconn));
                runs.push(play(&trial, *seed, &haproxy).await?.tally);
            }
        }
        let tried = candidates.iter().map(|(maxconn, runs)| Candidate::of(*maxconn, runs, &trial)).collect();
        let sweep = Sweep { load: LOAD.to_string(), seeds, tried };
        terminal::line(&sweep.note());
        Ok(sweep)
    }

    /// The smallest of the best. Who was not sent the load on time is out, unless nobody was.
    pub(super) fn best(&self) -> u32 {
        let is_any_valid = self.tried.iter().any(|candidate| candidate.valid);
        let counted: Vec<&Candidate> =
            self.tried.iter().filter(|candidate| candidate.valid || !is_any_valid).collect();
        let most = counted.iter().map(|candidate| candidate.useful_work).fold(0.0, f64::max);
        let best = counted.iter().filter(|candidate| candidate.useful_work >= most - SAME);
        best.map(|candidate| candidate.maxconn).min().expect("something was tried")
    }

    /// What was tried, for people.
    pub(super) fn note(&self) -> String {
        let tried: Vec<String> = self.tried.iter().map(Candidate::told).collect();
        format!(
            "HAProxy's maxconn, tried at {} with {} pooled, and the useful work of each: {}. Taken: {}, the \
             smallest within {} of the best.",
            self.load,
            told_seeds(&self.seeds),
            tried.join(", "),
            self.best(),
            percent(SAME),
        )
    }
}

impl Candidate {
    fn of(maxconn: u32, runs: &[Tally], trial: &Scenario) -> Candidate {
        let pooled = Tally::pooled(runs).expect("each has had its turns");
        let useful_work = pooled.useful_work(0, trial.origin.capacity()).unwrap_or_default();
        Candidate { maxconn, useful_work, valid: pooled.is_valid([0]) }
    }

    fn told(&self) -> String {
        let mark = if self.valid { "" } else { " (INVALID)" };
        format!("{} {}{mark}", self.maxconn, percent(self.useful_work))
    }
}

/// What is tried before a shop of so many workers, each once.
fn maxconns(workers: usize) -> Vec<u32> {
    let mut maxconns = QUARTERS.map(|quarters| (workers * quarters).div_ceil(4) as u32).to_vec();
    maxconns.dedup();
    maxconns
}

/// The shop and the mix of `scenario`, under one steady load and with nothing amiss.
fn trial(scenario: &Scenario) -> Scenario {
    let mut trial = scenario.clone();
    trial.phases.truncate(1);
    trial.phases[0] = Phase::plain(TRIAL, LOAD);
    trial
}

/// A sweep with these candidates: `maxconn`, useful work, whether it was sent on time.
#[cfg(test)]
pub(super) fn example(tried: &[(u32, f64, bool)]) -> Sweep {
    let candidate =
        |&(maxconn, useful_work, valid): &(u32, f64, bool)| Candidate { maxconn, useful_work, valid };
    Sweep { load: LOAD.to_string(), seeds: vec![1, 2], tried: tried.iter().map(candidate).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_wins_among_equals() {
        let best = |useful: [f64; 4]| {
            let tried: Vec<_> = [12, 16, 20, 24]
                .into_iter()
                .zip(useful)
                .map(|(maxconn, work)| (maxconn, work, true))
                .collect();
            example(&tried).best()
        };
        assert_eq!(best([0.90, 0.96, 0.965, 0.95]), 16);
        assert_eq!(best([0.90, 0.94, 0.965, 0.95]), 20);
    }

    #[test]
    fn candidate_that_was_not_sent_the_load_on_time_does_not_win() {
        assert_eq!(example(&[(16, 0.99, false), (20, 0.95, true), (24, 0.90, true)]).best(), 20);
        assert_eq!(example(&[(16, 0.90, false), (20, 0.95, false)]).best(), 20);
    }

    #[test]
    fn note_has_every_candidate_with_its_useful_work() {
        let note = example(&[(16, 0.962, true), (20, 0.981, true), (24, 0.99, false)]).note();
        let tried = "tried at 2x with seeds 1 and 2 pooled, and the useful work of each: 16 96.2 %, 20 98.1 %, \
                     24 99.0 % (INVALID). Taken: 20, the smallest within 1.0 % of the best.";
        assert!(note.ends_with(tried), "{note}");
    }

    #[test]
    fn no_maxconn_of_a_small_shop_is_tried_twice() {
        assert_eq!(maxconns(16), [12, 16, 20, 24, 32, 48]);
        assert_eq!(maxconns(1), [1, 2, 3]);
    }
}
