//! A trial: the limit is changed for a moment to see whether throughput follows the seats.
//!
//! Upwards it finds a limit that was too low: that costs nobody anything but a
//! little latency, so it is done every few seconds, and again at once where it found some. Downwards it finds one that
//! was too high, at the cost of some throughput, which the lowest class pays;
//! so it is rare, and shallow. After a start under flood, when nothing is known
//! but loaded latencies, it is deep: each step halves what may be sixteen times
//! too much. Where a full pool is late, each step leaves a fifth, or doubles what was
//! left of it: few answers tell that from all.
//!
//! It judges one trial; what becomes of the limit is for `verdict` to say.

use super::level::Level;
use crate::image::image;
use crate::measurement::Measured;
use crate::time::Time;
use std::time::Duration;

/// The standard error that makes the window of a trial trustworthy: baselines will stand on it.
const ERROR: f64 = 0.05;
/// A deep one tells half from all, and is in a hurry: while it asks too much of a flood's start is refused...
const ERROR_DEEP: f64 = 0.12;
/// ...as is one that tells a fifth from all, or all from half.
pub(super) const ERROR_CHOKED: f64 = 0.15;
/// The time a trial may take.
pub(super) const LENGTH_MAX: Duration = Duration::from_secs(3);
/// A trial that has not ended by then will not: the pool has stopped answering.
const OVERDUE: Duration = Duration::from_secs(8);
/// Of a pool whose answers take seconds so many round trips are waited for.
const OVERDUE_ROUND_TRIPS: u32 = 4;
/// Weight of what a trial saw in the baselines; after a deep one nothing else is known.
const WEIGHT: f64 = 0.7;
const WEIGHT_DEEP: f64 = 1.0;

/// The part of itself to which a limit is raised or lowered: far enough that a change of throughput
/// stands out of the noise.
const UP: f64 = 1.3;
const DOWN: f64 = 0.75;
const DEEP: f64 = 0.5;
const CHOKED: f64 = 0.2;
/// Throughput follows the seats if it changes by this part of their change: half way between the two
/// truths, that none of the seats waits in the pool and that all of the change does...
const FOLLOWS: f64 = 0.5;
/// ...but downwards, from a limit that has its headroom, the truth is between them. If only this part
/// follows, a quarter of the seats or more was waiting.
const FOLLOWS_DOWN: f64 = 0.2;

/// A full limit is tried this often, upwards...
const INTERVAL: Duration = Duration::from_secs(5);
/// ...unless trials take long, and then so many times their length...
const INTERVAL_LENGTHS: u32 = 6;
/// ...and downwards every so many trials: the third after the start, when baselines are youngest.
const TRIALS_PER_DOWN: u32 = 8;
const TRIALS_AT_START: u32 = 6;
/// A pool that is slow and cannot help it is not asked again at once: after this time, then after twice as
/// long each time...
const SLOW_PAUSE: Duration = Duration::from_secs(20);
/// ...up to this.
const SLOW_PAUSE_MAX: Duration = Duration::from_secs(320);
/// Several proxies before one pool must not try in step.
const JITTER_NANOS: u64 = 2_500_000_000;

/// What is done to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Up,
    Down,
    Deep,
    Choked,
    Double,
}

impl Step {
    /// The limit while it is tried.
    pub(super) fn apply(self, limit: f64) -> f64 {
        match self {
            Step::Up => (limit * UP).max(limit + 1.0),
            Step::Down => (limit * DOWN).floor().max(1.0),
            Step::Deep => (limit * DEEP).floor().max(1.0),
            Step::Choked => (limit * CHOKED).floor().max(1.0),
            Step::Double => limit * 2.0,
        }
    }

    /// Whether it gives seats, and takes none away.
    fn is_upwards(self) -> bool {
        matches!(self, Step::Up | Step::Double)
    }

    /// Whether it goes far, and is in a hurry.
    pub(super) fn is_far(self) -> bool {
        matches!(self, Step::Deep | Step::Choked | Step::Double)
    }
}

/// What a trial tells of the seats between the two limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// They work: throughput follows them.
    Follows,
    /// They wait in the pool: throughput stays.
    Stays,
    /// The load went away in the middle, or was met.
    Unclear,
}

/// A trial under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) step: Step,
    /// The limit before it.
    pub(super) before: f64,
    /// Seats and throughput before it.
    pub(super) level: Level,
    pub(super) began: Time,
}

impl Trial {
    /// The standard error its window needs.
    pub(super) fn error(&self) -> f64 {
        match self.step {
            Step::Up | Step::Down => ERROR,
            Step::Deep => ERROR_DEEP,
            Step::Choked | Step::Double => ERROR_CHOKED,
        }
    }

    /// The weight of what it saw in the baselines.
    pub(super) fn weight(&self) -> f64 {
        if self.step.is_far() { WEIGHT_DEEP } else { WEIGHT }
    }

    pub(super) fn is_overdue(&self, round_trip: Duration, now: Time) -> bool {
        now.since(self.began) > OVERDUE.max(round_trip * OVERDUE_ROUND_TRIPS)
    }

    pub(super) fn verdict(&self, seen: Measured) -> Verdict {
        let elasticity = self.level.elasticity(Level::of(seen));
        let follows = if self.step.is_upwards() { follows(elasticity) } else { elasticity > FOLLOWS_DOWN };
        match follows {
            _ if !seen.saturated => Verdict::Unclear,
            true => Verdict::Follows,
            false => Verdict::Stays,
        }
    }

    /// The greater of the limit tried and the one before. It holds unless seats were found to wait: more
    /// that work or meet the load may stay, and fewer were not needed just now, but may be again.
    pub(super) fn higher_limit(&self, tried: f64) -> f64 {
        tried.max(self.before)
    }

    /// The level at the limit that holds after a trial that throughput followed.
    pub(super) fn level_if_follows(&self, seen: Measured) -> Level {
        if self.step.is_upwards() { Level::of(seen) } else { self.level }
    }

    /// The level at the lower limit of a trial that cost no throughput.
    pub(super) fn level_if_stays(&self, seen: Measured) -> Level {
        let mut level = Level::of(seen);
        level.done = level.done.max(self.level.done);
        level
    }
}

/// Whether throughput follows the seats, by its elasticity.
pub(super) fn follows(elasticity: f64) -> bool {
    elasticity > FOLLOWS
}

/// When to try, and which way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Schedule {
    next: Time,
    trials: u32,
    /// When a slow pool may be asked again whether it has too many seats, and the pause before that.
    slow_next: Time,
    slow_pause: Duration,
}

impl Schedule {
    /// The limit has become steady.
    pub(super) fn begin(&mut self, now: Time) {
        *self = Schedule { next: now, trials: TRIALS_AT_START, ..Schedule::default() };
    }

    /// The limit is perhaps too high: it is tried downwards as soon as there is a level to compare with.
    pub(super) fn doubt(&mut self, now: Time) {
        self.next = now;
        // A multiple of what goes downwards.
        self.trials = 0;
    }

    /// The trial that is due, if one is.
    pub(super) fn due(&self, now: Time) -> Option<Step> {
        let is_down = self.trials.is_multiple_of(TRIALS_PER_DOWN);
        (now >= self.next).then_some(if is_down { Step::Down } else { Step::Up })
    }

    /// Whether a slow pool may be asked whether it has too many seats.
    pub(super) fn may_ask_slow_pool(&self, now: Time) -> bool {
        now >= self.slow_next
    }

    /// A trial has told whether the seats that were taken away from a slow pool worked.
    pub(super) fn note_choked(&mut self, did_work: bool, now: Time) {
        let longer = (self.slow_pause * 2).clamp(SLOW_PAUSE, SLOW_PAUSE_MAX);
        self.slow_pause = if did_work { longer } else { Duration::ZERO };
        self.slow_next = now.after(self.slow_pause);
    }

    /// More seats worked, so more of them may: unless it is the turn of fewer, that is tried next.
    pub(super) fn go_on(&mut self, now: Time) {
        if !self.trials.is_multiple_of(TRIALS_PER_DOWN) {
            self.next = now;
        }
    }

    /// A trial has ended.
    pub(super) fn note_end(&mut self, trial: &Trial, now: Time) {
        // What a far one found is tried upwards as soon as it is settled.
        let pause = if trial.step.is_far() {
            Duration::ZERO
        } else {
            (INTERVAL + jitter(now)).max(now.since(trial.began) * INTERVAL_LENGTHS)
        };
        self.next = now.after(pause);
        self.trials = self.trials.wrapping_add(u32::from(!trial.step.is_far()));
    }
}

/// By a multiplicative hash of the time, with the golden ratio (Knuth): deterministic for a replay, different for
/// each proxy.
fn jitter(now: Time) -> Duration {
    Duration::from_nanos(now.as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) % JITTER_NANOS)
}

image!(enum Step { 0 => Up, 1 => Down, 2 => Deep, 3 => Choked, 4 => Double });
image!(struct Trial { step, before, level, began });
image!(struct Schedule { next, trials, slow_next, slow_pause });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::ClassSet;

    fn seen(inflight: f64, done: f64, saturated: bool) -> Measured {
        Measured {
            inflight,
            ratio: 1.0,
            work: inflight,
            done,
            error: 0.01,
            saturated,
            slow_alone: ClassSet::EMPTY,
            may_be_slow_alone: ClassSet::EMPTY,
        }
    }

    fn trial(step: Step) -> Trial {
        let level = Level::of(seen(100.0, 50.0, true));
        Trial { step, before: 100.0, level, began: Time::ZERO }
    }

    #[test]
    fn more_seats_that_work_follow_and_those_that_wait_do_not() {
        assert_eq!(trial(Step::Up).verdict(seen(130.0, 65.0, true)), Verdict::Follows);
        assert_eq!(trial(Step::Up).verdict(seen(130.0, 57.0, true)), Verdict::Stays);
    }

    #[test]
    fn limit_with_its_headroom_passes_a_trial_downwards() {
        // Of 100 seats 85 work: three quarters of the limit do less, though not by a quarter.
        assert_eq!(trial(Step::Down).verdict(seen(75.0, 50.0 * 75.0 / 85.0, true)), Verdict::Follows);
        // Of 100 seats 70 work: three quarters do as much.
        assert_eq!(trial(Step::Down).verdict(seen(75.0, 50.0, true)), Verdict::Stays);
    }

    #[test]
    fn load_that_is_met_tells_nothing() {
        assert_eq!(trial(Step::Up).verdict(seen(110.0, 55.0, false)), Verdict::Unclear);
        assert!(trial(Step::Up).higher_limit(130.0) > 129.0, "seats that meet the load stay");
        assert!(trial(Step::Down).higher_limit(75.0) > 99.0, "seats that were not needed return");
    }

    #[test]
    fn every_eighth_trial_goes_down_and_long_ones_are_rarer() {
        let mut schedule = Schedule::default();
        schedule.begin(Time::ZERO);
        let mut now = Time::ZERO;
        let mut steps = Vec::new();
        while steps.len() < 11 {
            now = now.after(Duration::from_secs(1));
            if let Some(step) = schedule.due(now) {
                steps.push(step);
                let began = now;
                now = now.after(Duration::from_secs(2));
                schedule.note_end(&Trial { step, began, ..trial(step) }, now);
                assert_eq!(schedule.due(now.after(Duration::from_secs(11))), None);
                assert!(schedule.due(now.after(Duration::from_secs(12))).is_some());
            }
        }
        let down: Vec<usize> = (0..steps.len()).filter(|at| steps[*at] == Step::Down).collect();
        assert_eq!(down, [2, 10]);
    }

    #[test]
    fn trial_that_seats_followed_is_followed_by_another() {
        let mut schedule = Schedule::default();
        schedule.begin(Time::ZERO);
        let now = Time::from_millis(1_000);
        schedule.note_end(&trial(Step::Up), now);
        assert_eq!(schedule.due(now), None);
        schedule.go_on(now);
        assert_eq!(schedule.due(now), Some(Step::Up));
        // The next one goes down.
        schedule.note_end(&trial(Step::Up), now);
        schedule.go_on(now);
        assert_eq!(schedule.due(now), None);
    }

    #[test]
    fn pool_that_stops_answering_ends_a_trial() {
        assert!(!trial(Step::Down).is_overdue(Duration::ZERO, Time::from_millis(8_000)));
        assert!(trial(Step::Down).is_overdue(Duration::ZERO, Time::from_millis(8_001)));
    }

    #[test]
    fn pool_that_is_slow_by_nature_is_asked_less_and_less_often() {
        let mut schedule = Schedule::default();
        let at = |seconds: u64| Time::from_millis(seconds * 1_000);
        schedule.note_choked(true, at(100));
        assert!(!schedule.may_ask_slow_pool(at(119)) && schedule.may_ask_slow_pool(at(120)));
        schedule.note_choked(true, at(120));
        assert!(!schedule.may_ask_slow_pool(at(159)) && schedule.may_ask_slow_pool(at(160)));
        (0..10).for_each(|_| schedule.note_choked(true, at(200)));
        assert!(schedule.may_ask_slow_pool(at(520)), "but it is asked");
        schedule.note_choked(false, at(600));
        assert!(schedule.may_ask_slow_pool(at(600)), "where seats did wait, more of them may");
    }
}
