//! Prometheus metrics.
//!
//! What the request path counts is resolved once per generation into
//! [`ClassMeters`], so that counting is one atomic addition. What can be read
//! off the running state (limit, queues, breakers) is a gauge that is set when
//! somebody looks.

use std::time::Duration;

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
use crate::journal::writer::JournalMeters;
use crate::telemetry::connections::ConnectionMetrics;
use crate::telemetry::inference::InferenceMetrics;
use crate::telemetry::meters::{Arm, ArmMeters, ClassMeters};
use crate::telemetry::pools::PoolMetrics;
use crate::telemetry::registration::{Histograms, KindLabel, by_kind, registered, seconds};
use crate::telemetry::rejection::Rejection;
use crate::telemetry::upstreams::UpstreamMetrics;

/// Seconds, from what the proxy itself takes to what a shopper will not wait for.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

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
struct ArmLabels {
    arm: &'static str,
    class: String,
    result: &'static str,
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    queue_wait: Histograms<ClassLabel>,
    upstream: Histograms<ClassLabel>,
    responses: Family<StatusLabels, Counter>,
    slo: Family<SloLabels, Counter>,
    arms: Family<ArmLabels, Counter>,
    rollbacks: Family<KindLabel, Counter>,
    /// By [`Rejection::index`].
    rejections: Vec<Counter>,
    class_by: [Counter; 3],
    reloads: [Counter; 2],
    /// Value head runs skipped, since no decision depended on them.
    pub value_skipped: Counter,
    /// Bytes of bodies that are held until their requests are over.
    pub upload_bytes: Gauge,
    /// Bytes of responses that are held back, or not yet taken by their readers.
    pub held_bytes: Gauge,
    /// Bodies that were not waited for, because too much is held already.
    pub uploads_without_room: Counter,
    /// Records the access log was too slow for.
    pub access_log_dropped: Counter,
    /// What is written of the journal.
    pub journal: JournalMeters,
    /// What is counted of connections.
    pub connections: ConnectionMetrics,
    /// What is measured of the model.
    pub inference: InferenceMetrics,
    /// What is counted of endpoints that do not answer.
    pub upstreams: UpstreamMetrics,
    pools: PoolMetrics,
    generation: Gauge,
    sessions: Gauge,
}

fn seconds_histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

fn histograms(registry: &mut Registry, name: &str, help: &str) -> Histograms<ClassLabel> {
    seconds(registry, name, help, Family::new_with_constructor(seconds_histogram as fn() -> Histogram))
}

fn journal_meters(registry: &mut Registry) -> JournalMeters {
    let lost = registered(registry, "journal_lost", "Events that the journal lacks");
    let bytes = Counter::default();
    let help = "Bytes of the journal that were written";
    registry.register_with_unit("journal", help, Unit::Bytes, bytes.clone());
    JournalMeters { lost, bytes }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut all = Registry::with_prefix("plimsoll");
        let registry = &mut all;
        let rejected = by_kind(registry, "rejections", "Requests rejected before any decision");
        let classified = by_kind(registry, "classified", "Requests by who decided their class");
        let reloaded = by_kind(registry, "reloads", "Reloads of policy and model, by result");
        let answers = "Answers to requests for a seat, by class, decision and reason";
        let first_byte = "Time to the first byte of the upstream's answer";
        let of_canary = "Requests since the canary began, by arm, class and result";
        let no_room = "Bodies not waited for, because too much of others is held";
        let dropped = "Records the access log dropped, because its writer was behind";
        Metrics {
            decisions: registered(registry, "decisions", answers),
            queue_wait: histograms(registry, "queue_wait", "Time waited for a seat, of those who waited"),
            upstream: histograms(registry, "upstream_latency", first_byte),
            responses: registered(registry, "responses", "Answers sent, by class and status"),
            slo: registered(registry, "slo", "Requests whose class's SLO was kept, or was not"),
            arms: registered(registry, "canary_requests", of_canary),
            rollbacks: registered(registry, "rollbacks", "Generations gone back from, by cause"),
            value_skipped: registered(registry, "value_skipped", "Value head runs nobody needed"),
            upload_bytes: registered(registry, "upload_bytes", "Bytes of bodies held"),
            held_bytes: registered(registry, "held_bytes", "Bytes of responses held"),
            uploads_without_room: registered(registry, "uploads_without_room", no_room),
            access_log_dropped: registered(registry, "access_log_dropped", dropped),
            generation: registered(registry, "generation", "The generation in force"),
            sessions: registered(registry, "sessions", "Sessions remembered"),
            rejections: Rejection::all().map(|rejection| rejected(rejection.name())).collect(),
            class_by: [ClassBy::Route, ClassBy::Model, ClassBy::Fallback].map(|by| classified(by.name())),
            reloads: ["applied", "rejected"].map(reloaded),
            journal: journal_meters(registry),
            connections: ConnectionMetrics::new(registry),
            inference: InferenceMetrics::new(registry),
            upstreams: UpstreamMetrics::new(registry),
            pools: PoolMetrics::new(registry),
            registry: all,
        }
    }
}

impl Metrics {
    /// The counters of the classes of `policy`, in its order, with those of an arm if there are two.
    pub fn class_meters(&self, policy: &Policy, arm: Option<Arm>) -> Vec<ClassMeters> {
        policy.classes().iter().map(|class| self.meters_of(&class.name, arm)).collect()
    }

    /// Counts the arms from zero.
    pub fn begin_canary(&self) {
        self.arms.clear();
    }

    fn arm_meters(&self, class: &str, arm: Arm) -> ArmMeters {
        let result = |result| {
            let labels = ArmLabels { arm: arm.name(), class: class.to_owned(), result };
            self.arms.get_or_create(&labels).clone()
        };
        ArmMeters {
            admitted: result("admitted"),
            shed: result("shed"),
            slo_kept: result("slo_kept"),
            slo_missed: result("slo_missed"),
        }
    }

    fn meters_of(&self, class: &str, arm: Option<Arm>) -> ClassMeters {
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
            arm: arm.map(|arm| self.arm_meters(class, arm)),
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
        self.pools.set(pool, policy, snapshot);
    }

    /// Sets the gauges of the generation in force.
    pub fn set_generation(&self, generation: &Generation, sessions: usize) {
        self.generation.set(generation.number as i64);
        self.sessions.set(sessions as i64);
        self.inference.set(generation);
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
