//! A scenario as a k6 script: arrival rates by class and phase, and the same classes.
//!
//! Each class of each phase is a k6 scenario of its own, so that results can be told
//! apart by both. The script is a constant text, and what differs is one JSON value in
//! it: a scenario's strings cannot become code.

use crate::scenario::Scenario;
use crate::scenario::phase::Phase;
use crate::scenario::template::Template;
use crate::scenario::threshold::{Ending, Measure, Subject, Threshold};
use crate::units::Times;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

const SCRIPT: &str = include_str!("k6.js");
/// k6 takes whole numbers of arrivals; of a minute, that is precise enough.
const TIME_UNIT: Duration = Duration::from_secs(60);
/// How long an answer takes while all is well, to guess how many k6 users are needed at first.
const USUAL_ANSWER: Duration = Duration::from_millis(100);

/// A script, and what of the scenario is not in it.
pub(super) struct Script {
    pub(super) text: String,
    pub(super) left_out: Vec<String>,
}

/// What the script is told.
#[derive(Serialize)]
struct Plan<'a> {
    scenarios: BTreeMap<String, Executor<'a>>,
    thresholds: BTreeMap<String, Vec<String>>,
    requests: BTreeMap<&'a str, Vec<Request<'a>>>,
}

/// A k6 scenario: the arrivals of one class in one phase.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Executor<'a> {
    executor: &'static str,
    exec: &'static str,
    start_time: String,
    time_unit: String,
    start_rate: u64,
    stages: Vec<Stage>,
    #[serde(rename = "preAllocatedVUs")]
    users_at_first: u64,
    #[serde(rename = "maxVUs")]
    users_max: u64,
    env: BTreeMap<&'static str, &'a str>,
    tags: BTreeMap<&'static str, String>,
}

/// A change of the rate, steadily over a time.
#[derive(Serialize)]
struct Stage {
    target: u64,
    duration: String,
}

#[derive(Serialize)]
struct Request<'a> {
    name: &'a str,
    method: &'a str,
    paths: Vec<String>,
    body: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    weight: f64,
    slo_ms: u128,
    patience_ms: u128,
}

/// The script of `scenario`.
pub(super) fn script(scenario: &Scenario) -> Result<Script, serde_json::Error> {
    let plan = Plan {
        scenarios: executors(scenario),
        thresholds: thresholds(scenario),
        requests: requests(scenario),
    };
    let left_out = left_out(scenario);
    let mut text = format!("// {}\n", one_line(&format!("{}: {}", scenario.name, scenario.description)));
    text.push_str("// Written by `plimsoll-bench export k6`.\n");
    for what in &left_out {
        text.push_str(&format!("// Left out: {}\n", one_line(what)));
    }
    text.push_str(&format!("const PLAN = {};\n\n{SCRIPT}", serde_json::to_string_pretty(&plan)?));
    Ok(Script { text, left_out })
}

fn executors(scenario: &Scenario) -> BTreeMap<String, Executor<'_>> {
    let mut executors = BTreeMap::new();
    for (number, (phase, span)) in scenario.phases.iter().zip(scenario.spans()).enumerate() {
        let weights = scenario.weights(phase);
        let all: f64 = weights.iter().sum();
        for (place, class) in scenario.classes().into_iter().enumerate() {
            let own = scenario.mix.iter().zip(&weights).filter(|(template, _)| template.class == class);
            let share = own.map(|(_, weight)| weight).sum::<f64>() / all;
            if share > 0.0 {
                // k6 allows letters, digits, `-` and `_` in a name; a phase may have any.
                let name = format!("{}_class_{:02}", phase_tag(number), place + 1);
                let arrivals = Arrivals { class, number, phase, start: span.start, share };
                executors.insert(name, arrivals.executor(scenario));
            }
        }
    }
    executors
}

/// The arrivals of one class in one phase.
struct Arrivals<'a> {
    class: &'a str,
    /// The place of the phase.
    number: usize,
    phase: &'a Phase,
    start: Duration,
    /// Of all arrivals of the phase.
    share: f64,
}

impl<'a> Arrivals<'a> {
    fn executor(&self, scenario: &Scenario) -> Executor<'a> {
        let stages = self.stages(scenario);
        let highest = stages.iter().map(|stage| stage.target).max().unwrap_or_default();
        let users = |time: Duration| {
            let arrivals = highest as f64 / TIME_UNIT.as_secs_f64() * time.as_secs_f64();
            arrivals.ceil() as u64 + 1
        };
        Executor {
            executor: "ramping-arrival-rate",
            exec: "arrive",
            start_time: seconds(self.start),
            time_unit: seconds(TIME_UNIT),
            start_rate: stages.first().map_or(0, |stage| stage.target),
            stages,
            users_at_first: users(USUAL_ANSWER),
            users_max: users(scenario.patience),
            env: BTreeMap::from([("CLASS", self.class)]),
            tags: BTreeMap::from([
                ("class", self.class.to_owned()),
                ("phase", phase_tag(self.number)),
                ("counts", if self.phase.warm_up { "no" } else { "yes" }.to_owned()),
            ]),
        }
    }

    /// For each part of the phase a jump to its rate, and the way to the rate at its end.
    fn stages(&self, scenario: &Scenario) -> Vec<Stage> {
        let shape: Vec<f64> = self.phase.shape.iter().map(|times| times.0).collect();
        let parts = if shape.is_empty() { vec![1.0] } else { shape };
        let length = self.phase.duration / u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let last = self.phase.to.unwrap_or(self.phase.load);
        let (first, last) = (scenario.per_second(self.phase.load), scenario.per_second(last));
        let at = |part: usize| first + (last - first) * part as f64 / parts.len() as f64;
        let target = |rate: f64| (rate * self.share * TIME_UNIT.as_secs_f64()).round() as u64;
        let stages = parts.iter().enumerate().flat_map(|(part, times)| {
            [(at(part), Duration::ZERO), (at(part + 1), length)]
                .map(|(rate, duration)| Stage { target: target(rate * times), duration: seconds(duration) })
        });
        stages.collect()
    }
}

fn requests(scenario: &Scenario) -> BTreeMap<&str, Vec<Request<'_>>> {
    let mut requests: BTreeMap<&str, Vec<Request<'_>>> = BTreeMap::new();
    for template in &scenario.mix {
        requests.entry(&template.class).or_default().push(request(scenario, template));
    }
    requests
}

fn request<'a>(scenario: &Scenario, template: &'a Template) -> Request<'a> {
    Request {
        name: &template.name,
        method: template.method.as_str(),
        paths: template.paths.iter().map(ToString::to_string).collect(),
        body: &template.body,
        headers: headers(template),
        weight: template.weight,
        slo_ms: template.slo.unwrap_or(scenario.slo).as_millis(),
        patience_ms: template.patience.unwrap_or(scenario.patience).as_millis(),
    }
}

/// All are ASCII: what is not was refused when the scenario was read.
fn headers(template: &Template) -> BTreeMap<&str, &str> {
    let headers = template.headers.iter();
    headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
}

/// The scenario's thresholds, as conditions on the script's metrics; and that k6 keeps the schedule.
fn thresholds(scenario: &Scenario) -> BTreeMap<String, Vec<String>> {
    let mut conditions = BTreeMap::from([("dropped_iterations".to_owned(), vec!["count==0".to_owned()])]);
    for (metric, condition) in
        scenario.thresholds.iter().filter_map(|threshold| condition(scenario, threshold))
    {
        conditions.entry(metric).or_default().push(condition);
    }
    conditions
}

/// The metric of a threshold, and what must hold of it; `None` for what k6 does not measure.
fn condition(scenario: &Scenario, threshold: &Threshold) -> Option<(String, String)> {
    let (metric, measure) = match threshold.measure {
        Measure::Share(ending) => (metric(ending), "rate".to_owned()),
        Measure::Quantile(1.0) => (latency(threshold.subject), "max".to_owned()),
        Measure::Quantile(at) => (latency(threshold.subject), format!("p({})", at * 100.0)),
        Measure::UsefulWork | Measure::Survived => return None,
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

/// A phase's name may have signs that a selector of k6 cannot have.
fn phase_tag(phase: usize) -> String {
    format!("phase_{:02}", phase + 1)
}

/// What the script cannot do.
fn left_out(scenario: &Scenario) -> Vec<String> {
    let keys = [
        ("`bursts`: the load is steady", scenario.bursts.is_some()),
        ("`retries`: who is refused does not come back", scenario.retries.is_some()),
        ("`funnels`: nobody goes from step to step", !scenario.funnels.is_empty()),
        (
            "`mix[].loads`: pages come without their assets",
            scenario.mix.iter().any(|page| !page.loads.is_empty()),
        ),
        ("what phases do to the shop: do it to the real one", scenario.phases.iter().any(changes_the_shop)),
    ];
    let keys = keys.into_iter().filter(|(_, used)| *used).map(|(what, _)| what.to_owned());
    let unmeasured = scenario.thresholds.iter().filter(|threshold| condition(scenario, threshold).is_none());
    keys.chain(
        unmeasured.map(|threshold| format!("the threshold `{}`: k6 cannot measure it", threshold.text)),
    )
    .collect()
}

fn changes_the_shop(phase: &Phase) -> bool {
    let Phase { workers, slow, failing, faults, .. } = phase;
    *workers != Times::default() || !(slow.is_empty() && failing.is_empty() && faults.is_empty())
}

fn seconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

/// Text that stays within its comment.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const SCENARIO: &str = "\
name: \"brief */ ${x}\"
description: \"first line\\n</script>\"
origin: { workers: 2, service: { mean: 20ms } }
slo: 1s
patience: 2s
retries: { attempts: 1, backoff: 1s }
thresholds: [\"checkout.good >= 99.9%\", \"shed.p99 < 5ms in rush\", \"all.useful_work >= 90% in rush\"]
mix:
  - { name: page, class: browse, paths: [\"/p/{3}\"], weight: 3 }
  - { name: order, class: checkout, method: POST, paths: [/checkout], weight: 1, slo: 500ms }
phases:
  - { name: calm, duration: 6s, load: 1x }
  - { name: rush, duration: 4s, load: 2x, shape: [1x, 3x], weights: { checkout: 1 } }
";

    fn plan() -> (Script, serde_json::Value) {
        let scenario = Scenario::parse(Path::new("s.yaml"), SCENARIO).unwrap();
        let script = script(&scenario).unwrap();
        let (_, plan) = script.text.split_once("const PLAN = ").unwrap();
        let (plan, _) = plan.split_once(";\n\n").unwrap();
        let plan = serde_json::from_str(plan).unwrap();
        (script, plan)
    }

    #[test]
    fn each_class_of_each_phase_arrives_at_its_rate() {
        let (_, plan) = plan();
        let scenarios = plan["scenarios"].as_object().unwrap();
        assert_eq!(scenarios.len(), 3, "nobody browses in the rush");
        let browse = &scenarios["phase_01_class_01"];
        assert_eq!(
            (browse["tags"]["class"].as_str(), browse["startTime"].as_str()),
            (Some("browse"), Some("0ms"))
        );
        assert_eq!(browse["stages"][1]["target"].as_u64(), Some(75 * 60));
        let rush = &scenarios["phase_02_class_02"];
        assert_eq!(
            (rush["startTime"].as_str(), rush["startRate"].as_u64()),
            (Some("6000ms"), Some(200 * 60))
        );
        let targets: Vec<_> = (0..4).map(|at| rush["stages"][at]["target"].as_u64().unwrap() / 60).collect();
        assert_eq!(targets, [200, 200, 600, 600]);
        assert_eq!(rush["maxVUs"].as_u64(), Some(1_201), "600 arrivals for 2 s of patience");
        assert_eq!(plan["requests"]["checkout"][0]["slo_ms"].as_u64(), Some(500));
        assert_eq!(plan["requests"]["browse"][0]["paths"][0].as_str(), Some("/p/{3}"));
    }

    #[test]
    fn thresholds_are_those_of_the_scenario() {
        let (_, plan) = plan();
        let thresholds = &plan["thresholds"];
        assert_eq!(thresholds["good{class:checkout,counts:yes}"][0].as_str(), Some("rate>=0.999"));
        assert_eq!(thresholds["shed_ms{phase:phase_02}"][0].as_str(), Some("p(99)<5"));
        assert_eq!(thresholds["dropped_iterations"][0].as_str(), Some("count==0"));
    }

    #[test]
    fn what_is_left_out_is_named_in_the_script() {
        let (script, _) = plan();
        assert_eq!(script.left_out.len(), 2, "{:?}", script.left_out);
        assert!(script.text.starts_with("// brief */ ${x}: first line </script>\n"), "{}", script.text);
        assert!(script.text.contains("// Left out: `retries`"));
    }
}
