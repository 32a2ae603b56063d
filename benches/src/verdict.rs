//! Holds what was measured against a scenario's thresholds.
//!
//! Where nothing was measured, a threshold is missed: a check that passes because
//! nobody came is worth nothing. Phases of warm-up count for nothing either. Clients who
//! left have waited, and count in quantiles of latency: otherwise a shop whose checkouts
//! nearly all time out would be as fast as the few that do not.

use crate::crowd::Survival;
use crate::latencies::quantile;
use crate::report::{millis, optional_ms};
use crate::scenario::Scenario;
use crate::scenario::threshold::{Ending, Measure, Subject, Threshold};
use crate::tally::Tally;
use crate::tally::cell::Cell;
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Exit code of a run that missed a threshold.
const MISSED: u8 = 1;

/// What a threshold came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    /// The threshold, as the scenario has it.
    pub(crate) threshold: String,
    /// A share from 0 to 1, one of what it is without a proxy, or milliseconds; absent where nothing was measured.
    pub(crate) measured: Option<f64>,
    /// Whether it is held.
    pub(crate) held: bool,
    /// Whether it is of milliseconds.
    is_time: bool,
}

/// What became of a run.
pub(crate) struct Measured<'a> {
    /// The counts of requests.
    pub(crate) tally: &'a Tally,
    /// The sessions that began in each phase.
    pub(crate) survival: &'a [Survival],
    /// The counts of the same run without a proxy, if there was one.
    pub(crate) direct: Option<&'a Tally>,
}

/// The verdicts on all thresholds of `scenario`.
pub(crate) fn verdicts(scenario: &Scenario, measured: &Measured<'_>) -> Vec<Verdict> {
    let verdict = |threshold: &Threshold| {
        let value = measure(scenario, measured, threshold);
        Verdict {
            threshold: threshold.text.clone(),
            measured: value,
            held: value.is_some_and(|value| threshold.comparison.holds(value, threshold.bound)),
            is_time: threshold.is_time(),
        }
    };
    scenario.thresholds.iter().map(verdict).collect()
}

/// How a run exits whose numbers can be believed.
pub(crate) fn exit_code(verdicts: &[Verdict]) -> ExitCode {
    if verdicts.iter().all(|verdict| verdict.held) { ExitCode::SUCCESS } else { ExitCode::from(MISSED) }
}

/// The verdicts as a table; empty where there are none.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let width = verdicts.iter().map(|verdict| verdict.threshold.chars().count()).max().unwrap_or_default();
    let mut table = String::from("\nthresholds");
    for verdict in verdicts {
        let held = if verdict.held { "held" } else { "MISSED" };
        table.push_str(&format!("\n  {:<width$}  {:>12}  {held}", verdict.threshold, verdict.value()));
    }
    table
}

impl Verdict {
    /// What was measured, for people.
    pub(crate) fn value(&self) -> String {
        match self.measured {
            None => "no data".into(),
            Some(millis) if self.is_time => format!("{} ms", optional_ms(Some(millis))),
            // A hundredth of a percent away from all is not all.
            Some(share) => format!("{:.3} %", (share * 100_000.0).floor() / 1_000.0),
        }
    }
}

fn measure(scenario: &Scenario, measured: &Measured<'_>, threshold: &Threshold) -> Option<f64> {
    let phases: Vec<usize> = match threshold.phase {
        Some(phase) => vec![phase],
        None => (0..scenario.phases.len()).filter(|phase| !scenario.phases[*phase].warm_up).collect(),
    };
    match threshold.measure {
        Measure::Survived => survived(measured.survival, &phases),
        Measure::UsefulWork => {
            let phase = threshold.phase?;
            measured.tally.useful_work(phase, scenario.origin.capacity_in(&scenario.phases[phase]))
        }
        Measure::Share(ending) => share(&cell(measured.tally, &phases, threshold.subject), ending),
        Measure::Quantile(at) => {
            let subject = threshold.subject;
            let of = |tally| latency(cell(tally, &phases, subject), subject, at);
            match threshold.is_of_direct {
                true => Some(of(measured.tally)? / of(measured.direct?)?),
                false => of(measured.tally),
            }
        }
    }
}

/// In milliseconds.
fn latency(cell: Cell, subject: Subject, at: f64) -> Option<f64> {
    let waited_us = match subject {
        Subject::Shed => cell.refused_us,
        _ => cell.waited_us(),
    };
    quantile(&waited_us, at).map(millis)
}

fn cell(tally: &Tally, phases: &[usize], subject: Subject) -> Cell {
    let mut sum = Cell::default();
    for phase in phases {
        match subject {
            Subject::Class(class) => sum.add(tally.cell(*phase, class)),
            _ => sum.add(&tally.phase_total(*phase)),
        }
    }
    sum
}

fn share(cell: &Cell, ending: Ending) -> Option<f64> {
    let number = match ending {
        Ending::Good => cell.good,
        Ending::Late => cell.late,
        Ending::Shed => cell.refusals(),
        Ending::Failed => cell.failed,
        Ending::TimedOut => cell.timed_out,
        Ending::Errors => cell.errors.values().sum(),
    };
    (cell.offered > 0).then(|| number as f64 / cell.offered as f64)
}

fn survived(survival: &[Survival], phases: &[usize]) -> Option<f64> {
    let sessions = phases.iter().filter_map(|phase| survival.get(*phase));
    let (completed, lost) = sessions
        .fold((0, 0), |(completed, lost), sessions| (completed + sessions.completed, lost + sessions.lost));
    (completed + lost > 0).then(|| completed as f64 / (completed + lost) as f64)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
