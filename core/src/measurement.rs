//! One window of the limit: what is measured of the pool, and how long it takes to trust it.
//!
//! A window is long enough for a mean with a small standard error, judged by
//! the spread of latencies seen so far: a pool whose answers take 40 ms each is
//! known after 32 of them, one with a heavy tail needs hundreds.
//!
//! It draws no conclusion; the limit does.

mod exposure;

use crate::baseline::Baseline;
use crate::image::image;
use crate::policy::{CLASSES_MAX, ClassId, ClassSet};
use crate::succession::Succession;
use crate::time::Time;
use exposure::Exposures;
use std::time::Duration;

/// A window is at least this long, so that decisions are not made on a handful of requests...
pub(crate) const WINDOW_MIN: Duration = Duration::from_millis(100);
/// ...or, while every window that a large pool's limit takes to double is one in which its queues fill, so long...
pub(crate) const WINDOW_START: Duration = Duration::from_millis(20);
/// ...and at most about this long, so that a slow pool is still steered.
pub(crate) const WINDOW_MAX: Duration = Duration::from_secs(1);
/// A window with fewer samples than [`SAMPLES_MIN`] by then is forgotten: too old to act on.
const WINDOW_STALE: Duration = Duration::from_secs(10);
/// Samples that are enough however alike they are: Little's law wants some arrivals, too.
pub(crate) const SAMPLES_ENOUGH: u32 = 32;
/// Samples without which no window is used, however old.
const SAMPLES_MIN: u32 = 4;
/// Weight of a window's spread, and the most it may be: four times that of exponential times.
const SPREAD_WEIGHT: f64 = 0.2;
const SPREAD_MAX: f64 = 4.0;

/// Answers are late if so many were, and this part of them.
const LATE_MIN: u32 = 4;
const LATE_PART: f64 = 0.25;
/// Latencies that are all alike say nothing about the next ones being so.
const ERROR_MIN: f64 = 0.01;

/// What was measured over one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    /// Mean permits out.
    pub(crate) inflight: f64,
    /// Latency over baseline.
    pub(crate) ratio: f64,
    /// Seats of work going on: those that wait for a first byte over the ratio, and those that have one.
    pub(crate) work: f64,
    /// Seats of work finished per second of the window, by baselines.
    pub(crate) done: f64,
    /// Standard error of the ratio, relative to it.
    pub(crate) error: f64,
    /// Whether the limit was full at any moment.
    pub(crate) saturated: bool,
    /// The classes that are certainly slow by themselves.
    pub(crate) slow_alone: ClassSet,
    /// Those of which the window does not say that they are not.
    pub(crate) may_be_slow_alone: ClassSet,
}

impl Measured {
    /// Permits out for requests that wait inside the pool.
    pub(crate) fn waiting(&self) -> f64 {
        self.inflight - self.work
    }
}

/// Whether a window may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maturity {
    /// It needs more samples.
    Young,
    /// Its mean can be trusted.
    Full,
    /// It never became full in good time.
    Stale,
}

/// A class this much slower than congestion explains waits for something that the others do not, a payment
/// provider, say.
const OUTLIER: f64 = 2.0;
/// Standard errors above that before it loses seats for it: few samples of a heavy tail are no evidence.
const SLOW_ALONE_ERRORS: f64 = 3.0;

/// What a window is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The standard error of its mean, relative to it.
    pub(crate) error: f64,
    /// Samples however alike they are.
    pub(crate) samples: u32,
    pub(crate) length_min: Duration,
    /// When it is used without enough of them.
    pub(crate) length_max: Duration,
}

impl Wanted {
    /// A window with that standard error.
    pub(crate) fn of(error: f64) -> Wanted {
        Wanted { error, samples: SAMPLES_ENOUGH, length_min: WINDOW_MIN, length_max: WINDOW_MAX }
    }
}

/// Latencies of one class, in all.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    samples: u32,
    /// Those of them that were answers, and not only waits that a client ended.
    answers: u32,
    observed: f64,
    expected: f64,
    /// Whether it has a baseline.
    is_known: bool,
    /// Whether that is more than a guess by a few answers.
    is_sure: bool,
}

impl Sum {
    fn ratio(self) -> f64 {
        self.observed / self.expected
    }
}

/// What congestion of the pool does to all of its classes: a slower shop takes the same times as long for each, in a
/// full one each waits the same time, which is more times the healthy latency of a quick class than of a slow one.
#[derive(Clone, Copy, Debug)]
struct Congestion {
    ratio: f64,
    wait: f64,
}

impl Congestion {
    /// The seconds that all answers of a class may have taken by either.
    fn explains(self, sum: &Sum) -> f64 {
        let waited = sum.expected + self.wait * f64::from(sum.samples);
        waited.max(sum.expected * self.ratio)
    }
}

/// Answers per second and class, and the seats that worked for them: to be compared in baselines that are known later.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Throughput {
    /// Permits out for requests without a first byte; zero if nothing was seen.
    pub(crate) seats: f64,
    answers: [f64; CLASSES_MAX],
}

impl Throughput {
    /// Gives the classes of a new policy the answers of their namesakes.
    pub(crate) fn succeed(&mut self, succession: &Succession) {
        self.answers = succession.carry(self.answers);
    }

    /// Seats of work finished per second.
    pub(crate) fn done(&self, baselines: &[Baseline; CLASSES_MAX]) -> f64 {
        self.answers.iter().zip(baselines).map(|(answers, baseline)| answers * baseline.seconds()).sum()
    }
}

/// What is being measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measurement {
    since: Time,
    samples: u32,
    late: u32,
    observed: f64,
    classes: [Sum; CLASSES_MAX],
    /// Work finished, in seconds of a seat.
    finished: f64,
    /// Squares of latency over baseline.
    squares: f64,
    /// Inflight integrated over time, in seat-seconds.
    area: f64,
    saturated: bool,
    inflight: u32,
    inflight_since: Time,
    exposures: Exposures,
    /// Squared coefficient of variation of latency over baseline, smoothed.
    spread: f64,
    /// Mean latency of the last window.
    round_trip: Duration,
}

impl Measurement {
    /// Mean latency of the last window: how long a change takes to show.
    pub(crate) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// An answer came, and perhaps later than anybody should wait for it.
    pub(crate) fn note_lateness(&mut self, is_late: bool) {
        self.late += u32::from(is_late);
    }

    /// Whether that is no exception.
    pub(crate) fn answers_late(&self) -> bool {
        self.late >= LATE_MIN && f64::from(self.late) >= LATE_PART * f64::from(self.samples)
    }

    /// How many answers came in such a time.
    pub(crate) fn answers_within(&self, span: Duration, now: Time) -> f64 {
        f64::from(self.samples) * span.div_duration_f64(now.since(self.since))
    }

    /// Begins a window; `limit` tells whether it begins full.
    pub(crate) fn restart(&mut self, limit: u32, now: Time) {
        *self = Measurement {
            since: now,
            saturated: self.inflight >= limit,
            inflight: self.inflight,
            inflight_since: now,
            exposures: self.exposures.restart(now),
            spread: self.spread,
            round_trip: self.round_trip,
            ..Measurement::default()
        };
    }

    /// Gives the classes of a new policy the samples of their namesakes.
    pub(crate) fn succeed(&mut self, succession: &Succession, now: Time) {
        self.classes = succession.carry(self.classes);
        self.exposures.succeed(succession, now);
    }

    /// Permits out from now on, and whether that is all that may be.
    pub(crate) fn set_out(&mut self, inflight: u32, saturated: bool, now: Time) {
        self.pass_time(now);
        self.inflight = inflight;
        self.saturated |= saturated;
    }

    /// So many permits of a class are out for requests without a first byte from now on.
    pub(crate) fn set_unanswered(&mut self, class: ClassId, unanswered: u32, now: Time) {
        self.exposures.set(class, unanswered, now);
    }

    /// Permits have been out until now.
    fn pass_time(&mut self, now: Time) {
        let seconds = now.since(self.inflight_since).as_secs_f64();
        self.area += f64::from(self.inflight) * seconds;
        self.inflight_since = now;
    }

    /// A latency came in, of a class with this baseline. A class of which nothing is known counts as `typical` work,
    /// or by itself where nothing is typical, and has no vote on whether the pool is well.
    pub(crate) fn add(&mut self, class: usize, seconds: f64, baseline: &Baseline, typical: f64) {
        let unknown = if typical > 0.0 { typical } else { seconds };
        self.finished += if baseline.is_learned() { baseline.seconds() } else { unknown };
        self.classes[class].answers += 1;
        self.add_unfinished(class, seconds, baseline);
    }

    /// A client left after so long: an answer that took at least that, but no work that was finished, or
    /// the impatience of those who were let in would pass for throughput.
    pub(crate) fn add_unfinished(&mut self, class: usize, seconds: f64, baseline: &Baseline) {
        self.samples += 1;
        self.observed += seconds;
        let sum = &mut self.classes[class];
        sum.samples += 1;
        sum.observed += seconds;
        sum.expected += if baseline.is_learned() { baseline.seconds() } else { seconds };
        sum.is_known = baseline.is_learned();
        sum.is_sure = baseline.is_sure();
        // Nothing is known of a class of which nobody had an answer yet.
        let ratio = if baseline.seconds() > 0.0 { seconds / baseline.seconds() } else { 1.0 };
        self.squares += ratio * ratio;
    }

    /// Whether the mean has the standard error asked for, relative to itself, or has come to its greatest length.
    pub(crate) fn maturity(&self, wanted: Wanted, now: Time) -> Maturity {
        let age = now.since(self.since);
        if age < self.round_trip.clamp(wanted.length_min, WINDOW_MAX) {
            // Most answers end here: no window is shorter, whatever its spread.
            return Maturity::Young;
        }
        let enough = |spread: f64| self.samples >= (spread / wanted.error.powi(2)) as u32;
        let full = self.samples >= wanted.samples && enough(self.spread) && enough(self.spread_now());
        let old = age >= wanted.length_max && self.samples >= SAMPLES_MIN;
        match full || old {
            _ if age >= WINDOW_STALE => Maturity::Stale,
            true => Maturity::Full,
            false => Maturity::Young,
        }
    }

    /// The answers that came, of those that were to come by now if all who asked were at work: by Little's
    /// law, one for each time that a seat was taken for as long as a healthy answer takes.
    pub(crate) fn pace(&self, now: Time) -> f64 {
        self.finished / self.exposures.of_all(now)
    }

    /// Permits out now.
    pub(crate) fn inflight(&self) -> u32 {
        self.inflight
    }

    /// Permits out for requests that wait for their first byte.
    pub(crate) fn unanswered(&self) -> u32 {
        self.exposures.unanswered()
    }

    /// Whether the limit was full at any moment of the window.
    pub(crate) fn is_full(&self) -> bool {
        self.saturated
    }

    /// Whether the window has lasted as long as its answers took: those that come from now on were
    /// asked for in it.
    pub(crate) fn is_settled(&self, now: Time) -> bool {
        now.since(self.since).as_secs_f64() >= self.mean()
    }

    /// Whether the first answers, which are the quick ones, have been waited out: the pool has been
    /// asked for twice as long as an answer takes.
    pub(crate) fn is_warm(&self, now: Time) -> bool {
        self.samples >= SAMPLES_ENOUGH && now.since(self.since).as_secs_f64() >= 2.0 * self.mean()
    }

    /// Mean latency of the samples so far, in seconds.
    pub(crate) fn mean(&self) -> f64 {
        self.observed / f64::from(self.samples.max(1))
    }

    /// Squared coefficient of variation of the samples so far.
    fn spread_now(&self) -> f64 {
        if self.samples == 0 {
            return 0.0;
        }
        let expected: f64 = self.classes.iter().map(|sum| sum.expected).sum();
        let ratio = self.observed / expected;
        (self.squares / f64::from(self.samples) / (ratio * ratio) - 1.0).clamp(0.0, SPREAD_MAX)
    }

    /// What congestion explains: the latencies of the class in the middle of those with a baseline, by samples.
    fn congestion(&self) -> Congestion {
        let mut seen = self.classes;
        seen.sort_unstable_by(|one, other| one.ratio().total_cmp(&other.ratio()));
        let mut known = seen.iter().filter(|sum| sum.is_known);
        let samples = self.votes();
        let mut below = 0;
        let median = known.find(|sum| {
            below += sum.samples;
            below * 2 >= samples
        });
        median.map_or(Congestion { ratio: f64::INFINITY, wait: 0.0 }, |sum| Congestion {
            ratio: sum.ratio(),
            wait: (sum.observed - sum.expected) / f64::from(sum.samples),
        })
    }

    /// Samples of classes that have a baseline.
    fn votes(&self) -> u32 {
        self.classes.iter().filter(|sum| sum.is_known).map(|sum| sum.samples).sum()
    }

    /// The classes that are slower than that, by so many standard errors.
    fn slow_alone(&self, congestion: Congestion, errors: f64) -> ClassSet {
        self.classes_where(|sum| {
            let error = (self.spread / f64::from(sum.samples)).sqrt();
            let explained = congestion.explains(sum) * OUTLIER;
            sum.samples > 0 && sum.is_sure && sum.observed > explained * (1.0 + errors * error)
        })
    }

    /// The classes without an answer.
    fn unseen(&self) -> ClassSet {
        self.classes_where(|sum| sum.samples == 0)
    }

    fn classes_where(&self, is_so: impl Fn(&Sum) -> bool) -> ClassSet {
        let classes = self.classes.iter().enumerate().filter(|(_, sum)| is_so(sum));
        classes.filter_map(|(index, _)| ClassId::new(index)).collect()
    }

    /// Latency over baseline, these classes left out, and those without one, or they would vote for a pool that is
    /// well; 1 if nothing is known.
    fn ratio(&self, left_out: ClassSet) -> f64 {
        let of_pool = |index| ClassId::new(index).is_some_and(|class| !left_out.contains(class));
        let sums = self.classes.iter().enumerate().filter(|(index, sum)| sum.is_known && of_pool(*index));
        let (observed, expected) = sums.fold((0.0, 0.0), |(observed, expected), (_, sum)| {
            (observed + sum.observed, expected + sum.expected)
        });
        if expected > 0.0 { observed / expected } else { 1.0 }
    }

    /// What a full window says of the throughput.
    pub(crate) fn throughput(&self, now: Time) -> Throughput {
        let seconds = now.since(self.since).as_secs_f64();
        let answers = self.classes.map(|sum| f64::from(sum.answers) / seconds);
        Throughput { seats: self.exposures.of_all(now) / seconds, answers }
    }

    /// By how much longer the mean latency is by Little's law than that of the answers that came.
    pub(crate) fn missing(&self, now: Time) -> f64 {
        self.exposures.of_all(now) / self.observed
    }

    /// The same of one class, by its index; 1 if it had none.
    pub(crate) fn missing_of(&self, class: usize, now: Time) -> f64 {
        let observed = self.classes[class].observed;
        if observed > 0.0 { self.exposures.of_class(class, now) / observed } else { 1.0 }
    }

    /// What a full window says.
    pub(crate) fn result(&mut self, now: Time) -> Measured {
        self.pass_time(now);
        let seconds = now.since(self.since).as_secs_f64();
        // Where nothing is known there is nothing to be wrong about.
        let votes = match self.votes() {
            0 => self.samples,
            votes => votes,
        };
        self.round_trip = Duration::from_secs_f64(self.mean());
        let congestion = self.congestion();
        let slow = self.slow_alone(congestion, 0.0);
        let ratio = self.ratio(slow);
        self.spread += (self.spread_now() - self.spread) * SPREAD_WEIGHT;
        let inflight = self.area / seconds;
        // Who has a first byte waits for nothing in the pool any more, but for the client.
        let waiting = self.exposures.of_all(now) / seconds * (1.0 - 1.0 / ratio.max(1.0));
        Measured {
            inflight,
            ratio,
            work: inflight - waiting,
            done: self.finished / seconds,
            error: (self.spread.max(self.spread_now()) / f64::from(votes)).sqrt().max(ERROR_MIN),
            saturated: self.saturated,
            slow_alone: self.slow_alone(congestion, SLOW_ALONE_ERRORS),
            may_be_slow_alone: slow.or(self.unseen()),
        }
    }
}

image!(struct Sum { samples, answers, observed, expected, is_known, is_sure });
image!(struct Throughput { seats, answers });
image!(struct Measurement {
    since,
    samples,
    late,
    observed,
    classes,
    finished,
    squares,
    area,
    saturated,
    inflight,
    inflight_since,
    exposures,
    spread,
    round_trip,
});

#[cfg(test)]
mod tests;
