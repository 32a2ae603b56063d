//! What became of every request of a run, as it happens.
//!
//! The counts are the tally's, the same that runs over sockets are judged by. In
//! addition there are a course over time, for the plot, and what the good answers
//! were worth.

use super::door::{Gauge, Reasons, add_reasons};
use super::fairness::Evenness;
use crate::crowd::Survival;
use crate::scenario::Scenario;
use crate::scenario::template::Template;
use crate::tally::lag::Departure;
use crate::tally::{Account, Expectation, Outcome, Tally, Verdict};
use plimsoll_core::time::Time;
use std::time::Duration;

/// A point of the course lasts at least this long: requests of a tenth of a second can be seen.
const STEP_MIN: Duration = Duration::from_millis(100);
/// A course has about so many points at most: as many as a plot has pixels.
const POINTS_MAX: u32 = 1_000;

/// What happened in one stretch of the course.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// At its end, summed over all proxies.
    pub(crate) gauge: Gauge,
    /// By class of the scenario.
    pub(crate) offered: Vec<u32>,
    /// Answered, in time or late.
    pub(crate) served: Vec<u32>,
    /// Refused.
    pub(crate) shed: Vec<u32>,
}

impl Point {
    fn new(classes: usize) -> Point {
        Point {
            gauge: Gauge::default(),
            offered: vec![0; classes],
            served: vec![0; classes],
            shed: vec![0; classes],
        }
    }
}

/// A run, point by point.
#[derive(Clone, Debug)]
pub(crate) struct Course {
    /// How long a point lasts.
    pub(crate) step: Duration,
    /// In order of time.
    pub(crate) points: Vec<Point>,
}

/// The counts of a run.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) tally: Tally,
    pub(crate) course: Course,
    /// The worth of the good answers to what each phase asked.
    pub(crate) worth: Vec<f64>,
    /// Inversions by the phase in which they happened.
    pub(crate) inversions: Vec<u64>,
    /// How evenly sessions were served, by phase and class of the scenario.
    pub(crate) evenness: Vec<Vec<Evenness>>,
    /// Why whom was refused, in the whole run.
    pub(crate) reasons: Reasons,
    /// Sessions by the phase in which they began.
    pub(crate) survival: Vec<Survival>,
    /// By template.
    worth_of: Vec<f64>,
    current: Point,
}

impl Ledger {
    /// A ledger of nothing yet.
    pub(crate) fn new(scenario: &Scenario) -> Ledger {
        let classes = scenario.classes().len();
        let length: Duration = scenario.phases.iter().map(|phase| phase.duration).sum();
        Ledger {
            tally: Tally::new(scenario.spans(), classes, Expectation::Success),
            course: Course { step: STEP_MIN.max(length / POINTS_MAX), points: Vec::new() },
            worth: vec![0.0; scenario.phases.len()],
            inversions: vec![0; scenario.phases.len()],
            evenness: vec![vec![Evenness::default(); classes]; scenario.phases.len()],
            reasons: Reasons::new(),
            survival: vec![Survival::default(); scenario.phases.len()],
            worth_of: scenario.mix.iter().map(Template::worth).collect(),
            current: Point::new(classes),
        }
    }

    /// A request was sent.
    pub(crate) fn offer(&mut self, account: Account) {
        self.tally.offer(account, Departure::default());
        self.current.offered[account.class] += 1;
    }

    /// A request has ended.
    pub(crate) fn settle(
        &mut self,
        account: Account,
        template: usize,
        outcome: Outcome,
        latency: Duration,
        now: Time,
    ) -> Verdict {
        let time = now.since(Time::ZERO);
        let verdict = self.tally.settle(account, outcome, latency, time);
        match verdict {
            Verdict::Good | Verdict::Late => self.current.served[account.class] += 1,
            Verdict::Refused => self.current.shed[account.class] += 1,
            Verdict::Unserved => {}
        }
        if verdict == Verdict::Good {
            self.worth[account.phase] += self.worth_of[template];
        }
        verdict
    }

    /// Adds the counts of another run.
    pub(crate) fn add(&mut self, other: &Ledger) {
        self.tally.add(&other.tally);
        for (mine, theirs) in self.worth.iter_mut().zip(&other.worth) {
            *mine += theirs;
        }
        add_reasons(&mut self.reasons, &other.reasons);
        for (mine, theirs) in self.inversions.iter_mut().zip(&other.inversions) {
            *mine += theirs;
        }
        let theirs = other.evenness.iter().flatten();
        self.evenness.iter_mut().flatten().zip(theirs).for_each(|(mine, theirs)| mine.add(theirs));
        for (mine, theirs) in self.survival.iter_mut().zip(&other.survival) {
            mine.begun += theirs.begun;
            mine.admitted += theirs.admitted;
            mine.completed += theirs.completed;
            mine.lost += theirs.lost;
        }
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> u64 {
        (0..self.worth.len()).map(|phase| self.tally.phase_total(phase).offered).sum()
    }

    /// A stretch of the course is over.
    pub(crate) fn turn(&mut self, gauge: Gauge) {
        let next = Point::new(self.current.offered.len());
        let point = std::mem::replace(&mut self.current, next);
        self.course.points.push(Point { gauge, ..point });
    }
}
