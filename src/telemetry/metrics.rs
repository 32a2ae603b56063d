//! Prometheus metrics.
//!
//! What the request path counts is resolved once per generation into
//! [`ClassMeters`], so that counting is one atomic addition. What can be read
//! off the running state (limit, queues, breakers) is a gauge that is set when
//! somebody looks.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use plimsoll_core::breaker::BreakerState;
use plimsoll_core::controller::Snapshot;
use plimsoll_core::decision::Reason;
use plimsoll_core::policy::Policy;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::generation::{ClassBy, Generation};
use crate::history::Cause;
use crate::hygiene::Flaw;
use crate::journal::writer::JournalMeters;
use crate::telemetry::connections::ConnectionMetrics;
use crate::telemetry::meters::{ClassMeters, Side, SideMeters};

/// Seconds, from what the proxy itself takes to what a shopper will not wait for.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Seconds, from what an inference takes (some microseconds) to more than any budget for it.
const MODEL_BUCKETS: [f64; 11] = [1e-6, 2e-6, 4e-6, 8e-6, 16e-6, 32e-6, 64e-6, 128e-6, 512e-6, 2e-3, 8e-3];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DecisionLabels {
    class: String,
    decision: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClassLabel {
    class: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolLabel {
    pool: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolClassLabels {
    pool: String,
    class: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabels {
    class: String,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SloLabels {
    class: String,
    kept: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SideLabels {
    side: &'static str,
    class: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FeatureLabel {
    feature: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

/// Why a request was rejected before it was anything to decide about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Its head is not in order.
    Flawed(Flaw),
    /// Its body did not come in time, or broke off.
    IncompleteBody,
    /// A hard limit of its session or address.
    RateLimited,
    /// No seat for another stream.
    StreamsFull,
    /// It is one of the less important half, and the process near its end.
    Strained,
}

impl Rejection {
    fn all() -> impl Iterator<Item = Rejection> {
        let others =
            [Rejection::IncompleteBody, Rejection::RateLimited, Rejection::StreamsFull, Rejection::Strained];
        Flaw::ALL.map(Rejection::Flawed).into_iter().chain(others)
    }

    /// Its place in [`Rejection::all`].
    fn index(self) -> usize {
        match self {
            Rejection::Flawed(flaw) => flaw as usize,
            Rejection::IncompleteBody => Flaw::ALL.len(),
            Rejection::RateLimited => Flaw::ALL.len() + 1,
            Rejection::StreamsFull => Flaw::ALL.len() + 2,
            Rejection::Strained => Flaw::ALL.len() + 3,
        }
    }

    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Rejection::Flawed(flaw) => flaw.name(),
            Rejection::IncompleteBody => "incomplete_body",
            Rejection::RateLimited => "rate_limited",
            Rejection::StreamsFull => "streams_full",
            Rejection::Strained => "self_protection",
        }
    }
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    queue_wait: Family<ClassLabel, Histogram, fn() -> Histogram>,
    upstream: Family<ClassLabel, Histogram, fn() -> Histogram>,
    responses: Family<StatusLabels, Counter>,
    /// By [`Rejection::index`].
    rejections: Vec<Counter>,
    /// What is counted of connections.
    pub connections: ConnectionMetrics,
    class_by: [Counter; 3],
    /// Value head runs skipped, since no decision depended on them.
    pub value_skipped: Counter,
    /// Connections to upstreams that failed.
    pub connect_failures: Counter,
    /// Requests tried at another endpoint after one of these.
    pub retries: Counter,
    /// Names of endpoints that could not be looked up.
    pub lookup_failures: Counter,
    /// Endpoints left alone for failing.
    pub ejections: Counter,
    reloads: [Counter; 2],
    slo: Family<SloLabels, Counter>,
    sides: Family<SideLabels, Counter>,
    rollbacks: Family<KindLabel, Counter>,
    /// What is written of the journal.
    pub journal: JournalMeters,
    limit: Family<PoolLabel, Gauge>,
    inflight: Family<PoolLabel, Gauge>,
    queued: Family<PoolClassLabels, Gauge>,
    breaker: Family<PoolClassLabels, Gauge>,
    generation: Gauge,
    sessions: Gauge,
    model_usable: Gauge,
    model_runs: Gauge,
    model_recalled: Gauge,
    model_failures: Gauge,
    model_overruns: Gauge,
    /// Time of each inference.
    pub model_time: Histogram,
    /// Bytes of bodies that are held until their requests are over.
    pub upload_bytes: Gauge,
    /// Bodies that were not waited for, because too much is held already.
    pub uploads_without_room: Counter,
    /// Records the access log was too slow for.
    pub access_log_dropped: Counter,
    model_drift: Family<FeatureLabel, Gauge<f64, AtomicU64>>,
}

fn seconds_histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("plimsoll"),
            decisions: Family::default(),
            queue_wait: Family::new_with_constructor(seconds_histogram),
            upstream: Family::new_with_constructor(seconds_histogram),
            responses: Family::default(),
            rejections: Vec::new(),
            connections: ConnectionMetrics::default(),
            class_by: Default::default(),
            value_skipped: Counter::default(),
            connect_failures: Counter::default(),
            retries: Counter::default(),
            lookup_failures: Counter::default(),
            ejections: Counter::default(),
            reloads: Default::default(),
            slo: Family::default(),
            sides: Family::default(),
            rollbacks: Family::default(),
            journal: JournalMeters::default(),
            limit: Family::default(),
            inflight: Family::default(),
            queued: Family::default(),
            breaker: Family::default(),
            generation: Gauge::default(),
            sessions: Gauge::default(),
            model_usable: Gauge::default(),
            model_runs: Gauge::default(),
            model_recalled: Gauge::default(),
            model_failures: Gauge::default(),
            model_overruns: Gauge::default(),
            model_time: Histogram::new(MODEL_BUCKETS),
            upload_bytes: Gauge::default(),
            uploads_without_room: Counter::default(),
            access_log_dropped: Counter::default(),
            model_drift: Family::default(),
        };
        metrics.register_counters();
        metrics.register_gauges();
        metrics
    }
}

impl Metrics {
    fn register_counters(&mut self) {
        let registry = &mut self.registry;
        let help = "Answers to requests for a seat, by class, decision and reason";
        registry.register("decisions", help, self.decisions.clone());
        let help = "Time waited for a seat, of those who waited";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, self.queue_wait.clone());
        let help = "Time to the first byte of the upstream's answer";
        registry.register_with_unit("upstream_latency", help, Unit::Seconds, self.upstream.clone());
        registry.register("responses", "Answers sent, by class and status", self.responses.clone());
        let help = "Time of an inference of the model";
        registry.register_with_unit("model", help, Unit::Seconds, self.model_time.clone());
        let help = "Bodies not waited for, because too much of others is held";
        registry.register("uploads_without_room", help, self.uploads_without_room.clone());
        let help = "Records the access log dropped, because its writer was behind";
        registry.register("access_log_dropped", help, self.access_log_dropped.clone());
        registry.register("value_skipped", "Value head runs nobody needed", self.value_skipped.clone());
        let help = "Connections to upstreams that failed";
        registry.register("connect_failures", help, self.connect_failures.clone());
        let help = "Requests tried at another endpoint after the first could not be connected";
        registry.register("retries", help, self.retries.clone());
        let help = "Names of endpoints that could not be looked up";
        registry.register("lookup_failures", help, self.lookup_failures.clone());
        let help = "Endpoints left alone, because requests failed there";
        registry.register("ejections", help, self.ejections.clone());
        let by_kind = Family::<KindLabel, Counter>::default();
        let resolved =
            |rejection: Rejection| by_kind.get_or_create(&KindLabel { kind: rejection.name() }).clone();
        self.rejections = Rejection::all().map(resolved).collect();
        self.connections.register(registry);
        registry.register("rejections", "Requests rejected before any decision", by_kind);
        let by_decider = Family::<KindLabel, Counter>::default();
        for by in [ClassBy::Route, ClassBy::Model, ClassBy::Fallback] {
            let label = KindLabel { kind: by.name() };
            self.class_by[by as usize] = by_decider.get_or_create(&label).clone();
        }
        registry.register("classified", "Requests by who decided their class", by_decider);
        let by_result = Family::<KindLabel, Counter>::default();
        for (index, kind) in ["applied", "rejected"].into_iter().enumerate() {
            self.reloads[index] = by_result.get_or_create(&KindLabel { kind }).clone();
        }
        registry.register("reloads", "Reloads of policy and model, by result", by_result);
        registry.register("slo", "Requests whose class's SLO was kept, or was not", self.slo.clone());
        let help = "Requests since the canary began, by side, class and result";
        registry.register("canary_requests", help, self.sides.clone());
        registry.register("journal_lost", "Events that the journal lacks", self.journal.lost.clone());
        let help = "Bytes of the journal that were written";
        registry.register_with_unit("journal", help, Unit::Bytes, self.journal.bytes.clone());
        registry.register("rollbacks", "Generations gone back from, by cause", self.rollbacks.clone());
    }

    fn register_gauges(&mut self) {
        let registry = &mut self.registry;
        registry.register("limit", "Seats of the pool, as measured", self.limit.clone());
        registry.register("inflight", "Seats taken", self.inflight.clone());
        registry.register("queued", "Requests waiting for a seat", self.queued.clone());
        let help = "Breaker: 0 closed, 1 half open, 2 open";
        registry.register("breaker_state", help, self.breaker.clone());
        registry.register("generation", "The generation in force", self.generation.clone());
        registry.register("sessions", "Sessions remembered", self.sessions.clone());
        registry.register("upload_bytes", "Bytes of bodies held", self.upload_bytes.clone());
        registry.register("model_usable", "1 if the model answers, else 0", self.model_usable.clone());
        let help = "Inferences of the model in force";
        registry.register("model_runs", help, self.model_runs.clone());
        let help = "Classes its memo gave instead of an inference";
        registry.register("model_recalled", help, self.model_recalled.clone());
        let help = "Inferences without a finite answer";
        registry.register("model_failures", help, self.model_failures.clone());
        registry.register("model_overruns", "Inferences over budget", self.model_overruns.clone());
        let help = "Population stability index of recent sessions against training; above 0.25 they differ";
        registry.register("model_drift", help, self.model_drift.clone());
    }

    /// The counters of the classes of `policy`, in its order, with those of a side if there are two.
    pub fn class_meters(&self, policy: &Policy, side: Option<Side>) -> Vec<ClassMeters> {
        policy.classes().iter().map(|class| self.meters_of(&class.name, side)).collect()
    }

    /// Counts the sides from zero.
    pub fn begin_canary(&self) {
        self.sides.clear();
    }

    fn side_meters(&self, class: &str, side: Side) -> SideMeters {
        let result = |result| {
            let labels = SideLabels { side: side.name(), class: class.to_owned(), result };
            self.sides.get_or_create(&labels).clone()
        };
        SideMeters {
            admitted: result("admitted"),
            shed: result("shed"),
            slo_kept: result("slo_kept"),
            slo_missed: result("slo_missed"),
        }
    }

    fn meters_of(&self, class: &str, side: Option<Side>) -> ClassMeters {
        let decision = |decision, reason| {
            let labels = DecisionLabels { class: class.to_owned(), decision, reason };
            self.decisions.get_or_create(&labels).clone()
        };
        let status = |status| {
            let labels = StatusLabels { class: class.to_owned(), status };
            self.responses.get_or_create(&labels).clone()
        };
        let slo = |kept| self.slo.get_or_create(&SloLabels { class: class.to_owned(), kept }).clone();
        let label = ClassLabel { class: class.to_owned() };
        ClassMeters {
            admitted: decision("admit", "seat"),
            observed: decision("admit", "observed"),
            shed: Reason::ALL.map(|reason| decision("shed", reason.name())),
            left: decision("leave", "client_left"),
            queue_wait: self.queue_wait.get_or_create(&label).clone(),
            upstream: self.upstream.get_or_create(&label).clone(),
            statuses: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(status),
            slo_kept: slo("yes"),
            slo_missed: slo("no"),
            side: side.map(|side| self.side_meters(class, side)),
        }
    }

    /// Counts a request that was rejected before any decision.
    pub fn reject(&self, rejection: Rejection) {
        self.rejections[rejection.index()].inc();
    }

    /// Counts who decided a request's class.
    pub fn classified(&self, by: ClassBy) {
        self.class_by[by as usize].inc();
    }

    /// Counts a reload.
    pub fn reloaded(&self, applied: bool) {
        self.reloads[usize::from(!applied)].inc();
    }

    /// Counts a rollback.
    pub fn rolled_back(&self, cause: Cause) {
        self.rollbacks.get_or_create(&KindLabel { kind: cause.name() }).inc();
    }

    /// Sets the gauges of a pool.
    pub fn set_pool(&self, pool: &str, policy: &Policy, snapshot: &Snapshot) {
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

    /// Sets the gauges of the generation in force.
    pub fn set_generation(&self, generation: &Generation, sessions: usize) {
        self.generation.set(generation.number as i64);
        self.sessions.set(sessions as i64);
        self.model_usable.set(i64::from(generation.is_model_usable()));
        let Some(model) = &generation.model else { return };
        let counters = model.counters();
        self.model_runs.set(counters.runs as i64);
        self.model_recalled.set(counters.recalled as i64);
        self.model_failures.set(counters.failures as i64);
        self.model_overruns.set(counters.overruns as i64);
        // A bundle of other histograms may have come in between.
        self.model_drift.clear();
        for (feature, index) in model.drift() {
            self.model_drift.get_or_create(&FeatureLabel { feature }).set(index);
        }
    }

    /// All metrics as Prometheus text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

/// Observes a duration in seconds.
pub fn observe(histogram: &Histogram, duration: Duration) {
    histogram.observe(duration.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_has_a_counter_of_its_own() {
        let metrics = Metrics::default();
        for (index, rejection) in Rejection::all().enumerate() {
            assert_eq!(rejection.index(), index, "{rejection:?}");
            metrics.reject(rejection);
            let series = format!("plimsoll_rejections_total{{kind=\"{}\"}} 1\n", rejection.name());
            assert!(metrics.encode().contains(&series), "{series}");
        }
    }
}
