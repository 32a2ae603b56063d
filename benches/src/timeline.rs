//! What happened in each second of a run, class by class.
//!
//! A total hides how a shop fell over and got up again. So each second is closed
//! when its time is over: its counts and its median and 99th percentile are kept,
//! its histogram is used again. An end is counted in the second in which it
//! happens, a request in the one in which it is sent.
//!
//! It is for charts and for people who watch. What counts in the end is in `tally`.

use crate::latencies::{latencies, quantile, record_latency};
use crate::report::millis;
use crate::tally::Verdict;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The seconds that are kept: a day of them, the longest phase a scenario may have.
const SECONDS_MAX: usize = 24 * 60 * 60;

/// The seconds of a run, one after the other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Series {
    /// Requests sent.
    pub(crate) offered: Vec<u32>,
    /// Served as expected, in time.
    pub(crate) good: Vec<u32>,
    /// Served as expected, too late.
    pub(crate) late: Vec<u32>,
    /// Turned away on purpose.
    pub(crate) refused: Vec<u32>,
    /// Ended otherwise: an error, a broken connection, the client's patience.
    pub(crate) failed: Vec<u32>,
    /// The median latency of what was served; none in a second without.
    pub(crate) p50_ms: Vec<Option<f64>>,
    /// Its 99th percentile.
    pub(crate) p99_ms: Vec<Option<f64>>,
}

/// The seconds of a run that are over, and the one that is not.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    lanes: Vec<Lane>,
}

/// One class, or, in the last lane, all of them.
#[derive(Clone, Debug)]
struct Lane {
    past: Series,
    now: Present,
}

#[derive(Clone, Debug)]
struct Present {
    offered: u32,
    good: u32,
    late: u32,
    refused: u32,
    failed: u32,
    served_us: Histogram<u64>,
}

impl Timeline {
    /// A timeline of nothing yet.
    pub(crate) fn new(classes: usize) -> Timeline {
        let lane = Lane { past: Series::default(), now: Present::new() };
        Timeline { lanes: vec![lane; classes + 1] }
    }

    /// Counts a request that is being sent at `time`.
    pub(crate) fn offer(&mut self, class: usize, time: Duration) {
        self.close_before(time);
        self.both(class, |lane| lane.now.offered += 1);
    }

    /// Counts the end of a request at `time`.
    pub(crate) fn settle(&mut self, class: usize, verdict: Verdict, latency: Duration, time: Duration) {
        self.close_before(time);
        self.both(class, |lane| lane.now.settle(verdict, latency));
    }

    /// Closes the seconds that are over at `time`, also those in which nothing happened.
    pub(crate) fn close_before(&mut self, time: Duration) {
        let over = usize::try_from(time.as_secs()).unwrap_or(usize::MAX).min(SECONDS_MAX);
        while self.total().len() < over {
            self.lanes.iter_mut().for_each(Lane::close);
        }
    }

    /// The seconds of each class.
    pub(crate) fn classes(&self) -> impl Iterator<Item = &Series> {
        let (_, classes) = self.lanes.split_last().expect("there is a lane for all classes");
        classes.iter().map(|lane| &lane.past)
    }

    /// The seconds of all classes together.
    pub(crate) fn total(&self) -> &Series {
        &self.lanes.last().expect("there is a lane for all classes").past
    }

    fn both(&mut self, class: usize, count: impl Fn(&mut Lane)) {
        let all = self.lanes.len() - 1;
        count(&mut self.lanes[class]);
        count(&mut self.lanes[all]);
    }
}

impl Lane {
    fn close(&mut self) {
        let (past, now) = (&mut self.past, &mut self.now);
        past.offered.push(now.offered);
        past.good.push(now.good);
        past.late.push(now.late);
        past.refused.push(now.refused);
        past.failed.push(now.failed);
        past.p50_ms.push(quantile(&now.served_us, 0.5).map(millis));
        past.p99_ms.push(quantile(&now.served_us, 0.99).map(millis));
        now.clear();
    }
}

impl Present {
    fn new() -> Present {
        Present { offered: 0, good: 0, late: 0, refused: 0, failed: 0, served_us: latencies() }
    }

    fn settle(&mut self, verdict: Verdict, latency: Duration) {
        match verdict {
            Verdict::Good => self.good += 1,
            Verdict::Late => self.late += 1,
            Verdict::Refused => self.refused += 1,
            Verdict::Unserved => self.failed += 1,
        }
        if matches!(verdict, Verdict::Good | Verdict::Late) {
            record_latency(&mut self.served_us, latency);
        }
    }

    /// Keeps the histogram's memory: there is one for each class, and a second is short.
    fn clear(&mut self) {
        (self.offered, self.good, self.late, self.refused, self.failed) = (0, 0, 0, 0, 0);
        // A reset touches all of the histogram, and a class may be silent for long.
        if !self.served_us.is_empty() {
            self.served_us.reset();
        }
    }
}

impl Series {
    /// How many seconds are over.
    pub(crate) fn len(&self) -> usize {
        self.offered.len()
    }

    /// The last second, as one line that leaves room for a label in 80 columns.
    pub(crate) fn last_line(&self) -> String {
        let last = |counts: &[u32]| counts.last().copied().unwrap_or_default();
        let p99 = self.p99_ms.last().copied().flatten().map_or("-".into(), |p99| format!("{p99:.0} ms"));
        format!(
            "offered {:>5} in time {:>5} refused {:>5} p99 {p99:>7}",
            last(&self.offered),
            last(&self.good),
            last(&self.refused)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn second_is_closed_when_its_time_is_over() {
        let mut timeline = Timeline::new(2);
        timeline.offer(0, at(100));
        timeline.settle(0, Verdict::Good, at(30), at(130));
        timeline.offer(1, at(999));
        assert_eq!(timeline.total().len(), 0);
        timeline.settle(1, Verdict::Refused, at(1), at(1_000));
        timeline.close_before(at(2_000));
        assert_eq!(
            (timeline.total().offered.as_slice(), timeline.total().refused.as_slice()),
            (&[2, 0][..], &[0, 1][..])
        );
        let classes: Vec<_> = timeline.classes().collect();
        assert_eq!((classes[0].good.as_slice(), classes[1].refused.as_slice()), (&[1, 0][..], &[0, 1][..]));
        assert!((classes[0].p50_ms[0].unwrap() - 30.0).abs() < 0.1 && classes[0].p50_ms[1].is_none());
    }

    #[test]
    fn seconds_without_requests_are_seconds_too() {
        let mut timeline = Timeline::new(1);
        timeline.offer(0, at(5_500));
        timeline.close_before(at(6_000));
        assert_eq!(timeline.total().offered, [0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn timeline_keeps_a_day() {
        let mut timeline = Timeline::new(0);
        let day = Duration::from_secs(SECONDS_MAX as u64);
        timeline.close_before(day - at(1_000));
        assert_eq!(timeline.total().len(), SECONDS_MAX - 1);
        timeline.close_before(day * 2);
        assert_eq!(timeline.total().len(), SECONDS_MAX);
    }
}
