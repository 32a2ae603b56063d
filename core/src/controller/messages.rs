//! What a controller is told, and what it answers. It decides nothing.

use crate::breaker::Forced;
use crate::decision::{Decision, Evidence, RequestId};
use crate::policy::{ClassId, Policy};
use crate::standing::{Tenure, Value};
use crate::time::Time;
use std::sync::Arc;

/// A request that asks for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its name. One that still waits or holds a permit under the same slot counts as abandoned.
    pub request: RequestId,
    /// Its class under the policy the controller has now.
    pub class: ClassId,
    /// What it is worth within its class.
    pub value: Value,
    /// Whether its session was admitted before.
    pub tenure: Tenure,
    /// How much its client asked for lately: 0 to [`crate::standing::USAGE_PENALTY_MAX`].
    pub usage_penalty: u8,
    /// Its session's lot: who of equals is served where not all can be. The same for the whole session.
    pub lot: u8,
    /// Whether to ask for it twice is to ask for it once (RFC 9110, 9.2.2), and all of it is at hand; of a preflight,
    /// whether that is so for what it announces.
    pub is_idempotent: bool,
    /// When its answer is worth nothing any more.
    pub deadline: Time,
}

/// How an admitted request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered, and not with a failure of its own.
    Success,
    /// The upstream answered 5xx, or broke off.
    Failed,
    /// The upstream said it is overloaded (503), timed out, or could not be connected.
    Overloaded,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request asks for a permit.
    Arrived(Arrival),
    /// The first byte of an answer came.
    FirstByte {
        /// Whose answer.
        request: RequestId,
        /// When the last byte of the request had been sent.
        sent: Time,
    },
    /// The answer has come in whole, or has failed: the permit is back.
    Finished {
        /// Whose answer.
        request: RequestId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The client left; a permit it held is back.
    Abandoned {
        /// Whose client.
        request: RequestId,
    },
    /// Another policy holds from now on. State is carried over by class name; whoever waits in a
    /// class that is gone waits in the least important one.
    PolicyChanged(Arc<Policy>),
    /// Somebody opens or closes a breaker by hand, until it is left to itself again or its class is gone.
    BreakerForced {
        /// Whose breaker; a class without one may be forced all the same.
        class: ClassId,
        /// How.
        forced: Option<Forced>,
    },
    /// Time has passed.
    Woken,
}

/// An answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The request answered.
    pub request: RequestId,
    /// The answer.
    pub decision: Decision,
    /// What it was decided on.
    pub evidence: Evidence,
}
