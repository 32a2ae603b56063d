//! What a controller shows of itself to people and dashboards. It decides nothing.

use super::Controller;
use crate::breaker::Forced;
use crate::decision::BreakerState;
use crate::policy::ClassId;
use crate::seats::ceiling;
use crate::time::Time;
use std::time::Duration;

/// One class in a [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassSnapshot {
    /// Permits out.
    pub inflight: u32,
    /// Requests waiting.
    pub queued: u32,
    /// The most permits it may hold; fewer than its policy says while it is slow by itself.
    pub ceiling: u32,
    /// Whether it may have more than its floor: no better class is short of seats.
    pub open: bool,
    /// Whether it has had its part of a floor that is less than a seat, and is owed none for a while.
    pub rests: bool,
    /// Its breaker, if it has one.
    pub breaker: Option<BreakerState>,
    /// What somebody has forced it to be.
    pub forced: Option<Forced>,
    /// Its healthy latency, zero while unknown.
    pub baseline: Duration,
}

/// What `/v1/state` and the metrics show of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The limit now.
    pub limit: u32,
    /// Permits out.
    pub inflight: u32,
    /// The classes in the order of the policy.
    pub classes: Vec<ClassSnapshot>,
}

impl Controller {
    /// The state for people and dashboards.
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let open = self.open_rings(now);
        let class = |id: ClassId| ClassSnapshot {
            inflight: self.seats.taken_by(id),
            queued: self.queue.class_length(id),
            ceiling: ceiling(&self.policy, self.limit.slow_alone(), self.limit.current(), id),
            open: open.has_any_of(id),
            rests: self.seats.rests(id, self.policy.class(id).floor, self.limit.current(), now),
            breaker: self.breakers[id.index()].state_under(self.policy.class(id).breaker.as_ref(), now),
            forced: self.breakers[id.index()].forced(),
            baseline: self.limit.baseline(id.index()),
        };
        Snapshot {
            limit: self.limit.current(),
            inflight: self.seats.taken(),
            classes: self.policy.ids().map(class).collect(),
        }
    }
}
