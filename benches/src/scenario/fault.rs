//! What an origin does instead of answering well.
//!
//! The same words stand in a scenario's phases and in the settings that an origin
//! takes over its control port. How a fault is played is the origin's.

use crate::origin::pages::Route;
use crate::units::{DURATION, FRACTION};
use plimsoll::yaml::field::Field;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long `latency` holds an answer back, and `drip` a piece of one, unless the scenario says otherwise:
/// longer than most proxies' patience for a byte, and shorter than most for an answer.
const DELAY: Duration = Duration::from_secs(1);

/// A kind of misbehaviour, whom it meets, and how often.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// What happens.
    pub(crate) fault: Kind,
    /// To which part of the requests.
    #[serde(default = "all")]
    pub(crate) share: f64,
    /// On which pages; everywhere if none is named.
    #[serde(default)]
    pub(crate) routes: Vec<Route>,
    /// How long `latency` and each piece of `drip` take.
    #[serde(default = "delay_ms")]
    pub(crate) delay_ms: u64,
}

/// A kind of misbehaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The answer is 500.
    Error,
    /// The answer is late, and keeps no worker meanwhile.
    Latency,
    /// The connection is closed without an answer.
    Abort,
    /// The connection is reset (RST) without an answer.
    Reset,
    /// No answer ever comes.
    Hang,
    /// The answer comes byte by byte.
    Drip,
    /// The connection is closed in the middle of the body.
    Truncate,
}

impl Kind {
    const WORDS: [(&'static str, Kind); 7] = [
        ("error", Kind::Error),
        ("latency", Kind::Latency),
        ("abort", Kind::Abort),
        ("reset", Kind::Reset),
        ("hang", Kind::Hang),
        ("drip", Kind::Drip),
        ("truncate", Kind::Truncate),
    ];
}

impl Fault {
    pub(super) fn read(field: &Field<'_>) -> Option<Fault> {
        let section = field.section()?;
        let fault = section.require("fault", "`fault: reset`").and_then(|field| field.choice(&Kind::WORDS));
        let share = section.get("share").and_then(|field| field.read_as(&FRACTION));
        let routes = section.get("routes").map(|field| field.list_or_one()).unwrap_or_default();
        let routes = routes.iter().filter_map(|field| field.choice(&Route::WORDS)).collect();
        let delay = section.get("delay").and_then(|field| field.read_as(&DURATION));
        section.close();
        let delay_ms = delay.unwrap_or(DELAY).as_millis() as u64;
        Some(Fault { fault: fault?, share: share.unwrap_or(1.0), routes, delay_ms })
    }

    /// How long `latency` and each piece of `drip` take.
    pub(crate) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }
}

fn all() -> f64 {
    1.0
}

fn delay_ms() -> u64 {
    DELAY.as_millis() as u64
}
