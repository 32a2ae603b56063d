//! How clients behave beyond sending one request: bursts, retries, funnels.

use crate::units;
use crate::units::{Positive, Times};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_saphyr::Spanned;
use std::time::Duration;

/// Load that comes in bursts: a process that is switched on and off, for exponential times.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bursts {
    /// How long a burst lasts in the mean.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) on: Duration,
    /// How long it is calm between two, in the mean.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) off: Duration,
    /// The load in a burst, as a multiple of the mean. What is left comes in between.
    pub(crate) peak: Times,
}

impl Bursts {
    /// The load between two bursts, as a multiple of the mean.
    pub(crate) fn trough(&self) -> f64 {
        let (on, off) = (self.on.as_secs_f64(), self.off.as_secs_f64());
        ((on + off - self.peak.0 * on) / off).max(0.0)
    }

    /// Whether the bursts alone are more than the mean.
    pub(crate) fn exceed_the_mean(&self) -> bool {
        self.peak.0 * self.on.as_secs_f64() > (self.on + self.off).as_secs_f64()
    }
}

/// What a client does that was refused, failed or lost patience.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retries {
    /// How often a request is sent again.
    #[serde(deserialize_with = "attempts")]
    pub(crate) attempts: u32,
    /// The pause before the first retry; it doubles with each.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) backoff: Duration,
    /// How the pause is drawn.
    #[serde(default)]
    pub(crate) jitter: Jitter,
}

/// How the pause before a retry is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Jitter {
    /// As it is: those refused together return together.
    #[default]
    None,
    /// Uniform from nothing to twice the pause.
    Full,
}

/// Shoppers who go from step to step, and give up where they are not served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Funnel {
    /// What it is.
    #[expect(dead_code, reason = "a required comment: it is there for those who read the file")]
    pub(crate) name: String,
    /// Sessions that begin per second while the load is 1x; in proportion otherwise.
    pub(crate) begin: Positive,
    /// The mean time a shopper thinks between an answer and the next step.
    #[serde(deserialize_with = "units::duration")]
    pub(crate) think: Duration,
    /// The class of each step's request, in order.
    #[serde(deserialize_with = "units::non_empty")]
    pub(crate) steps: Vec<Spanned<String>>,
}

fn attempts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        attempts @ 1..=100 => Ok(attempts),
        attempts => Err(D::Error::custom(format!("{attempts} is no number of retries from 1 to 100"))),
    }
}
