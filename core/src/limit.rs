//! How many requests the pool carries at once: the adaptive concurrency limit.
//!
//! The pool has an unknown number of workers. While requests wait inside it,
//! latency grows and throughput does not; the limit should sit just above the
//! point where that begins. By Little's law the work going on in the pool is
//!
//! ```text
//! work = inflight / ratio,    ratio = sum(latency) / sum(baseline of the class)
//! ```
//!
//! and what is in flight beyond it waits in the pool's own queue (Brakmo &
//! Peterson's Vegas, in seats). Dividing by the baseline of each class keeps a
//! change of mix from looking like congestion. A saturated limit moves towards
//! `work + headroom(work)`, the headroom being a square root, as in square-root
//! staffing: that covers the gaps between an answer and the next request.
//!
//! All of it stands on the baselines, which lie when they were learned under
//! load or when the shop itself became slower. Two experiments correct them:
//!
//! - a **probe** lowers a saturated limit for a round trip or two. If work done
//!   falls with it, nothing waited, and the latency seen is the true baseline.
//!   If not, the limit was too high: the lower one is kept and probed again.
//! - an **audit** looks back on a run of shrinking. If latency did not fall with
//!   the limit, it was not our queueing: the baselines are raised instead.
//!
//! The lowest class pays for a probe, as it does for any shortage. It does not
//! know classes' importance, queues or SLOs.

use crate::baseline::{Baseline, SECONDS_MAX, SECONDS_MIN};
use crate::measurement::{Maturity, Measured, Measurement, WINDOW_MAX, WINDOW_MIN};
use crate::policy::CLASSES_MAX;
use crate::succession::Succession;
use crate::time::Time;
use std::time::Duration;

/// One request being served and one on the wire: with fewer a pool of one worker idles between them.
pub const LIMIT_MIN: u32 = 2;
/// More seats than any origin behind one proxy has; bounds growth when nothing ever slows down.
pub const LIMIT_MAX: u32 = 16_384;
/// A small origin is overshot by this for one window, a large one is reached in a few doublings.
const LIMIT_START: f64 = 32.0;

/// The standard error that makes a window trustworthy before it is a second old, relative to its mean...
const ERROR_STEADY: f64 = 0.08;
/// ...and the one that makes a probe trustworthy, on which baselines stand.
const ERROR_PROBE: f64 = 0.04;
/// Headroom over the work going on, in its square roots.
const HEADROOM: f64 = 0.75;
/// A saturated limit covers half the distance to its target per window: halves the noise of a window.
const APPROACH: f64 = 0.5;
/// No window shrinks the limit below this part of it.
const SHRINK_MOST: f64 = 0.7;
/// A growing limit doubles its step this often, if it doubles itself at most.
const GROWTH_DOUBLINGS_MAX: u32 = 6;
/// Latency below this part of the baselines, so many windows in a row, is hardly noise: the shop has
/// become faster. A single window of heavy-tailed latencies falls as low every few minutes.
const FASTER: f64 = 0.75;
const FASTER_WINDOWS: u32 = 2;
/// Weight of a window in which the shop was faster: half, in case it was noise after all.
const FASTER_WEIGHT: f64 = 0.5;
/// A limit is in use if this part of it is out in the mean.
const FULL: f64 = 0.9;
/// The peak of work fades by this factor per window: half of it is forgotten after some 70.
const PEAK_KEPT: f64 = 0.99;
/// One cut for failures; at most one per round trip.
const FAILURE_CUT: f64 = 0.8;
/// Failures that cut: at least so many, and at least one result in ten.
const FAILURES_MIN: u32 = 3;

/// A probe lowers the limit to this part: far enough below `work + headroom` that the loss of work
/// stands out of the noise, for pools of two workers and of hundreds.
const PROBE_DEPTH: f64 = 0.65;
/// Weight of what a probe saw in the baselines.
const PROBE_WEIGHT: f64 = 0.7;
/// Work above this part of what it was counts as unchanged: half way between unchanged and the depth.
const PROBE_KEPT: f64 = 0.88;
/// A saturated limit is probed this often. A probe costs a third of the work for two or three
/// windows, so about 1 % in all.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);
/// Several proxies before one pool must not probe in step.
const PROBE_JITTER_NANOS: u64 = 5_000_000_000;

/// An audit is due once a run of shrinking has brought the limit to this part of where it began...
const AUDIT_AT: f64 = 0.7;
/// ...and finds latency innocent if the ratio is still above this part of what it was.
const AUDIT_FOLLOWED: f64 = 0.88;

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The limit was never full, or has not stopped helping: it doubles.
    Start,
    /// The limit follows the work.
    Steady { probe_at: Time },
    /// The limit is lowered to see whether work falls with it.
    Probe { before: f64, done_before: f64 },
}

/// The adaptive limit of one pool.
#[derive(Clone, Debug)]
pub struct Limit {
    limit: f64,
    phase: Phase,
    baselines: [Baseline; CLASSES_MAX],
    measurement: Measurement,
    /// Until then a change of the limit has not reached the latencies.
    settled_at: Time,
    /// Windows in a row that were faster than the baselines.
    fasters: u32,
    /// Limit and ratio where the present run of shrinking began.
    audit: Option<(f64, f64)>,
    /// The most work seen going on lately: what a full pool may need again.
    work_peak: f64,
    /// Windows in a row that found nothing waiting in the pool.
    growths: u32,
    /// Work done per second in saturated windows, smoothed.
    done_saturated: f64,
    results: u32,
    failures: u32,
    cut_allowed_at: Time,
    shrunk_at: Option<Time>,
}

impl Default for Limit {
    fn default() -> Limit {
        Limit {
            limit: LIMIT_START,
            phase: Phase::Start,
            baselines: Default::default(),
            measurement: Measurement::default(),
            settled_at: Time::ZERO,
            fasters: 0,
            audit: None,
            work_peak: 0.0,
            growths: 0,
            done_saturated: 0.0,
            results: 0,
            failures: 0,
            cut_allowed_at: Time::ZERO,
            shrunk_at: None,
        }
    }
}

impl Limit {
    /// Permits that may be out now.
    pub fn current(&self) -> u32 {
        self.limit as u32
    }

    /// Permits to expect in a moment: the limit before a probe, and twice one that is still doubling.
    /// Waits are estimated with it, so that nobody is refused for an experiment.
    pub fn expected(&self) -> f64 {
        match self.phase {
            Phase::Start => self.limit * 2.0,
            Phase::Steady { .. } => self.limit,
            Phase::Probe { before, .. } => before,
        }
    }

    /// Whether it was cut within the last second or so: slowness may be overload then.
    pub fn shrinking(&self, now: Time) -> bool {
        self.shrunk_at.is_some_and(|at| now.since(at) < WINDOW_MAX)
    }

    /// The healthy latency of a class, by its index; zero if unknown.
    pub fn baseline(&self, class: usize) -> Duration {
        self.baselines[class].duration()
    }

    /// Gives the classes of a new policy the baselines of their namesakes.
    pub(crate) fn succeed(&mut self, succession: &Succession) {
        self.baselines = succession.carry(self.baselines);
    }

    /// Permits out from now on; `waiting` tells whether somebody waits for one.
    pub fn set_inflight(&mut self, inflight: u32, waiting: bool, now: Time) {
        self.measurement.set_inflight(inflight, waiting || inflight >= self.current(), now);
    }

    /// A first byte came `latency` after the last byte of its request was sent.
    pub fn observe(&mut self, class: usize, latency: Duration, now: Time) {
        let seconds = latency.as_secs_f64().clamp(SECONDS_MIN, SECONDS_MAX);
        self.baselines[class].add(seconds);
        self.measurement.add(seconds, &self.baselines[class]);
        self.close_window(now);
    }

    /// A result came in; `overload` for timeouts, failed connections and the upstream's own 503.
    pub fn result(&mut self, overload: bool, now: Time) {
        self.results += 1;
        self.failures += u32::from(overload);
        let due = self.failures >= FAILURES_MIN && self.failures >= self.results.div_ceil(10);
        if due && now >= self.cut_allowed_at {
            self.move_to(self.limit * FAILURE_CUT, now);
            self.cut_allowed_at = now.after(self.measurement.round_trip().max(WINDOW_MIN));
            self.results = 0;
            self.failures = 0;
        }
    }

    fn close_window(&mut self, now: Time) {
        let error = match self.phase {
            Phase::Probe { .. } => ERROR_PROBE,
            Phase::Start | Phase::Steady { .. } => ERROR_STEADY,
        };
        match self.measurement.maturity(error, now) {
            _ if now < self.settled_at => {}
            Maturity::Young => return,
            Maturity::Stale => {}
            Maturity::Full => {
                let seen = self.measurement.result(now);
                self.step(seen, now);
                self.results = 0;
                self.failures = 0;
            }
        }
        self.measurement.restart(self.current(), now);
    }

    fn step(&mut self, seen: Measured, now: Time) {
        self.fasters = if seen.ratio < FASTER { self.fasters + 1 } else { 0 };
        if self.fasters >= FASTER_WINDOWS {
            self.adopt_baselines(seen.ratio, FASTER_WEIGHT);
        }
        self.work_peak = seen.work.max(self.work_peak * PEAK_KEPT);
        match self.phase {
            Phase::Start => self.step_start(seen, now),
            Phase::Steady { probe_at } => self.step_steady(seen, probe_at, now),
            Phase::Probe { before, done_before } => {
                self.step_probe(seen, before, done_before, now);
            }
        }
    }

    fn step_start(&mut self, seen: Measured, now: Time) {
        let waiting = seen.waiting();
        self.learn_baselines(seen.saturated);
        if waiting > headroom(seen.work) {
            // Start -> Steady: latency pays for more seats now. The baseline may have been learned
            // under load, so it is probed at once.
            self.done_saturated = seen.done;
            self.move_to(seen.work + headroom(seen.work), now);
            self.phase = Phase::Steady { probe_at: now };
        } else if seen.saturated {
            self.move_to(self.limit * 2.0, now);
            self.settled_at = now.after(self.measurement.round_trip());
        }
    }

    fn step_steady(&mut self, seen: Measured, probe_at: Time, now: Time) {
        let target = seen.work + headroom(seen.work);
        let waiting = seen.waiting();
        if seen.inflight < self.limit * FULL {
            // A limit that is not in use is only lowered, and only if work waits in the pool.
            let target = self.work_peak + headroom(self.work_peak);
            if waiting > 2.0 * headroom(seen.work) && target < self.limit {
                self.shrink_towards(target, seen.ratio, now);
            }
        } else if now >= probe_at {
            self.smooth_done(seen.done);
            self.start_probe(self.limit, self.done_saturated, now);
        } else if target < self.limit {
            self.smooth_done(seen.done);
            self.shrink_towards(target, seen.ratio, now);
        } else {
            self.smooth_done(seen.done);
            self.grow_towards(target, waiting, now);
        }
        self.learn_baselines(seen.saturated);
    }

    /// As long as nothing waits in the pool each step is twice the last: after an outage or a scale-up
    /// the limit is found again in a few windows.
    fn grow_towards(&mut self, target: f64, waiting: f64, now: Time) {
        self.audit = None;
        self.growths = if waiting < headroom(self.limit) / 2.0 { self.growths + 1 } else { 0 };
        let doublings = self.growths.saturating_sub(1).min(GROWTH_DOUBLINGS_MAX);
        let step = (target - self.limit) * APPROACH * f64::from(1_u32 << doublings);
        self.move_to(self.limit + step.min(self.limit), now);
    }

    fn smooth_done(&mut self, done: f64) {
        self.done_saturated += (done - self.done_saturated) * APPROACH;
    }

    fn shrink_towards(&mut self, target: f64, ratio: f64, now: Time) {
        self.growths = 0;
        let (limit_before, ratio_before) = *self.audit.get_or_insert((self.limit, ratio));
        if self.limit <= limit_before * AUDIT_AT {
            self.audit = None;
            if ratio > ratio_before * AUDIT_FOLLOWED {
                // Shrinking did not help, so the shop itself is slower: take that for healthy.
                self.adopt_baselines(ratio, 1.0);
                return self.move_to(limit_before, now);
            }
        }
        let lower = self.limit + (target - self.limit) * APPROACH;
        self.move_to(lower.max(self.limit * SHRINK_MOST).min(self.limit), now);
    }

    fn start_probe(&mut self, before: f64, done_before: f64, now: Time) {
        let lower = (self.limit * PROBE_DEPTH).floor().max(1.0);
        self.phase = Phase::Probe { before, done_before };
        self.limit = lower;
        self.settled_at = now.after(self.measurement.round_trip());
    }

    fn step_probe(&mut self, seen: Measured, before: f64, done_before: f64, now: Time) {
        let work_fell = seen.done < done_before * PROBE_KEPT;
        self.adopt_baselines(seen.ratio, PROBE_WEIGHT);
        self.audit = None;
        let next = Phase::Steady { probe_at: now.after(probe_interval(now)) };
        if !seen.saturated {
            // The load went away in the middle: nothing was learned about the limit.
            self.phase = next;
            self.limit = before;
        } else if work_fell {
            self.phase = next;
            self.limit = before;
            self.done_saturated = done_before;
            self.settled_at = now.after(self.measurement.round_trip());
        } else if self.limit <= 1.0 {
            self.phase = next;
            self.move_to(1.0 + headroom(1.0), now);
        } else {
            // As much work with fewer seats: keep those, and look whether fewer still will do.
            self.start_probe(self.limit, done_before.max(seen.done), now);
        }
    }

    fn learn_baselines(&mut self, saturated: bool) {
        self.baselines.iter_mut().for_each(|baseline| baseline.learn(saturated));
    }

    /// Takes what the window saw for the healthy latencies.
    fn adopt_baselines(&mut self, ratio: f64, weight: f64) {
        self.baselines.iter_mut().for_each(|baseline| baseline.adopt(ratio, weight));
    }

    fn move_to(&mut self, limit: f64, now: Time) {
        if limit < self.limit {
            self.shrunk_at = Some(now);
        }
        self.limit = limit.clamp(f64::from(LIMIT_MIN), f64::from(LIMIT_MAX));
    }
}

fn headroom(work: f64) -> f64 {
    (HEADROOM * work.max(0.0).sqrt()).max(1.0)
}

/// Spread by a multiplicative hash of the time: deterministic for a replay, different for each proxy.
fn probe_interval(now: Time) -> Duration {
    let jitter = now.as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) % PROBE_JITTER_NANOS;
    PROBE_INTERVAL + Duration::from_nanos(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pool whose answers take as long as it is told, reported at an even pace.
    struct Pool {
        limit: Limit,
        now: Time,
    }

    impl Pool {
        fn new() -> Pool {
            Pool { limit: Limit::default(), now: Time::ZERO }
        }

        /// Keeps all seats taken for a while, each answer taking `latency`.
        fn saturate(&mut self, latency: Duration, span: Duration) {
            let end = self.now.after(span);
            while self.now < end {
                let seats = self.limit.current();
                self.limit.set_inflight(seats, true, self.now);
                self.now = self.now.after(latency / seats);
                self.limit.observe(0, latency, self.now);
            }
        }

        /// A pool of workers that serve in 40 ms each, and a queue before them.
        fn overload(&mut self, workers: u32, span: Duration) {
            let end = self.now.after(span);
            while self.now < end {
                let waiting = f64::from(self.limit.current()) / f64::from(workers);
                self.saturate(Duration::from_millis(40).mul_f64(waiting.max(1.0)), WINDOW_MIN / 10);
            }
        }
    }

    const LATENCY: Duration = Duration::from_millis(40);

    #[test]
    fn doubles_while_latency_stays_as_it_was() {
        let mut pool = Pool::new();
        pool.saturate(LATENCY, Duration::from_millis(120));
        assert_eq!(pool.limit.current(), 64);
        pool.saturate(LATENCY, Duration::from_secs(5));
        assert_eq!(pool.limit.current(), LIMIT_MAX);
    }

    #[test]
    fn does_not_grow_while_seats_are_free() {
        let mut pool = Pool::new();
        for step in 1..500 {
            let now = Time::from_millis(step * 10);
            pool.limit.set_inflight(31, false, now);
            pool.limit.observe(0, LATENCY, now);
        }
        assert_eq!(pool.limit.current(), 32);
    }

    #[test]
    fn settles_just_above_the_workers() {
        for workers in [8, 50, 200] {
            let mut pool = Pool::new();
            pool.saturate(LATENCY, WINDOW_MIN);
            pool.overload(workers, Duration::from_secs(12));
            let limit = pool.limit.expected();
            let above = limit / f64::from(workers);
            assert!((1.0..1.6).contains(&above), "{limit} seats for {workers} workers");
        }
    }

    #[test]
    fn baseline_of_a_new_class_is_the_mean_of_what_it_showed() {
        let mut limit = Limit::default();
        assert_eq!(limit.baseline(3), Duration::ZERO);
        limit.observe(3, Duration::from_millis(10), Time::from_millis(1));
        limit.observe(3, Duration::from_millis(30), Time::from_millis(2));
        assert_eq!(limit.baseline(3), Duration::from_millis(20));
        assert_eq!(limit.baseline(0), Duration::ZERO);
    }

    #[test]
    fn latency_of_nothing_leaves_the_baseline_a_number() {
        let mut pool = Pool::new();
        for step in 0..1_000 {
            pool.limit.observe(0, Duration::ZERO, Time::from_millis(step));
        }
        assert_eq!(pool.limit.baseline(0), Duration::from_micros(1));
    }

    #[test]
    fn overload_answers_cut_once_per_round_trip() {
        let mut limit = Limit::default();
        let fail = |limit: &mut Limit, now| (0..3).for_each(|_| limit.result(true, now));
        fail(&mut limit, Time::from_millis(0));
        assert_eq!(limit.current(), 25);
        assert!(limit.shrinking(Time::from_millis(999)));
        assert!(!limit.shrinking(Time::from_millis(1_000)));
        // No round trip is known yet: the shortest window stands for it.
        fail(&mut limit, Time::from_millis(99));
        assert_eq!(limit.current(), 25);
        limit.result(true, Time::from_millis(100));
        assert_eq!(limit.current(), 20);
    }

    #[test]
    fn few_overload_answers_among_many_cut_nothing() {
        let after = |good: u32, overloaded: u32| {
            let mut limit = Limit::default();
            (0..good).for_each(|_| limit.result(false, Time::ZERO));
            (0..overloaded).for_each(|_| limit.result(true, Time::ZERO));
            limit.current()
        };
        assert_eq!(after(0, 2), 32);
        assert_eq!(after(0, 3), 25);
        assert_eq!(after(28, 3), 32);
        assert_eq!(after(27, 3), 25);
    }

    #[test]
    fn overload_answers_never_cut_below_the_least_limit() {
        let mut limit = Limit::default();
        for step in 0..100 {
            (0..3).for_each(|_| limit.result(true, Time::from_millis(step * 100)));
        }
        assert_eq!(limit.current(), LIMIT_MIN);
    }

    #[test]
    fn window_with_too_few_answers_is_forgotten() {
        let mut pool = Pool::new();
        pool.saturate(LATENCY, WINDOW_MIN);
        let before = pool.limit.current();
        for step in 1..20 {
            let late = pool.now.after(Duration::from_secs(11) * step);
            pool.limit.observe(0, LATENCY * 50, late);
        }
        assert_eq!(pool.limit.current(), before);
    }
}
