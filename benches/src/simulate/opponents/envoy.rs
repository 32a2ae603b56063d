//! Envoy's adaptive concurrency filter: the gradient controller.
//!
//! `gradient = clamp(1.25 minRTT / p50, 0.5, 2)`, `limit' = gradient limit + sqrt(gradient limit)`,
//! every 100 ms in which an answer came. To measure minRTT it goes down to three
//! requests at once until fifty have been answered: at the start, then every ten
//! seconds or so, and when five updates in a row found the limit at its least.
//!
//! Source: `gradient_controller.cc` and the filter's documentation, Envoy 1.40,
//! with its defaults. Two intervals have none: that of the updates is its
//! example's, that of minRTT the one that explains what was measured over sockets
//! (7 to 16 % refused at 0.8x). It is blind to classes, unless its operator takes
//! some routes out of the filter, as `benches/peers/envoy-adaptive.yaml` does.

use super::inside::Inside;
use crate::simulate::door::{Answer, Door, Gauge, News};
use plimsoll_core::policy::ClassSet;
use plimsoll_core::time::Time;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const CONCURRENCY_MIN: u32 = 3;
const CONCURRENCY_MAX: u32 = 1_000;
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);
const MIN_RTT_INTERVAL: Duration = Duration::from_secs(10);
/// That of the configuration that is run over sockets.
const MIN_RTT_INTERVAL_SPARING: Duration = Duration::from_secs(60);
/// Each wait for a measurement is up to so much longer.
const MIN_RTT_JITTER: f64 = 0.15;
const MIN_RTT_REQUESTS: usize = 50;
const MIN_RTT_BUFFER: f64 = 1.25;
/// Updates in a row at the least concurrency that lead to a measurement.
const UPDATES_AT_MIN_MAX: u32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Measuring minRTT; the limit to return to.
    Measuring { limit_before: u32 },
    /// Following the gradient until the next measurement.
    Following { measure_at: Time },
}

/// A proxy with a gradient controller.
#[derive(Debug)]
pub(crate) struct Envoy {
    limit: u32,
    phase: Phase,
    /// Samples of requests that were sent before are from another phase.
    began: Time,
    update_at: Time,
    min_rtt: Duration,
    samples: Vec<Duration>,
    updates_at_min: u32,
    inside: Inside,
    jitter: SmallRng,
    interval: Duration,
    /// Classes that the filter does not see.
    spared: ClassSet,
}

impl Envoy {
    /// A proxy that has just started, and measures.
    pub(crate) fn new(seed: u64) -> Envoy {
        Envoy {
            limit: CONCURRENCY_MIN,
            phase: Phase::Measuring { limit_before: CONCURRENCY_MIN },
            began: Time::ZERO,
            update_at: Time::ZERO.after(UPDATE_INTERVAL),
            min_rtt: Duration::ZERO,
            samples: Vec::new(),
            updates_at_min: 0,
            inside: Inside::default(),
            jitter: SmallRng::seed_from_u64(seed),
            interval: MIN_RTT_INTERVAL,
            spared: ClassSet::EMPTY,
        }
    }

    /// The same, with the routes of `spared` classes taken out of the filter.
    pub(crate) fn sparing(spared: ClassSet, seed: u64) -> Envoy {
        Envoy { spared, interval: MIN_RTT_INTERVAL_SPARING, ..Envoy::new(seed) }
    }

    fn measure(&mut self, now: Time) {
        self.phase = Phase::Measuring { limit_before: self.limit };
        self.limit = CONCURRENCY_MIN;
        self.updates_at_min = 0;
        self.samples.clear();
        self.began = now;
    }

    fn sample(&mut self, since: Time, now: Time) {
        if since < self.began {
            return;
        }
        self.samples.push(now.since(since));
        let Phase::Measuring { limit_before } = self.phase else { return };
        if self.samples.len() >= MIN_RTT_REQUESTS {
            self.min_rtt = self.take_median().unwrap_or(self.min_rtt);
            self.limit = limit_before;
            let wait = self.interval.mul_f64(1.0 + MIN_RTT_JITTER * self.jitter.random::<f64>());
            self.phase = Phase::Following { measure_at: now.after(wait) };
            self.update_at = now.after(UPDATE_INTERVAL);
        }
    }

    fn take_median(&mut self) -> Option<Duration> {
        let middle = self.samples.len() / 2;
        let median = (!self.samples.is_empty()).then(|| *self.samples.select_nth_unstable(middle).1);
        self.samples.clear();
        median
    }

    fn wake(&mut self, now: Time) {
        let Phase::Following { measure_at } = self.phase else { return };
        if now >= measure_at {
            self.measure(now);
        } else if now >= self.update_at {
            self.update_at = now.after(UPDATE_INTERVAL);
            self.update(now);
        }
    }

    fn update(&mut self, now: Time) {
        let Some(median) = self.take_median() else { return };
        let before = self.limit;
        let raw = self.min_rtt.as_secs_f64() * MIN_RTT_BUFFER / median.as_secs_f64();
        let limit = f64::from(before) * raw.clamp(0.5, 2.0);
        self.limit = ((limit + limit.sqrt()) as u32).clamp(CONCURRENCY_MIN, CONCURRENCY_MAX);
        let stays_at_min = before == CONCURRENCY_MIN && self.limit == CONCURRENCY_MIN;
        self.updates_at_min = if stays_at_min { self.updates_at_min + 1 } else { 0 };
        if self.updates_at_min >= UPDATES_AT_MIN_MAX {
            self.measure(now);
        }
    }
}

impl Door for Envoy {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        match news {
            News::Arrived(ask) if self.spared.contains(ask.class) => answers.push(Answer::Admit(ask.id)),
            News::Arrived(ask) => answers.push(self.inside.enter_below(self.limit, ask.id, now)),
            News::Finished { id, .. } => {
                if let Some(stay) = self.inside.leave(id) {
                    self.sample(stay.since, now);
                }
            }
            News::Left(id) => {
                self.inside.leave(id);
            }
            News::FirstByte { .. } | News::Reloaded => {}
            News::Woken => self.wake(now),
        }
    }

    fn next_wakeup(&mut self) -> Option<Time> {
        match self.phase {
            Phase::Measuring { .. } => None,
            Phase::Following { measure_at } => Some(measure_at.min(self.update_at)),
        }
    }

    fn gauge(&self, _: Time) -> Gauge {
        Gauge { limit: Some(f64::from(self.limit)), inflight: self.inside.count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The limit that follows one of ten, where minRTT is 40 ms and the median is this.
    fn next_limit(median_ms: u64) -> u32 {
        let mut door = Envoy {
            limit: 10,
            min_rtt: Duration::from_millis(40),
            samples: vec![Duration::from_millis(median_ms)],
            phase: Phase::Following { measure_at: Time::NEVER },
            ..Envoy::new(1)
        };
        door.update(Time::ZERO);
        door.limit
    }

    #[test]
    fn limit_is_the_gradient_of_it_and_a_square_root_between_half_and_twice() {
        // Five and its root are 7.2; ten and its root, 13.2; twenty and its root, 24.5.
        assert_eq!([10_000, 100, 50, 1].map(next_limit), [7, 7, 13, 24]);
    }

    #[test]
    fn three_may_be_inside_until_fifty_were_answered_to_measure_by() {
        let mut door = Envoy { limit: 10, ..Envoy::new(1) };
        door.measure(Time::ZERO);
        let mut answer = || {
            door.sample(Time::ZERO, Time::from_millis(40));
            door.limit
        };
        assert!((1..50).all(|_| answer() == 3));
        assert_eq!(answer(), 10);
        assert_eq!(door.min_rtt, Duration::from_millis(40));
    }
}
