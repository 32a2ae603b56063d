//! Counts of good, failed and slow results over the last few seconds.
//!
//! A ring of buckets: old results leave a bucket at a time, so a query is a sum
//! of ten small structs and no result is stored by itself. Only integers: a
//! replay gives the same counts on any machine.
//!
//! It decides nothing; the breaker does.

use crate::image::image;
use crate::time::Time;
use std::time::Duration;

/// Ten buckets make the window forget in steps of a tenth: coarse enough to be cheap, fine enough
/// that a ratio does not jump when a bucket leaves.
const BUCKETS: usize = 10;

/// Results of a window, or of one bucket of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All results.
    pub total: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that were slow.
    pub slow: u32,
}

impl Counts {
    fn plus(self, other: Counts) -> Counts {
        Counts {
            total: self.total.saturating_add(other.total),
            failed: self.failed.saturating_add(other.failed),
            slow: self.slow.saturating_add(other.slow),
        }
    }
}

/// How one result counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// It failed.
    pub failed: bool,
    /// It was slow.
    pub slow: bool,
}

/// Results over a sliding window.
#[derive(Clone, Debug, Default)]
pub struct Window {
    buckets: [Counts; BUCKETS],
    /// The number of the newest bucket since the epoch; its place in the ring is this modulo [`BUCKETS`].
    newest: u64,
}

impl Window {
    /// Counts one result.
    pub fn record(&mut self, span: Duration, health: Health, now: Time) {
        self.advance(span, now);
        let bucket = &mut self.buckets[ring_index(self.newest)];
        let one = Counts { total: 1, failed: u32::from(health.failed), slow: u32::from(health.slow) };
        *bucket = bucket.plus(one);
    }

    /// The results of the last `span`.
    pub fn counts(&mut self, span: Duration, now: Time) -> Counts {
        self.advance(span, now);
        self.buckets.iter().fold(Counts::default(), |sum, bucket| sum.plus(*bucket))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets = [Counts::default(); BUCKETS];
    }

    /// Empties the buckets that time has passed by. A clock that jumps back counts into the newest bucket.
    fn advance(&mut self, span: Duration, now: Time) {
        let width = (span.as_nanos() as u64 / BUCKETS as u64).max(1);
        let current = now.as_nanos() / width;
        let passed = current.saturating_sub(self.newest);
        for step in 0..passed.min(BUCKETS as u64) {
            self.buckets[ring_index(current - step)] = Counts::default();
        }
        self.newest = self.newest.max(current);
    }
}

fn ring_index(bucket: u64) -> usize {
    (bucket % BUCKETS as u64) as usize
}

image!(struct Counts { total, failed, slow });
image!(struct Window { buckets, newest });

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Duration = Duration::from_secs(10);
    const FAILED: Health = Health { failed: true, slow: false };

    #[test]
    fn result_counts_for_the_span_and_not_longer() {
        let mut window = Window::default();
        window.record(SPAN, FAILED, Time::from_millis(500));
        assert_eq!(window.counts(SPAN, Time::from_millis(9_999)).failed, 1);
        assert_eq!(window.counts(SPAN, Time::from_millis(10_000)).failed, 0);
    }

    #[test]
    fn long_silence_empties_every_bucket() {
        let mut window = Window::default();
        for second in 0..10 {
            window.record(SPAN, FAILED, Time::from_millis(second * 1_000));
        }
        assert_eq!(window.counts(SPAN, Time::from_millis(9_000)).total, 10);
        assert_eq!(window.counts(SPAN, Time::from_millis(1_000_000)).total, 0);
    }

    #[test]
    fn clock_that_jumps_back_loses_nothing() {
        let mut window = Window::default();
        window.record(SPAN, FAILED, Time::from_millis(60_000));
        window.record(SPAN, FAILED, Time::from_millis(1_000));
        assert_eq!(window.counts(SPAN, Time::from_millis(60_000)).total, 2);
    }
}
