//! How far the sessions of funnels came: who was served at each step, and who left there.
//!
//! That sessions are lost says less than where: at the search, or at the order. Sessions that began in the warm-up are
//! left out, and those under way at the end are neither.

use crate::scenario::Scenario;
use crate::scenario::clients::Funnel;
use serde::{Deserialize, Serialize};

/// What became of sessions at one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Passage {
    /// Who was served.
    pub(crate) served: u64,
    /// Who was not, in all attempts, and left.
    pub(crate) lost: u64,
}

/// A funnel, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunnelReport {
    /// As the scenario calls it.
    pub(crate) name: String,
    /// In their order.
    pub(crate) steps: Vec<StepReport>,
}

/// One step of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepReport {
    /// The request or the class that is asked for.
    pub(crate) step: String,
    /// Sessions that were served.
    pub(crate) served: u64,
    /// Sessions that left.
    pub(crate) lost: u64,
}

/// The funnels of `scenario`, whose steps were passed like this.
pub(crate) fn reports(scenario: &Scenario, passages: &[Vec<Passage>]) -> Vec<FunnelReport> {
    let report = |(funnel, passages): (&Funnel, &Vec<Passage>)| FunnelReport {
        name: funnel.name.clone(),
        steps: steps(scenario, funnel, passages),
    };
    scenario.funnels.iter().zip(passages).map(report).collect()
}

fn steps(scenario: &Scenario, funnel: &Funnel, passages: &[Passage]) -> Vec<StepReport> {
    let steps = funnel.steps.iter().zip(passages);
    steps
        .map(|(requests, passage)| StepReport {
            step: label(scenario, requests),
            served: passage.served,
            lost: passage.lost,
        })
        .collect()
}

/// A step of several requests is one of a class.
fn label(scenario: &Scenario, requests: &[usize]) -> String {
    match requests {
        [one] => scenario.mix[*one].name.clone(),
        [first, ..] => scenario.mix[*first].class.clone(),
        [] => String::new(),
    }
}

/// The funnels as text; empty where there are none.
pub(crate) fn table(funnels: &[FunnelReport]) -> String {
    let mut table = String::new();
    for FunnelReport { name, steps } in funnels {
        table.push_str(&format!("\n  {name:<24}{:>10}{:>10}", "served", "lost"));
        for StepReport { step, served, lost } in steps {
            table.push_str(&format!("\n    {step:<22}{served:>10}{lost:>10}"));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SCENARIO: &str = "\
name: small
description: a step that is a request, and one that is a class
origin: { workers: 1, service: { mean: 100ms } }
slo: 1s
patience: 2s
funnels: [{ name: buyer, begin: 1, think: 1s, steps: [front page, browse] }]
mix:
  - { name: front page, class: browse, paths: [/], weight: 1 }
  - { name: product, class: browse, paths: [/p], weight: 1 }
phases: [{ name: only, duration: 60s, load: 1x }]
";

    #[test]
    fn steps_have_the_names_that_the_scenario_gives_them() {
        let scenario = Scenario::parse(Path::new("s.yaml"), SCENARIO).unwrap();
        let passages = vec![vec![Passage { served: 9, lost: 1 }, Passage { served: 5, lost: 3 }]];
        let reports = reports(&scenario, &passages);
        let names: Vec<&str> = reports[0].steps.iter().map(|step| step.step.as_str()).collect();
        assert_eq!((reports[0].name.as_str(), names), ("buyer", vec!["front page", "browse"]));
        let table = table(&reports);
        assert!(table.contains("\n    front page                     9         1\n"), "{table}");
        assert!(table.ends_with("\n    browse                         5         3"), "{table}");
    }
}
