//! A scenario's thresholds, as conditions on the metrics of the script.
//!
//! The metrics have the words of a scenario, and tags for class and phase, so that a threshold
//! becomes a selector and a bound. What k6 cannot measure has no condition.
//!
//! Where there was nothing to measure, a threshold is missed here, while k6 takes zero for it: a
//! bound that zero holds has a second condition, that there was something.

use super::phase_tag;
use crate::scenario::Scenario;
use crate::scenario::threshold::{Ending, Measure, Subject, Threshold};
use std::collections::BTreeMap;

/// The conditions of all thresholds, by metric; and that k6 keeps the schedule.
pub(super) fn conditions(scenario: &Scenario) -> BTreeMap<String, Vec<String>> {
    let mut conditions = BTreeMap::from([("dropped_iterations".to_owned(), vec!["count==0".to_owned()])]);
    let of_all = scenario.thresholds.iter();
    for (metric, condition) in of_all.flat_map(|threshold| both(scenario, threshold)).flatten() {
        let of_metric = conditions.entry(metric).or_default();
        if !of_metric.contains(&condition) {
            of_metric.push(condition);
        }
    }
    conditions
}

/// The condition of a threshold, and that there was something to measure.
fn both(scenario: &Scenario, threshold: &Threshold) -> [Option<(String, String)>; 2] {
    let condition = condition(scenario, threshold);
    let evidence = condition.is_some().then(|| evidence(scenario, threshold)).flatten();
    [condition, evidence]
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
        Measure::Quantile(_) if threshold.is_of_direct => return None,
        Measure::Quantile(1.0) => (latency(threshold.subject), "max".to_owned()),
        Measure::Quantile(at) => (latency(threshold.subject), format!("p({})", at * 100.0)),
        Measure::UsefulWork => return None,
    };
    let sign = threshold.comparison.sign();
    let metric = format!("{metric}{{{}}}", selector(scenario, threshold));
    Some((metric, format!("{measure}{sign}{}", threshold.bound)))
}

/// What must hold so that a measure is of something; nothing where zero misses the bound anyway.
fn evidence(scenario: &Scenario, threshold: &Threshold) -> Option<(String, String)> {
    if !threshold.comparison.holds(0.0, threshold.bound) {
        return None;
    }
    let selector = selector(scenario, threshold);
    match threshold.measure {
        Measure::Share(_) => Some((format!("counted{{of:requests,{selector}}}"), "count>0".to_owned())),
        Measure::Survived => Some((format!("counted{{of:sessions,{selector}}}"), "count>0".to_owned())),
        // No request takes no time at all.
        Measure::Quantile(_) => {
            Some((format!("{}{{{selector}}}", latency(threshold.subject)), "max>0".to_owned()))
        }
        Measure::UsefulWork => None,
    }
}

/// The tags of what a threshold is about.
fn selector(scenario: &Scenario, threshold: &Threshold) -> String {
    let class = match threshold.subject {
        Subject::Class(class) => Some(format!("class:{}", scenario.classes()[class])),
        Subject::All | Subject::Shed | Subject::Sessions => None,
    };
    let phase = match threshold.phase {
        Some(phase) => format!("phase:{}", phase_tag(phase)),
        None => "counts:yes".to_owned(),
    };
    class.into_iter().chain([phase]).collect::<Vec<_>>().join(",")
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
