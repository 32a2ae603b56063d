//! The start of a limit: from knowing nothing of the pool to a number of seats.
//!
//! The first answers are waited out, for a pool gives its quick ones first. Then the
//! limit doubles as long as it is full and that helps: twice the seats do half as much
//! again, or latency stays. In a flood as many answers must come, too, as Little's law has
//! it of seats that all work. What ends it looks like a full pool, and may be one that
//! has become slower: what follows is checked, by a trial or an audit. Where the trial
//! finds that nothing waits, doubling goes on.
//!
//! While there is no demand nothing is known of the pool but that it carries what it
//! did, and the limit waits at twice that.

use super::anchor::Lateness;
use super::audit::Audit;
use super::level::Level;
use super::trial::{self, Step};
use super::{FULL, Limit, Phase, seats_for};
use crate::baseline::Baseline;
use crate::image::image;
use crate::measurement::{Measured, SAMPLES_ENOUGH, Throughput, WINDOW_START, Wanted};
use crate::time::Time;

/// A small origin is overshot by this for one window, a large one is reached in a few doublings.
pub(super) const LIMIT_START: f64 = 32.0;
/// Where a start under flood begins at the least: a few slow workers would be choked by less.
const LIMIT_FLOODED: f64 = 4.0;

/// The limit doubles if this part of it is out in the mean: a burst alone does not ask for more.
const START_FULL: f64 = 0.8;
/// Doubling ends when this part of the seats waits in the pool, half of which would if none helped...
const START_WAITING: f64 = 0.25;
/// ...or of so many times those that are proven, be the limit full or not...
const CROWDED: f64 = 1.5;
/// ...and the latency that tells so is so many standard errors above the baselines.
const START_ERRORS: f64 = 3.0;
/// A window in which less than this part of the answers came that were to come is too early...
const PACE_SETTLED: f64 = 0.8;
/// ...but not more often than this.
const PUT_OFF_MAX: u32 = 2;
/// A start of which nothing is proven is late at this part of the latency nobody should wait for: twice as many may
/// wait twice as long.
const LATE_DIVISOR: u32 = 2;
/// With hardly more seats at work than before a doubling nothing can be said of those that were added.
const MORE_SEATS: f64 = 1.25;
/// Some of the added seats work if the pool does so many times as much.
const WORTH_IT: f64 = 1.2;
/// Of the first answers hardly more than a third are missing; where more are, it is uploads that hold seats.
const LONGER_MAX: f64 = 1.5;
/// A class that was let in a moment ago has had its quick answers only, and its mean may be off by so much.
const STRETCH_MAX: f64 = 3.0;
/// While the limit doubles a factor of two is to be told from none.
const ERROR_START: f64 = 0.12;

/// What is known of a pool while the limit doubles.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    /// Demand was below the limit once: then the baselines were learned without a queue.
    pub(super) met: bool,
    /// The limit at which latency was still as it was with half as many; zero if there is none. Then they were, too,
    /// and so many seats at least are at work.
    pub(super) proven: f64,
    /// What the pool did before the limit doubled.
    pub(super) half: Throughput,
    /// How many windows in a row were found too early.
    pub(super) put_off: u32,
}

impl Start {
    /// One in which so many seats are at work, and perhaps more.
    pub(super) fn from_proven(proven: f64) -> Start {
        Start { met: true, proven, ..Start::default() }
    }

    fn is_proven(self) -> bool {
        self.proven > 0.0
    }

    /// It is no small pool that has more seats at work than any start begins with: there windows are short, and
    /// their baselines worth little.
    fn is_proven_large(self) -> bool {
        self.proven > LIMIT_START
    }

    fn has_doubled(self) -> bool {
        self.half.seats > 0.0
    }
}

/// What a window of the start shows.
struct Sight {
    /// Nearly all seats were out.
    is_full: bool,
    /// Throughput says that those of the last doubling are at work.
    is_followed: bool,
    /// Latency says that many of all wait...
    is_waiting: bool,
    /// ...which is no chance, nor denied by throughput; or they wait for longer than anybody should.
    shows_queue: bool,
    wants_more: bool,
}

impl Limit {
    pub(super) fn warm(&mut self, was_cut: bool, now: Time) {
        if !was_cut && self.measurement.is_full() && self.measurement.answers_late() {
            // A flood before a small pool, perhaps: as many as it has answered in good time, it can again. Once
            // only, for one that is slow by nature would be cut again and again.
            self.phase = Phase::Warming { was_cut: true };
            let in_time = self.measurement.answers_within(self.latency_max, now);
            self.move_to(in_time.max(LIMIT_FLOODED).min(self.limit), now);
            self.measurement.restart(self.current(), now);
        } else if self.measurement.is_warm(now) {
            self.phase = Phase::Start(Start::default());
            self.measurement.restart(self.current(), now);
            self.baselines = Default::default();
        }
    }

    /// What a window is to be while the limit doubles: each seat that waits answers once, and if all are taken it is a
    /// short one, for the queues fill. Where uploads hold the seats of a calm pool they do not answer in any window.
    pub(super) fn wanted_at_start(&self, met: bool, now: Time) -> Wanted {
        let wanted = Wanted::of(ERROR_START);
        if met && self.measurement.missing(now) > LONGER_MAX {
            return wanted;
        }
        let samples = self.measurement.unanswered().max(SAMPLES_ENOUGH);
        let length_min = if self.measurement.is_full() { WINDOW_START } else { wanted.length_min };
        Wanted { samples, length_min, ..wanted }
    }

    pub(super) fn step_start(&mut self, seen: Measured, start: Start, now: Time) {
        let sight = self.sight(seen, start, now);
        // Without a baseline there is nothing to compare with yet.
        if sight.shows_queue && self.typical > 0.0 {
            return self.end_start(seen, start, now);
        }
        if sight.wants_more && !sight.is_followed && self.is_behind(start, now) {
            self.phase = Phase::Start(Start { put_off: start.put_off + 1, ..start });
            return self.begin_settling(now);
        }
        if sight.is_waiting {
            self.learn_baselines(false, now);
        } else {
            self.learn_at_start(seen, sight.is_full && !start.met, now);
        }
        let is_proof = sight.is_full && !sight.is_waiting && start.has_doubled();
        let proven = if is_proof { self.limit } else { start.proven };
        if !seen.saturated && self.limit <= LIMIT_START {
            self.follow_calm(proven);
        }
        let has_baseline = self.baselines.iter().any(Baseline::is_learned);
        let doubles = sight.wants_more && has_baseline && seen.error <= ERROR_START * 1.5;
        let half = match doubles {
            true => self.measurement.throughput(now),
            // Whether the seats of the last doubling work is still to be seen.
            false if seen.saturated && self.limit > LIMIT_START => start.half,
            false => Throughput::default(),
        };
        let met = start.met || !seen.saturated;
        self.phase = Phase::Start(Start { met, proven, half, put_off: 0 });
        if doubles {
            self.move_to(self.limit * 2.0, now);
            self.begin_settling(now);
        }
    }

    fn sight(&self, seen: Measured, start: Start, now: Time) -> Sight {
        let is_full = seen.inflight >= self.limit * FULL;
        let is_followed = self.is_followed(start, now);
        let is_crowded = start.is_proven_large() && seen.inflight > start.proven * CROWDED;
        let is_waiting = (is_full || is_crowded) && seen.waiting() >= seen.inflight * START_WAITING;
        let error = (seen.error.powi(2) + 1.0 / self.precision.max(1.0)).sqrt();
        let is_sure = is_waiting && !is_followed && seen.ratio - 1.0 > START_ERRORS * error;
        let is_slow = self.measurement.round_trip() > self.latency_max / LATE_DIVISOR;
        let is_late = is_full && !is_followed && !start.is_proven() && is_slow;
        // Classes that wait for something else would fill any limit.
        let at_work = seen.inflight - f64::from(self.stuck);
        let wants_more = seen.saturated && at_work >= self.limit * START_FULL && !is_late;
        Sight { is_full, is_followed, is_waiting, shows_queue: is_sure || is_late, wants_more }
    }

    /// Whether most of the seats that were added are at work, whatever the latencies say: baselines of a dozen answers
    /// are guesses. Those that a download holds, or an upload, do no work that could follow.
    fn is_followed(&self, start: Start, now: Time) -> bool {
        let double = self.measurement.throughput(now);
        let level = |of: &Throughput| Level::at(of.seats, of.done(&self.baselines));
        let has_more = start.has_doubled() && double.seats >= start.half.seats * MORE_SEATS;
        has_more && trial::follows(level(&start.half).elasticity(level(&double)))
    }

    /// Nothing seems to wait: what was seen is healthy. But of the requests that a flood puts into all seats at once the
    /// quick ones are answered first, and of a class that is let in only now there are no others yet.
    fn learn_at_start(&mut self, seen: Measured, is_flood: bool, now: Time) {
        if is_flood {
            for (index, baseline) in self.baselines.iter_mut().enumerate() {
                baseline.stretch(self.measurement.missing_of(index, now).clamp(1.0, STRETCH_MAX));
            }
        }
        self.learn_baselines(true, now);
        self.precision += seen.error.powi(-2);
    }

    /// Whether a window does not show yet what becomes of all that a flood has let in: first come the answers that
    /// are quick, or were asked for before, and nothing seems to wait. Where uploads hold seats it never will.
    fn is_behind(&self, start: Start, now: Time) -> bool {
        let is_flood = !start.met && self.typical > 0.0;
        is_flood && start.put_off < PUT_OFF_MAX && self.measurement.pace(now) < PACE_SETTLED
    }

    /// As long as it is not full the limit is twice what was at work at once lately, or as many as one worker answers
    /// in good time: more would all be late the moment that a small pool is flooded. What was proven stays.
    fn follow_calm(&mut self, proven: f64) {
        let one_after_the_other = self.latency_max.as_secs_f64() / self.typical;
        let unproven = (2.0 * seats_for(self.work_peak)).max(one_after_the_other).max(LIMIT_FLOODED);
        self.limit = unproven.max(proven).min(LIMIT_START);
    }

    /// What shrinking is to be held against: what the seats did that were proven, if these were doubled for nothing.
    fn audited(&self, seen: Measured, start: Start, now: Time) -> (f64, Level) {
        let [with_half, with_all] =
            [start.half, self.measurement.throughput(now)].map(|of| of.done(&self.baselines));
        let is_twice_as_many = start.proven < self.limit && self.limit < (start.proven + 1.0) * 2.0;
        let in_vain = is_twice_as_many && with_all < with_half * WORTH_IT;
        if in_vain {
            (start.proven, Level::at(start.proven, with_half))
        } else {
            (self.limit, Level::of(seen))
        }
    }

    /// Start -> Steady: latency pays for more seats now. What was never seen without a queue may have
    /// been learned under load, so the limit is tried much lower at once.
    fn end_start(&mut self, seen: Measured, start: Start, now: Time) {
        let (limit, level) = self.audited(seen, start, now);
        self.schedule.begin(now);
        self.move_to(seats_for(seen.work).max(start.proven.min(self.limit)), now);
        if start.met || start.is_proven() {
            self.phase = Phase::Steady;
            // A shop that has become slower looks as one that is full: throughput will tell.
            let audit = if start.is_proven_large() { Audit::of_proven } else { Audit::of };
            self.audit = Some(audit(limit, level));
            self.lateness = Lateness::Cut;
            self.done_before_cut = seen.done;
            // A deep trial may have left one of other seats.
            self.level = Level::default();
            self.begin_settling(now);
        } else {
            self.level = Level::of(seen);
            self.begin_trial(Step::Deep, now);
        }
    }
}

image!(struct Start { met, proven, half, put_off });
