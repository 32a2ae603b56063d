//! The measured load of one class.
//!
//! It draws no conclusion; `Load` does.

use super::excess::Excess;
use crate::demand::Demand;
use crate::image::image;
use crate::queue::COHORT_GROUPS;
use crate::time::Time;

/// The measured load of one class.
#[derive(Clone, Debug, Default)]
pub(super) struct ClassLoad {
    pub(super) demand: Demand,
    /// Requests let in since the last refresh, by cohort group.
    pub(super) accepted: [u32; COHORT_GROUPS],
    /// The same per second, smoothed.
    pub(super) rates: [f64; COHORT_GROUPS],
    /// Seats that strictly better rings keep busy, those of better classes included.
    pub(super) better: [f64; COHORT_GROUPS],
    /// Seats that the floors of less important classes keep busy.
    pub(super) lent_back: f64,
    /// Mean seconds a permit is held; zero while unknown.
    pub(super) hold: f64,
    /// The same, smoothed over a second: a trial of the limit does not last as long.
    pub(super) hold_steady: f64,
    /// Mean seconds to a first byte, and its healthy latency; zero while unknown.
    pub(super) latency: f64,
    pub(super) baseline: f64,
    /// What of the hold time requests spend waiting inside the pool, smoothed like that: less of it in the pool
    /// does not make them ask for less.
    pub(super) inside_steady: f64,
    /// How many of it wait, and since when somebody does.
    pub(super) waiting: u32,
    pub(super) queue_since: Option<Time>,
    pub(super) congested_until: Time,
    /// When it was last seen shut out by a better class...
    pub(super) shut_at: Time,
    /// ...and until when those who waited then may have free seats all the same.
    pub(super) grace_until: Time,
    /// Whether it asks for more seats, together with those above it, than there are: *overloaded*.
    pub(super) excess: Excess,
    /// Whether it asks for more seats than its ceiling: what it lacks then, nobody else has.
    pub(super) is_capped: bool,
    /// Whether its ceiling is below all there is.
    pub(super) has_ceiling: bool,
}

impl ClassLoad {
    /// Mean seconds that are spent waiting inside the pool, beyond what they are where its latency is
    /// `full_ratio` times the healthy one.
    pub(super) fn waits_inside(&self, full_ratio: f64) -> f64 {
        let full = self.baseline * full_ratio;
        if full == 0.0 { 0.0 } else { (self.latency - full).clamp(0.0, self.hold) }
    }

    pub(super) fn busy(&self) -> f64 {
        self.rates.iter().sum::<f64>() * self.hold
    }
}

image!(struct ClassLoad {
    demand,
    accepted,
    rates,
    better,
    lent_back,
    hold,
    hold_steady,
    latency,
    baseline,
    inside_steady,
    waiting,
    queue_since,
    congested_until,
    shut_at,
    grace_until,
    excess,
    is_capped,
    has_ceiling,
});
