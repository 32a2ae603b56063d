//! How late the requests of a phase were sent, at the worst of times.
//!
//! A generator that stands still for five seconds of ten minutes sends 0.8 % of its
//! requests late. No p99 of the whole run shows it, and yet the longest latencies, and
//! all of a short phase, are its doing and not the target's. So each phase is judged by
//! itself, a long one minute by minute, and of pooled runs each by itself: what is
//! kept is the worst p99.
//!
//! It judges nothing: whether a run is valid is the tally's to say.

use crate::latencies::{latencies, quantile, record_latency};
use hdrhistogram::Histogram;
use std::time::Duration;

/// The p99 of the send lag above which a run is invalid: 2 % of the usual SLO of
/// one second, beyond which the generator and not the target decides what is late.
pub(crate) const LAG_P99_MAX: Duration = Duration::from_millis(20);
/// Requests of so much time, and of less than twice as much, have one p99. In a minute 0.6 s of standing still
/// count, and the tenth of a second that any machine is away for now and then does not.
const JUDGED_TOGETHER: Duration = Duration::from_secs(60);

/// When a request should have been sent, and how much later it was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Departure {
    /// From the start of the run.
    pub(crate) due: Duration,
    /// Nothing where time is virtual.
    pub(crate) lag: Duration,
}

/// How late the requests of one phase were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PhaseLag {
    /// Index of the phase.
    pub(crate) phase: usize,
    /// In its worst minute, and its worst run.
    pub(crate) p99: Duration,
}

impl PhaseLag {
    /// Whether this machine, and not the target, decided what came late.
    pub(crate) fn is_too_much(self) -> bool {
        self.p99 > LAG_P99_MAX
    }
}

/// The lags of one phase.
#[derive(Clone, Debug)]
pub(super) struct Lags {
    /// How long a part of the phase is that is judged by itself.
    part: Duration,
    /// When the present part is over.
    part_end: Duration,
    /// The microseconds of the present part.
    present_us: Histogram<u64>,
    /// The worst p99 of the parts before, and of other runs.
    worst: Option<Duration>,
}

impl Lags {
    /// Of a phase of this length, in which nothing was sent yet.
    pub(super) fn over(length: Duration) -> Lags {
        let parts = (length.as_secs_f64() / JUDGED_TOGETHER.as_secs_f64()).floor().max(1.0);
        Lags { part: length.div_f64(parts), part_end: Duration::ZERO, present_us: latencies(), worst: None }
    }

    /// Counts a request.
    pub(super) fn record(&mut self, Departure { due, lag }: Departure) {
        if due >= self.part_end {
            self.worst = self.worst_p99();
            self.present_us.reset();
            self.part_end = due.saturating_add(self.part);
        }
        record_latency(&mut self.present_us, lag);
    }

    /// The worst p99; `None` if nothing was sent.
    pub(super) fn worst_p99(&self) -> Option<Duration> {
        self.worst.max(p99(&self.present_us))
    }

    /// Adds the lags of another run of the same phase.
    pub(super) fn add(&mut self, other: &Lags) {
        self.worst = self.worst.max(other.worst_p99());
    }
}

/// The p99, and of fewer than a hundred the last but one: a single late request is not what a phase was like.
fn p99(lags_us: &Histogram<u64>) -> Option<Duration> {
    let number = lags_us.len() as f64;
    // Half a rank below the last but one, so that no rounding reaches the last.
    let last_but_one = ((number - 1.5) / number).max(0.0);
    quantile(lags_us, last_but_one.min(0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(1);

    /// So many requests a second, those due in the span sent late.
    fn lags(length: u64, per_second: u64, late: std::ops::Range<u64>) -> Lags {
        let mut lags = Lags::over(Duration::from_secs(length));
        for number in 0..length * per_second {
            let lag = if late.contains(&(number / per_second)) { LATE } else { Duration::ZERO };
            let due = Duration::from_secs(number) / per_second as u32;
            lags.record(Departure { due, lag });
        }
        lags
    }

    fn is_late(lags: &Lags) -> bool {
        lags.worst_p99().is_some_and(|p99| p99 > LAG_P99_MAX)
    }

    #[test]
    fn stall_of_five_seconds_in_ten_minutes_shows_wherever_it_falls() {
        assert!(!is_late(&lags(600, 100, 0..0)));
        for start in [0, 58, 300, 595] {
            assert!(is_late(&lags(600, 100, start..start + 5)), "{start}");
        }
    }

    #[test]
    fn phase_of_a_minute_and_a_half_has_one_p99() {
        // One second of 90 is more than a hundredth, and one of 110 is less.
        assert!(is_late(&lags(90, 100, 89..90)) && !is_late(&lags(110, 100, 109..110)));
    }

    #[test]
    fn log_without_an_end_is_judged_by_the_minute() {
        let mut lags = Lags::over(Duration::MAX);
        assert!(lags.part.abs_diff(JUDGED_TOGETHER) < Duration::from_millis(1), "{:?}", lags.part);
        let due = Duration::MAX;
        lags.record(Departure { due, lag: LATE });
        assert!(is_late(&lags));
    }

    #[test]
    fn single_late_request_of_few_is_chance_and_the_second_is_not() {
        for number in [2, 30, 100, 150] {
            let mut lags = Lags::over(Duration::from_secs(10));
            let mut send =
                |count: u32, lag| (0..count).for_each(|_| lags.record(Departure { due: LATE, lag }));
            send(number - 1, Duration::ZERO);
            send(1, LATE);
            assert!(!is_late(&lags), "{number}");
            lags.record(Departure { due: LATE, lag: LATE });
            assert!(is_late(&lags), "{number}");
        }
        assert!(is_late(&lags(1, 1, 0..1)), "the only one is all there is");
    }

    #[test]
    fn run_on_time_does_not_hide_one_that_was_not() {
        let (mut pooled, late) = (lags(10, 100, 0..0), lags(10, 100, 0..5));
        (0..100).for_each(|_| pooled.add(&lags(1, 1, 0..0)));
        assert!(!is_late(&pooled));
        pooled.add(&late);
        assert!(is_late(&pooled));
    }
}
