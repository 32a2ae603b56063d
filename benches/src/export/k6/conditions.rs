//! A scenario's thresholds, as conditions on the metrics of the script.
//!
//! The metrics have the words of a scenario, and tags for class and phase, so that a threshold
//! becomes a selector and a bound. What k6 cannot measure has no condition.

use super::phase_tag;
use crate::scenario::Scenario;
use crate::scenario::threshold::{Ending, Measure, Subject, Threshold};
use std::collections::BTreeMap;

/// The conditions of all thresholds, by metric; and that k6 keeps the schedule.
pub(super) fn conditions(scenario: &Scenario) -> BTreeMap<String, Vec<String>> {
    let mut conditions = BTreeMap::from([("dropped_iterations".to_owned(), vec!["count==0".to_owned()])]);
    for (metric, condition) in
        scenario.thresholds.iter().filter_map(|threshold| condition(scenario, threshold))
    {
        conditions.entry(metric).or_default().push(condition);
    }
    conditions
}

/// The thresholds without a condition.
pub(super) fn unmeasured(scenario: &Scenario) -> impl Iterator<Item = &Threshold> {
    scenario.thresholds.iter().filter(move |threshold| condition(scenario, threshold).is_none())
}

/// The metric of a threshold, and what must hold of it.
fn condition(scenario: &Scenario, threshold: &Threshold) -> Option<(String, String)> {
    let (metric, measure) = match threshold.measure {
        Measure::Share(ending) => (metric(ending), "rate".to_owned()),
        Measure::Survived => ("survived", "rate".to_owned()),
        Measure::Quantile(1.0) => (latency(threshold.subject), "max".to_owned()),
        Measure::Quantile(at) => (latency(threshold.subject), format!("p({})", at * 100.0)),
        Measure::UsefulWork => return None,
    };
    let class = match threshold.subject {
        Subject::Class(class) => Some(format!("class:{}", scenario.classes()[class])),
        Subject::All | Subject::Shed | Subject::Sessions => None,
    };
    let phase = match threshold.phase {
        Some(phase) => format!("phase:{}", phase_tag(phase)),
        None => "counts:yes".to_owned(),
    };
    let tags = class.into_iter().chain([phase]).collect::<Vec<_>>().join(",");
    let sign = threshold.comparison.sign();
    Some((format!("{metric}{{{tags}}}"), format!("{measure}{sign}{}", threshold.bound)))
}

fn metric(ending: Ending) -> &'static str {
    match ending {
        Ending::Good => "good",
        Ending::Late => "late",
        Ending::Shed => "shed",
        Ending::Failed => "failed",
        Ending::TimedOut => "timed_out",
        Ending::Errors => "errors",
    }
}

fn latency(subject: Subject) -> &'static str {
    match subject {
        Subject::Shed => "shed_ms",
        Subject::All | Subject::Class(_) | Subject::Sessions => "waited_ms",
    }
}
