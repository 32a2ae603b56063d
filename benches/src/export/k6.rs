//! A scenario as a k6 script: arrivals by class and phase, funnels, retries, assets, thresholds.
//!
//! The script is a constant text, and what differs is one JSON value in it: a scenario's
//! strings cannot become code. It says in k6's terms what `shoppers` and `crowd` do here;
//! what cannot be said so is named in it.

mod conditions;
mod executors;

use crate::scenario::Scenario;
use crate::scenario::clients::Jitter;
use crate::scenario::phase::Phase;
use crate::scenario::template::{ShopperKind, Template};
use crate::tally::span::Span;
use crate::units::Times;
use conditions::{conditions, unmeasured};
use executors::{Executor, executors};
use serde::Serialize;
use std::collections::BTreeMap;

const SCRIPT: &str = include_str!("k6.js");

/// A script, and what of the scenario is not in it.
pub(super) struct Script {
    pub(super) text: String,
    pub(super) left_out: Vec<String>,
}

/// What the script is told.
#[derive(Serialize)]
struct Plan<'a> {
    scenarios: BTreeMap<String, Executor>,
    thresholds: BTreeMap<String, Vec<String>>,
    phases: Vec<Period>,
    /// The requests that arrive by the schedule, by their places.
    classes: BTreeMap<&'a str, Vec<usize>>,
    requests: Vec<Request<'a>>,
    funnels: Vec<Walk<'a>>,
    retries: Again,
}

/// A phase, by which the script tags what it counts.
#[derive(Serialize)]
struct Period {
    phase: String,
    counts: &'static str,
    end_ms: u128,
}

#[derive(Serialize)]
struct Request<'a> {
    name: &'a str,
    class: &'a str,
    method: &'a str,
    paths: Vec<String>,
    body: &'a str,
    headers: BTreeMap<&'a str, &'a str>,
    weight: f64,
    slo_ms: u128,
    patience_ms: u128,
    keeps_cookies: bool,
    /// Places of requests.
    loads: &'a [usize],
}

/// The way through a funnel.
#[derive(Serialize)]
struct Walk<'a> {
    think_s: f64,
    /// At each step, the places of requests of which one is drawn.
    steps: &'a [Vec<usize>],
}

/// How a client tries again.
#[derive(Serialize)]
struct Again {
    attempts: u32,
    backoff_s: f64,
    has_jitter: bool,
}

/// The script of `scenario`.
pub(super) fn script(scenario: &Scenario) -> Result<Script, serde_json::Error> {
    let left_out = left_out(scenario);
    let mut text = format!("// {}\n", one_line(&format!("{}: {}", scenario.name, scenario.description)));
    text.push_str("// Written by `plimsoll-bench export k6`.\n");
    for what in &left_out {
        text.push_str(&format!("// Left out: {}\n", one_line(what)));
    }
    text.push_str(&format!("const PLAN = {};\n\n{SCRIPT}", serde_json::to_string_pretty(&plan(scenario))?));
    Ok(Script { text, left_out })
}

fn plan(scenario: &Scenario) -> Plan<'_> {
    let walks = scenario.funnels.iter();
    Plan {
        scenarios: executors(scenario),
        thresholds: conditions(scenario),
        phases: periods(scenario),
        classes: classes(scenario),
        requests: scenario.mix.iter().map(|template| request(scenario, template)).collect(),
        funnels: walks
            .map(|funnel| Walk { think_s: funnel.think.as_secs_f64(), steps: &funnel.steps })
            .collect(),
        retries: again(scenario),
    }
}

fn periods(scenario: &Scenario) -> Vec<Period> {
    let phases = scenario.phases.iter().zip(scenario.spans()).enumerate();
    let period = |(number, (phase, span)): (usize, (&Phase, Span))| Period {
        phase: phase_tag(number),
        counts: counts(phase),
        end_ms: span.end.as_millis(),
    };
    phases.map(period).collect()
}

/// What has no weight comes only with a page or in a funnel.
fn classes(scenario: &Scenario) -> BTreeMap<&str, Vec<usize>> {
    let mut classes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let drawn = scenario.mix.iter().enumerate().filter(|(_, template)| template.weight > 0.0);
    for (place, template) in drawn {
        classes.entry(&template.class).or_default().push(place);
    }
    classes
}

fn request<'a>(scenario: &Scenario, template: &'a Template) -> Request<'a> {
    Request {
        name: &template.name,
        class: &template.class,
        method: template.method.as_str(),
        paths: template.paths.iter().map(ToString::to_string).collect(),
        body: &template.body,
        headers: headers(template),
        weight: template.weight,
        slo_ms: template.slo.unwrap_or(scenario.slo).as_millis(),
        patience_ms: template.patience.unwrap_or(scenario.patience).as_millis(),
        keeps_cookies: template.shopper != ShopperKind::Bot,
        loads: &template.loads,
    }
}

/// All are ASCII: what is not was refused when the scenario was read.
fn headers(template: &Template) -> BTreeMap<&str, &str> {
    let headers = template.headers.iter();
    headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect()
}

fn again(scenario: &Scenario) -> Again {
    match scenario.retries {
        None => Again { attempts: 0, backoff_s: 0.0, has_jitter: false },
        Some(retries) => Again {
            attempts: retries.attempts,
            backoff_s: retries.backoff.as_secs_f64(),
            has_jitter: retries.jitter == Jitter::Full,
        },
    }
}

/// A phase's name may have signs that a selector of k6 cannot have.
fn phase_tag(phase: usize) -> String {
    format!("phase_{:02}", phase + 1)
}

/// Whether a phase counts where a threshold names none.
fn counts(phase: &Phase) -> &'static str {
    if phase.warm_up { "no" } else { "yes" }
}

/// What the script cannot do.
fn left_out(scenario: &Scenario) -> Vec<String> {
    let is_long = |template: &Template| template.upload_bytes.or(template.download_bytes).is_some();
    let is_of_abusers = |template: &Template| template.shopper == ShopperKind::Abuser;
    let keys = [
        ("`bursts`: the load is steady", scenario.bursts.is_some()),
        (
            "`upload_bytes` and `download_bytes`: bodies are short, and lines fast",
            scenario.mix.iter().any(is_long),
        ),
        ("`shopper: abuser`: several sessions send its requests", scenario.mix.iter().any(is_of_abusers)),
        ("what phases do to the shop: do it to the real one", scenario.phases.iter().any(changes_the_shop)),
    ];
    let keys = keys.into_iter().filter(|(_, used)| *used).map(|(what, _)| what.to_owned());
    let simulated =
        scenario.simulated_keys().into_iter().map(|key| format!("`{key}`: only a simulation does it"));
    let unmeasured = unmeasured(scenario)
        .map(|threshold| format!("the threshold `{}`: k6 cannot measure it", threshold.text));
    keys.chain(simulated).chain(unmeasured).collect()
}

fn changes_the_shop(phase: &Phase) -> bool {
    let Phase { workers, slow, failing, faults, .. } = phase;
    *workers != Times::default() || !(slow.is_empty() && failing.is_empty() && faults.is_empty())
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
bursts: { on: 1s, off: 1s, peak: 1.5x }
retries: { attempts: 1, backoff: 1s, jitter: full }
funnels: [{ name: buyer, begin: 4, think: 2s, steps: [browse, order] }]
thresholds:
  - checkout.good >= 99.9%
  - shed.p99 < 5ms in rush
  - all.useful_work >= 90% in rush
  - sessions.survived >= 50%
  - all.late <= 5%
  - all.errors < 1%
mix:
  - { name: page, class: browse, paths: [\"/p/{3}\"], weight: 3, loads: [picture] }
  - { name: order, class: checkout, method: POST, paths: [/checkout], weight: 1, slo: 500ms }
  - { name: picture, class: static, paths: [/p.svg], weight: 0 }
phases:
  - { name: calm, duration: 6s, load: 1x, warm_up: true }
  - { name: rush, duration: 4s, load: 2x, shape: [1x, 3x], weights: { checkout: 1 } }
";

    fn scripted(scenario: &str) -> Script {
        script(&Scenario::parse(Path::new("s.yaml"), scenario).unwrap()).unwrap()
    }

    fn plan() -> (Script, serde_json::Value) {
        let script = scripted(SCENARIO);
        let (_, plan) = script.text.split_once("const PLAN = ").unwrap();
        let (plan, _) = plan.split_once(";\n\n").unwrap();
        let plan = serde_json::from_str(plan).unwrap();
        (script, plan)
    }

    fn targets(executor: &serde_json::Value) -> Vec<u64> {
        let stages = executor["stages"].as_array().unwrap();
        stages.iter().map(|stage| stage["target"].as_u64().unwrap()).collect()
    }

    #[test]
    fn each_class_of_each_phase_arrives_at_its_rate() {
        let (_, plan) = plan();
        let scenarios = plan["scenarios"].as_object().unwrap();
        let names: Vec<&str> =
            scenarios.keys().map(String::as_str).filter(|name| name.contains("class")).collect();
        let expected = ["phase_01_class_01", "phase_01_class_02", "phase_02_class_02"];
        assert_eq!(names, expected, "nobody browses in the rush, and pictures come with pages");
        let browse = &scenarios["phase_01_class_01"];
        assert_eq!((browse["exec"].as_str(), browse["startTime"].as_str()), (Some("arrive"), Some("0ms")));
        assert_eq!(
            (browse["tags"]["class"].as_str(), browse["tags"]["counts"].as_str()),
            (Some("browse"), Some("no"))
        );
        assert_eq!(targets(browse), [75 * 60, 75 * 60]);
        // Two attempts of 2 s, a second between them, and 2 s for the picture.
        assert_eq!(browse["maxVUs"].as_u64(), Some(75 * 7 + 1));
        let rush = &scenarios["phase_02_class_02"];
        assert_eq!(
            (rush["startTime"].as_str(), rush["startRate"].as_u64()),
            (Some("6000ms"), Some(200 * 60))
        );
        assert_eq!(targets(rush), [200 * 60, 200 * 60, 600 * 60, 600 * 60]);
        assert_eq!(rush["maxVUs"].as_u64(), Some(600 * 6 + 1), "nobody begins anything after its 4 s");
        assert_eq!(plan["classes"], serde_json::json!({ "browse": [0], "checkout": [1] }));
    }

    #[test]
    fn sessions_of_a_funnel_begin_in_proportion_to_the_load_and_outlast_their_phase() {
        let (_, plan) = plan();
        let (calm, rush) =
            (&plan["scenarios"]["phase_01_funnel_01"], &plan["scenarios"]["phase_02_funnel_01"]);
        assert_eq!((targets(calm), targets(rush)), (vec![240, 240], vec![480, 480, 1_440, 1_440]));
        assert_eq!((calm["exec"].as_str(), calm["env"]["FUNNEL"].as_str()), (Some("visit"), Some("0")));
        let grace = [calm, rush].map(|executor| executor["gracefulStop"].as_str().unwrap().to_owned());
        assert_eq!(grace, ["6000ms", "2000ms"]);
        // Four a second: two answers of a tenth and 2 s between them; and until the end of all after 12 s.
        assert_eq!(
            [&calm["preAllocatedVUs"], &calm["maxVUs"]].map(|users| users.as_u64()),
            [Some(10), Some(49)]
        );
        assert_eq!(plan["funnels"], serde_json::json!([{ "think_s": 2.0, "steps": [[0], [1]] }]));
    }

    #[test]
    fn requests_say_what_they_load_and_how_often_they_are_tried() {
        let (_, plan) = plan();
        let (page, order) = (&plan["requests"][0], &plan["requests"][1]);
        assert_eq!((page["paths"][0].as_str(), order["slo_ms"].as_u64()), (Some("/p/{3}"), Some(500)));
        assert_eq!((&page["loads"], &order["loads"]), (&serde_json::json!([2]), &serde_json::json!([])));
        let retries = serde_json::json!({ "attempts": 1, "backoff_s": 1.0, "has_jitter": true });
        assert_eq!(plan["retries"], retries);
        let phases = serde_json::json!([
            { "phase": "phase_01", "counts": "no", "end_ms": 6_000 },
            { "phase": "phase_02", "counts": "yes", "end_ms": 10_000 },
        ]);
        assert_eq!(plan["phases"], phases);
    }

    #[test]
    fn thresholds_are_those_of_the_scenario() {
        let (_, plan) = plan();
        let thresholds = &plan["thresholds"];
        assert_eq!(thresholds["good{class:checkout,counts:yes}"][0].as_str(), Some("rate>=0.999"));
        assert_eq!(thresholds["shed_ms{phase:phase_02}"][0].as_str(), Some("p(99)<5"));
        assert_eq!(thresholds["survived{counts:yes}"][0].as_str(), Some("rate>=0.5"));
        assert_eq!(thresholds["dropped_iterations"][0].as_str(), Some("count==0"));
    }

    #[test]
    fn bound_that_nothing_would_hold_also_asks_for_something_to_measure() {
        let (_, plan) = plan();
        let thresholds = &plan["thresholds"];
        assert_eq!(thresholds["shed_ms{phase:phase_02}"], serde_json::json!(["p(99)<5", "max>0"]));
        assert_eq!(thresholds["late{counts:yes}"], serde_json::json!(["rate<=0.05"]));
        // Once, though two thresholds ask for it; and of the others, none does.
        assert_eq!(thresholds["counted{of:requests,counts:yes}"], serde_json::json!(["count>0"]));
        let asking = thresholds.as_object().unwrap().keys().filter(|metric| metric.starts_with("counted"));
        assert_eq!(asking.count(), 1, "{thresholds}");
    }

    #[test]
    fn what_is_left_out_is_named_in_the_script() {
        let (script, _) = plan();
        assert_eq!(script.left_out.len(), 2, "{:?}", script.left_out);
        assert!(script.text.starts_with("// brief */ ${x}: first line </script>\n"), "{}", script.text);
        assert!(script.text.contains("// Left out: `bursts`"));
        assert!(script.text.contains("// Left out: the threshold `all.useful_work >= 90% in rush`"));
        let wired = scripted(&SCENARIO.replace("slo: 1s\n", "slo: 1s\nwire: { client: 5ms }\n"));
        assert!(wired.text.contains("// Left out: `wire`: only a simulation does it\n"), "{}", wired.text);
    }
}
