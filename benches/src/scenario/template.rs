//! What is asked for: kinds of requests, and the paths they stand for.

use crate::units;
use http::Method;
use http::uri::PathAndQuery;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_saphyr::Spanned;
use std::fmt;
use std::time::Duration;

/// A kind of request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Template {
    /// What it is.
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
    /// Overrides the scenario's.
    #[serde(default, deserialize_with = "units::some_duration")]
    pub(crate) patience: Option<Duration>,
    /// Who sends it.
    #[serde(default)]
    pub(crate) shopper: ShopperKind,
    /// What its answer in time is worth to the shop, in simulation.
    #[serde(default, deserialize_with = "units::some_positive")]
    worth: Option<f64>,
    /// How long its client takes to send it to the origin once it is let in, in simulation.
    #[serde(default, deserialize_with = "units::some_duration")]
    pub(crate) upload: Option<Duration>,
    /// How long its answer takes from the first byte to the last, in simulation.
    #[serde(default, deserialize_with = "units::some_duration")]
    pub(crate) download: Option<Duration>,
    /// The dependency its worker calls before it can answer, in simulation.
    #[serde(default)]
    pub(crate) needs: Option<Spanned<String>>,
}

impl Template {
    /// What its answer in time is worth to the shop: its cost, unless the scenario says more.
    pub(crate) fn worth(&self) -> f64 {
        self.worth.unwrap_or(self.cost)
    }
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
    /// One session that sends all of these.
    Abuser,
}

/// A path with at most one `{n}` in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PathPattern {
    prefix: String,
    variants: Option<u32>,
    suffix: String,
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variants {
            Some(variants) => write!(f, "{}{{{variants}}}{}", self.prefix, self.suffix),
            None => f.write_str(&self.prefix),
        }
    }
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
