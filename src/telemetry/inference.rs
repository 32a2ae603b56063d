//! What is measured of the model: whether it answers, how often it was asked, how long that took, and how far the
//! sessions and requests of late are from those it learned from.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::registration::{registered, seconds};
use crate::generation::Generation;

/// Seconds, from what an inference takes (some microseconds) to more than any budget for it.
const BUCKETS: [f64; 11] = [1e-6, 2e-6, 4e-6, 8e-6, 16e-6, 32e-6, 64e-6, 128e-6, 512e-6, 2e-3, 8e-3];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FeatureLabel {
    feature: String,
}

/// The metrics.
#[derive(Debug)]
pub struct InferenceMetrics {
    /// Time of each inference.
    pub time: Histogram,
    usable: Gauge,
    runs: Gauge,
    recalled: Gauge,
    bots: Gauge,
    failures: Gauge,
    overruns: Gauge,
    drift: Family<FeatureLabel, Gauge<f64, AtomicU64>>,
}

impl InferenceMetrics {
    pub(super) fn new(registry: &mut Registry) -> InferenceMetrics {
        let drift =
            "Population stability index of recent sessions and requests against training; 0.25 is much";
        InferenceMetrics {
            time: seconds(registry, "model", "Time of an inference of the model", Histogram::new(BUCKETS)),
            usable: registered(registry, "model_usable", "1 if the model answers, else 0"),
            runs: registered(registry, "model_runs", "Inferences of the model in force"),
            recalled: registered(registry, "model_recalled", "Classes its memo gave instead of an inference"),
            bots: registered(registry, "model_bots", "Unrouted requests whose agent calls itself a bot"),
            failures: registered(registry, "model_failures", "Inferences without an answer in [0, 1]"),
            overruns: registered(registry, "model_overruns", "Inferences over budget"),
            drift: registered(registry, "model_drift", drift),
        }
    }

    /// Sets the gauges of the model of `generation`.
    pub(super) fn set(&self, generation: &Generation) {
        self.usable.set(i64::from(generation.is_model_usable()));
        let Some(model) = &generation.model else { return };
        let counters = model.counters();
        self.runs.set(counters.runs as i64);
        self.recalled.set(counters.recalled as i64);
        self.bots.set(counters.bots as i64);
        self.failures.set(counters.failures as i64);
        self.overruns.set(counters.overruns as i64);
        // A bundle of other histograms may have come in between.
        self.drift.clear();
        for (feature, index) in model.drift() {
            self.drift.get_or_create(&FeatureLabel { feature }).set(index);
        }
    }
}
