//! The start of a limit: from knowing nothing of the pool to a number of seats.
//!
//! The first answers are waited out, for a pool gives its quick ones first. Then the
//! limit doubles as long as it is full and that helps. What ends it looks like a
//! full pool, and may be one that has become slower: what follows is checked, by a
//! trial or an audit.

use super::anchor::Lateness;
use super::level::Level;
use super::trial::Step;
use super::{FULL, Limit, Phase, seats_for};
use crate::measurement::Measured;
use crate::time::Time;

/// A small origin is overshot by this for one window, a large one is reached in a few doublings.
pub(super) const LIMIT_START: f64 = 32.0;
/// Where a start under flood begins at the least: a few slow workers would be choked by less.
const LIMIT_FLOODED: f64 = 8.0;

/// The limit doubles if this part of it is out in the mean: a burst alone does not ask for more.
const START_FULL: f64 = 0.8;
/// Doubling ends when this part of the seats waits in the pool, half of which would if none helped...
const START_WAITING: f64 = 0.25;
/// ...and the latency that tells so is so many standard errors above the baselines.
const START_ERRORS: f64 = 3.0;
/// While the limit doubles a factor of two is to be told from none.
pub(super) const ERROR_START: f64 = 0.12;

impl Limit {
    pub(super) fn warm(&mut self, now: Time) {
        if self.measurement.is_warm(now) {
            self.phase = Phase::Start { met: false };
            self.measurement.restart(self.current(), now);
            self.baselines = Default::default();
        } else if self.measurement.has_lasted(self.latency_max, now) && self.measurement.is_full() {
            // A flood before a small pool, perhaps: with half as many their answers may come in time.
            self.move_to((self.limit / 2.0).max(LIMIT_FLOODED), now);
            self.measurement.restart(self.current(), now);
        }
    }

    pub(super) fn step_start(&mut self, seen: Measured, met: bool, now: Time) {
        let is_full = seen.inflight >= self.limit * FULL;
        let is_waiting = is_full && seen.waiting() >= seen.inflight * START_WAITING;
        let error = (seen.error.powi(2) + 1.0 / self.precision.max(1.0)).sqrt();
        let is_sure = is_waiting && seen.ratio - 1.0 > START_ERRORS * error;
        let is_late = is_full && self.measurement.round_trip() > self.latency_max;
        // Without a baseline there is nothing to compare with yet.
        if (is_sure || is_late) && self.typical > 0.0 {
            return self.end_start(seen, met, now);
        }
        if !is_waiting {
            // Throughput has followed the seats so far: what was seen is healthy.
            self.learn_baselines(true, now);
            self.precision += seen.error.powi(-2);
        }
        self.phase = Phase::Start { met: met || !seen.saturated };
        // Classes that wait for something else would fill any limit.
        let at_work = seen.inflight - f64::from(self.stuck);
        let wants_more = seen.saturated && at_work >= self.limit * START_FULL;
        if wants_more && !is_late && seen.error <= ERROR_START * 1.5 {
            self.move_to(self.limit * 2.0, now);
            self.begin_settling(now);
        }
    }

    /// Start -> Steady: latency pays for more seats now. What was never seen without a queue may have
    /// been learned under load, so the limit is tried much lower at once.
    fn end_start(&mut self, seen: Measured, met: bool, now: Time) {
        let before = (self.limit, Level::of(seen));
        self.schedule.begin(now);
        self.move_to(seats_for(seen.work), now);
        if met {
            self.phase = Phase::Steady;
            // A shop that has become slower looks as one that is full: throughput will tell.
            self.audit = Some(before);
            self.lateness = Lateness::Cut;
            self.begin_settling(now);
        } else {
            self.level = before.1;
            self.begin_trial(Step::Deep, now);
        }
    }
}
