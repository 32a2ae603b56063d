//! What a policy says beyond what the core needs: refusals, model, clients, sessions.
//!
//! Plain checked values, ready for whoever acts on them. They read no file and
//! decide nothing.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, StatusCode};
use plimsoll_core::policy::{ClassId, Share};

use crate::classify::cookies::CookieNames;
use crate::classify::glob::PathGlob;
use crate::classify::leeway::Leeway;
use crate::classify::session::Visit;

/// What the shell knows of one class.
#[derive(Clone, Debug)]
pub struct ClassSettings {
    /// The share of answers that should keep the SLO's latency.
    pub objective: Share,
    /// What a request of it means to the funnel of its session.
    pub visit: Visit,
    /// The value of its requests, in [0, 1], where no model says better.
    pub value: f32,
    /// Whether a session's stage may lift its requests to a better class.
    pub carried: bool,
    /// The longest body of its requests; `None` for what the process's settings allow.
    pub body_bytes_max: Option<u64>,
    /// Whether a request is tried again: at another endpoint when one cannot be connected, or on another
    /// connection when its endpoint has closed the one it had kept.
    pub retried: bool,
    /// Whether a request may make a WebSocket of its connection.
    pub may_upgrade: bool,
    /// How its requests are refused.
    pub refusal: Refusal,
}

/// How a class is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status: 503, unless the operator knows better.
    pub status: StatusCode,
    /// `Retry-After` is drawn from it, so that those refused together do not return together.
    pub retry_after: RangeInclusive<Duration>,
    /// What the answer says.
    pub body: RefusalBody,
}

/// The body of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalBody {
    /// A small page or JSON object, as the request accepts.
    Auto,
    /// Nothing: for beacons, whose answers nobody reads.
    None,
}

/// Which sessions there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// The cookies that carry a session.
    pub cookies: CookieNames,
    /// How many sessions are remembered at most.
    pub sessions_max: usize,
}

/// Where the model's bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleSource {
    /// Inside the binary.
    Embedded,
    /// In this directory, found from where the file lies that names it.
    Directory(PathBuf),
}

/// What the model may do.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRules {
    /// Where it comes from.
    pub bundle: BundleSource,
    /// Whether it gives a class to requests that no route takes.
    pub decides_unrouted: bool,
    /// Whether it may move what a route takes that leaves it leeway.
    pub decides_routed: bool,
    /// How far it may move what no route takes, and whatever a route says nothing else of.
    pub leeway: Leeway,
    /// The class of requests that neither a route nor the model decides.
    pub fallback: ClassId,
    /// How long one inference may take; slower ones count towards disabling it.
    pub time_budget: Duration,
}

/// How clients are held to their share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRules {
    /// Whether a client's recent rate lowers its standing.
    pub usage_penalty: bool,
    /// Hard limits, all of which must pass.
    pub limits: Vec<RateLimit>,
}

/// When a policy is taken back by itself after it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackRules {
    /// Whether it ever is.
    pub automatic: bool,
    /// For how long after it was applied, and what is compared with: the same time before.
    pub window: Duration,
    /// The classes whose SLO must not worsen.
    pub protected: Vec<ClassId>,
}

/// What is written down for a model to learn from.
#[derive(Clone, Debug)]
pub struct LearningRules {
    /// The paths of what a shop shows after an order.
    pub path: PathGlob,
    /// The status it shows it with.
    pub status: StatusCode,
    /// The response header that tells what the order is worth.
    pub order_value: HeaderName,
    /// The share of requests that are written down.
    pub sampled: Share,
    /// The share of those whose value would matter that draw one instead.
    pub drawn: Share,
}

/// A hard limit: whoever exceeds it is refused with 429.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// One bucket for each of these; all must pass.
    pub keys: Vec<LimitKey>,
    /// How many requests ...
    pub count: NonZeroU32,
    /// ... per this time.
    pub period: Duration,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

/// What a hard limit counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// The session.
    Session,
    /// The client's address.
    Address,
}
