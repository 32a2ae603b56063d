//! What a policy promises: requests, and what should become of them.
//!
//! Plain checked values; [`trial`](crate::trial) holds a generation against them.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::Request;
use plimsoll_core::policy::ClassId;

use crate::classify::session::SessionView;

/// What a test calls it if no schedule holds.
pub const NO_SCHEDULE: &str = "none";

/// A request, and what the policy should make of it. What is `None` is not looked at.
#[derive(Clone, Debug)]
pub struct PolicyTest {
    /// Where it stands: `file:line`.
    pub defined_at: Box<str>,
    /// What is asked for.
    pub request: Request<()>,
    /// The client's address.
    pub client: Option<IpAddr>,
    /// The GraphQL operation of its body.
    pub operation: Option<String>,
    /// What is known of its session.
    pub session: SessionView,
    /// When it comes, since 1970 in UTC: the schedule of then holds. Without it none does.
    pub at: Option<Duration>,
    /// What each class offers the shop meanwhile, in multiples of its capacity.
    pub load: Vec<(ClassId, f64)>,
    /// The class it should get.
    pub class: Option<ClassId>,
    /// Who should decide that.
    pub class_by: Option<ClassBy>,
    /// What it should be worth.
    pub value: Option<RangeInclusive<f32>>,
    /// The pool it should go to; `default` is the default one.
    pub pool: Option<String>,
    /// The schedule that should hold when it comes; `none` is none of them.
    pub schedule: Option<String>,
    /// What should become of it under the load.
    pub decision: Option<Expected>,
}

/// Who decided the class of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClassBy {
    /// A route of the policy.
    Route,
    /// The model.
    Model,
    /// The policy's fallback: no route, and no usable model or none allowed.
    Fallback,
}

impl ClassBy {
    /// The name in metrics, logs and `explain`.
    pub const fn name(self) -> &'static str {
        match self {
            ClassBy::Route => "route",
            ClassBy::Model => "model",
            ClassBy::Fallback => "fallback",
        }
    }
}

/// What should become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is served.
    Admit,
    /// It is refused.
    Shed,
}

pub(super) const DECIDERS: [(&str, ClassBy); 3] =
    [("route", ClassBy::Route), ("model", ClassBy::Model), ("fallback", ClassBy::Fallback)];
pub(super) const DECISIONS: [(&str, Expected); 2] = [("admit", Expected::Admit), ("shed", Expected::Shed)];
