//! Gauges of the pools: their seats, who waits, which breaker is open. Set when somebody looks.

use plimsoll_core::controller::Snapshot;
use plimsoll_core::decision::BreakerState;
use plimsoll_core::policy::Policy;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::registration::registered;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolClassLabels {
    pool: String,
    class: String,
}

/// The gauges.
#[derive(Debug)]
pub(super) struct PoolMetrics {
    limit: Family<PoolLabel, Gauge>,
    inflight: Family<PoolLabel, Gauge>,
    queued: Family<PoolClassLabels, Gauge>,
    breaker: Family<PoolClassLabels, Gauge>,
}

impl PoolMetrics {
    pub(super) fn new(registry: &mut Registry) -> PoolMetrics {
        PoolMetrics {
            limit: registered(registry, "limit", "Seats of the pool, as measured"),
            inflight: registered(registry, "inflight", "Seats taken"),
            queued: registered(registry, "queued", "Requests waiting for a seat"),
            breaker: registered(registry, "breaker_state", "Breaker: 0 closed, 1 half open, 2 open"),
        }
    }

    pub(super) fn set(&self, pool: &str, policy: &Policy, snapshot: &Snapshot) {
        let label = PoolLabel { pool: pool.to_owned() };
        self.limit.get_or_create(&label).set(i64::from(snapshot.limit));
        self.inflight.get_or_create(&label).set(i64::from(snapshot.inflight));
        for (class, state) in policy.classes().iter().zip(&snapshot.classes) {
            let label = PoolClassLabels { pool: pool.to_owned(), class: class.name.clone() };
            self.queued.get_or_create(&label).set(i64::from(state.queued));
            let breaker = match state.breaker {
                None | Some(BreakerState::Closed) => 0,
                Some(BreakerState::HalfOpen) => 1,
                Some(BreakerState::Open) => 2,
            };
            self.breaker.get_or_create(&label).set(breaker);
        }
    }
}
