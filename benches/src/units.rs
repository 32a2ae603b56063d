//! The units of scenario files: `40ms`, `25%`, `4x`, `1600/s`.
//!
//! A bare number is refused: whether `40` means milliseconds or seconds is a
//! mistake nobody sees until the run is over. The range of a value is checked
//! where it is read, so that the error points at the line it stands on.
//!
//! It does not check one value against another.

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// The longest duration anything in a scenario may have.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

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

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let text = String::deserialize(deserializer)?;
        let rate = match (text.strip_suffix('x'), text.strip_suffix("/s")) {
            (Some(times), _) => positive_number(times).map(Rate::TimesCapacity),
            (_, Some(rate)) => positive_number(rate).map(Rate::PerSecond),
            _ => None,
        };
        rate.ok_or_else(|| {
            D::Error::custom(format!("`{text}` is not a load: write `4x` (of capacity) or `1600/s`"))
        })
    }
}

/// A duration with its unit, longer than zero and at most a day.
pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(duration) if duration > DURATION_MAX => {
            Err(D::Error::custom(format!("`{text}` is more than a day")))
        }
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(D::Error::custom(format!("`{text}` is not a duration: write `40ms`, `2s` or `1m 30s`"))),
    }
}

/// As [`duration`], for a key that may be absent.
pub(crate) fn some_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// A percentage from `0%` to `100%`, as a fraction.
pub(crate) fn fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.strip_suffix('%')
        .and_then(|number| number.trim_end().parse::<f64>().ok())
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| D::Error::custom(format!("`{text}` is not a percentage from 0% to 100%: write `25%`")))
}

/// As [`fraction`], for a key that may be absent.
pub(crate) fn some_fraction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    fraction(deserializer).map(Some)
}

/// A percentage from `0%` to `100%`, in a place that cannot say how it is read.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Fraction(#[serde(deserialize_with = "fraction")] pub(crate) f64);

/// A finite number above zero, in a place that cannot say how it is read.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Positive(#[serde(deserialize_with = "positive")] pub(crate) f64);

/// A multiple of something: `0.5x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Times(pub(crate) f64);

impl Default for Times {
    /// As it was.
    fn default() -> Times {
        Times(1.0)
    }
}

impl<'de> Deserialize<'de> for Times {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Times, D::Error> {
        let text = String::deserialize(deserializer)?;
        let times = text.strip_suffix('x').and_then(positive_number).map(Times);
        times.ok_or_else(|| D::Error::custom(format!("`{text}` is not a multiple: write `0.5x` or `10x`")))
    }
}

/// As [`positive`], for a key that may be absent.
pub(crate) fn some_positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    positive(deserializer).map(Some)
}

/// A finite number above zero.
pub(crate) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number.is_finite() && number > 0.0 {
        return Ok(number);
    }
    Err(D::Error::custom(format!("{number} must be a number above zero")))
}

/// A list of at least one item.
pub(crate) fn non_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(NonEmpty(PhantomData))
}

struct NonEmpty<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for NonEmpty<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of at least one item")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        if list.is_empty() {
            Err(A::Error::custom("the list is empty: it needs at least one item"))
        } else {
            Ok(list)
        }
    }
}

fn positive_number(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0)
}
