//! A policy held against its own tests: does each request become what its author expects?
//!
//! A test without a load is one judgement by the very code that serves. With a load it is a
//! forecast as well: the core decides for a shop in virtual time. Equal forecasts are made once.
//!
//! Nothing here depends on the time of day or on who asked before, so a test that passes on one
//! machine passes on all. A test that states a time is forecast under the schedule of then.

use std::collections::HashMap;
use std::fmt;

use plimsoll_core::policy::ClassId;
use plimsoll_core::standing::Value;

use crate::classify::features::LocalTime;
use crate::classify::head::Head;
use crate::classify::path;
use crate::clock::Clock;
use crate::forecast::{Ask, share_served};
use crate::generation::{Generation, Judgement};
use crate::policy::cases::{Expected, NO_SCHEDULE, PolicyTest};

/// An ordinary moment: Wednesday noon.
const NOON: LocalTime = LocalTime { hour: 12, weekday: 2 };
/// What counts as admitted: 1 in 20 is what a burst may cost.
const ADMITTED_SHARE_MIN: f64 = 0.95;
/// What counts as shed: more are refused than served.
const SHED_SHARE_MAX: f64 = 0.5;

/// A test that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Where it stands.
    pub defined_at: String,
    /// What it asks for.
    pub request: String,
    /// What was expected and what is so.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.defined_at, self.request, self.message)
    }
}

/// What came of the tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many there are.
    pub tests: usize,
    /// How many do not hold.
    pub failed: usize,
    /// Those that do not hold, with one entry for each expectation.
    pub failures: Vec<Failure>,
    /// For each route, whether it took a request of a test.
    pub taken: Vec<bool>,
}

/// Runs the tests of `generation`'s policy.
pub fn run(generation: &Generation, clock: &Clock) -> Report {
    let mut trial = Trial { generation, clock, forecasts: HashMap::new() };
    let routes = generation.policy.routes.routes();
    let mut report = Report { taken: vec![false; routes.len()], ..Report::default() };
    for test in &generation.policy.tests {
        report.tests += 1;
        let judgement = trial.judge(test);
        let taken = judgement.route.and_then(|route| routes.iter().position(|one| std::ptr::eq(one, route)));
        if let Some(taken) = taken {
            report.taken[taken] = true;
        }
        let messages = trial.complaints(test, &judgement);
        report.failed += usize::from(!messages.is_empty());
        report.failures.extend(messages.into_iter().map(|message| Failure {
            defined_at: test.defined_at.to_string(),
            request: format!("{} {}", test.request.method(), test.request.uri()),
            message,
        }));
    }
    report
}

/// A forecast's question: loads as bits, so that equal ones are one, and the schedule if a time is stated.
type Question = (Vec<(ClassId, u64)>, ClassId, u32, Option<Option<usize>>);

struct Trial<'g> {
    generation: &'g Generation,
    clock: &'g Clock,
    forecasts: HashMap<Question, f64>,
}

impl<'g> Trial<'g> {
    fn judge(&self, test: &PolicyTest) -> Judgement<'g> {
        let head = Head::of_request(&test.request).sent_by(test.client);
        let key = path::key(head.path());
        self.generation.judge(&head, &key, test.operation.as_deref(), test.session, self.clock)
    }

    /// What does not hold, if anything.
    fn complaints(&mut self, test: &PolicyTest, judgement: &Judgement<'_>) -> Vec<String> {
        let mut complaints = self.judgement_complaints(test, judgement);
        complaints.extend(self.schedule_complaint(test));
        // The model runs only where something hangs on it: it would take most of a reload's time.
        let is_needed = test.value.is_some() || test.decision.is_some();
        let value = if is_needed {
            self.generation.value(judgement.class, &test.session, NOON, self.clock)
        } else {
            0.0
        };
        if let Some(range) = test.value.as_ref().filter(|range| !range.contains(&value)) {
            complaints.push(format!(
                "expected a value of {}..{}, got {value:.3}",
                range.start(),
                range.end()
            ));
        }
        complaints.extend(self.decision_complaint(test, judgement.class, value));
        complaints
    }

    /// What does not hold of its class, of who decided that, and of its pool.
    fn judgement_complaints(&self, test: &PolicyTest, judgement: &Judgement<'_>) -> Vec<String> {
        let name = |class: ClassId| self.generation.policy.core.class(class).name.as_str();
        let by = || match judgement.route {
            Some(route) => format!("by {}, {}", judgement.class_by.name(), route.defined_at),
            None => format!("by {}", judgement.class_by.name()),
        };
        let mut complaints = Vec::new();
        if let Some(class) = test.class.filter(|class| *class != judgement.class) {
            complaints.push(format!(
                "expected class `{}`, got `{}` ({})",
                name(class),
                name(judgement.class),
                by()
            ));
        }
        if let Some(class_by) = test.class_by.filter(|class_by| *class_by != judgement.class_by) {
            complaints.push(format!("expected its class by {}, got it {}", class_by.name(), by()));
        }
        let pool = judgement.route.and_then(|route| route.pool.as_deref()).unwrap_or("default");
        if let Some(expected) = test.pool.as_deref().filter(|expected| *expected != pool) {
            complaints.push(format!("expected pool `{expected}`, got `{pool}`"));
        }
        complaints
    }

    fn schedule_complaint(&self, test: &PolicyTest) -> Option<String> {
        let expected = test.schedule.as_deref()?;
        let policy = &self.generation.policy;
        let place = test.at.and_then(|at| policy.scheduled_at(at));
        let holds = place.map_or(NO_SCHEDULE, |place| &*policy.schedules[place].name);
        (expected != holds).then(|| format!("expected the schedule `{expected}`, got `{holds}`"))
    }

    fn decision_complaint(&mut self, test: &PolicyTest, class: ClassId, value: f32) -> Option<String> {
        let expected = test.decision?;
        let served = self.share_served(test, class, value);
        let percent = served * 100.0;
        match expected {
            Expected::Admit if served < ADMITTED_SHARE_MIN => {
                Some(format!("expected to be admitted, but only {percent:.0}% of such requests are served"))
            }
            Expected::Shed if served > SHED_SHARE_MAX => {
                Some(format!("expected to be shed, but {percent:.0}% of such requests are served"))
            }
            Expected::Admit | Expected::Shed => None,
        }
    }

    fn share_served(&mut self, test: &PolicyTest, class: ClassId, value: f32) -> f64 {
        let loads = test.load.iter().map(|(class, load)| (*class, load.to_bits())).collect();
        let policy = &self.generation.policy;
        let scheduled = test.at.map(|at| policy.scheduled_at(at));
        *self.forecasts.entry((loads, class, value.to_bits(), scheduled)).or_insert_with(|| {
            let core = test.at.map_or(&policy.core, |at| policy.core_at(at));
            let values: Vec<Value> = policy.classes.iter().map(|class| Value::new(class.value)).collect();
            share_served(core, &test.load, Ask { class, value: Value::new(value) }, &values)
        })
    }
}
