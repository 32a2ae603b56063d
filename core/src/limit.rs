//! How many requests the pool carries at once: the adaptive concurrency limit.
//!
//! The pool has an unknown number of workers. While requests wait inside it,
//! latency grows and throughput does not; the limit should sit just above the
//! point where that begins. By Little's law the work going on in the pool is
//!
//! ```text
//! work = unanswered / ratio + answered,    ratio = sum(latency) / sum(baseline of the class)
//! ```
//!
//! where those who are answered have their first byte and wait for none: what is in flight
//! beyond it waits in the pool's own queue (Brakmo &
//! Peterson's Vegas, in seats). Dividing by the baseline of each class keeps a
//! change of mix from looking like congestion. A full limit moves towards
//! `work + headroom(work)`, the headroom being a square root, as in square-root
//! staffing: that covers the gaps between an answer and the next request.
//!
//! All of it stands on the baselines, which lie when they were learned under
//! load, from too few samples, or before the shop itself became slower. So the
//! limit keeps asking the one question that needs none: does throughput follow
//! the seats? It is asked while the limit doubles at the start, by small trials
//! (see `trial`), and of every run of shrinking. Where throughput follows,
//! nothing waits in the pool, and the latency seen there is the healthy one.
//!
//! It does not know classes' importance, nor who waits for a seat.

mod anchor;
mod audit;
mod level;
mod memory;
mod outliers;
mod start;
mod steady;
mod trial;
mod verdict;

use crate::baseline::{Baseline, SECONDS_MAX, SECONDS_MIN};
use crate::image::image;
use crate::measurement::{Maturity, Measured, Measurement, WINDOW_MAX, WINDOW_MIN, Wanted};
use crate::policy::{CLASSES_MAX, ClassId, ClassSet, SlowAlone};
use crate::succession::Succession;
use crate::time::Time;
use anchor::Lateness;
use audit::Audit;
use level::Level;
use outliers::Outliers;
use start::{LIMIT_START, Start};
use std::time::Duration;
use trial::{Schedule, Trial};

/// One request being served and one on the wire: with fewer a pool of one worker idles between them.
pub const LIMIT_MIN: u32 = 2;
/// More seats than any origin behind one proxy has; bounds growth when nothing ever slows down.
pub const LIMIT_MAX: u32 = 16_384;
/// What may become of a limit that still doubles: three doublings are the matter of half a second.
const START_EXPECTED: f64 = 8.0;
/// The standard error, relative to the mean, that makes a window trustworthy before it is a second old...
const ERROR_STEADY: f64 = 0.08;
/// ...which is less for a large pool: half of the headroom of its limit's square root, down to this.
const ERROR_STEADY_ROOT: f64 = 0.6;
const ERROR_STEADY_MIN: f64 = 0.03;
/// Headroom over the work going on, in its square roots...
const HEADROOM: f64 = 1.2;
/// ...and at least this part of it: baselines may be wrong by as much without choking a large pool.
const HEADROOM_PART: f64 = 0.06;
/// Latency below this part of the baselines, so many windows in a row, is hardly noise: the shop has
/// become faster. A single window of heavy-tailed latencies falls as low every few minutes.
const FASTER: f64 = 0.75;
const FASTER_WINDOWS: u32 = 2;
/// Nor is it any proof in windows of a few answers, unless it is so many standard errors away.
const FASTER_ERRORS: f64 = 3.0;
/// Weight of a window in which the shop was faster: half, in case it was noise after all.
const FASTER_WEIGHT: f64 = 0.5;
/// The most that a full pool's latency is over the healthy one: before one worker a few seats wait for each other.
const FULL_RATIO_MAX: f64 = 3.0;
/// A limit is in use if this part of it is out in the mean.
const FULL: f64 = 0.9;
/// The peak of work fades by this factor per window: half of it is forgotten after some 70.
const PEAK_KEPT: f64 = 0.99;

/// One cut for failures; at most one per round trip.
const FAILURE_CUT: f64 = 0.8;
/// Failures that cut: at least so many, and at least one result in ten.
const FAILURES_MIN: u32 = 3;

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first answers of a pool are its quick ones: nothing is learned until they are waited out.
    /// `was_cut` tells whether they came so late that the limit was lowered.
    Warming { was_cut: bool },
    /// The limit doubles as long as it is full and that helps.
    Start(Start),
    /// The limit follows the work.
    Steady,
    /// The limit is changed to see whether throughput follows.
    Trial(Trial),
}

/// Permits that are out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Out {
    /// In all.
    pub seats: u32,
    /// Held by classes that are slow by themselves.
    pub stuck: u32,
}

/// The adaptive limit of one pool.
#[derive(Clone, Debug)]
pub struct Limit {
    limit: f64,
    phase: Phase,
    schedule: Schedule,
    baselines: [Baseline; CLASSES_MAX],
    /// The mean baseline of the classes that have one.
    typical: f64,
    /// The inverse square of the standard error of the baselines learned at the start.
    precision: f64,
    measurement: Measurement,
    /// A latency that nobody should wait for in the pool alone; a start of which nothing is proven ends at half.
    latency_max: Duration,
    /// A change of the limit has not reached the latencies yet.
    is_settling: bool,
    /// When seats above a lowered limit are waited for no longer.
    settled_by: Time,
    /// Windows in a row that were faster than the baselines.
    fasters: u32,
    /// The present run of shrinking.
    audit: Option<Audit>,
    /// The most work seen going on lately: what a full pool may need again.
    work_peak: f64,
    /// Windows in a row that found nothing waiting in the pool.
    growths: u32,
    /// Seats and throughput of full windows, smoothed.
    level: Level,
    results: u32,
    failures: u32,
    cut_allowed_at: Time,
    shrunk_at: Option<Time>,
    outliers: Outliers,
    /// Permits out for these.
    stuck: u32,
    lateness: Lateness,
    /// What the pool did before it was cut for its lateness, in seats of work per second.
    done_before_cut: f64,
}

impl Limit {
    /// A limit that knows nothing of its pool, for classes of which the most important wants its
    /// answers within `slo`.
    pub fn new(slo: Duration) -> Limit {
        let mut limit = Limit {
            limit: LIMIT_START,
            phase: Phase::Warming { was_cut: false },
            schedule: Schedule::default(),
            baselines: Default::default(),
            typical: 0.0,
            precision: 0.0,
            measurement: Measurement::default(),
            latency_max: Duration::ZERO,
            is_settling: false,
            settled_by: Time::ZERO,
            fasters: 0,
            audit: None,
            work_peak: 0.0,
            growths: 0,
            level: Level::default(),
            results: 0,
            failures: 0,
            cut_allowed_at: Time::ZERO,
            shrunk_at: None,
            outliers: Outliers::default(),
            stuck: 0,
            lateness: Lateness::default(),
            done_before_cut: 0.0,
        };
        limit.set_slo(slo);
        limit
    }

    /// Permits that may be out now.
    pub fn current(&self) -> u32 {
        self.limit as u32
    }

    /// Permits to expect in a moment: those before a trial, and several times as many as one that is still
    /// doubling. Waits are estimated with it, so that nobody is refused for an experiment, nor let in for one.
    pub fn expected(&self) -> f64 {
        match self.phase {
            Phase::Warming { .. } | Phase::Start(Start { met: false, .. }) => self.limit * START_EXPECTED,
            Phase::Start(_) => self.limit * 2.0,
            Phase::Trial(trial) => trial.before,
            Phase::Steady => self.limit,
        }
    }

    /// The permits that may be out but for an experiment.
    pub fn around_trial(&self) -> f64 {
        if let Phase::Trial(trial) = self.phase { trial.higher_limit(self.limit) } else { self.limit }
    }

    /// Latency over the healthy one while all of its seats are taken.
    pub fn full_ratio(&self) -> f64 {
        let limit = self.around_trial();
        limit / (limit - headroom(limit)).max(limit / FULL_RATIO_MAX)
    }

    /// Whether it has been found: before that a seat that stays free would keep it from growing.
    pub fn is_found(&self) -> bool {
        matches!(self.phase, Phase::Steady | Phase::Trial(_))
    }

    /// Whether it was cut within the last second or so: slowness may be overload then.
    pub fn shrinking(&self, now: Time) -> bool {
        self.shrunk_at.is_some_and(|at| now.since(at) < WINDOW_MAX)
    }

    /// The healthy latency of a class, by its index; zero if unknown.
    pub fn baseline(&self, class: usize) -> Duration {
        self.baselines[class].duration()
    }

    /// The classes that are slow by themselves: they wait for something that the
    /// others do not, a payment provider, say, and more seats would only let more of them wait.
    pub fn slow_alone(&self) -> SlowAlone {
        let at_work = seats_for(self.work_peak);
        SlowAlone { classes: self.outliers.classes(), seats: at_work as u32 }
    }

    /// Gives the classes of a new policy what was seen of their namesakes.
    pub(crate) fn succeed(&mut self, succession: &Succession, now: Time) {
        self.baselines = succession.carry(self.baselines);
        self.measurement.succeed(succession, now);
        if let Phase::Start(start) = &mut self.phase {
            start.half.succeed(succession);
        }
        self.outliers = Outliers::default();
    }

    /// The latency that the most important class wants.
    pub fn set_slo(&mut self, slo: Duration) {
        // The rest is for the wait before the pool.
        self.latency_max = slo / 2;
    }

    /// Permits out from now on; `waiting` tells whether somebody waits for one.
    pub fn set_out(&mut self, out: Out, waiting: bool, now: Time) {
        self.stuck = out.stuck;
        let saturated = waiting || out.seats >= self.current();
        self.measurement.set_out(out.seats, saturated, now);
    }

    /// A request of a class was let in, and so many of it are out now.
    pub fn seated(&mut self, class: ClassId, out: u32, now: Time) {
        let baseline = &self.baselines[class.index()];
        let healthy = baseline.is_learned().then(|| baseline.duration());
        self.outliers.seated(class, out, healthy, now);
    }

    /// So many permits of a class are out for requests that wait for their first byte from now on.
    pub fn set_unanswered(&mut self, class: ClassId, unanswered: u32, now: Time) {
        self.measurement.set_unanswered(class, unanswered, now);
    }

    /// Permits out for requests that wait for their first byte.
    pub fn unanswered(&self) -> u32 {
        self.measurement.unanswered()
    }

    /// Time has passed: ends a trial to which nothing answers, which is for timeouts to judge.
    pub fn pass_time(&mut self, now: Time) {
        if let Phase::Trial(trial) = self.phase
            && trial.is_overdue(self.measurement.round_trip(), now)
        {
            self.end_trial(&trial, now);
            self.limit = trial.before;
        }
    }

    /// A first byte came `latency` after the last byte of its request was sent.
    pub fn observe(&mut self, class: usize, latency: Duration, now: Time) {
        let seconds = latency.as_secs_f64().clamp(SECONDS_MIN, SECONDS_MAX);
        self.baselines[class].add(seconds);
        self.measurement.note_lateness(latency > self.latency_max);
        self.measurement.add(class, seconds, &self.baselines[class], self.typical);
        self.note_latency(class, seconds, now);
    }

    /// A client left after `age` without a first byte. Beyond what a healthy answer takes, that is an
    /// answer that took at least so long; below, it tells nothing.
    pub fn give_up(&mut self, class: usize, age: Duration, now: Time) {
        let seconds = age.as_secs_f64().min(SECONDS_MAX);
        if seconds > self.baselines[class].seconds() {
            self.measurement.note_lateness(age > self.latency_max);
            self.measurement.add_unfinished(class, seconds, &self.baselines[class]);
            self.note_latency(class, seconds, now);
        }
    }

    fn note_latency(&mut self, class: usize, seconds: f64, now: Time) {
        let baseline = &self.baselines[class];
        let id = ClassId::new(class).filter(|_| baseline.is_learned());
        if let Some(id) = id {
            let latency = Duration::from_secs_f64(seconds);
            self.outliers.answered(id, latency, seconds / baseline.seconds(), now);
        }
        self.close_window(now);
    }

    /// A result came in; `overload` for timeouts, failed connections and the upstream's own 503.
    pub fn result(&mut self, overload: bool, now: Time) {
        self.results += 1;
        self.failures += u32::from(overload);
        let due = self.failures >= FAILURES_MIN && self.failures >= self.results.div_ceil(10);
        if due && now >= self.cut_allowed_at {
            if let Phase::Trial(trial) = self.phase {
                self.end_trial(&trial, now);
            }
            self.move_to(self.limit * FAILURE_CUT, now);
            self.cut_allowed_at = now.after(self.measurement.round_trip().max(WINDOW_MIN));
            self.results = 0;
            self.failures = 0;
        }
    }

    // Windows.

    fn close_window(&mut self, now: Time) {
        if let Phase::Trial(trial) = self.phase
            && self.is_spoilt(&trial)
        {
            self.abandon(&trial, now);
        }
        let wanted = match self.phase {
            Phase::Warming { was_cut } => return self.warm(was_cut, now),
            _ if self.is_settling => return self.settle(now),
            Phase::Start(Start { met, .. }) => self.wanted_at_start(met, now),
            Phase::Steady if self.is_in_question(now) => Wanted::of(trial::ERROR_CHOKED),
            Phase::Steady => Wanted::of(self.error_steady()),
            Phase::Trial(trial) => Wanted { length_max: trial::LENGTH_MAX, ..Wanted::of(trial.error()) },
        };
        match self.measurement.maturity(wanted, now) {
            Maturity::Young => return,
            Maturity::Stale => {}
            Maturity::Full => {
                let seen = self.measurement.result(now);
                self.step(seen, now);
                self.results = 0;
                self.failures = 0;
            }
        }
        self.restart(now);
    }

    fn restart(&mut self, now: Time) {
        self.measurement.restart(self.current(), now);
        let learned = || self.baselines.iter().filter(|baseline| baseline.is_learned());
        self.typical = learned().map(Baseline::seconds).sum::<f64>() / learned().count().max(1) as f64;
    }

    fn begin_settling(&mut self, now: Time) {
        self.is_settling = true;
        self.settled_by = now.after(WINDOW_MAX * 2);
    }

    /// Waits until the seats above a lowered limit are back, and then for the answers to requests that
    /// were sent before.
    fn settle(&mut self, now: Time) {
        // Downloads and streams may hold seats for minutes: they are not waited for.
        let is_draining = self.measurement.inflight() > self.current() && now < self.settled_by;
        self.is_settling = is_draining || !self.measurement.is_settled(now);
        if is_draining || !self.is_settling {
            self.baselines.iter_mut().for_each(Baseline::forget_batch);
            self.measurement.restart(self.current(), now);
        }
    }

    fn error_steady(&self) -> f64 {
        (ERROR_STEADY_ROOT / self.limit.sqrt()).clamp(ERROR_STEADY_MIN, ERROR_STEADY)
    }

    fn step(&mut self, seen: Measured, now: Time) {
        let is_faster = seen.ratio < FASTER && 1.0 - seen.ratio > FASTER_ERRORS * seen.error;
        self.fasters = if is_faster { self.fasters + 1 } else { 0 };
        if self.fasters >= FASTER_WINDOWS {
            self.adopt_baselines(seen.ratio, FASTER_WEIGHT);
        }
        // Who waits long for answers gives few of them: without any, it is what it was before.
        let still_slow = self.outliers.classes().and(seen.may_be_slow_alone);
        self.outliers.set(seen.slow_alone.or(still_slow), now);
        // Seats of those who wait for something else are not at work.
        let work = if self.outliers.classes() == ClassSet::EMPTY { seen.work } else { 0.0 };
        self.work_peak = work.max(self.work_peak * PEAK_KEPT);
        match self.phase {
            Phase::Warming { .. } => {}
            Phase::Start(start) => self.step_start(seen, start, now),
            Phase::Steady => self.step_steady(seen, now),
            Phase::Trial(trial) => self.step_trial(seen, &trial, now),
        }
    }

    // Baselines.

    fn learn_baselines(&mut self, healthy: bool, now: Time) {
        for (index, baseline) in self.baselines.iter_mut().enumerate() {
            let is_news = ClassId::new(index).is_some_and(|class| self.outliers.is_news(class, now));
            baseline.learn(healthy && !is_news);
        }
    }

    /// Takes what the window saw for the healthy latencies.
    fn adopt_baselines(&mut self, ratio: f64, weight: f64) {
        self.baselines.iter_mut().for_each(|baseline| baseline.adopt(ratio, weight));
        let factor = 1.0 + (ratio - 1.0) * weight;
        self.level.rescale(factor);
        self.done_before_cut *= factor;
        if let Some(audit) = &mut self.audit {
            audit.rescale(factor);
        }
    }

    fn move_to(&mut self, limit: f64, now: Time) {
        if limit < self.limit {
            self.shrunk_at = Some(now);
        }
        self.limit = limit.clamp(f64::from(LIMIT_MIN), f64::from(LIMIT_MAX));
    }
}

/// The seats of a pool in which so many work: so few more that hardly any of them waits.
fn seats_for(work: f64) -> f64 {
    work + headroom(work)
}

fn headroom(work: f64) -> f64 {
    (HEADROOM * work.max(0.0).sqrt()).max(HEADROOM_PART * work).max(1.0)
}

image!(enum Phase { 0 => Warming { was_cut }, 1 => Start(start), 2 => Steady, 3 => Trial(trial) });
image!(struct Limit {
    limit, phase, schedule, baselines, typical, precision, measurement, latency_max, is_settling,
    settled_by, fasters, audit, work_peak, growths, level, results, failures, cut_allowed_at, shrunk_at,
    outliers, stuck, lateness, done_before_cut,
});

#[cfg(test)]
mod tests;
