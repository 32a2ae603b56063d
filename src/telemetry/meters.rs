//! The counters of one class, resolved, so that counting is one atomic addition.
//!
//! While there is a canary what was decided is counted once more, apart for each arm.

use plimsoll_core::decision::{Decision, Reason};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

/// Which of two generations decided, while there is a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    /// The canary.
    Canary,
    /// The generation in force.
    Rest,
}

impl Arm {
    /// The name in metrics and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Arm::Canary => "canary",
            Arm::Rest => "rest",
        }
    }
}

/// The counters of one class of one arm, resolved.
#[derive(Clone, Debug)]
pub struct ArmMeters {
    /// Requests admitted, observed ones included.
    pub admitted: Counter,
    /// Requests refused.
    pub shed: Counter,
    /// Requests answered well and within the SLO's latency.
    pub slo_kept: Counter,
    /// Requests refused, answered with 5xx, or too late.
    pub slo_missed: Counter,
}

/// The counters of one class, resolved.
#[derive(Clone, Debug)]
pub struct ClassMeters {
    /// Requests admitted.
    pub admitted: Counter,
    /// Requests admitted in observe mode that enforcing would have refused.
    pub observed: Counter,
    /// Requests refused, by [`Reason::index`].
    pub shed: [Counter; Reason::ALL.len()],
    /// Clients that left before their answer.
    pub left: Counter,
    /// Time spent waiting for a seat, of those who waited.
    pub queue_wait: Histogram,
    /// Time to the upstream's first byte.
    pub upstream: Histogram,
    /// Answers by hundreds of status: index 0 is 1xx.
    pub statuses: [Counter; 5],
    /// Requests answered well and within the SLO's latency.
    pub slo_kept: Counter,
    /// Requests refused, answered with 5xx, or too late.
    pub slo_missed: Counter,
    /// What is counted once more for its arm, while there are two.
    pub arm: Option<ArmMeters>,
}

impl ClassMeters {
    /// Counts a decision that is no `Queue`.
    pub fn count_decision(&self, decision: Decision) {
        let arm = self.arm.as_ref();
        match decision {
            Decision::Shed(reason) => {
                self.shed[reason.index()].inc();
                arm.inspect(|arm| _ = arm.shed.inc());
            }
            Decision::AdmitObserved(_) => {
                self.observed.inc();
                arm.inspect(|arm| _ = arm.admitted.inc());
            }
            Decision::Admit | Decision::Queue => {
                self.admitted.inc();
                arm.inspect(|arm| _ = arm.admitted.inc());
            }
        }
    }

    /// Counts whether a request kept its SLO.
    pub fn count_slo(&self, is_kept: bool) {
        let counter = if is_kept { &self.slo_kept } else { &self.slo_missed };
        counter.inc();
        if let Some(arm) = &self.arm {
            let counter = if is_kept { &arm.slo_kept } else { &arm.slo_missed };
            counter.inc();
        }
    }
}
