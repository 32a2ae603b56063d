//! The shop's servers: workers behind a FIFO queue, each request served by one of them.
//!
//! Work is cancelled when its client leaves, and each request in the queue makes service a little
//! slower: overload costs capacity.

use super::demand::exponential;
use crate::random::Random;
use std::collections::VecDeque;
use std::time::Duration;

/// How much slower service is for each request in the origin's queue.
const THRASH: f64 = 0.002;

/// How service times spread around their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Half of it to one and a half.
    Uniform,
    /// As the gaps of a Poisson process: many short, a few long.
    Exponential,
    /// A tail twice as heavy as that: a squared coefficient of variation of 2.
    Lognormal,
}

/// Workers and those who wait for them, named by serial numbers.
#[derive(Debug)]
pub(crate) struct Origin {
    workers: usize,
    pub(crate) service: Service,
    /// Mean service time of a cost of one.
    pub(crate) mean: Duration,
    serving: Vec<u64>,
    waiting: VecDeque<(u64, f64)>,
}

impl Origin {
    pub(crate) fn new(workers: usize) -> Origin {
        let mean = Duration::from_millis(40);
        Origin { workers, service: Service::Uniform, mean, serving: Vec::new(), waiting: VecDeque::new() }
    }

    /// Units of cost it can serve per second.
    pub(crate) fn capacity(&self) -> f64 {
        self.workers as f64 / self.mean.as_secs_f64()
    }

    /// A request comes in.
    pub(crate) fn accept(&mut self, serial: u64, cost: f64) {
        self.waiting.push_back((serial, cost));
    }

    /// A request was served, or its client left. False if it was gone already.
    pub(crate) fn remove(&mut self, serial: u64) -> bool {
        if let Some(at) = self.serving.iter().position(|other| *other == serial) {
            self.serving.swap_remove(at);
            return true;
        }
        let length = self.waiting.len();
        self.waiting.retain(|(other, _)| *other != serial);
        self.waiting.len() < length
    }

    /// Starts the next request if a worker is idle; answers who it is and how long it will take.
    pub(crate) fn start_next(&mut self, random: &mut Random) -> Option<(u64, Duration)> {
        if self.serving.len() >= self.workers {
            return None;
        }
        let (serial, cost) = self.waiting.pop_front()?;
        self.serving.push(serial);
        let slower = 1.0 + THRASH * self.waiting.len() as f64;
        let mean = self.mean.mul_f64(cost * slower);
        let time = match self.service {
            Service::Uniform => mean.mul_f64(0.5 + random.unit()),
            Service::Exponential => exponential(mean, random),
            Service::Lognormal => mean.mul_f64(lognormal(random)),
        };
        Some((serial, time))
    }
}

/// Of mean 1 and variance 2 (Box & Muller 1958).
fn lognormal(random: &mut Random) -> f64 {
    let sigma_squared = 3.0_f64.ln();
    let normal = (-2.0 * (1.0 - random.unit()).ln()).sqrt() * (std::f64::consts::TAU * random.unit()).cos();
    (normal * sigma_squared.sqrt() - sigma_squared / 2.0).exp()
}
