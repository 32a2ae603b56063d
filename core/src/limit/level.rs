//! Seats in use and the throughput they gave: what trials compare.
//!
//! By Little's law throughput, seats and latency are tied, so a change of
//! throughput relative to a change of seats tells what part of the seats waits,
//! whatever the healthy latency is.
//!
//! It draws no conclusion; `trial` and the limit do.

use crate::image::image;
use crate::measurement::Measured;

/// Weight of a full window in a level, so that its noise is a third of a window's...
const WEIGHT: f64 = 0.2;
/// ...and the windows that make one fit to be compared with.
const WINDOWS: u32 = 4;

/// Seats in use and the throughput they gave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Level {
    pub(super) inflight: f64,
    /// Seats of work finished per second, counted in baselines.
    pub(super) done: f64,
    windows: u32,
}

impl Level {
    pub(super) fn of(seen: Measured) -> Level {
        Level::at(seen.inflight, seen.done)
    }

    /// What so many seats did, by a full window.
    pub(super) fn at(inflight: f64, done: f64) -> Level {
        Level { inflight, done, windows: WINDOWS }
    }

    /// Moves towards what was seen; the first windows count alike.
    pub(super) fn smooth(&mut self, seen: Measured) {
        self.windows = (self.windows + 1).min(WINDOWS + 1);
        let weight = WEIGHT.max(1.0 / f64::from(self.windows));
        self.inflight += (seen.inflight - self.inflight) * weight;
        self.done += (seen.done - self.done) * weight;
    }

    /// Whether it stands on enough windows.
    pub(super) fn is_known(self) -> bool {
        self.windows >= WINDOWS
    }

    /// Whether it stands on anything.
    pub(super) fn is_begun(self) -> bool {
        self.windows > 0
    }

    /// Counts throughput in baselines that have been changed by `factor`.
    pub(super) fn rescale(&mut self, factor: f64) {
        self.done *= factor;
    }

    /// The change of throughput over the change of seats: 1 if none of them waits, 0 if all the
    /// difference does.
    pub(super) fn elasticity(self, after: Level) -> f64 {
        (after.done / self.done - 1.0) / (after.inflight / self.inflight - 1.0)
    }
}

image!(struct Level { inflight, done, windows });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elasticity_is_the_part_of_the_change_that_works() {
        assert!((Level::at(100.0, 50.0).elasticity(Level::at(130.0, 65.0)) - 1.0).abs() < 1e-9);
        assert!(Level::at(100.0, 50.0).elasticity(Level::at(130.0, 50.0)).abs() < 1e-9);
        assert!((Level::at(100.0, 50.0).elasticity(Level::at(50.0, 37.5)) - 0.5).abs() < 1e-9);
    }
}
