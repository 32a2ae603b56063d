//! The course of the load, and of what happens to the shop meanwhile.

use super::named::Named;
use crate::units;
use crate::units::{Fraction, Positive, Rate, Times};
use serde::Deserialize;
use std::time::Duration;

/// A stretch of one load.
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
    /// How the load varies: multiples of it, each for an equal part of the phase. Empty: it does not.
    #[serde(default)]
    pub(crate) shape: Vec<Times>,
    /// The share of each class in the arrivals, in place of the mix's own. A class left out does not arrive.
    #[serde(default)]
    pub(crate) weights: Named<Positive>,
    /// By how much the number of the origin's workers changes, in simulation.
    #[serde(default)]
    pub(crate) workers: Times,
    /// By how much service takes longer, at a place of the shop, in simulation.
    #[serde(default)]
    pub(crate) slow: Named<Times>,
    /// The share of requests that a place of the shop answers with 500, in simulation.
    #[serde(default)]
    pub(crate) failing: Named<Fraction>,
    /// The share of requests that proxies take for another of the mix, in simulation.
    #[serde(default, deserialize_with = "units::fraction")]
    pub(crate) misjudged: f64,
    /// Whether the policy is read again as the phase begins, in simulation.
    #[serde(default)]
    pub(crate) reload: bool,
    /// By how much the proxies' clocks jump forward as the phase begins, in simulation.
    #[serde(default, deserialize_with = "units::some_duration")]
    pub(crate) clock_jump: Option<Duration>,
}

/// A place of the shop that a phase may slow down or let fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// All endpoints.
    Origin,
    /// One of them, counted from zero.
    Endpoint(usize),
    /// A dependency.
    Dependency(&'a str),
}

impl Place<'_> {
    /// The place of that name: `origin`, `endpoint 3`, or a dependency's own.
    pub(crate) fn named(name: &str) -> Place<'_> {
        match name.strip_prefix("endpoint ").map(str::parse::<usize>) {
            Some(Ok(number)) if number > 0 => Place::Endpoint(number - 1),
            _ if name == "origin" => Place::Origin,
            _ => Place::Dependency(name),
        }
    }
}
