//! The scenario: one file that says which load meets which origin.
//!
//! There is one format for everything that produces load, so that a run over
//! sockets and a run in virtual time can be compared by their file name. It
//! describes requests by what they are worth to the shop (`class`) and what
//! they cost the origin (`cost`); load is written as a multiple of the
//! origin's capacity, so that the same file fits origins of every size.
//!
//! Reading is strict: unknown keys are errors, and every mistake of a file is told
//! at once, with its place and what to write instead. What only a simulation can do
//! is marked so, and a command that works over sockets refuses a scenario that asks
//! for it. It does not decide when which request is sent: see `arrivals`.

pub(crate) mod origin;
mod headers;
pub(crate) mod template;
pub(crate) mod clients;
pub(crate) mod fault;
mod trace;
pub(crate) mod phase;
pub(crate) mod threshold;
pub(crate) mod schema;

use crate::tally::span::Span;
use crate::units::{DURATION, POSITIVE, Positive, Rate};
use clients::{Bursts, Funnel, Retries, Shoppers};
use origin::Origin;
use phase::{Known, Phase};
use plimsoll::yaml;
use plimsoll::yaml::diagnostic::{Diagnostics, Mistake};
use plimsoll::yaml::field::Field;
use plimsoll::yaml::source::Source;
use std::path::{Path, PathBuf};
use std::time::Duration;
use template::Template;
use threshold::Threshold;

/// A described load.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// A short name for reports.
    pub(crate) name: String,
    /// What the scenario shows, for people.
    pub(crate) description: String,
    /// Makes a run repeatable; `--seed` overrides it.
    pub(crate) seed: u64,
    /// The shop behind the proxy.
    pub(crate) origin: Origin,
    /// A response that takes longer, counted from the intended send time, came late.
    pub(crate) slo: Duration,
    /// A client that waits longer closes its connection and leaves.
    pub(crate) patience: Duration,
    /// How arrivals follow one another.
    pub(crate) arrivals: Process,
    /// Who sends the requests.
    pub(crate) shoppers: Shoppers,
    /// How the load varies by itself.
    pub(crate) bursts: Option<Bursts>,
    /// What clients do who were not served.
    pub(crate) retries: Option<Retries>,
    /// Shoppers who go from step to step, besides the requests of the mix.
    pub(crate) funnels: Vec<Funnel>,
    /// The traffic of each of several proxies, relative to the others, in simulation. Empty: there is one.
    pub(crate) proxies: Vec<Positive>,
    /// How long a message takes from one machine to the next, in simulation.
    pub(crate) wire: Wire,
    /// The requests, drawn by weight.
    pub(crate) mix: Vec<Template>,
    /// The course of the load.
    pub(crate) phases: Vec<Phase>,
    /// What a good run holds.
    pub(crate) thresholds: Vec<Threshold>,
}

/// How arrivals follow one another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Process {
    /// Independent shoppers: exponential gaps.
    #[default]
    Poisson,
    /// Equal gaps.
    Constant,
}

/// The way of a message, one way. Nothing by default: a proxy stands beside its shop.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wire {
    /// Between client and proxy.
    pub(crate) client: Duration,
    /// Between proxy and origin.
    pub(crate) origin: Duration,
}

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioError {
    #[error(transparent)]
    Mistakes(#[from] Diagnostics),
    #[error("{path} is a directory: name one of the scenarios in it")]
    Directory { path: PathBuf },
    #[error("{path}: {keys} can only be simulated: use `plimsoll-bench simulate`")]
    SimulationOnly { path: PathBuf, keys: String },
    #[error("{path}: `phases[].faults` can only be run over sockets: use `plimsoll-bench load`")]
    SocketsOnly { path: PathBuf },
}

impl Scenario {
    /// The scenario in the file at `path`.
    pub(crate) fn read(path: &Path) -> Result<Scenario, ScenarioError> {
        // Policies may be directories of overlays; a scenario is one file.
        if path.is_dir() {
            return Err(ScenarioError::Directory { path: path.to_owned() });
        }
        Scenario::of_source(&Source::read(path)?, path)
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

    /// The scenario in the file at `path`, for a run in virtual time.
    pub(crate) fn read_for_simulation(path: &Path) -> Result<Scenario, ScenarioError> {
        let scenario = Scenario::read(path)?;
        match scenario.phases.iter().any(|phase| !phase.faults.is_empty()) {
            true => Err(ScenarioError::SocketsOnly { path: path.to_owned() }),
            false => Ok(scenario),
        }
    }

    /// The scenario in `text`; `path` is for messages, and where its traces are beside.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::of_source(&Source::of(&path.to_string_lossy(), text), path)
    }

    fn of_source(source: &Source, path: &Path) -> Result<Scenario, ScenarioError> {
        let directory = path.parent().unwrap_or(Path::new(""));
        Ok(yaml::read(source, |root| read(&root, directory))?)
    }

    /// The keys in use that only a simulation understands.
    pub(crate) fn simulated_keys(&self) -> Vec<&'static str> {
        let phase = |used: fn(&Phase) -> bool| self.phases.iter().any(used);
        let mix = |used: fn(&Template) -> bool| self.mix.iter().any(used);
        let keys = [
            ("origin.endpoints", self.origin.endpoints > 1),
            ("wire", self.wire.client + self.wire.origin > Duration::ZERO),
            ("proxies", !self.proxies.is_empty()),
            (
                "mix[].upload without upload_bytes",
                mix(|request| request.upload.is_some() && request.upload_bytes.is_none()),
            ),
            (
                "mix[].download without download_bytes",
                mix(|request| request.download.is_some() && request.download_bytes.is_none()),
            ),
            ("phases[].misjudged", phase(|phase| phase.misjudged > 0.0)),
            ("phases[].reload", phase(|phase| phase.reload)),
            ("phases[].clock_jump", phase(|phase| phase.clock_jump.is_some())),
        ];
        keys.into_iter().filter(|(_, used)| *used).map(|(key, _)| key).collect()
    }

    /// Whether a threshold is of a run without a proxy.
    pub(crate) fn compares_with_direct(&self) -> bool {
        self.thresholds.iter().any(|threshold| threshold.is_of_direct)
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

    /// The place among [`classes`](Self::classes) of each request of the mix.
    pub(crate) fn class_of_each(&self) -> Vec<usize> {
        let classes = self.classes();
        let place = |template: &Template| classes.iter().position(|class| *class == template.class);
        self.mix.iter().map(|template| place(template).unwrap_or_default()).collect()
    }

    /// Divides the length of every phase.
    pub(crate) fn shorten(&mut self, divisor: u32) {
        self.phases.iter_mut().for_each(|phase| phase.duration /= divisor);
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

    /// The phases whose figures are told: all but warm-up, and that where a threshold names it.
    pub(crate) fn told_phases(&self) -> impl Iterator<Item = usize> {
        let is_named = move |index| self.thresholds.iter().any(|threshold| threshold.phase == Some(index));
        (0..self.phases.len()).filter(move |index| !self.phases[*index].warm_up || is_named(*index))
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

    /// To how many requests the load amounts between two sessions of a funnel, in the mean.
    pub(crate) fn load_per_session(&self, funnel: &Funnel) -> f64 {
        self.origin.capacity() / funnel.begin.0
    }

    /// The mean arrival rate of a phase, in requests per second.
    pub(crate) fn rate(&self, phase: &Phase) -> f64 {
        (self.per_second(phase.load) + self.per_second(phase.to.unwrap_or(phase.load))) / 2.0
    }

    /// A load in requests per second.
    pub(crate) fn per_second(&self, load: Rate) -> f64 {
        match load {
            Rate::TimesCapacity(times) => times * self.origin.capacity(),
            Rate::PerSecond(rate) => rate,
        }
    }
}

/// Reads all sections; mistakes are on record and leave defaults behind.
fn read(root: &Field<'_>, directory: &Path) -> Option<Scenario> {
    let file = root.section()?;
    let text = |key, example| file.require(key, example).and_then(|field| field.text());
    let (name, description) =
        (text("name", "`name: spike`"), text("description", "`description: what it shows`"));
    let seed = file.get("seed").and_then(|field| field.number(0..=u64::MAX));
    let origin = file.require("origin", "`origin: { workers: 16, service: { mean: 40ms } }`");
    let origin = origin.and_then(|field| Origin::read(&field));
    let time = |key, example| file.require(key, example).and_then(|field| field.read_as(&DURATION));
    let (slo, patience) = (time("slo", "`slo: 1s`"), time("patience", "`patience: 2s`"));
    let processes = [("poisson", Process::Poisson), ("constant", Process::Constant)];
    let arrivals = file.get("arrivals").and_then(|field| field.choice(&processes));
    let shoppers = file.get("shoppers").and_then(|field| Shoppers::read(&field));
    let bursts = file.get("bursts").and_then(|field| Bursts::read(&field));
    let retries = file.get("retries").and_then(|field| Retries::read(&field));
    let proxies = file.get("proxies").map(|field| field.list()).unwrap_or_default();
    let proxies = proxies.iter().filter_map(|field| field.number(POSITIVE)).map(Positive).collect();
    let wire = file.get("wire").and_then(|field| read_wire(&field));
    let mix = file.require("mix", "`mix: [{ name: page, class: browse, paths: [/], weight: 1 }]`");
    let mix = mix.map(|field| template::read_mix(&field, origin.as_ref())).unwrap_or_default();
    let funnels = file.get("funnels").map(|field| field.list()).unwrap_or_default();
    let funnels = funnels.iter().filter_map(|field| Funnel::read(field, &mix)).collect();
    let known = Known { origin: origin.as_ref(), mix: &mix, directory };
    let phases = file.require("phases", "`phases: [{ name: calm, duration: 30s, load: 0.8x }]`");
    let phases = phases.map(|field| read_phases(&field, &known)).unwrap_or_default();
    let thresholds = file.get("thresholds").map(|field| field.list()).unwrap_or_default();
    file.close();
    let mut scenario = Scenario {
        name: name.unwrap_or_default().to_owned(),
        description: description.unwrap_or_default().to_owned(),
        seed: seed.unwrap_or_default(),
        origin: origin.unwrap_or_default(),
        slo: slo.unwrap_or_default(),
        patience: patience.unwrap_or_default(),
        arrivals: arrivals.unwrap_or_default(),
        shoppers: shoppers.unwrap_or_default(),
        bursts,
        retries,
        funnels,
        proxies,
        wire: wire.unwrap_or_default(),
        mix,
        phases,
        thresholds: Vec::new(),
    };
    scenario.thresholds = read_thresholds(&thresholds, &scenario);
    Some(scenario)
}

/// Those of a scenario whose mix or phases cannot be read have names that nobody knows.
fn read_thresholds(fields: &[Field<'_>], scenario: &Scenario) -> Vec<Threshold> {
    let is_whole = !scenario.mix.is_empty() && !scenario.phases.is_empty();
    let texts = fields.iter().filter(|field| field.text().is_some() && is_whole);
    texts.filter_map(|field| field.parsed(|text| Threshold::parse(text, scenario))).collect()
}

fn read_wire(field: &Field<'_>) -> Option<Wire> {
    let wire = field.section()?;
    let way = |key| wire.get(key).and_then(|field| field.read_as(&DURATION)).unwrap_or_default();
    let read = Wire { client: way("client"), origin: way("origin") };
    wire.close();
    Some(read)
}

fn read_phases(field: &Field<'_>, known: &Known<'_>) -> Vec<Phase> {
    let items = field.list();
    if items.is_empty() {
        field.report(Mistake::new("the list is empty").hint("it needs at least one phase"));
    }
    items.iter().filter_map(|item| Phase::read(item, known)).collect()
}

#[cfg(test)]
#[path = "scenario_tests.rs"]
mod tests;
#[cfg(test)]
mod fuzz_tests;
