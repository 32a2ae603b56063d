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
        };
        Some((serial, time))
    }
}
