//! When sessions of funnels begin: in proportion to the load, at every moment.
//!
//! One begins whenever the load has amounted to so many more requests, so that a ramp, a
//! shape, a trace or a burst brings shoppers as it brings requests. How many more is a
//! unit of time in which sessions come at a rate of one: independent shoppers draw it,
//! equal gaps are one such unit each.
//!
//! It draws nothing, and does not know what sessions do: see `crowd`.

use crate::scenario::Scenario;
use crate::stretches::{Stretch, stretches};
use std::time::Duration;

/// The beginnings of all funnels.
#[derive(Debug)]
pub(crate) struct Begins {
    stretches: Vec<Stretch>,
    /// The requests of the load for each session, by funnel.
    per_session: Vec<f64>,
    /// What of a gap was left when its phase ended, by funnel.
    left: Vec<Option<f64>>,
}

impl Begins {
    /// Those under the load of `scenario` whose bursts `seed` decides.
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Begins {
        let per_session = scenario.funnels.iter().map(|funnel| scenario.load_per_session(funnel));
        Begins {
            stretches: stretches(scenario, seed),
            per_session: per_session.collect(),
            left: vec![None; scenario.funnels.len()],
        }
    }

    /// The next of equal gaps, or what an earlier phase has left of it.
    pub(crate) fn equal_gap(&mut self, funnel: usize) -> f64 {
        self.left[funnel].take().unwrap_or(1.0)
    }

    /// How long after `from` a gap of a funnel is over, if that is in `phase`; a mean gap is one.
    pub(crate) fn pause(
        &mut self,
        funnel: usize,
        phase: usize,
        from: Duration,
        gap: f64,
    ) -> Option<Duration> {
        let from = from.as_secs_f64();
        let first = self.stretches.partition_point(|stretch| stretch.end <= from);
        // A phase may begin a rounding before the stretch that it begins with.
        let ahead = self.stretches[first..].iter().skip_while(|stretch| stretch.phase < phase);
        let (mut pause, mut amount) = (0.0, gap * self.per_session[funnel]);
        for stretch in ahead.take_while(|stretch| stretch.phase == phase) {
            let time = from.max(stretch.start);
            if let Some(rest) = stretch.pause(amount, time) {
                return Some(Duration::from_secs_f64(pause + rest));
            }
            // Nor may rounding leave less than nothing.
            amount = (amount - stretch.amount_from(time)).max(0.0);
            pause += stretch.end - time;
        }
        self.left[funnel] = Some(amount / self.per_session[funnel]);
        None
    }
}
