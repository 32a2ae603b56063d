//! The course of the load, and of what happens to the shop meanwhile.

use super::fault::Fault;
use super::origin::Origin;
use super::template::Template;
use super::trace;
use crate::units::{DURATION, FRACTION, Fraction, POSITIVE, Positive, RATE, Rate, TIMES, Times};
use plimsoll::yaml::diagnostic::Mistake;
use plimsoll::yaml::field::{Field, Section};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// A stretch of one load.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    /// A short name for reports.
    pub(crate) name: String,
    /// How long it lasts.
    pub(crate) duration: Duration,
    /// How fast requests arrive.
    pub(crate) load: Rate,
    /// How fast at its end, if the load changes steadily.
    pub(crate) to: Option<Rate>,
    /// How the load varies: multiples of it, each for an equal part of the phase. Empty: it does not.
    pub(crate) shape: Vec<Times>,
    /// Whether its requests are left out of reports and thresholds: until caches are warm, nothing counts.
    pub(crate) warm_up: bool,
    /// The share of each class in the arrivals, in place of the mix's own. A class left out does not arrive.
    pub(crate) weights: BTreeMap<String, Positive>,
    /// By how much the number of the origin's workers changes.
    pub(crate) workers: Times,
    /// By how much service takes longer, at a place of the shop.
    pub(crate) slow: BTreeMap<String, Times>,
    /// The share of requests that a place of the shop answers with 500.
    pub(crate) failing: BTreeMap<String, Fraction>,
    /// What the origin does instead of answering well, over sockets.
    pub(crate) faults: Vec<Fault>,
    /// The share of requests that proxies take for another of the mix, in simulation.
    pub(crate) misjudged: f64,
    /// Whether the policy is read again as the phase begins, in simulation.
    pub(crate) reload: bool,
    /// By how much the proxies' clocks jump forward as the phase begins, in simulation.
    pub(crate) clock_jump: Option<Duration>,
}

/// What the names in a phase refer to.
pub(super) struct Known<'a> {
    pub(super) origin: Option<&'a Origin>,
    pub(super) mix: &'a [Template],
    /// Where files are that the scenario names.
    pub(super) directory: &'a Path,
}

impl Phase {
    /// A phase of a steady load, in which nothing happens to the shop.
    pub(crate) fn plain(duration: Duration, load: Rate) -> Phase {
        Phase {
            name: "plain".into(),
            duration,
            load,
            to: None,
            shape: Vec::new(),
            warm_up: false,
            weights: BTreeMap::new(),
            workers: Times::default(),
            slow: BTreeMap::new(),
            failing: BTreeMap::new(),
            faults: Vec::new(),
            misjudged: 0.0,
            reload: false,
            clock_jump: None,
        }
    }

    /// Its load, for people: `4x`, or `1x to 4x`.
    pub(crate) fn load_label(&self) -> String {
        match self.to {
            Some(to) => format!("{} to {to}", self.load),
            None => self.load.to_string(),
        }
    }

    pub(super) fn read(field: &Field<'_>, known: &Known<'_>) -> Option<Phase> {
        let phase = field.section()?;
        let name = phase.require("name", "`name: calm`").and_then(|field| field.text());
        let duration =
            phase.require("duration", "`duration: 30s`").and_then(|field| field.read_as(&DURATION));
        let load = phase.require("load", "`load: 0.8x`").and_then(|field| field.read_as(&RATE));
        let to = phase.get("to").and_then(|field| field.read_as(&RATE));
        let parts_max = duration.map_or(1, |duration| duration.as_secs() as usize).max(1);
        let shape = phase.get("shape").map(|field| shape(&field, parts_max, known.directory));
        let (warm_up, reload) = (flag(&phase, "warm_up"), flag(&phase, "reload"));
        let weights = phase.get("weights").map(|field| weights(&field, known.mix)).unwrap_or_default();
        let workers = phase.get("workers").and_then(|field| field.read_as(&TIMES));
        let slow = places(&phase, "slow", known, |field| field.read_as(&TIMES));
        let failing = places(&phase, "failing", known, |field| field.read_as(&FRACTION).map(Fraction));
        let faults = phase.get("faults").map(|field| field.list()).unwrap_or_default();
        let faults = faults.iter().filter_map(Fault::read).collect();
        let misjudged = phase.get("misjudged").and_then(|field| field.read_as(&FRACTION));
        let clock_jump = phase.get("clock_jump").and_then(|field| field.read_as(&DURATION));
        phase.close();
        Some(Phase {
            name: name?.to_owned(),
            duration: duration?,
            load: load?,
            to,
            shape: shape.unwrap_or_default(),
            warm_up,
            weights,
            workers: workers.unwrap_or_default(),
            slow,
            failing,
            faults,
            misjudged: misjudged.unwrap_or_default(),
            reload,
            clock_jump,
        })
    }
}

fn flag(phase: &Section<'_>, key: &'static str) -> bool {
    phase.get(key).and_then(|field| field.choice(&[("true", true), ("false", false)])).unwrap_or_default()
}

/// Multiples of the load, or the file they come from.
fn shape(field: &Field<'_>, parts_max: usize, directory: &Path) -> Vec<Times> {
    match field.single(&trace::FILE) {
        Some(Some(file)) => trace::shape(&file, directory, parts_max).unwrap_or_else(|mistake| {
            field.report(mistake);
            Vec::new()
        }),
        Some(None) => Vec::new(),
        None => field.list().iter().filter_map(|item| item.read_as(&TIMES)).collect(),
    }
}

fn weights(field: &Field<'_>, mix: &[Template]) -> BTreeMap<String, Positive> {
    let mut weights = BTreeMap::new();
    for (class, field) in field.entries().unwrap_or_default() {
        let drawn = mix.iter().filter(|template| template.weight > 0.0);
        let mut classes = drawn.map(|template| template.class.as_str());
        if !mix.is_empty() && !classes.clone().any(|known| known == class) {
            field.report(Mistake::unknown("class of the mix", class, &mut classes));
        }
        weights.extend(field.number(POSITIVE).map(|weight| (class.to_owned(), Positive(weight))));
    }
    weights
}

fn places<T>(
    phase: &Section<'_>,
    key: &'static str,
    known: &Known<'_>,
    read: impl Fn(&Field<'_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let entries = phase.get(key).and_then(|field| field.entries()).unwrap_or_default();
    let mut places = BTreeMap::new();
    for (name, field) in entries {
        if let Some(mistake) = known.origin.and_then(|origin| origin.lacks(Place::named(name))) {
            field.report(mistake);
        }
        places.extend(read(&field).map(|value| (name.to_owned(), value)));
    }
    places
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
