//! The units of scenario files: `40ms`, `25%`, `4x`, `1600/s`.
//!
//! A bare number is refused: whether `40` means milliseconds or seconds is a
//! mistake nobody sees until the run is over. The range of a value is checked
//! where it is read, so that the mistake is told with the line it stands on.
//!
//! It does not check one value against another.

use crate::service_time::Distribution;
use http::Method;
use plimsoll::yaml::diagnostic::Mistake;
use plimsoll::yaml::units::Kind;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest duration anything in a scenario may have.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What a weight, a cost or a worth may be: above zero, and far beyond any shop.
pub(crate) const POSITIVE: RangeInclusive<f64> = 0.000_001..=1e9;

/// A duration with its unit, longer than zero and at most a day.
pub(crate) const DURATION: Kind<Duration> =
    Kind { pattern: "^ *([0-9]+ *[a-z]+ *)+$", read: |text| duration(text) };
/// A percentage from `0%` to `100%`, as a fraction.
pub(crate) const FRACTION: Kind<f64> = Kind { pattern: r"^[0-9.]+(e-?[0-9]+)? *%$", read: fraction };
/// How fast requests arrive.
pub(crate) const RATE: Kind<Rate> = Kind { pattern: r"^[0-9.]+(e[0-9]+)?(x|/s)$", read: rate };
/// A multiple of something.
pub(crate) const TIMES: Kind<Times> = Kind { pattern: r"^[0-9.]+(e-?[0-9]+)?x$", read: times };
/// How service times spread around their mean.
pub(crate) const DISTRIBUTION: Kind<Distribution> = Kind {
    pattern: r"^(deterministic|exponential|uniform(:[0-9.]+)?|lognormal:[0-9.]+|pareto:[0-9.]+:[0-9.e]+)$",
    read: distribution,
};
/// A request method.
pub(crate) const METHOD: Kind<Method> = Kind { pattern: "^[!-~]+$", read: method };

/// How fast requests arrive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// A multiple of the origin's capacity: `4x`.
    TimesCapacity(f64),
    /// Requests per second: `1600/s`.
    PerSecond(f64),
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rate::TimesCapacity(times) => write!(f, "{times}x"),
            Rate::PerSecond(rate) => write!(f, "{rate}/s"),
        }
    }
}

/// A finite number above zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Positive(pub(crate) f64);

/// A part of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fraction(pub(crate) f64);

/// A multiple of something: `0.5x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times(pub(crate) f64);

impl Default for Times {
    /// As it was.
    fn default() -> Times {
        Times(1.0)
    }
}

/// A duration with its unit, longer than zero and at most a day.
pub(crate) fn duration(text: &str) -> Result<Duration, Mistake> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration > DURATION_MAX => {
            Err(Mistake::new(format!("`{text}` is more than a day")).hint("at most 24h"))
        }
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => {
            Err(Mistake::new(format!("`{text}` is not a duration")).hint("write it like 40ms, 2s or 1m 30s"))
        }
    }
}

/// A percentage from `0%` to `100%`, as a fraction.
pub(crate) fn fraction(text: &str) -> Result<f64, Mistake> {
    text.strip_suffix('%')
        .and_then(|number| number.trim_end().parse::<f64>().ok())
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| {
            Mistake::new(format!("`{text}` is not a percentage from 0% to 100%")).hint("write it like 25%")
        })
}

fn rate(text: &str) -> Result<Rate, Mistake> {
    let rate = match (text.strip_suffix('x'), text.strip_suffix("/s")) {
        (Some(times), _) => positive(times).map(Rate::TimesCapacity),
        (_, Some(rate)) => positive(rate).map(Rate::PerSecond),
        _ => None,
    };
    let hint = "write it like 4x (of the origin's capacity) or 1600/s";
    rate.ok_or_else(|| Mistake::new(format!("`{text}` is not a load")).hint(hint))
}

fn times(text: &str) -> Result<Times, Mistake> {
    let times = text.strip_suffix('x').and_then(positive).map(Times);
    times.ok_or_else(|| Mistake::new(format!("`{text}` is not a multiple")).hint("write it like 0.5x or 10x"))
}

fn distribution(text: &str) -> Result<Distribution, Mistake> {
    text.parse().map_err(|error| Mistake::new(format!("{error}")))
}

fn method(text: &str) -> Result<Method, Mistake> {
    let hint = "write it like GET or POST";
    text.parse().map_err(|_| Mistake::new(format!("`{text}` is not a request method")).hint(hint))
}

fn positive(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0)
}
