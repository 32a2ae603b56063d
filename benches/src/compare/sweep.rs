//! The best `maxconn` for a shop, found as an operator would: by trying.
//!
//! Twice what the shop can do, at one `maxconn` after the other. The best is the one
//! with the most useful work; among equals the smallest, for it keeps the line short.

use crate::contestant::{Contestant, Peer};
use crate::play::play;
use crate::report::percent;
use crate::scenario::Scenario;
use crate::scenario::phase::Phase;
use crate::terminal;
use crate::units::Rate;
use std::path::Path;
use std::time::Duration;

/// What is tried, in quarters of the number of workers.
const QUARTERS: [usize; 6] = [3, 4, 5, 6, 8, 12];
/// Long enough for six seconds of useful work after the two that are left out.
const TRIAL: Duration = Duration::from_secs(8);
const LOAD: Rate = Rate::TimesCapacity(2.0);
/// Useful work within a hundredth is the same: a trial of this length tells no more.
const SAME: f64 = 0.01;

/// The best `maxconn` of the HAProxy at `path` for the shop of `scenario`.
pub(super) async fn best_maxconn(scenario: &Scenario, path: &Path) -> anyhow::Result<u32> {
    let trial = trial(scenario);
    let mut tried: Vec<(u32, f64)> = Vec::new();
    for quarters in QUARTERS {
        let maxconn = (scenario.origin.workers * quarters).div_ceil(4) as u32;
        let haproxy = Contestant::Peer(Peer::haproxy(path.to_owned(), maxconn));
        terminal::line(&format!("looking for HAProxy's best maxconn: {maxconn}"));
        let harvest = play(&trial, trial.seed, &haproxy).await?;
        let useful = harvest.tally.useful_work(0, trial.origin.capacity()).unwrap_or_default();
        terminal::line(&format!("maxconn {maxconn}: useful work {}", percent(useful)));
        tried.push((maxconn, useful));
    }
    Ok(smallest_of_the_best(&tried))
}

fn smallest_of_the_best(tried: &[(u32, f64)]) -> u32 {
    let most = tried.iter().map(|(_, useful)| *useful).fold(0.0, f64::max);
    let best = tried.iter().filter(|(_, useful)| *useful >= most - SAME).map(|(maxconn, _)| *maxconn);
    best.min().expect("something was tried")
}

/// The shop and the mix of `scenario`, under one steady load and with nothing amiss.
fn trial(scenario: &Scenario) -> Scenario {
    let mut trial = scenario.clone();
    trial.phases.truncate(1);
    trial.phases[0] = Phase::plain(TRIAL, LOAD);
    trial
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_wins_among_equals() {
        assert_eq!(smallest_of_the_best(&[(12, 0.90), (16, 0.96), (20, 0.965), (24, 0.95)]), 16);
        assert_eq!(smallest_of_the_best(&[(12, 0.90), (16, 0.94), (20, 0.965)]), 20);
    }
}
