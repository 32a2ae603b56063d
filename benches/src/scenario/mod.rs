//! The scenario: one file that says which load meets which origin.
//!
//! There is one format for everything that produces load, so that a run over
//! sockets and a run in virtual time can be compared by their file name. It
//! describes requests by what they are worth to the shop (`class`) and what
//! they cost the origin (`cost`); load is written as a multiple of the
//! origin's capacity, so that the same file fits origins of every size.
//!
//! Reading is strict: unknown keys are errors, and an error names its place as
//! `file:line:column`. What only a simulation can do is marked so, and a command
//! that works over sockets refuses a scenario that asks for it. It does not
//! decide when which request is sent: see `arrivals`.

pub(crate) mod clients;
pub(crate) mod named;
pub(crate) mod origin;
pub(crate) mod phase;
pub(crate) mod template;

use crate::tally::Span;
use crate::units;
use crate::units::{Positive, Rate};
use clients::{Bursts, Funnel, Retries};
use origin::Origin;
use phase::{Phase, Place};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use std::path::{Path, PathBuf};
use std::time::Duration;
use template::Template;

/// A described load.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// A short name for reports.
    pub(crate) name: String,
    /// What the scenario shows, for people.
    pub(crate) description: String,
    /// Makes a run repeatable; `--seed` overrides it.
    #[serde(default)]
    pub(crate) seed: u64,
    /// The shop behind the proxy.
    pub(crate) origin: Origin,
    /// A response that takes longer, counted from the intended send time, came late.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) slo: Duration,
    /// A client that waits longer closes its connection and leaves.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) patience: Duration,
    /// How arrivals follow one another.
    #[serde(default)]
    pub(crate) arrivals: Process,
    /// Who sends the requests.
    #[serde(default)]
    pub(crate) shoppers: Shoppers,
    /// How the load varies by itself.
    #[serde(default)]
    pub(crate) bursts: Option<Spanned<Bursts>>,
    /// What clients do who were not served, in simulation.
    #[serde(default)]
    pub(crate) retries: Option<Retries>,
    /// Shoppers who go from step to step, besides the requests of the mix, in simulation.
    #[serde(default)]
    pub(crate) funnels: Vec<Funnel>,
    /// The traffic of each of several proxies, relative to the others, in simulation. Empty: there is one.
    #[serde(default)]
    pub(crate) proxies: Vec<Positive>,
    /// How long a message takes from one machine to the next, in simulation.
    #[serde(default)]
    pub(crate) wire: Wire,
    /// The requests, drawn by weight.
    #[serde(deserialize_with = "units::non_empty")]
    pub(crate) mix: Vec<Template>,
    /// The course of the load.
    #[serde(deserialize_with = "units::non_empty")]
    pub(crate) phases: Vec<Phase>,
}

/// How arrivals follow one another.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Process {
    /// Independent shoppers: exponential gaps.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
}

/// The people behind the requests. Their number follows from the load: one who
/// sends a request every `pause` accounts for `1 / pause` requests per second.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shoppers {
    /// Requests in one visit; then somebody new takes the place.
    pub(crate) visit: u32,
    /// The mean time between two requests of one shopper.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) pause: Duration,
    /// The share of shoppers who send the requests marked `shopper: buyer`.
    #[serde(deserialize_with = "units::fraction")]
    pub(crate) buyers: f64,
}

impl Default for Shoppers {
    /// Twenty requests, three seconds apart: a visit of a minute. An assumption:
    /// no target depends on it.
    fn default() -> Shoppers {
        Shoppers { visit: 20, pause: Duration::from_secs(3), buyers: 0.25 }
    }
}

/// The way of a message, one way. Nothing by default: a proxy stands beside its shop.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wire {
    /// Between client and proxy.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) client: Duration,
    /// Between proxy and origin.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) origin: Duration,
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioError {
    #[error("cannot read the scenario {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}:{column}: {message}")]
    Parse { path: PathBuf, line: u64, column: u64, message: String },
    #[error("{path}: {keys} can only be simulated: use `plimsoll-bench simulate`")]
    SimulationOnly { path: PathBuf, keys: String },
}

impl Scenario {
    /// The scenario in the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Scenario, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        Scenario::parse(path, &text)
    }

    /// The scenario in the file at `path`, for a run over sockets.
    pub(crate) fn read_for_sockets(path: &Path) -> Result<Scenario, ScenarioError> {
        let scenario = Scenario::read(path)?;
        let keys = scenario.simulated_keys();
        if keys.is_empty() {
            return Ok(scenario);
        }
        let keys = keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        Err(ScenarioError::SimulationOnly { path: path.to_owned(), keys })
    }

    /// The scenario in `text`; `path` is for messages.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Scenario, ScenarioError> {
        let mistake = |location: Location, message: String| ScenarioError::Parse {
            path: path.to_owned(),
            line: location.line(),
            column: location.column(),
            message,
        };
        let scenario: Scenario = serde_saphyr::from_str(text).map_err(|error| {
            let location = error.location().unwrap_or(Location::UNKNOWN);
            mistake(location, error.without_snippet().to_string())
        })?;
        match scenario.contradiction() {
            Some((location, message)) => Err(mistake(location, message)),
            None => Ok(scenario),
        }
    }

    /// The first mistake that only shows when one key is held against another.
    fn contradiction(&self) -> Option<(Location, String)> {
        let classes = self.classes();
        let needs = self.mix.iter().filter_map(|template| template.needs.as_ref());
        let needed = needs.map(|name| (name.referenced, Place::Dependency(&name.value)));
        let slow = self
            .phases
            .iter()
            .flat_map(|phase| phase.slow.iter().map(|(name, _)| (phase.slow.location, Place::named(name))));
        let failing = self.phases.iter().flat_map(|phase| {
            phase.failing.iter().map(|(name, _)| (phase.failing.location, Place::named(name)))
        });
        let stray_place = needed.chain(slow).chain(failing).find_map(|(location, place)| {
            let message = self.origin.lacks(place)?;
            Some((location, message))
        });
        let stray_class = self.phases.iter().find_map(|phase| {
            let (name, _) = phase.weights.iter().find(|(name, _)| !classes.contains(name))?;
            Some((phase.weights.location, format!("no request of the mix has the class `{name}`")))
        });
        let steps = self.funnels.iter().flat_map(|funnel| &funnel.steps);
        let stray_step = steps.clone().find(|step| !classes.contains(&step.value.as_str()));
        let stray_step = stray_step
            .map(|step| (step.referenced, format!("no request of the mix has the class `{}`", step.value)));
        let bursts = self.bursts.as_ref().filter(|bursts| bursts.value.exceed_the_mean());
        let too_bursty = bursts.map(|bursts| {
            let message = "the bursts alone are more than the load: `peak` x `on` is at most `on` + `off`";
            (bursts.referenced, message.to_owned())
        });
        stray_place.or(stray_class).or(stray_step).or(too_bursty)
    }

    /// The keys in use that only a simulation understands.
    fn simulated_keys(&self) -> Vec<&'static str> {
        let phase = |used: fn(&Phase) -> bool| self.phases.iter().any(used);
        let keys = [
            ("origin.endpoints", self.origin.endpoints > 1),
            ("origin.dependencies", !self.origin.dependencies.is_empty()),
            ("wire", self.wire.client + self.wire.origin > Duration::ZERO),
            ("retries", self.retries.is_some()),
            ("funnels", !self.funnels.is_empty()),
            ("proxies", !self.proxies.is_empty()),
            ("mix[].upload", self.mix.iter().any(|template| template.upload.is_some())),
            ("mix[].download", self.mix.iter().any(|template| template.download.is_some())),
            ("phases[].misjudged", phase(|phase| phase.misjudged > 0.0)),
            ("phases[].reload", phase(|phase| phase.reload)),
            ("phases[].clock_jump", phase(|phase| phase.clock_jump.is_some())),
            ("phases[].workers", phase(|phase| phase.workers.0 != 1.0)),
            ("phases[].slow", phase(|phase| !phase.slow.is_empty())),
            ("phases[].failing", phase(|phase| !phase.failing.is_empty())),
        ];
        keys.into_iter().filter(|(_, used)| *used).map(|(key, _)| key).collect()
    }

    /// The classes of the mix, in order of first mention.
    pub(crate) fn classes(&self) -> Vec<&str> {
        let mut classes = Vec::new();
        for template in &self.mix {
            if !classes.contains(&template.class.as_str()) {
                classes.push(&template.class);
            }
        }
        classes
    }

    /// When each phase begins and ends.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let mut start = Duration::ZERO;
        let spans = self.phases.iter().map(|phase| {
            let span = Span { start, end: start + phase.duration };
            start = span.end;
            span
        });
        spans.collect()
    }

    /// How often each request of the mix is drawn in a phase, relative to the others.
    pub(crate) fn weights(&self, phase: &Phase) -> Vec<f64> {
        let of_class = |class: &str| {
            let same = self.mix.iter().filter(|template| template.class == class);
            same.map(|template| template.weight).sum::<f64>()
        };
        let weight = |template: &Template| match phase.weights.get(&template.class) {
            _ if phase.weights.is_empty() => template.weight,
            Some(Positive(share)) => share * template.weight / of_class(&template.class),
            None => 0.0,
        };
        self.mix.iter().map(weight).collect()
    }

    /// The sessions of a funnel that begin per second of a phase.
    pub(crate) fn begin_rate(&self, funnel: &Funnel, phase: &Phase) -> f64 {
        funnel.begin.0 * self.rate(phase) / self.origin.capacity()
    }

    /// The arrival rate of a phase, in requests per second.
    pub(crate) fn rate(&self, phase: &Phase) -> f64 {
        match phase.load {
            Rate::TimesCapacity(times) => times * self.origin.capacity(),
            Rate::PerSecond(rate) => rate,
        }
    }
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
