//! The healthy latency of one class, and the samples that may move it.
//!
//! It is learned by batches while the pool has seats to spare, and not at all
//! while it is full: what is seen then may be load. The limit's experiments
//! decide when it is to be believed all the same.
//!
//! It keeps no history: one mean, and the sum of the batch that may replace it.

use std::time::Duration;

/// A class's baseline moves by batches of this many samples: the mean of 64 exponential service times
/// is within 13 % of the truth two times in three. Smaller batches would teach noise.
const BATCH: u32 = 64;
/// Weight of a batch in a baseline.
const BATCH_WEIGHT: f64 = 0.3;
/// No answer takes less than a microsecond, and none that takes an hour says anything about health:
/// keeps ratios of latencies finite whatever a clock says.
pub(crate) const SECONDS_MIN: f64 = 1e-6;
pub(crate) const SECONDS_MAX: f64 = 3_600.0;

/// The healthy latency of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Baseline {
    seconds: f64,
    is_learned: bool,
    batch: Batch,
}

#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    seconds: f64,
    samples: u32,
}

impl Batch {
    fn mean(self) -> f64 {
        self.seconds / f64::from(self.samples.max(1))
    }
}

impl Baseline {
    /// In seconds; zero while unknown.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Zero while unknown.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Adds a sample. Until the first batch is full, the baseline is the mean of all there is.
    pub(crate) fn add(&mut self, seconds: f64) {
        self.batch.seconds += seconds;
        self.batch.samples += 1;
        if !self.is_learned {
            self.seconds = self.batch.mean();
        }
    }

    /// Learns from what a window saw, unless the pool was full: then it may have been load. A class
    /// of which nothing is known yet learns all the same.
    pub(crate) fn learn(&mut self, saturated: bool) {
        if saturated && self.is_learned {
            self.batch = Batch::default();
        } else if self.batch.samples >= BATCH {
            self.seconds += (self.batch.mean() - self.seconds) * BATCH_WEIGHT;
            self.is_learned = true;
            self.batch = Batch::default();
        }
    }

    /// Moves to what was seen; a class too rare to have been seen moves with the pool.
    pub(crate) fn adopt(&mut self, pool_ratio: f64, weight: f64) {
        let was_seen = self.batch.samples >= BATCH;
        let seen = if was_seen { self.batch.mean() } else { self.seconds * pool_ratio };
        self.seconds = (self.seconds + (seen - self.seconds) * weight).min(SECONDS_MAX);
        self.is_learned |= was_seen;
        // What is not learned yet goes on being learned, from where it has been moved to.
        let samples = if self.is_learned { 0 } else { self.batch.samples };
        self.batch = Batch { seconds: self.seconds * f64::from(samples), samples };
    }
}
