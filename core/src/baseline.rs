//! The healthy latency of one class, and the samples that may move it.
//!
//! It is learned by batches while the pool has seats to spare, and not at all
//! while it is full: what is seen then may be load. The limit's experiments
//! decide when it is to be believed all the same.
//!
//! It keeps no history: one mean, and the sum of the batch that may replace it.

use crate::image::image;
use std::time::Duration;

/// A class's baseline moves by batches of this many samples, so that a window's few do not move it...
const BATCH: u32 = 64;
/// ...but the first ones, without which nothing can be compared, are smaller.
const BATCH_FIRST: u32 = 12;
/// Samples from which on a baseline is more than a guess.
const SURE: u32 = 32;
/// With so many of its own samples a class moves half by them and half with the pool: these are noise, and the
/// pool's classes may have been mistaken by different factors.
const OWN_SAMPLES: u32 = 16;
/// Samples that a baseline averages over: even a heavy tail leaves their mean within a few percent.
const SAMPLES: u32 = 64 * BATCH;
/// No answer takes less than a microsecond, and none that takes an hour says anything about health:
/// keeps ratios of latencies finite whatever a clock says.
pub(crate) const SECONDS_MIN: f64 = 1e-6;
pub(crate) const SECONDS_MAX: f64 = 3_600.0;

/// The healthy latency of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Baseline {
    seconds: f64,
    /// Samples it was learned from, up to [`SAMPLES`].
    samples: u32,
    batch: Batch,
}

#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    seconds: f64,
    samples: u32,
    /// Of the seconds those that windows before the present one have seen.
    older: f64,
}

impl Batch {
    fn mean(self) -> f64 {
        self.seconds / f64::from(self.samples.max(1))
    }
}

impl Baseline {
    /// What another controller learned, believed like one batch; unlearned if it is zero.
    pub(crate) fn remembered(duration: Duration) -> Baseline {
        let seconds = duration.as_secs_f64().min(SECONDS_MAX);
        let samples = if duration.is_zero() { 0 } else { BATCH };
        Baseline { seconds, samples, batch: Batch::default() }
    }

    /// In seconds; the mean of the samples so far until enough are there to learn from.
    pub(crate) fn seconds(&self) -> f64 {
        if self.is_learned() { self.seconds } else { self.batch.mean() }
    }

    /// Zero while there is no sample.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds())
    }

    /// Whether a latency can be compared with it.
    pub(crate) fn is_learned(&self) -> bool {
        self.samples > 0
    }

    /// Whether it stands on enough to blame the class for what is above it.
    pub(crate) fn is_sure(&self) -> bool {
        self.samples >= SURE
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, seconds: f64) {
        self.batch.seconds += seconds;
        self.batch.samples += 1;
    }

    /// Among the samples of the present window the long ones were missing.
    pub(crate) fn stretch(&mut self, factor: f64) {
        let batch = &mut self.batch;
        batch.seconds = batch.older + (batch.seconds - batch.older) * factor;
    }

    /// Forgets what was seen of a pool that had not settled yet.
    pub(crate) fn forget_batch(&mut self) {
        self.batch = Batch::default();
    }

    /// Learns from what a window saw if it was healthy, and forgets it if it may have been load. A
    /// class of which nothing is known yet learns all the same.
    pub(crate) fn learn(&mut self, healthy: bool) {
        let enough = if self.samples < BATCH { BATCH_FIRST } else { BATCH };
        if !healthy && self.is_learned() {
            self.batch = Batch::default();
        } else if self.batch.samples >= enough {
            self.samples = (self.samples + self.batch.samples).min(SAMPLES);
            let weight = f64::from(self.batch.samples) / f64::from(self.samples);
            self.seconds += (self.batch.mean() - self.seconds) * weight.min(1.0);
            self.batch = Batch::default();
        }
        self.batch.older = self.batch.seconds;
    }

    /// Moves to what was seen; a class of which little was seen moves with the pool.
    pub(crate) fn adopt(&mut self, pool_ratio: f64, weight: f64) {
        if self.is_learned() {
            let with_pool = self.seconds * pool_ratio;
            let own = f64::from(self.batch.samples) / f64::from(self.batch.samples + OWN_SAMPLES);
            let seen = with_pool + (self.batch.mean() - with_pool) * own;
            self.seconds = (self.seconds + (seen - self.seconds) * weight).min(SECONDS_MAX);
            self.samples = self.samples.max(self.batch.samples.min(SAMPLES));
            self.batch = Batch::default();
        }
    }
}

image!(struct Batch { seconds, samples, older });
image!(struct Baseline { seconds, samples, batch });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_samples_of_the_present_window_are_stretched() {
        let mut baseline = Baseline::default();
        (0..6).for_each(|_| baseline.add(0.1));
        // Too few to learn from: they wait for more.
        baseline.learn(true);
        (0..6).for_each(|_| baseline.add(0.1));
        baseline.stretch(1.5);
        baseline.learn(true);
        assert!(baseline.is_learned());
        assert!((baseline.seconds() - 0.125).abs() < 1e-9, "{baseline:?}");
    }
}
