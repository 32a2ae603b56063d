//! The numbers of the last second of a run, for people who watch it.
//!
//! They are not totals: a shop that falls over is seen falling. What counts in
//! the end is in `tally`.

use crate::tally::{Verdict, latencies, quantile, record_latency};
use hdrhistogram::Histogram;
use std::time::Duration;

/// The counts of a short while.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    offered: u64,
    good: u64,
    refused: u64,
    served_us: Histogram<u64>,
}

impl Default for Live {
    fn default() -> Live {
        Live { offered: 0, good: 0, refused: 0, served_us: latencies() }
    }
}

impl Live {
    /// Counts a request that is being sent.
    pub(crate) fn offer(&mut self) {
        self.offered += 1;
    }

    /// Counts the end of a request.
    pub(crate) fn settle(&mut self, verdict: Verdict, latency: Duration) {
        match verdict {
            Verdict::Good => self.good += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Late | Verdict::Unserved => {}
        }
        if matches!(verdict, Verdict::Good | Verdict::Late) {
            record_latency(&mut self.served_us, latency);
        }
    }

    /// The counts, as one line that leaves room for a label in 80 columns.
    pub(crate) fn line(&self) -> String {
        let p99 = quantile(&self.served_us, 0.99).map_or("-".into(), |p99| format!("{} ms", p99.as_millis()));
        let Live { offered, good, refused, .. } = self;
        format!("offered {offered:>5} in time {good:>5} refused {refused:>5} p99 {p99:>7}")
    }
}
