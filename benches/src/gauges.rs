//! What plimsoll says of itself while it is under load: limit, seats taken, waiting.
//!
//! Asked for over its admin address five times a second, which costs it nothing
//! that a run could show. A state that does not come is left out: a run does not
//! fail because nobody could watch it. One that never came is the caller's to tell.

use crate::client::Client;
use crate::clock::Clock;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Often enough to see a limit move between two of its steps, which take about a tenth of a second each.
const EVERY: Duration = Duration::from_millis(200);
/// A day of samples, as of seconds in a timeline.
const SAMPLES_MAX: usize = 5 * 24 * 60 * 60;
/// Where the admin API has it.
const STATE_PATH: &str = "/v1/state";

/// The state of a proxy's pools, added up.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Gauge {
    /// Seconds from the start of the run.
    pub(crate) at_s: f64,
    /// How many requests may be in flight.
    pub(crate) limit: f64,
    /// How many are.
    pub(crate) inflight: f64,
    /// How many wait for a seat.
    pub(crate) queued: f64,
}

/// Watches the admin API of a proxy, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    admin: Option<Client>,
    /// Held for a push or a copy.
    samples: Mutex<Vec<Gauge>>,
}

/// What is read of a proxy's state; it says more.
#[derive(Deserialize)]
struct State {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct Pool {
    limit: f64,
    inflight: f64,
    queued: f64,
}

impl Gauges {
    /// Gauges that ask `admin`.
    pub(crate) fn of(admin: Client) -> Gauges {
        Gauges { admin: Some(admin), samples: Mutex::default() }
    }

    /// Asks again and again, with the time of `clock`.
    pub(crate) async fn watch(&self, clock: Clock) -> Infallible {
        let Some(admin) = &self.admin else { return std::future::pending().await };
        loop {
            let answer = admin.get(STATE_PATH).await;
            if let Some(gauge) = answer.ok().and_then(|answer| read(&answer.body, clock.elapsed())) {
                let mut samples = self.samples();
                if samples.len() < SAMPLES_MAX {
                    samples.push(gauge);
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// What has been seen so far.
    pub(crate) fn samples(&self) -> MutexGuard<'_, Vec<Gauge>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(state: &[u8], time: Duration) -> Option<Gauge> {
    let State { pools } = serde_json::from_slice(state).ok()?;
    let sum = |of: fn(&Pool) -> f64| pools.iter().map(of).sum();
    Some(Gauge {
        at_s: time.as_secs_f64(),
        limit: sum(|pool| pool.limit),
        inflight: sum(|pool| pool.inflight),
        queued: sum(|pool| pool.queued),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_added_up() {
        let state = br#"{"generation": 1, "pools": [
            {"pool": "default", "limit": 20.5, "inflight": 18, "queued": 3, "classes": []},
            {"pool": "payments", "limit": 4.0, "inflight": 1, "queued": 0, "classes": []}]}"#;
        let gauge = Gauge { at_s: 2.5, limit: 24.5, inflight: 19.0, queued: 3.0 };
        assert_eq!(read(state, Duration::from_millis(2_500)), Some(gauge));
        assert_eq!(read(b"not ready", Duration::ZERO), None);
    }
}
