//! The audit of a run of shrinking: where it has gone far it is a trial as well.
//!
//! Baselines make the limit shrink, and baselines may be wrong. If throughput fell with the limit, nothing had been
//! waiting: the shop itself has become slower, or was never known rightly.

use super::level::Level;
use super::trial;
use crate::image::image;

/// A run of shrinking that has brought the limit to this part of where it began is a trial...
const DUE: f64 = 0.7;
/// ...or to this of seats that a start has proven, for its baselines are by a few answers each. (With 0.7 a start of
/// 256 workers refused 2.1 % in the mean of 32 seeds where it refuses 0.6.)
const DUE_PROVEN: f64 = 0.82;

/// A run of shrinking, and what it is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audit {
    /// Limit and level where it began.
    pub(super) limit: f64,
    level: Level,
    /// All of its seats were at work when the limit doubled: if they are found to have been, doubling goes on.
    pub(super) is_of_start: bool,
}

impl Audit {
    pub(super) fn of(limit: f64, level: Level) -> Audit {
        Audit { limit, level, is_of_start: false }
    }

    /// Of seats that a start has proven.
    pub(super) fn of_proven(limit: f64, level: Level) -> Audit {
        Audit { limit, level, is_of_start: true }
    }

    /// Whether the limit has come so far down that throughput is asked whether it has followed.
    pub(super) fn is_due(&self, limit: f64) -> bool {
        limit <= self.limit * if self.is_of_start { DUE_PROVEN } else { DUE }
    }

    /// Whether throughput has followed the seats to where they are now.
    pub(super) fn follows(&self, now: Level) -> bool {
        trial::follows(self.level.elasticity(now))
    }

    /// Counts throughput in baselines that have been changed by `factor`.
    pub(super) fn rescale(&mut self, factor: f64) {
        self.level.rescale(factor);
    }
}

image!(struct Audit { limit, level, is_of_start });
