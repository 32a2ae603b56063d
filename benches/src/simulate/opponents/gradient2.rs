//! Netflix's Gradient2 limit, with a limiter that gives each class a partition.
//!
//! `gradient = clamp(1.5 long / short, 0.5, 1)`, `limit' = 0.8 limit + 0.2 (gradient limit + 4)`,
//! over windows of a second; no growth while fewer than half the limit were
//! inside. The long average covers 600 windows. A full limit refuses only classes
//! that have used up their own share of it.
//!
//! Source: `Gradient2Limit`, `WindowedLimit` and `AbstractPartitionedLimiter` of
//! Netflix concurrency-limits, with their defaults. Partitions have no default:
//! here each class has half the share of the next more important one.

use super::inside::{Inside, Stay};
use crate::simulate::door::{Answer, Ask, Door, Gauge, News};
use plimsoll_core::policy::ClassId;
use plimsoll_core::time::Time;
use std::time::Duration;

const LIMIT_START: f64 = 20.0;
const LIMIT_MIN: f64 = 20.0;
const LIMIT_MAX: f64 = 200.0;
const QUEUE: f64 = 4.0;
const SMOOTHING: f64 = 0.2;
const TOLERANCE: f64 = 1.5;
const LONG_WINDOW: f64 = 600.0;
/// The long average is a plain one for so many windows.
const WARM_UP: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);
const WINDOW_SAMPLES_MIN: u32 = 10;

/// What a window has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    latencies: Duration,
    samples: u32,
    inflight_max: u32,
}

/// A proxy with a Gradient2 limit in partitions.
#[derive(Debug)]
pub(crate) struct Gradient2 {
    limit: f64,
    long: f64,
    windows: u32,
    window: Window,
    window_ends: Time,
    inside: Inside,
    /// The class of who is inside, by slot.
    class_of: Vec<ClassId>,
    /// Who is inside, by class.
    busy: Vec<u32>,
    /// The share of each class.
    shares: Vec<f64>,
}

impl Gradient2 {
    /// A proxy that has just started, for `classes` classes.
    pub(crate) fn new(classes: usize) -> Gradient2 {
        let weights = (0..classes).map(|class| 0.5_f64.powi(class as i32));
        let sum: f64 = weights.clone().sum();
        Gradient2 {
            limit: LIMIT_START,
            long: 0.0,
            windows: 0,
            window: Window::default(),
            window_ends: Time::ZERO.after(WINDOW),
            inside: Inside::default(),
            class_of: Vec::new(),
            busy: vec![0; classes],
            shares: weights.map(|weight| weight / sum).collect(),
        }
    }

    fn admits(&self, class: usize) -> bool {
        let partition = (self.limit.floor() * self.shares[class]).ceil().max(1.0);
        f64::from(self.inside.count()) < self.limit.floor() || f64::from(self.busy[class]) < partition
    }

    fn arrive(&mut self, ask: Ask, now: Time) -> Answer {
        let class = ask.class.index();
        if !self.admits(class) {
            return Answer::Refuse(ask.id);
        }
        let slot = ask.id.slot as usize;
        if self.class_of.len() <= slot {
            self.class_of.resize(slot + 1, ask.class);
        }
        self.class_of[slot] = ask.class;
        self.busy[class] += 1;
        self.inside.enter(ask.id, now);
        Answer::Admit(ask.id)
    }

    fn leave(&mut self, id: plimsoll_core::decision::RequestId) -> Option<Stay> {
        let stay = self.inside.leave(id)?;
        self.busy[self.class_of[id.slot as usize].index()] -= 1;
        Some(stay)
    }

    fn sample(&mut self, stay: Stay, now: Time) {
        self.window.latencies += now.since(stay.since);
        self.window.samples += 1;
        self.window.inflight_max = self.window.inflight_max.max(stay.inflight);
        if now < self.window_ends {
            return;
        }
        self.window_ends = now.after(WINDOW);
        let window = std::mem::take(&mut self.window);
        if window.samples >= WINDOW_SAMPLES_MIN {
            self.update(window);
        }
    }

    fn update(&mut self, window: Window) {
        let short = window.latencies.as_secs_f64() / f64::from(window.samples);
        self.windows += 1;
        let weight =
            if self.windows <= WARM_UP { 1.0 / f64::from(self.windows) } else { 2.0 / (LONG_WINDOW + 1.0) };
        self.long += (short - self.long) * weight;
        if self.long / short > 2.0 {
            self.long *= 0.9;
        }
        if f64::from(window.inflight_max) < self.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * self.long / short).clamp(0.5, 1.0);
        let target = self.limit * gradient + QUEUE;
        self.limit += (target - self.limit) * SMOOTHING;
        self.limit = self.limit.clamp(LIMIT_MIN, LIMIT_MAX);
    }
}

impl Door for Gradient2 {
    fn tell(&mut self, news: News, now: Time, answers: &mut Vec<Answer>) {
        match news {
            News::Arrived(ask) => {
                let answer = self.arrive(ask, now);
                answers.push(answer);
            }
            News::Finished { id, .. } => {
                if let Some(stay) = self.leave(id) {
                    self.sample(stay, now);
                }
            }
            News::Left(id) => {
                self.leave(id);
            }
            News::FirstByte { .. } | News::Reloaded | News::Woken => {}
        }
    }

    fn gauge(&self, _: Time) -> Gauge {
        Gauge { limit: Some(self.limit), inflight: self.inside.count() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(millis: u64, inflight_max: u32) -> Window {
        Window { latencies: Duration::from_millis(millis) * 100, samples: 100, inflight_max }
    }

    #[test]
    fn limit_creeps_while_latency_is_what_it_was_and_half_of_it_is_used() {
        let mut door = Gradient2::new(3);
        door.update(window(40, 20));
        // 0.8 x 20 + 0.2 x (1 x 20 + 4).
        assert!((door.limit - 20.8).abs() < 1e-9, "{}", door.limit);
        door.update(window(40, 10));
        assert!((door.limit - 20.8).abs() < 1e-9, "fewer than half of it were inside: {}", door.limit);
    }

    #[test]
    fn limit_shrinks_by_a_fifth_of_the_gradient() {
        let mut door = Gradient2 { limit: 100.0, ..Gradient2::new(3) };
        door.update(window(40, 100));
        assert!((door.limit - 100.8).abs() < 1e-9, "{}", door.limit);
        // The long average is the mean of the two, 220 ms: 0.8 x 100.8 + 0.2 x (1.5 x 220 / 400 x 100.8 + 4).
        door.update(window(400, 100));
        assert!((door.limit - 98.072).abs() < 1e-9, "{}", door.limit);
    }
}
