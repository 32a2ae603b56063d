//! The shop behind the proxy: how much it can do, and what it leans on.

use super::phase::{Phase, Place};
use crate::service_time::Distribution;
use crate::units::{DISTRIBUTION, DURATION, FRACTION};
use plimsoll::yaml::diagnostic::Mistake;
use plimsoll::yaml::field::Field;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How many workers, machines or slots a shop may have: none is no shop, and a million is more than any.
const SEATS: RangeInclusive<usize> = 1..=1_000_000;

/// A storefront of known capacity: `workers / service.mean` units of cost per second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// How many requests it works on at once.
    pub(crate) workers: usize,
    /// How long a request of cost 1 keeps a worker.
    pub(crate) service: Service,
    /// By how much each waiting request prolongs the service of all.
    pub(crate) thrash: f64,
    /// How many machines share the workers; each has a line of its own. In simulation.
    pub(crate) endpoints: usize,
    /// What some requests need besides a worker: payment, search.
    pub(crate) dependencies: BTreeMap<String, Dependency>,
}

impl Origin {
    /// What the origin can serve, in units of cost per second.
    pub(crate) fn capacity(&self) -> f64 {
        self.workers as f64 / self.service.mean.as_secs_f64()
    }

    /// What it can serve while a phase lasts, which may take workers away or slow them down.
    pub(crate) fn capacity_in(&self, phase: &Phase) -> f64 {
        let of_endpoint = |(index, workers): (usize, usize)| {
            let own = phase.slow.iter().find(|(name, _)| Place::named(name) == Place::Endpoint(index));
            let slow = own.map(|(_, times)| times).or_else(|| phase.slow.get("origin"));
            (workers as f64 * phase.workers.0).round().max(1.0) / slow.map_or(1.0, |times| times.0)
        };
        let busy: f64 = self.shares().into_iter().enumerate().map(of_endpoint).sum();
        busy / self.service.mean.as_secs_f64()
    }

    /// The workers of each machine.
    pub(crate) fn shares(&self) -> Vec<usize> {
        let machines = self.endpoints.min(self.workers);
        let share = |index| self.workers / machines + usize::from(index < self.workers % machines);
        (0..machines).map(share).collect()
    }

    pub(super) fn read(field: &Field<'_>) -> Option<Origin> {
        let origin = field.section()?;
        let seats = |key| origin.get(key).and_then(|field| field.number(SEATS));
        let workers = origin.require("workers", "`workers: 16`").and_then(|field| field.number(SEATS));
        let service = origin.require("service", "`service: { mean: 40ms }`");
        let service = service.and_then(|field| Service::read(&field));
        let thrash = origin.get("thrash").and_then(|field| field.read_as(&FRACTION));
        let endpoints = seats("endpoints");
        let dependencies = origin.get("dependencies").map(|field| dependencies(&field));
        origin.close();
        Some(Origin {
            workers: workers?,
            service: service?,
            thrash: thrash.unwrap_or_default(),
            endpoints: endpoints.unwrap_or(1),
            dependencies: dependencies.unwrap_or_default(),
        })
    }

    /// What is wrong with `place`, if this origin has no such place.
    pub(super) fn lacks(&self, place: Place<'_>) -> Option<Mistake> {
        match place {
            Place::Endpoint(index) if index >= self.endpoints => {
                let message =
                    format!("there is no endpoint {}: the origin has {}", index + 1, self.endpoints);
                Some(Mistake::new(message).hint("add `origin.endpoints`"))
            }
            Place::Dependency(name) if !self.dependencies.contains_key(name) => {
                let known = ["origin", "endpoint 1"].into_iter();
                let known = known.chain(self.dependencies.keys().map(String::as_str));
                Some(Mistake::unknown("place of the shop", name, known))
            }
            _ => None,
        }
    }
}

/// How long a service takes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Service {
    /// The mean, for a request of cost 1.
    pub(crate) mean: Duration,
    /// How it spreads around the mean.
    pub(crate) distribution: Distribution,
    /// Short for `distribution: uniform:...`.
    pub(crate) spread: Option<f64>,
}

impl Service {
    /// How it spreads around its mean.
    pub(crate) fn distribution(&self) -> Distribution {
        self.spread.map_or(self.distribution, |spread| Distribution::Uniform { spread })
    }

    fn read(field: &Field<'_>) -> Option<Service> {
        let service = field.section()?;
        let mean = service.require("mean", "`mean: 40ms`").and_then(|field| field.read_as(&DURATION));
        let distribution = service.get("distribution").and_then(|field| field.read_as(&DISTRIBUTION));
        let spread = service.get("spread").and_then(|field| field.read_as(&FRACTION));
        service.close();
        Some(Service { mean: mean?, distribution: distribution.unwrap_or_default(), spread })
    }
}

/// A service that a worker calls and waits for: a payment provider, a search engine.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    /// How many calls it answers at once; others wait in line, each holding its worker.
    pub(crate) slots: usize,
    /// How long a call takes, whatever the request costs.
    pub(crate) service: Service,
}

fn dependencies(field: &Field<'_>) -> BTreeMap<String, Dependency> {
    let entries = field.entries().unwrap_or_default().into_iter();
    entries.filter_map(|(name, field)| Some((name.to_owned(), dependency(&field)?))).collect()
}

fn dependency(field: &Field<'_>) -> Option<Dependency> {
    let dependency = field.section()?;
    let slots = dependency.require("slots", "`slots: 8`").and_then(|field| field.number(SEATS));
    let service = dependency.require("service", "`service: { mean: 60ms }`");
    let service = service.and_then(|field| Service::read(&field));
    dependency.close();
    Some(Dependency { slots: slots?, service: service? })
}
