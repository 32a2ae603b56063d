//! failsafe-go's adaptive limiter, with queueing and priorities.
//!
//! Once a second, or when fifty requests have been answered, the p90 of their
//! latencies (through a median and an average of five) is compared with a slow
//! average of itself: `queue = ceil(limit (1 - baseline / recent))`. The limit moves
//! by log10 of itself: down when the queue is above `6 log10 limit`, or when the
//! limiter is full and more inflight brings no throughput (correlation below 0, or
//! below 0.3 while latency follows above 0.5, or throughput varies by less than 0.2
//! while it does); up when the queue is below `3 log10 limit`.
//!
//! Behind a full limit requests wait, up to three limits of them. From two limits on
//! a share of the levels is refused: each class has a hundred levels and a request
//! draws one, and every half second the quantile of admitted levels at the rejection
//! rate becomes the threshold.
//!
//! Source: `adaptivelimiter.go`, `prioritylimiter.go` and `priority/` of failsafe-go,
//! with their defaults.

use super::hall::Hall;
use super::inside::Stay;
use super::statistics::{Average, Correlation};
use crate::simulate::door::{Answer, Ask, Door, Gauge, News};
use plimsoll_core::decision::RequestId;
use plimsoll_core::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::time::Duration;

const LIMIT_MIN: f64 = 1.0;
const LIMIT_MAX: f64 = 200.0;
const LIMIT_START: f64 = 20.0;
/// The limit is at most so many times the most that were inside.
const LIMIT_OVER_INFLIGHT: f64 = 5.0;
const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(30);
const WINDOW_SAMPLES: usize = 50;
const QUANTILE: f64 = 0.9;
const SMOOTHED: usize = 5;
const BASELINE_AGE: usize = 10;
const CORRELATED: usize = 50;
const QUEUE_FROM: f64 = 2.0;
const QUEUE_TO: f64 = 3.0;
const LEVELS: u32 = 100;
const CALIBRATION: Duration = Duration::from_millis(500);
/// The levels whose distribution sets the threshold: as in Uber's Cinnamon, which it follows.
const LEVELS_REMEMBERED: usize = 1_000;

/// A proxy with an adaptive limiter and priorities.
#[derive(Debug)]
pub(crate) struct Failsafe {
    limit: f64,
    latencies: Vec<Duration>,
    shortest: Duration,
    inflight_max: u32,
    update_at: Time,
    recent: VecDeque<f64>,
    smoothed: Average,
    baseline: Average,
    throughput: Correlation,
    latency: Correlation,
    hall: Hall,
    classes: usize,
    /// Of those admitted, the newest last.
    levels: VecDeque<u32>,
    threshold: u32,
    calibrate_at: Time,
    random: SmallRng,
}

impl Failsafe {
    /// A proxy that has just started, for `classes` classes.
    pub(crate) fn new(classes: usize, seed: u64) -> Failsafe {
        Failsafe {
            limit: LIMIT_START,
            latencies: Vec::new(),
            shortest: Duration::MAX,
            inflight_max: 0,
            update_at: Time::ZERO,
            recent: VecDeque::new(),
            smoothed: Average::new(SMOOTHED),
            baseline: Average::new(BASELINE_AGE),
            throughput: Correlation::new(CORRELATED),
            latency: Correlation::new(CORRELATED),
            hall: Hall::new(1),
            classes,
            levels: VecDeque::new(),
            threshold: 0,
            calibrate_at: Time::ZERO.after(CALIBRATION),
            random: SmallRng::seed_from_u64(seed),
        }
    }

    fn is_full(&self) -> bool {
        self.hall.inside.count() >= self.limit as u32
    }

    fn arrive(&mut self, ask: Ask, now: Time, answers: &mut Vec<Answer>) {
        let lower = (self.classes - 1 - ask.class.index()) as u32 * LEVELS;
        let level = lower + self.random.random_range(0..LEVELS);
        let is_line_full = self.hall.line.length() >= (self.limit.floor() * QUEUE_TO) as u32;
        if self.is_full() && (is_line_full || level < self.threshold) {
            return answers.push(Answer::Refuse(ask.id));
        }
        if self.levels.len() == LEVELS_REMEMBERED {
            self.levels.pop_front();
        }
        self.levels.push_back(level);
        self.hall.line.join(ask.id, 0, now);
    }

    fn admit_next(&mut self, now: Time, answers: &mut Vec<Answer>) {
        while let Some(waiter) = self.hall.call(self.limit as u32) {
            self.hall.admit(waiter, now, answers);
        }
    }

    fn calibrate(&mut self, now: Time) {
        self.calibrate_at = now.after(CALIBRATION);
        let (from, to) = (self.limit.floor() * QUEUE_FROM, self.limit.floor() * QUEUE_TO);
        let rate = ((f64::from(self.hall.line.length()) - from) / (to - from)).clamp(0.0, 1.0);
        let mut levels: Vec<u32> = self.levels.iter().copied().collect();
        levels.sort_unstable();
        let at = (rate * levels.len() as f64) as usize;
        self.threshold =
            if rate == 0.0 { 0 } else { levels.get(at).or(levels.last()).copied().unwrap_or_default() };
    }

    fn finish(&mut self, id: RequestId, now: Time) {
        let Some(Stay { since, inflight }) = self.hall.inside.leave(id) else { return };
        let latency = now.since(since);
        self.latencies.push(latency);
        self.shortest = self.shortest.min(latency);
        self.inflight_max = self.inflight_max.max(inflight);
        if now <= self.update_at || self.latencies.len() < WINDOW_SAMPLES {
            return;
        }
        let at = (self.latencies.len() as f64 * QUANTILE) as usize;
        let quantile = self.latencies.select_nth_unstable(at).1.as_secs_f64();
        self.update(quantile);
        self.update_at = now.after((self.shortest * 2).clamp(WINDOW_MIN, WINDOW_MAX));
        self.latencies.clear();
        (self.shortest, self.inflight_max) = (Duration::MAX, 0);
    }

    fn update(&mut self, quantile: f64) {
        if self.recent.len() == SMOOTHED {
            self.recent.pop_front();
        }
        self.recent.push_back(quantile);
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let recent = self.smoothed.add(sorted[sorted.len() / 2]);
        let baseline = self.baseline.add(recent);
        let queue = (self.limit * (1.0 - baseline / recent)).ceil();
        let inflight = f64::from(self.inflight_max);
        let throughput = inflight / recent;
        let throughput_follows = self.throughput.add(inflight, throughput);
        let latency_follows = self.latency.add(inflight, recent);
        let variation = self.throughput.variation();
        let logarithm = self.limit.floor().max(1.0).log10().floor().max(1.0);
        let is_stuck = self.is_full()
            && (throughput_follows < 0.0
                || (latency_follows > 0.5 && (throughput_follows < 0.3 || variation < 0.2)));
        let too_high = self.limit > inflight * LIMIT_OVER_INFLIGHT;
        if queue > 6.0 * logarithm || is_stuck || too_high {
            self.limit -= logarithm;
        } else if queue < 3.0 * logarithm {
            self.limit += logarithm;
        }
        self.limit = self.limit.clamp(LIMIT_MIN, LIMIT_MAX);
    }
}

impl Door for Failsafe {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        match news {
            News::Arrived(ask) => self.arrive(ask, now, answers),
            News::Finished { id, .. } => self.finish(id, now),
            News::Left(id) => {
                self.hall.leave(id);
            }
            News::FirstByte { .. } | News::Reloaded => return,
            News::Woken => self.calibrate(now),
        }
        self.admit_next(now, answers);
    }

    fn next_wakeup(&mut self) -> Option<Time> {
        Some(self.calibrate_at)
    }

    fn gauge(&self, _: Time) -> Gauge {
        Gauge { limit: Some(self.limit), inflight: self.hall.inside.count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The threshold among a hundred levels with so many in line before a limit of ten.
    fn threshold(waiting: u32) -> u32 {
        let mut door = Failsafe { limit: 10.0, levels: (0..LEVELS).collect(), ..Failsafe::new(1, 1) };
        for slot in 0..waiting {
            door.hall.line.join(RequestId { slot, epoch: 0 }, 0, Time::ZERO);
        }
        door.calibrate(Time::ZERO);
        door.threshold
    }

    #[test]
    fn rejection_begins_at_two_limits_in_line_and_is_whole_at_three() {
        assert_eq!([20, 25, 30].map(threshold), [0, 50, 99]);
    }

    /// The limit after one of twenty, with so many inside at most and this latency after a hundred times 40 ms.
    fn next_limit(inflight_max: u32, millis: f64) -> f64 {
        let mut door = Failsafe::new(1, 1);
        for _ in 0..100 {
            door.inflight_max = inflight_max;
            door.update(0.04);
        }
        door.limit = 20.0;
        (0..SMOOTHED).for_each(|_| door.recent.push_back(millis / 1_000.0));
        door.recent.drain(..door.recent.len() - SMOOTHED);
        door.update(millis / 1_000.0);
        door.limit
    }

    #[test]
    fn limit_goes_up_without_a_queue_and_down_with_one_or_with_too_few_inside() {
        assert_eq!(next_limit(20, 40.0), 21.0);
        assert_eq!(next_limit(20, 400.0), 19.0);
        assert_eq!(next_limit(3, 40.0), 19.0);
    }
}
