//! Normal clients beside an attack: a few hundred requests a second at fixed times.
//!
//! Each must be answered with the page, whole; anything else has failed.

use crate::client::Client;
use crate::clock::Clock;
use crate::closed_loop::request;
use crate::latencies::{latencies, quantile, record_latency};
use crate::report::millis;
use hdrhistogram::Histogram;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

/// Clients, every second of which connects anew for each request.
const CLIENTS: u32 = 16;
/// In all: little enough for one core to have most of its time for the attack.
const REQUESTS_PER_SECOND: u32 = 200;
/// Who waits longer has not been served.
const PATIENCE: Duration = Duration::from_secs(10);

/// What normal clients felt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Felt {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl fmt::Display for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Felt { requests, failed, p50_ms, p99_ms } = self;
        write!(f, "p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, {failed} of {requests} failed")
    }
}

/// Asks `target` for `length`.
pub(super) async fn ask(target: SocketAddr, length: Duration) -> Felt {
    let clock = Clock::start();
    let gap = Duration::from_secs(1) / REQUESTS_PER_SECOND;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(one(target, clock, number, gap, length));
    }
    let (mut all, mut failed) = (latencies(), 0);
    while let Some(client) = clients.join_next().await {
        let (served, more) = client.expect("a client does not panic");
        all += served;
        failed += more;
    }
    let at = |share| quantile(&all, share).map(millis).unwrap_or_default();
    Felt { requests: all.len() + failed, failed, p50_ms: at(0.5), p99_ms: at(0.99) }
}

async fn one(
    target: SocketAddr,
    clock: Clock,
    number: u32,
    gap: Duration,
    length: Duration,
) -> (Histogram<u64>, u64) {
    let kept = Client::new(target);
    let (mut served, mut failed) = (latencies(), 0);
    let mut due = gap * number;
    while due < length {
        tokio::time::sleep_until(clock.instant(due)).await;
        let request = request(target, "/");
        let answer = async {
            if number.is_multiple_of(2) {
                kept.exchange(request).await
            } else {
                Client::new(target).exchange(request).await
            }
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) if answer.status.is_success() => {
                record_latency(&mut served, clock.elapsed().saturating_sub(due));
            }
            _ => failed += 1,
        }
        due += gap * CLIENTS;
    }
    (served, failed)
}
