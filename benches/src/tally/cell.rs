//! The counts of one class in one phase, which several runs can be added up in.

use super::{Outcome, Verdict};
use crate::latencies::{latencies, record_latency};
use hdrhistogram::Histogram;
use http::StatusCode;
use std::collections::BTreeMap;
use std::time::Duration;

/// A refusal that takes longer was not given at the door: the project's target for refusals.
const DOOR: Duration = Duration::from_millis(5);

/// What became of the requests of one class in one phase.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    /// Requests sent.
    pub(crate) offered: u64,
    /// Answered as expected, in time.
    pub(crate) good: u64,
    /// Answered as expected, too late.
    pub(crate) late: u64,
    /// Refused, by status: 503 or 429.
    pub(crate) refused: BTreeMap<u16, u64>,
    /// Refused later than at the door.
    pub(crate) refused_late: u64,
    /// Answered otherwise, by status.
    pub(crate) errors: BTreeMap<u16, u64>,
    /// No connection, or it broke.
    pub(crate) failed: u64,
    /// Left by the client.
    pub(crate) timed_out: u64,
    /// Microseconds from the intended send time to the end of a good or late answer.
    pub(crate) served_us: Histogram<u64>,
    /// The same for refusals.
    pub(crate) refused_us: Histogram<u64>,
    /// The same until a client left.
    timed_out_us: Histogram<u64>,
}

impl Default for Cell {
    fn default() -> Cell {
        Cell {
            offered: 0,
            good: 0,
            late: 0,
            refused: BTreeMap::new(),
            refused_late: 0,
            errors: BTreeMap::new(),
            failed: 0,
            timed_out: 0,
            served_us: latencies(),
            refused_us: latencies(),
            timed_out_us: latencies(),
        }
    }
}

impl Cell {
    /// How many were refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// How long those waited, in microseconds, who were served or left.
    pub(crate) fn waited_us(&self) -> Histogram<u64> {
        let mut waited_us = self.served_us.clone();
        waited_us += &self.timed_out_us;
        waited_us
    }

    /// How many have an end.
    pub(super) fn settled(&self) -> u64 {
        let errors = self.errors.values().sum::<u64>();
        self.good + self.late + self.refusals() + errors + self.failed + self.timed_out
    }

    /// Adds the counts of `other`.
    pub(crate) fn add(&mut self, other: &Cell) {
        self.offered += other.offered;
        self.good += other.good;
        self.late += other.late;
        self.refused_late += other.refused_late;
        self.failed += other.failed;
        self.timed_out += other.timed_out;
        add_counts(&mut self.refused, &other.refused);
        add_counts(&mut self.errors, &other.errors);
        self.served_us += &other.served_us;
        self.refused_us += &other.refused_us;
        self.timed_out_us += &other.timed_out_us;
    }

    /// Counts one that has ended.
    pub(super) fn record(&mut self, outcome: Outcome, verdict: Verdict, latency: Duration) {
        match (verdict, outcome) {
            (Verdict::Good, _) => self.good += 1,
            (Verdict::Late, _) => self.late += 1,
            (Verdict::Refused, Outcome::Answered(status)) => count(&mut self.refused, status),
            (_, Outcome::Answered(status)) => count(&mut self.errors, status),
            (_, Outcome::Failed(_)) => self.failed += 1,
            (_, Outcome::TimedOut) => self.timed_out += 1,
        }
        match verdict {
            Verdict::Good | Verdict::Late => record_latency(&mut self.served_us, latency),
            Verdict::Refused => {
                self.refused_late += u64::from(latency > DOOR);
                record_latency(&mut self.refused_us, latency);
            }
            Verdict::Unserved if outcome == Outcome::TimedOut => {
                record_latency(&mut self.timed_out_us, latency);
            }
            Verdict::Unserved => {}
        }
    }
}

fn count(counts: &mut BTreeMap<u16, u64>, status: StatusCode) {
    *counts.entry(status.as_u16()).or_default() += 1;
}

fn add_counts(counts: &mut BTreeMap<u16, u64>, other: &BTreeMap<u16, u64>) {
    for (status, number) in other {
        *counts.entry(*status).or_default() += number;
    }
}
