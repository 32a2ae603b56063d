//! When k6 begins what: each class and each funnel of each phase is a k6 scenario of its own.
//!
//! So the rates are exact, and k6's own counts can be told apart by class and phase. A k6
//! user does one thing after the other, so each scenario says how many it needs: as many as
//! begin while one of them is busy (Little's law).
//!
//! What a user does once it has begun is the script's part.

use super::{counts, phase_tag};
use crate::scenario::Scenario;
use crate::scenario::clients::Funnel;
use crate::scenario::phase::Phase;
use crate::tally::span::Span;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// k6 takes whole numbers of arrivals; of a minute, that is precise enough.
const TIME_UNIT: Duration = Duration::from_secs(60);
/// How long an answer takes while all is well, to guess how many k6 users are needed at first.
const USUAL_ANSWER_S: f64 = 0.1;

/// A k6 scenario: what begins in one phase.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Executor {
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
    /// Who has begun goes on into later phases.
    graceful_stop: String,
    env: BTreeMap<&'static str, String>,
    tags: BTreeMap<&'static str, String>,
}

/// A change of the rate, steadily over a time.
#[derive(Serialize)]
struct Stage {
    target: u64,
    duration: String,
}

/// For how many seconds a k6 user is busy.
struct Busy {
    while_all_is_well: f64,
    /// If every request takes all of its client's patience.
    at_worst: f64,
}

/// The k6 scenarios of `scenario`, by name.
pub(super) fn executors(scenario: &Scenario) -> BTreeMap<String, Executor> {
    let mut executors = BTreeMap::new();
    let end = scenario.spans().last().map_or(Duration::ZERO, |last| last.end);
    for (number, (phase, span)) in scenario.phases.iter().zip(scenario.spans()).enumerate() {
        let part = Part { scenario, number, phase, span, end };
        // k6 allows letters, digits, `-` and `_` in a name; a phase or a class may have any.
        let name = |what: &str, place: usize| format!("{}_{what}_{:02}", phase_tag(number), place + 1);
        for (place, class) in scenario.classes().into_iter().enumerate() {
            let share = part.share(class);
            if share > 0.0 {
                executors.insert(name("class", place), part.arrivals(class, share));
            }
        }
        for (place, funnel) in scenario.funnels.iter().enumerate() {
            executors.insert(name("funnel", place), part.visits(place, funnel));
        }
    }
    executors
}

/// What begins in one phase.
struct Part<'a> {
    scenario: &'a Scenario,
    /// The place of the phase.
    number: usize,
    phase: &'a Phase,
    span: Span,
    /// Of the scenario, after which nobody sends anything.
    end: Duration,
}

impl Part<'_> {
    /// The share of a class in the arrivals of the mix.
    fn share(&self, class: &str) -> f64 {
        let weights = self.scenario.weights(self.phase);
        let own = self.scenario.mix.iter().zip(&weights).filter(|(template, _)| template.class == class);
        own.map(|(_, weight)| weight).sum::<f64>() / weights.iter().sum::<f64>()
    }

    fn arrivals(&self, class: &str, share: f64) -> Executor {
        let busy = Busy { while_all_is_well: USUAL_ANSWER_S, at_worst: self.longest_request_s() };
        let mut executor = self.executor("arrive", share, &busy);
        executor.env.insert("CLASS", class.to_owned());
        executor.tags.insert("class", class.to_owned());
        executor
    }

    fn visits(&self, place: usize, funnel: &Funnel) -> Executor {
        let steps = funnel.steps.len() as f64;
        let thinking = funnel.think.as_secs_f64() * (steps - 1.0);
        let busy = Busy {
            while_all_is_well: steps * USUAL_ANSWER_S + thinking,
            at_worst: steps * self.longest_request_s() + thinking,
        };
        let mut executor = self.executor("visit", 1.0 / self.scenario.load_per_session(funnel), &busy);
        executor.env.insert("FUNNEL", place.to_string());
        executor
    }

    /// What begins in proportion to the load, which it is `share` of.
    fn executor(&self, exec: &'static str, share: f64, busy: &Busy) -> Executor {
        let stages = self.stages(share);
        let highest = stages.iter().map(|stage| stage.target).max().unwrap_or_default();
        let users = |seconds: f64| {
            let begun = highest as f64 / TIME_UNIT.as_secs_f64() * seconds;
            begun.ceil() as u64 + 1
        };
        let patience = self.patience();
        let to_the_end = (self.end - self.span.start + patience).as_secs_f64();
        Executor {
            executor: "ramping-arrival-rate",
            exec,
            start_time: millis(self.span.start),
            time_unit: millis(TIME_UNIT),
            start_rate: stages.first().map_or(0, |stage| stage.target),
            stages,
            users_at_first: users(busy.while_all_is_well.min(to_the_end)),
            users_max: users(busy.at_worst.min(to_the_end)),
            graceful_stop: millis(self.end - self.span.end + patience),
            env: BTreeMap::new(),
            tags: BTreeMap::from([
                ("phase", phase_tag(self.number)),
                ("counts", counts(self.phase).to_owned()),
            ]),
        }
    }

    /// The longest that any client has.
    fn patience(&self) -> Duration {
        let own = self.scenario.mix.iter().filter_map(|template| template.patience);
        own.fold(self.scenario.patience, Duration::max)
    }

    /// For how long a request keeps its client at worst: all attempts, the pauses between, what a page loads.
    fn longest_request_s(&self) -> f64 {
        let patience = self.patience().as_secs_f64();
        let is_loading = self.scenario.mix.iter().any(|template| !template.loads.is_empty());
        let loading = if is_loading { patience } else { 0.0 };
        let retries = self.scenario.retries.map_or(0.0, |retries| {
            let attempts = f64::from(retries.attempts);
            // Pauses double: their sum is one less than the next of them.
            patience * attempts + retries.backoff.as_secs_f64() * (attempts.exp2() - 1.0)
        });
        patience + retries + loading
    }

    /// For each part of the phase a jump to its rate, and the way to the rate at its end.
    fn stages(&self, share: f64) -> Vec<Stage> {
        let shape: Vec<f64> = self.phase.shape.iter().map(|times| times.0).collect();
        let parts = if shape.is_empty() { vec![1.0] } else { shape };
        let length = self.phase.duration / u32::try_from(parts.len()).unwrap_or(u32::MAX);
        let last = self.phase.to.unwrap_or(self.phase.load);
        let (first, last) = (self.scenario.per_second(self.phase.load), self.scenario.per_second(last));
        let at = |part: usize| first + (last - first) * part as f64 / parts.len() as f64;
        let target = |rate: f64| (rate * share * TIME_UNIT.as_secs_f64()).round() as u64;
        let stages = parts.iter().enumerate().flat_map(|(part, times)| {
            [(at(part), Duration::ZERO), (at(part + 1), length)]
                .map(|(rate, duration)| Stage { target: target(rate * times), duration: millis(duration) })
        });
        stages.collect()
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
