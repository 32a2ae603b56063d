//! Histograms of latencies, in microseconds: a p99 is exact to three digits however long the run.

use hdrhistogram::Histogram;
use std::time::Duration;

/// The longest latency told apart; no client has this much patience.
const LATENCY_MAX: Duration = Duration::from_secs(600);

/// A quantile of recorded microseconds; `None` if nothing was recorded.
pub(crate) fn quantile(histogram: &Histogram<u64>, quantile: f64) -> Option<Duration> {
    (!histogram.is_empty()).then(|| Duration::from_micros(histogram.value_at_quantile(quantile)))
}

/// An empty histogram of microseconds.
pub(crate) fn latencies() -> Histogram<u64> {
    let max = u64::try_from(LATENCY_MAX.as_micros()).expect("ten minutes fit");
    Histogram::new_with_bounds(1, max, 3).expect("the bounds are constant and valid")
}

/// Adds a latency; one beyond the histogram's range counts as the longest.
pub(crate) fn record_latency(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}
