//! Makes metrics, and registers each under its name in the same step: none is made and forgotten.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

/// The label of what differs in nothing but its kind.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct KindLabel {
    pub(super) kind: &'static str,
}

/// A metric that begins at nothing.
pub(super) fn registered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// A histogram of seconds, or a family of them.
pub(super) fn seconds<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// The counters of a family, resolved by their kinds.
pub(super) fn by_kind(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> impl Fn(&'static str) -> Counter + use<> {
    let family: Family<KindLabel, Counter> = registered(registry, name, help);
    move |kind| family.get_or_create(&KindLabel { kind }).clone()
}

/// A family of histograms with these buckets.
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
