//! The shop behind the proxy: how much it can do, and what it leans on.

use super::named::Named;
use super::phase::Place;
use crate::service_time::Distribution;
use crate::units;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use std::time::Duration;

/// A storefront of known capacity: `workers / service.mean` units of cost per second.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// How many requests it works on at once.
    #[serde(deserialize_with = "at_least_one")]
    pub(crate) workers: usize,
    /// How long a request of cost 1 keeps a worker.
    pub(crate) service: Service,
    /// By how much each waiting request prolongs the service of all.
    #[serde(default, deserialize_with = "units::fraction")]
    pub(crate) thrash: f64,
    /// How many machines share the workers; each has a line of its own. In simulation.
    #[serde(default = "one", deserialize_with = "at_least_one")]
    pub(crate) endpoints: usize,
    /// What some requests need besides a worker, in simulation: payment, search.
    #[serde(default)]
    pub(crate) dependencies: Named<Dependency>,
}

impl Origin {
    /// What the origin can serve, in units of cost per second.
    pub(crate) fn capacity(&self) -> f64 {
        self.workers as f64 / self.service.mean.as_secs_f64()
    }

    /// What is wrong with `place`, if this origin has no such place.
    pub(super) fn lacks(&self, place: Place<'_>) -> Option<String> {
        match place {
            Place::Endpoint(index) if index >= self.endpoints => {
                Some(format!("there is no endpoint {}: the origin has {}", index + 1, self.endpoints))
            }
            Place::Dependency(name) if self.dependencies.get(name).is_none() => Some(format!(
                "the origin has no `{name}`: write `origin`, `endpoint 1` or a name from `origin.dependencies`"
            )),
            _ => None,
        }
    }
}

/// How long a service takes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// The mean, for a request of cost 1.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) mean: Duration,
    /// How it spreads around the mean.
    #[serde(default)]
    pub(crate) distribution: Distribution,
    /// Short for `distribution: uniform:...`.
    #[serde(default, deserialize_with = "units::some_fraction")]
    pub(crate) spread: Option<f64>,
}

impl Service {
    /// How it spreads around its mean.
    pub(crate) fn distribution(&self) -> Distribution {
        self.spread.map_or(self.distribution, |spread| Distribution::Uniform { spread })
    }
}

/// A service that a worker calls and waits for: a payment provider, a search engine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dependency {
    /// How many calls it answers at once; others wait in line, each holding its worker.
    #[serde(deserialize_with = "at_least_one")]
    pub(crate) slots: usize,
    /// How long a call takes, whatever the request costs.
    pub(crate) service: Service,
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(D::Error::custom("an origin needs at least one worker, endpoint and slot: 0 is none")),
        number => Ok(number),
    }
}

fn one() -> usize {
    1
}
