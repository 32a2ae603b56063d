//! The limit once it is found: it follows the work.
//!
//! A full limit moves towards the work plus its headroom, in steps that are the smaller the less the window is
//! worth; one that is not in use is only lowered. Shrinking that has gone far is held against what it cost (see
//! `audit`).
//!
//! Trials are begun here and judged elsewhere.

use super::anchor::Lateness;
use super::audit::Audit;
use super::level::Level;
use super::start::Start;
use super::trial::Step;
use super::{ERROR_STEADY, FULL, Limit, Phase, headroom, seats_for};
use crate::measurement::Measured;
use crate::time::Time;

/// A full limit covers half the distance to its target per window: halves the noise of a window.
const APPROACH: f64 = 0.5;
/// No window shrinks the limit below this part of it.
const SHRINK_MOST: f64 = 0.7;
/// A growing limit doubles its step this often, if it doubles itself at most.
const GROWTH_DOUBLINGS_MAX: u32 = 6;
/// A limit is in use as well while no more than so many of its square roots are free.
const SLACK: f64 = 0.5;
/// A limit that is further above its target than this is on its way there, and tried when it has come.
const SETTLED: f64 = 0.85;

impl Limit {
    pub(super) fn step_steady(&mut self, seen: Measured, now: Time) {
        if seen.inflight < in_use(self.limit) {
            // What was seen when it was full last may be long ago.
            self.level = Level::default();
            self.lateness = Lateness::OnTime;
            self.relax(seen, now);
        } else {
            self.note_lateness(seen, now);
            let target = seats_for(seen.work);
            let is_there = (self.limit * SETTLED..=self.limit).contains(&target);
            match self.schedule.due(now).filter(|_| self.level.is_known()) {
                _ if self.is_in_question(now) && !self.is_answered(seen) => self.ask_slow_pool(now),
                Some(step) if is_there || step == Step::Down => self.begin_trial(step, now),
                _ if target < self.limit => self.shrink_towards(target, seen, now),
                _ => self.grow_towards(target, seen, now),
            }
        }
        self.learn_baselines(!seen.saturated, now);
    }

    /// A limit that is not in use is only lowered, and only if work waits in the pool.
    fn relax(&mut self, seen: Measured, now: Time) {
        let target = seats_for(self.work_peak);
        if seen.waiting() > 2.0 * headroom(seen.work) && target < self.limit {
            self.shrink_towards(target, seen, now);
        } else {
            self.audit = None;
        }
    }

    /// As long as nothing waits in the pool each step is twice the last: after an outage or a scale-up
    /// the limit is found again in a few windows.
    fn grow_towards(&mut self, target: f64, seen: Measured, now: Time) {
        self.audit = None;
        self.growths = if seen.waiting() < headroom(self.limit) / 2.0 { self.growths + 1 } else { 0 };
        let doublings = self.growths.saturating_sub(1).min(GROWTH_DOUBLINGS_MAX);
        let step = (target - self.limit) * approach(seen) * f64::from(1_u32 << doublings);
        // Part of a seat is none.
        let one_more = (self.limit.floor() + 1.0).min(target);
        self.move_to((self.limit + step.min(self.limit)).max(one_more), now);
    }

    fn shrink_towards(&mut self, target: f64, seen: Measured, now: Time) {
        self.growths = 0;
        let audit = *self.audit.get_or_insert(Audit::of(self.limit, self.level));
        if audit.is_due(self.limit) {
            self.audit = None;
            if audit.follows(self.level) && self.lateness == Lateness::OnTime {
                return self.take_back(audit, seen, now);
            }
        }
        let lower = self.limit + (target - self.limit) * approach(seen);
        self.move_to(lower.max(self.limit * SHRINK_MOST).min(self.limit), now);
    }

    /// Throughput fell with the limit, so the shop itself is slower: takes that for healthy. Or it has lost workers at
    /// that moment, and the seats will be found too many. Or the start was wrong that found it full, and goes on.
    fn take_back(&mut self, audit: Audit, seen: Measured, now: Time) {
        self.adopt_baselines(seen.ratio, 1.0);
        self.level = Level::default();
        self.move_to(audit.limit, now);
        if audit.is_of_start {
            self.phase = Phase::Start(Start::from_proven(audit.limit));
        } else {
            self.schedule.doubt(now);
        }
    }
}

/// Seats out in the mean from which on a limit is in use. Seats are whole, and of a few one is free now and
/// then while its next request is on its way.
fn in_use(limit: f64) -> f64 {
    let seats = limit.floor();
    (seats * FULL).min(seats - SLACK * seats.sqrt())
}

/// The part of the way to its target that a limit goes after a window: less on thin evidence.
fn approach(seen: Measured) -> f64 {
    APPROACH * (ERROR_STEADY / seen.error.max(ERROR_STEADY)).powi(2)
}
