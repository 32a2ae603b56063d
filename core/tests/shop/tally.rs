//! What became of the requests of a phase.

use std::fmt;
use std::time::Duration;

/// Counts of one phase, by class where it matters; sums of several with [`Tally::add`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) offered: [u64; 5],
    /// Served within their SLO.
    pub(crate) good: [u64; 5],
    pub(crate) refused: u64,
    /// Of those that arrived a second or more into the phase.
    pub(crate) refused_settled: u64,
    /// How long the refusals of these took.
    pub(crate) refusal_waits: Vec<Duration>,
    /// Cost of the good answers given from two seconds into the phase...
    pub(crate) useful: f64,
    /// ...and what the origin could have done in that time.
    pub(crate) capacity: f64,
    /// The limit at the end.
    pub(crate) limit: u32,
}

impl Tally {
    /// Pools another run of the same phase.
    pub(crate) fn add(&mut self, other: &Tally) {
        for class in 0..self.offered.len() {
            self.offered[class] += other.offered[class];
            self.good[class] += other.good[class];
        }
        self.refused += other.refused;
        self.refused_settled += other.refused_settled;
        self.refusal_waits.extend(&other.refusal_waits);
        self.useful += other.useful;
        self.capacity += other.capacity;
        self.limit = other.limit;
    }

    /// The part of a class that was served within its SLO.
    pub(crate) fn good_ratio(&self, class: usize) -> f64 {
        self.good[class] as f64 / self.offered[class].max(1) as f64
    }

    /// The part of the capacity that went into good answers.
    pub(crate) fn useful_ratio(&self) -> f64 {
        self.useful / self.capacity
    }

    /// The wait within which 99 of 100 refusals were given, from a second into the phase.
    pub(crate) fn refusal_p99_settled(&self) -> Duration {
        let mut waits = self.refusal_waits.clone();
        waits.sort();
        waits.get((waits.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "good")?;
        for class in 0..self.offered.len() {
            write!(f, " {:5.1}", self.good_ratio(class) * 100.0)?;
        }
        write!(
            f,
            " %  refused {:6} settled {:6} p99 {:4} ms  useful {:5.1} %  limit {}",
            self.refused,
            self.refused_settled,
            self.refusal_p99_settled().as_millis(),
            self.useful_ratio() * 100.0,
            self.limit,
        )
    }
}
