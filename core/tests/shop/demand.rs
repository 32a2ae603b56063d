//! What clients ask of the shop: mixes of classes, and phases of load.

use crate::random::Random;
use std::time::Duration;

/// One kind of request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Position of its class in the policy.
    pub(crate) class: usize,
    /// Share of the arrivals, in percent.
    pub(crate) percent: u64,
    /// Work it takes, in units of the mean service time.
    pub(crate) cost: f64,
    /// Later than this its answer is no good.
    pub(crate) slo: Duration,
}

/// The class that pays.
pub(crate) const CHECKOUT: usize = 0;

/// Checkout, cart, browse, search, analytics: the mix of an ordinary day.
pub(crate) const MIX: [Ask; 5] = [
    Ask { class: CHECKOUT, percent: 5, cost: 1.5, slo: Duration::from_secs(1) },
    Ask { class: 1, percent: 10, cost: 1.0, slo: Duration::from_secs(1) },
    Ask { class: 2, percent: 45, cost: 1.0, slo: Duration::from_secs(1) },
    Ask { class: 3, percent: 15, cost: 1.5, slo: Duration::from_secs(1) },
    Ask { class: 4, percent: 25, cost: 0.5, slo: Duration::from_secs(2) },
];

/// The hour of a sale: most of it is checkout.
pub(crate) const RUSH: [Ask; 5] = [
    Ask { percent: 60, ..MIX[0] },
    Ask { percent: 10, ..MIX[1] },
    Ask { percent: 15, ..MIX[2] },
    Ask { percent: 5, ..MIX[3] },
    Ask { percent: 10, ..MIX[4] },
];

/// A stretch of steady load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) length: Duration,
    /// Requests per unit of the capacity the phase has, whatever they cost.
    pub(crate) load: f64,
    pub(crate) mix: [Ask; 5],
    /// Mean service time of a cost of one.
    pub(crate) service: Duration,
    /// Workers from now on, if not as many as before.
    pub(crate) workers: Option<usize>,
    /// Mean time that the payment provider takes.
    pub(crate) payment: Duration,
}

/// Draws a request of a mix.
pub(crate) fn draw(mix: &[Ask; 5], random: &mut Random) -> Ask {
    let mut left = random.below(100);
    for ask in mix {
        if left < ask.percent {
            return *ask;
        }
        left -= ask.percent;
    }
    unreachable!("the shares of a mix add up to 100 %")
}

/// The gap to the next event of a Poisson process, or an exponential service time.
pub(crate) fn exponential(mean: Duration, random: &mut Random) -> Duration {
    mean.mul_f64(-(1.0 - random.unit()).ln())
}
