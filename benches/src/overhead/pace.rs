//! How long an answer takes from a server that has little to do.
//!
//! A few connections, each of which asks at fixed times, one after the other: a
//! thousand requests per second in all, an eighth of what the slowest proxy here
//! does on one core. Latency counts from the time a request should have been sent.

use crate::client::Client;
use crate::clock::Clock;
use crate::closed_loop::{DrillError, request};
use crate::latencies::{latencies, quantile, record_latency};
use crate::report::millis;
use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

const CONNECTIONS: u32 = 16;
const REQUESTS_PER_SECOND: u32 = 1_000;

/// The latency of a server, or how much of it a proxy adds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Latency {
    /// How much more this is than `base`.
    pub(super) fn above(self, base: Latency) -> Latency {
        Latency { p50_ms: self.p50_ms - base.p50_ms, p99_ms: self.p99_ms - base.p99_ms }
    }
}

/// The latency of `path` at `target`, measured for `length`.
pub(super) async fn latency(
    target: SocketAddr,
    path: &'static str,
    length: Duration,
) -> Result<Latency, DrillError> {
    let clock = Clock::start();
    let gap = Duration::from_secs(1) / REQUESTS_PER_SECOND;
    let mut shoppers = JoinSet::new();
    for connection in 0..CONNECTIONS {
        shoppers.spawn(ask(target, path, clock, gap * connection, length));
    }
    let mut all = latencies();
    while let Some(shopper) = shoppers.join_next().await {
        all += shopper.expect("a shopper does not panic")?;
    }
    let at = |share| quantile(&all, share).map(millis).unwrap_or_default();
    Ok(Latency { p50_ms: at(0.5), p99_ms: at(0.99) })
}

/// One connection's requests: the first at `first`, the others evenly after it.
async fn ask(
    target: SocketAddr,
    path: &'static str,
    clock: Clock,
    first: Duration,
    length: Duration,
) -> Result<Histogram<u64>, DrillError> {
    let client = Client::new(target);
    let mut histogram = latencies();
    let mut due = first;
    while due < length {
        tokio::time::sleep_until(clock.instant(due)).await;
        client.exchange(request(target, path)).await?;
        record_latency(&mut histogram, clock.elapsed().saturating_sub(due));
        due += Duration::from_secs(1) * CONNECTIONS / REQUESTS_PER_SECOND;
    }
    Ok(histogram)
}
