//! How the load goes: phases, their shapes and ramps, and bursts, as stretches of time.
//!
//! In a stretch the load stays or changes steadily, so that when it amounts to a number
//! of requests has a closed form, and arrivals are exact however steep it is.

use crate::scenario::Scenario;
use crate::scenario::clients::Bursts;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// A stretch of a phase in which the load stays, or changes steadily.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch {
    /// Index of the phase.
    pub(crate) phase: usize,
    /// In requests per second, at its start and at its end.
    rates: [f64; 2],
    /// In seconds from the start of the run.
    pub(crate) start: f64,
    /// The same.
    pub(crate) end: f64,
}

impl Stretch {
    fn slope(&self) -> f64 {
        if self.end > self.start { (self.rates[1] - self.rates[0]) / (self.end - self.start) } else { 0.0 }
    }

    /// The load at `time`, in requests per second.
    pub(crate) fn rate_at(&self, time: f64) -> f64 {
        self.rates[0] + self.slope() * (time - self.start)
    }

    /// The requests of the load from `time` to its end.
    pub(crate) fn amount_from(&self, time: f64) -> f64 {
        (self.rate_at(time) + self.rates[1]) / 2.0 * (self.end - time)
    }

    /// When the load from `time` on amounts to `amount` requests, if that is before its end.
    pub(crate) fn time_of(&self, amount: f64, time: f64) -> Option<f64> {
        self.pause(amount, time).map(|pause| time + pause)
    }

    /// How long after `time` that is.
    pub(crate) fn pause(&self, amount: f64, time: f64) -> Option<f64> {
        let (rate, slope) = (self.rate_at(time), self.slope());
        let pause = if slope == 0.0 {
            amount / rate
        } else {
            // The root of `rate x + slope / 2 x^2 = amount`; there is none if the load ends before.
            2.0 * amount / (rate + (rate * rate + 2.0 * slope * amount).sqrt())
        };
        Some(pause).filter(|pause| time + pause < self.end)
    }

    /// The same with `times` the load, over a part of its time.
    fn part(&self, start: f64, end: f64, times: f64) -> Stretch {
        // A rate of nothing would make a gap of eternity, and no arrival after it.
        let rate = |time| (self.rate_at(time) * times).max(f64::MIN_POSITIVE);
        Stretch { rates: [rate(start), rate(end)], start, end, ..*self }
    }
}

/// The stretches that the phases of `scenario` are made of; `seed` decides its bursts.
pub(crate) fn stretches(scenario: &Scenario, seed: u64) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    let mut weather = scenario.bursts.map(|bursts| Weather::new(bursts, seed));
    let mut start = 0.0;
    for (index, phase) in scenario.phases.iter().enumerate() {
        let length = phase.duration.as_secs_f64();
        let rates = [phase.load, phase.to.unwrap_or(phase.load)].map(|load| scenario.per_second(load));
        let whole = Stretch { phase: index, rates, start, end: start + length };
        let pieces = phase.shape.len().max(1);
        let mut piece_start = start;
        for piece in 0..pieces {
            let times = phase.shape.get(piece).copied().unwrap_or_default();
            let end = start + length * (piece + 1) as f64 / pieces as f64;
            let steady = whole.part(piece_start, end, times.0);
            match &mut weather {
                Some(weather) => stretches.extend(weather.over(steady)),
                None => stretches.push(steady),
            }
            piece_start = end;
        }
        start += length;
    }
    stretches
}

/// Bursts and the calm between them, for exponential times.
struct Weather {
    bursts: Bursts,
    is_burst: bool,
    changes_at: f64,
    rng: SmallRng,
}

impl Weather {
    fn new(bursts: Bursts, seed: u64) -> Weather {
        // Not the stream that draws arrivals, or its first draws would decide both.
        let rng = SmallRng::seed_from_u64(!seed);
        let mut weather = Weather { bursts, is_burst: true, changes_at: 0.0, rng };
        weather.change();
        weather
    }

    fn change(&mut self) {
        self.is_burst = !self.is_burst;
        let mean = if self.is_burst { self.bursts.on } else { self.bursts.off };
        self.changes_at += -(1.0 - self.rng.random::<f64>()).ln() * mean.as_secs_f64();
    }

    /// The stretches that a steady one is made of.
    fn over(&mut self, steady: Stretch) -> Vec<Stretch> {
        let (mut stretches, mut start) = (Vec::new(), steady.start);
        loop {
            let times = if self.is_burst { self.bursts.peak.0 } else { self.bursts.trough() };
            let end = steady.end.min(self.changes_at);
            stretches.push(steady.part(start, end, times));
            if end == steady.end {
                return stretches;
            }
            start = end;
            self.change();
        }
    }
}
