//! The scenario: one file that says which load meets which origin.
//!
//! There is one format for everything that produces load, so that a run over
//! sockets and a run in virtual time can be compared by their file name. It
//! describes requests by what they are worth to the shop (`class`) and what
//! they cost the origin (`cost`); load is written as a multiple of the
//! origin's capacity, so that the same file fits origins of every size.
//!
//! Reading is strict: unknown keys are errors, and an error names its place as
//! `file:line:column`. It does not decide when which request is sent: see
//! `arrivals`.

use crate::units;
use crate::units::Rate;
use http::Method;
use http::uri::PathAndQuery;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_saphyr::Location;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
    /// The requests, drawn by weight.
    #[serde(deserialize_with = "units::non_empty")]
    pub(crate) mix: Vec<Template>,
    /// The course of the load.
    #[serde(deserialize_with = "units::non_empty")]
    pub(crate) phases: Vec<Phase>,
}

/// A storefront of known capacity: `workers / service.mean` units of cost per second.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// How many requests it works on at once.
    #[serde(deserialize_with = "worker_count")]
    pub(crate) workers: usize,
    /// How long a request of cost 1 keeps a worker.
    pub(crate) service: Service,
    /// By how much each waiting request prolongs the service of all.
    #[serde(default, deserialize_with = "units::fraction")]
    pub(crate) thrash: f64,
}

impl Origin {
    /// What the origin can serve, in units of cost per second.
    pub(crate) fn capacity(&self) -> f64 {
        self.workers as f64 / self.service.mean.as_secs_f64()
    }
}

/// The distribution of service times.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// The mean, for a request of cost 1.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) mean: Duration,
    /// Service is uniform in mean x (1 +- spread).
    #[serde(default = "half", deserialize_with = "units::fraction")]
    pub(crate) spread: f64,
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

/// A kind of request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// What it is.
    #[expect(dead_code, reason = "a required comment: it is there for those who read the file")]
    pub(crate) name: String,
    /// The class under which its outcome is counted.
    pub(crate) class: String,
    /// The request method.
    #[serde(default = "get", deserialize_with = "method")]
    pub(crate) method: Method,
    /// One of these is asked for. `{500}` stands for a number from 1 to 500.
    #[serde(deserialize_with = "units::non_empty")]
    pub(crate) paths: Vec<PathPattern>,
    /// The request body, if it has one.
    #[serde(default)]
    pub(crate) body: String,
    /// What it costs the origin, in units.
    #[serde(default = "one", deserialize_with = "units::positive")]
    pub(crate) cost: f64,
    /// How often it is drawn, relative to the others.
    #[serde(deserialize_with = "units::positive")]
    pub(crate) weight: f64,
    /// Overrides the scenario's.
    #[serde(default, deserialize_with = "units::some_duration")]
    pub(crate) slo: Option<Duration>,
    /// Who sends it.
    #[serde(default)]
    pub(crate) shopper: ShopperKind,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ShopperKind {
    /// Any visitor.
    #[default]
    Anyone,
    /// One of those who buy.
    Buyer,
}

/// A stretch of constant load.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Phase {
    /// A short name for reports.
    pub(crate) name: String,
    /// How long it lasts.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) duration: Duration,
    /// How fast requests arrive.
    pub(crate) load: Rate,
}

/// A path with at most one `{n}` in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PathPattern {
    prefix: String,
    variants: Option<u32>,
    suffix: String,
}

impl PathPattern {
    /// How many paths it stands for.
    pub(crate) fn variants(&self) -> u32 {
        self.variants.unwrap_or(1)
    }

    /// The path with `number` in its place.
    pub(crate) fn fill(&self, number: u32) -> String {
        match self.variants {
            Some(_) => format!("{}{number}{}", self.prefix, self.suffix),
            None => self.prefix.clone(),
        }
    }

    fn parse(text: &str) -> Option<PathPattern> {
        let pattern = match text.split_once('{') {
            None => PathPattern { prefix: text.into(), variants: None, suffix: String::new() },
            Some((prefix, rest)) => {
                let (count, suffix) = rest.split_once('}')?;
                let count = count.parse().ok().filter(|count| *count > 0)?;
                PathPattern { prefix: prefix.into(), variants: Some(count), suffix: suffix.into() }
            }
        };
        let valid = text.starts_with('/') && pattern.fill(1).parse::<PathAndQuery>().is_ok();
        valid.then_some(pattern)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PathPattern, D::Error> {
        let text = String::deserialize(deserializer)?;
        PathPattern::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a path: write `/product/{{500}}`")))
    }
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioError {
    #[error("cannot read the scenario {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path}:{line}:{column}: {message}")]
    Parse { path: PathBuf, line: u64, column: u64, message: String },
}

impl Scenario {
    /// The scenario in the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Scenario, ScenarioError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ScenarioError::Read { path: path.to_owned(), source })?;
        Scenario::parse(path, &text)
    }

    /// The scenario in `text`; `path` is for messages.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Scenario, ScenarioError> {
        serde_saphyr::from_str(text).map_err(|error| {
            let location = error.location().unwrap_or(Location::UNKNOWN);
            ScenarioError::Parse {
                path: path.to_owned(),
                line: location.line(),
                column: location.column(),
                message: error.without_snippet().to_string(),
            }
        })
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

    /// The arrival rate of a phase, in requests per second.
    pub(crate) fn rate(&self, phase: &Phase) -> f64 {
        match phase.load {
            Rate::TimesCapacity(times) => times * self.origin.capacity(),
            Rate::PerSecond(rate) => rate,
        }
    }
}

fn worker_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(D::Error::custom("an origin needs at least one worker")),
        workers => Ok(workers),
    }
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Method, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(format!("`{text}` is not a request method")))
}

fn get() -> Method {
    Method::GET
}

fn one() -> f64 {
    1.0
}

fn half() -> f64 {
    0.5
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
