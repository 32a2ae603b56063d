//! What is counted of endpoints that do not answer.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::registration::registered;

/// The counters.
#[derive(Debug)]
pub struct UpstreamMetrics {
    /// Connections that failed.
    pub connect_failures: Counter,
    /// Requests tried at another endpoint after one of these.
    pub retries: Counter,
    /// Names of endpoints that could not be looked up.
    pub lookup_failures: Counter,
    /// Endpoints left alone for failing.
    pub ejections: Counter,
}

impl UpstreamMetrics {
    pub(super) fn new(registry: &mut Registry) -> UpstreamMetrics {
        let connect_failures = "Connections to upstreams that failed";
        let retries =
            "Requests tried again after one endpoint could not be connected, or had closed a kept connection";
        let lookup_failures = "Names of endpoints that could not be looked up";
        let ejections = "Endpoints left alone, because requests failed there";
        UpstreamMetrics {
            connect_failures: registered(registry, "connect_failures", connect_failures),
            retries: registered(registry, "retries", retries),
            lookup_failures: registered(registry, "lookup_failures", lookup_failures),
            ejections: registered(registry, "ejections", ejections),
        }
    }
}
