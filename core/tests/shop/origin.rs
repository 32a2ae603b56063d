//! The shop's servers: workers behind a FIFO queue, each request served by one of them.
//!
//! Work is cancelled when its client leaves, and each request in the queue makes service a little
//! slower: overload costs capacity. Orders need the payment provider as well, and keep their worker meanwhile.

use super::demand::exponential;
use crate::random::Random;
use plimsoll_core::time::Time;
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
    pub(crate) workers: usize,
    pub(crate) service: Service,
    /// Mean service time of a cost of one.
    pub(crate) mean: Duration,
    pub(crate) payment: Payment,
    serving: Vec<u64>,
    waiting: VecDeque<Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    serial: u64,
    cost: f64,
    pays: bool,
}

/// The payment provider: it deals with four orders at once, or with any number in no time.
#[derive(Debug, Default)]
pub(crate) struct Payment {
    pub(crate) mean: Duration,
    /// When each of its four is free.
    free: [Time; 4],
}

impl Payment {
    /// How long an order that comes `after` now takes there.
    fn take(&mut self, now: Time, after: Duration, random: &mut Random) -> Duration {
        if self.mean.is_zero() {
            return Duration::ZERO;
        }
        let comes = now.after(after);
        let free = self.free.iter_mut().min().expect("there are four");
        *free = comes.max(*free).after(self.mean.mul_f64(0.5 + random.unit()));
        free.since(comes)
    }
}

impl Origin {
    pub(crate) fn new(workers: usize) -> Origin {
        let mean = Duration::from_millis(40);
        let payment = Payment::default();
        let (serving, waiting) = Default::default();
        Origin { workers, service: Service::Uniform, mean, payment, serving, waiting }
    }

    /// Units of cost it can serve per second.
    pub(crate) fn capacity(&self) -> f64 {
        self.workers as f64 / self.mean.as_secs_f64()
    }

    /// A request comes in.
    pub(crate) fn accept(&mut self, serial: u64, cost: f64, pays: bool) {
        self.waiting.push_back(Waiting { serial, cost, pays });
    }

    /// A request was served, or its client left. False if it was gone already.
    pub(crate) fn remove(&mut self, serial: u64) -> bool {
        if let Some(at) = self.serving.iter().position(|other| *other == serial) {
            self.serving.swap_remove(at);
            return true;
        }
        let length = self.waiting.len();
        self.waiting.retain(|other| other.serial != serial);
        self.waiting.len() < length
    }

    /// Starts the next request if a worker is idle; answers who it is and how long it will take.
    pub(crate) fn start_next(&mut self, random: &mut Random, now: Time) -> Option<(u64, Duration)> {
        if self.serving.len() >= self.workers {
            return None;
        }
        let Waiting { serial, cost, pays } = self.waiting.pop_front()?;
        self.serving.push(serial);
        let slower = 1.0 + THRASH * self.waiting.len() as f64;
        let mean = self.mean.mul_f64(cost * slower);
        let time = match self.service {
            Service::Uniform => mean.mul_f64(0.5 + random.unit()),
            Service::Exponential => exponential(mean, random),
            Service::Lognormal => mean.mul_f64(lognormal(random)),
        };
        let paying = if pays { self.payment.take(now, time, random) } else { Duration::ZERO };
        Some((serial, time + paying))
    }
}

/// Of mean 1 and variance 2 (Box & Muller 1958).
fn lognormal(random: &mut Random) -> f64 {
    let sigma_squared = 3.0_f64.ln();
    let normal = (-2.0 * (1.0 - random.unit()).ln()).sqrt() * (std::f64::consts::TAU * random.unit()).cos();
    (normal * sigma_squared.sqrt() - sigma_squared / 2.0).exp()
}
